"""What the recorder's suites share."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums that are split over threads are not reproducible."""
    torch.set_num_threads(1)
