"""One writer per run in an object store: its lock, and who takes over that of a writer that is gone."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from paramviz.errors import RunExistsError, RunLockedError
from paramviz.store import RunWriter, open_run, remote_lock
from paramviz.store.history import SILENCE_S
from paramviz.store.layout import LOCK
from paramviz.store.remote import RemotePlace
from paramviz.store.remote_lock import RemoteLock
from tests.store import made_runs

pytestmark = pytest.mark.slow


def start(address: str) -> RunWriter:
    return made_runs.start(address)  # type: ignore[arg-type]


def make_run(address: str) -> None:
    made_runs.make_run(address)  # type: ignore[arg-type]


def _fail(*_: object) -> None:
    raise OSError(5, "the network is gone")


def test_a_run_is_never_overwritten_nor_written_by_two(place):
    writer = start(place)
    with pytest.raises(RunLockedError, match=r"seems to record"):
        RunWriter.resume(place)
    writer.close("finished")
    with pytest.raises(RunExistsError):
        start(place)
    RunWriter.resume(place).close("finished")
    assert [event.kind for event in open_run(place).events] == []


@pytest.mark.parametrize("silent_s", [SILENCE_S / 2, SILENCE_S * 2])
def test_the_lock_of_another_machine_ends_when_nothing_is_heard_of_it(place, monkeypatch, silent_s):
    monkeypatch.setattr("socket.gethostname", lambda: "another-machine")
    writer = start(place)
    made_runs.write(writer, 0)
    monkeypatch.undo()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + silent_s)
    run = open_run(place)
    if silent_s < SILENCE_S:
        assert run.status == "recording"
        with pytest.raises(RunLockedError, match="another-machine"):
            RunWriter.resume(place)
        return
    assert run.status == "crashed"
    taken = RunWriter.resume(place)
    writer._lock.release()
    with pytest.raises(RunLockedError):
        RunWriter.resume(place)
    taken.close("finished")


def test_the_lock_of_a_process_that_is_gone_is_taken_over_at_once(place):
    import fsspec

    writer = start(place)
    fs, root = fsspec.core.url_to_fs(place)
    holder = json.loads(fs.cat_file(f"{root}/.paramviz/lock"))
    fs.pipe_file(f"{root}/.paramviz/lock", json.dumps(holder | {"pid": 2**22 + 1}).encode())
    assert open_run(place).status == "crashed"
    RunWriter.resume(place).close("finished")
    assert writer.path == place


def stale_lock(address: str, **changes: object) -> None:
    """Leave the lock of a process of this machine that is gone."""
    import fsspec

    fs, root = fsspec.core.url_to_fs(address)
    holder = {"pid": 2**22 + 1, "host": socket.gethostname(), "since_unix_s": 0.0, "token": uuid.uuid4().hex}
    fs.pipe_file(f"{root}/{LOCK}", json.dumps(holder | changes).encode())


def race(address: str, n: int, monkeypatch: pytest.MonkeyPatch) -> list[RemoteLock]:
    """`n` threads take over one lock, after all of them have seen that its holder is gone. Who got it."""
    judged = threading.Barrier(n)
    judges = threading.local()
    real = remote_lock._may_live

    def may_live(place: RemotePlace, holder: dict[str, object]) -> bool:
        alive = real(place, holder)
        if not getattr(judges, "waited", False):
            judges.waited = True
            judged.wait(timeout=60)
        return alive

    def acquire(_: int) -> RemoteLock | None:
        try:
            return RemoteLock.acquire(RemotePlace(address))
        except RunLockedError:
            return None

    with monkeypatch.context() as patch, ThreadPoolExecutor(n) as threads:
        patch.setattr(remote_lock, "_may_live", may_live)
        return [lock for lock in threads.map(acquire, range(n)) if lock is not None]


def test_of_those_who_take_over_a_stale_lock_exactly_one_gets_it(place, monkeypatch, torture):
    for _ in range(100 if torture else 10):
        stale_lock(place)
        (winner,) = race(place, 6, monkeypatch)
        with pytest.raises(RunLockedError):
            RemoteLock.acquire(RemotePlace(place))
        assert RemotePlace(place).names(".paramviz") == ["lock"], "no claim stays"
        winner.release()
        assert RemotePlace(place).size(LOCK) is None


def test_of_those_who_begin_at_once_exactly_one_gets_the_lock(place, monkeypatch):
    for _ in range(5):
        with ThreadPoolExecutor(6) as threads:
            (winner,) = [lock for lock in threads.map(lambda _: acquired(place), range(6)) if lock]
        winner.release()


def acquired(address: str) -> RemoteLock | None:
    try:
        return RemoteLock.acquire(RemotePlace(address))
    except RunLockedError:
        return None


def test_a_claim_whose_maker_died_is_claimed_in_its_turn(place, monkeypatch):
    """Killed between the claim and the lock, twice in a row."""
    stale_lock(place)
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(RemotePlace, "put", _fail)
            patch.setattr("os.getpid", lambda: 2**22 + 2)
            with pytest.raises(OSError, match="network"):
                RemoteLock.acquire(RemotePlace(place))
    assert len(RemotePlace(place).names(".paramviz")) == 3
    winner = RemoteLock.acquire(RemotePlace(place))
    assert RemotePlace(place).names(".paramviz") == ["lock"]
    winner.release()


def test_a_claim_that_comes_too_late_gives_way(place, monkeypatch):
    """The lock was taken over and the claim on it removed while somebody still looked at the old one."""
    stale_lock(place)
    real = remote_lock._may_live
    winners = []

    def slow(asked: RemotePlace, holder: dict[str, object]) -> bool:
        alive = real(asked, holder)
        monkeypatch.undo()
        winners.append(RemoteLock.acquire(RemotePlace(place)))
        return alive

    monkeypatch.setattr(remote_lock, "_may_live", slow)
    with pytest.raises(RunLockedError):
        RemoteLock.acquire(RemotePlace(place))
    assert RemotePlace(place).names(".paramviz") == ["lock"]
    winners[0].release()
    assert RemotePlace(place).size(LOCK) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"x" * 10_000])
def test_a_lock_that_says_nothing_ends_with_the_journals_silence(place, monkeypatch, text):
    """An uploaded directory has an empty one."""
    import fsspec

    make_run(place)
    fs, root = fsspec.core.url_to_fs(place)
    fs.pipe_file(f"{root}/{LOCK}", text)
    with pytest.raises(RunLockedError):
        RunWriter.resume(place)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * SILENCE_S)
    RunWriter.resume(place).close("finished")
