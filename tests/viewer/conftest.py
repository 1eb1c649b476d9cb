"""A finished run behind Flask's test client, for everything that needs no socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.store import made_runs
from viewer.app import create_app
from viewer.catalogue import Catalogue
from viewer.security import Access
from viewer.tail import Tail

MakeClient = Callable[..., FlaskClient]


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[MakeClient]:
    """Make a client for some paths; further arguments are those of `Access`."""
    tails: list[Tail] = []

    def make(*paths: Path, access: Access | None = None, **tail_settings: object) -> FlaskClient:
        tails.append(Tail(**tail_settings))  # type: ignore[arg-type]
        app = create_app(Catalogue(paths), access=access, tail=tails[-1], static=tmp_path / "static")
        app.testing = False
        return app.test_client()

    yield make
    for tail in tails:
        tail.close()


@pytest.fixture(scope="session")
def finished_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three snapshots that nobody changes."""
    return made_runs.make_run(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def client(make_client: MakeClient, finished_path: Path) -> FlaskClient:
    return make_client(finished_path)


@pytest.fixture
def run_url(client: FlaskClient) -> str:
    """`/api/runs/ID` of the finished run."""
    return "/api/runs/" + client.get("/api/runs").json["runs"][0]["id"]
