"""What the suites of promises share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from paramviz.recorder import writer_thread
from tests.promises.nursery import Nursery, nursery


@pytest.fixture(scope="session")
def programs(tmp_path_factory, project_root: Path) -> Iterator[Nursery]:
    """Starts programs that have torch imported already."""
    with nursery(project_root, tmp_path_factory.mktemp("programs")) as started:
        yield started


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums that are split over threads are not reproducible."""
    torch.set_num_threads(1)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed write the journal tries again at once, not in a second."""
    monkeypatch.setattr(writer_thread, "RETRY_S", 0.0)
