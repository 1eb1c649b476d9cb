"""Runs in object stores and on web servers, seen through the viewer: followed gently, and missed calmly."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest

from paramviz.errors import NotARunError, UnreachableError
from paramviz.store import open_run
from paramviz.store.remote_source import RemoteSource
from tests.store import made_runs
from tests.store.conftest import s3
from tests.store.servers import Counted, file_server
from viewer import opened
from viewer.catalogue import Catalogue
from viewer.opened import OpenedRun
from viewer.tail import Tail

__all__ = ["s3"]

PATIENCE_S = 30.0


@pytest.fixture
def address(s3: Counted) -> str:
    return f"s3://bucket/{uuid.uuid4().hex}/run"


@pytest.fixture
def served(tmp_path, finished_path):
    """A run on a web server that can be taken away and brought back."""
    with file_server(finished_path.parent) as server:
        yield server


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_address_is_a_run_like_any_other(make_client, address, finished_path):
    made_runs.make_run(address)
    client = make_client(address, finished_path)
    far, near = client.get("/api/runs").json["runs"]
    assert (far["name"], far["status"], far["snapshots"], far["problem"]) == ("run", "finished", 3, None)
    here = f"/api/runs/{far['id']}"
    assert client.get(here).json["iterations"] == [0, 1, 2]
    for rest in ("/plans/0", "/plans/0/positions", "/frames/2", "/scalars", "/timeline/1/std", "/vocabulary"):
        assert client.get(here + rest).status_code == 200, rest
    assert near["id"] != far["id"]


def test_an_address_never_comes_through_http(make_client, s3, address, finished_path):
    """Only the command line names places: no request makes the server ask another one."""
    made_runs.make_run(address)
    client = make_client(finished_path)
    s3.clear()
    for path in (f"/api/runs/{address}", f"/api/poll?runs={address}&cursors=", f"/api/tail?runs={address}"):
        assert client.get(path).status_code in (400, 404, 308)
    assert s3.requests == []


def test_an_address_named_twice_is_opened_once(address):
    made_runs.make_run(address)
    assert len(Catalogue([address, address + "/"]).all()) == 1


def test_an_address_without_a_run_is_refused_with_its_name(s3):
    with pytest.raises(NotARunError, match="s3://bucket/nothing"):
        Catalogue(["s3://bucket/nothing"])


def test_a_server_that_does_not_answer_at_the_start_is_said(served):
    gone = served.address
    with pytest.raises(UnreachableError, match="cannot be reached"):
        Catalogue([gone.replace(gone.rpartition(":")[2], "9") + "/run"])


def test_a_far_run_is_asked_at_its_interval_and_not_at_the_tails(s3, address, monkeypatch):
    """For as long as ten looks take, of which each is three requests."""
    monkeypatch.setattr(RemoteSource, "look_interval_s", 0.2)
    writer = made_runs.start(address)
    made_runs.write(writer, 0)
    run = OpenedRun("x", lambda: open_run(address))
    tail = Tail()
    listener = tail.listen([run])
    s3.clear()
    began_s = time.monotonic()
    eventually(lambda: len(s3.requests) >= 30)
    looks = (time.monotonic() - began_s) / 0.2 + 1
    assert len(s3.requests) <= 3 * looks + 3
    assert {path.rpartition("/")[2] for path in s3.paths} == {"000000.log", "000001.log", "lock"}
    s3.clear()
    for _ in range(200):
        run.look()
    assert len(s3.requests) <= 6, "whoever asks, the interval is one for all"
    listener.close()
    tail.close()
    writer.close("finished")


def test_a_far_run_that_grows_wakes_its_listeners(s3, address, monkeypatch):
    monkeypatch.setattr(RemoteSource, "look_interval_s", 0.05)
    writer = made_runs.start(address)
    run = OpenedRun("x", lambda: open_run(address))
    tail = Tail()
    listener = tail.listen([run])
    for iteration in range(3):
        made_runs.write(writer, iteration)
        deadline = time.monotonic() + PATIENCE_S
        while run.listing.snapshots <= iteration:
            listener.wait(1.0)
            assert time.monotonic() < deadline
    writer.close("finished")
    eventually(lambda: run.status == "finished")
    tail.close()


class Away:
    """Takes a place away, as a network does: every request of every run fails, until it is back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away = False
        from paramviz.store.remote import RemotePlace

        real = RemotePlace._ask

        def ask(place, key, request):
            if self.is_away:
                raise place._unreachable(OSError("the cable is cut"))
            return real(place, key, request)

        monkeypatch.setattr(RemotePlace, "_ask", ask)


@pytest.fixture
def away(monkeypatch) -> Away:
    monkeypatch.setattr(RemoteSource, "look_interval_s", 0.02)
    monkeypatch.setattr(opened, "_PAUSE_S", 0.05)
    return Away(monkeypatch)


def test_an_outage_is_said_and_passes(make_client, address, away):
    """The list, the run, the poll: each says that the place does not answer, and none says damage."""
    writer = made_runs.start(address)
    made_runs.write(writer, 0)
    client = make_client(address)
    (listed,) = client.get("/api/runs").json["runs"]
    poll = f"/api/poll?runs={listed['id']}&cursors="
    away.is_away = True
    eventually(lambda: bool(client.get(poll).json["problems"]))
    answer = client.get(poll)
    assert answer.status_code == 200
    (problem,) = answer.json["problems"]
    assert problem["run"] == listed["id"]
    assert problem["error"]["kind"] == "unreachable"
    assert "s3://" not in problem["error"]["message"]
    assert "cable" not in problem["error"]["message"]
    (still,) = client.get("/api/runs").json["runs"]
    assert (still["name"], still["snapshots"], still["problem"]["kind"]) == ("run", 1, "unreachable")
    frame = client.get(f"/api/runs/{listed['id']}/frames/0")
    assert (frame.status_code, frame.json["error"]["kind"]) == (502, "unreachable")
    away.is_away = False
    made_runs.write(writer, 1)
    eventually(lambda: not client.get(poll).json["problems"])
    assert client.get(f"/api/runs/{listed['id']}").json["iterations"] == [0, 1]
    assert client.get(f"/api/runs/{listed['id']}/frames/1").status_code == 200
    writer.close("finished")


def test_commits_that_were_read_before_the_line_was_cut_are_not_lost(address, monkeypatch):
    """The first request of a look succeeds, the second does not."""
    from paramviz.store.remote import RemotePlace

    writer = made_runs.start(address)
    run = open_run(address)
    made_runs.write(writer, 0)
    real = RemotePlace.get

    def get(place, key, *arguments):
        if key.endswith("000001.log"):
            raise place._unreachable(OSError("the cable is cut"))
        return real(place, key, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RemotePlace, "get", get)
        with pytest.raises(UnreachableError):
            run.refresh()
    assert run.refresh().tolist() == [0]
    assert run.iterations.tolist() == [0]
    writer.close("finished")


def test_a_place_that_hangs_holds_up_nobody_else(make_client, address, finished_path, monkeypatch):
    """Neither the tail of the other runs nor the list."""
    import threading

    made_runs.make_run(address)
    monkeypatch.setattr(RemoteSource, "look_interval_s", 0.02)
    far, near = (
        OpenedRun("far", lambda: open_run(address)),
        OpenedRun("near", lambda: open_run(finished_path)),
    )
    let_go, hangs = threading.Event(), threading.Event()

    def hang(run):
        hangs.set()
        assert let_go.wait(PATIENCE_S)

    monkeypatch.setattr(far.run, "refresh", lambda: hang(far))
    tail = Tail()
    listeners = [tail.listen([run]) for run in (far, near)]
    assert hangs.wait(PATIENCE_S)
    looks = []
    monkeypatch.setattr(near.run, "refresh", lambda: looks.append(1))
    eventually(lambda: bool(looks))
    far.look()
    assert far.listing.snapshots == 3
    let_go.set()
    for listener in listeners:
        listener.close()
    tail.close()
