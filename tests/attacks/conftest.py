"""A real server on a loopback port, with a secret beside the folder of its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.payloads import SECRET
from tests.attacks.raw_http import RawClient
from tests.store import made_runs
from viewer import ViewerServer


@pytest.fixture(scope="session")
def quiet_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three snapshots that nobody changes."""
    return made_runs.make_run(tmp_path_factory.mktemp("attacked") / "run")


@pytest.fixture(scope="module")
def server(quiet_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewerServer]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "secret").write_text(SECRET)
    static = folder / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html><title>the page</title>")
    with ViewerServer([quiet_run], static=static) as server:
        yield server


@pytest.fixture
def client(server: ViewerServer) -> Iterator[RawClient]:
    with RawClient(server.port) as client:
        yield client
