"""One run, one writer: of two that start at once one wins, and a dead one's lock holds up nobody."""

from __future__ import annotations

import os
import random
import shutil

import pytest

import paramviz
from paramviz.store import RunWriter, layout, verify_run
from paramviz.store.lock import WriterLock
from paramviz.store.placement import refuse_occupied
from tests.promises.training import Training
from tests.store import made_runs


def test_of_two_that_start_at_once_exactly_one_records(tmp_path, programs, torture):
    """New runs and resumed ones, and a new one against a resumed one; the loser is told why."""
    rng = random.Random(4)
    refused: set[str] = set()
    for race in range(100 if torture else 5):
        path, go, answered = tmp_path / f"run{race}", tmp_path / f"go{race}", tmp_path / f"answered{race}"
        modes = rng.choice([(False, False), (True, True), (False, True)])
        if modes == (True, True) and rng.random() < 0.5:
            made_runs.make_run(path, iterations=1)
        pair = [programs.start("compete", path, resume, go, answered) for resume in modes]
        go.touch()
        said = [program.wait_for_lines(1)[0] for program in pair]
        answered.touch()
        assert [program.wait() for program in pair] == [0, 0], [p.errors.read_text() for p in pair]
        assert said.count("won") == 1, said
        refused |= set(said)
        run = paramviz.open_run(path)
        assert run.status == "finished"
        assert len(set(run.iterations_in_commit_order.tolist())) == len(run.iterations) > 0
        assert verify_run(path).problems == ()
        shutil.rmtree(path)
    assert refused <= {"won", "RunLockedError", "RunExistsError"}


def test_a_run_that_comes_to_be_while_one_looks_is_a_run(tmp_path, monkeypatch):
    """The loser of a race sees a directory that was empty a moment ago."""
    path, elsewhere = tmp_path / "run", made_runs.make_run(tmp_path / "elsewhere", iterations=1)
    path.mkdir()
    listed = type(path).iterdir

    def late(folder: object) -> object:
        shutil.copytree(elsewhere, path, dirs_exist_ok=True)
        return listed(folder)

    monkeypatch.setattr(type(path), "iterdir", late)
    with pytest.raises(paramviz.RunExistsError):
        refuse_occupied(path)


def test_a_killed_writers_lock_is_no_lock(tmp_path, programs, torture):
    """Each is killed while it records; the next one continues at once, and a living one is respected."""
    path = tmp_path / "run"
    for kill in range(100 if torture else 5):
        holder = programs.start("hold", path, 2 * kill)
        assert holder.wait_for_lines(1) == ["recording"]
        assert paramviz.open_run(path).status == "recording"
        with pytest.raises(paramviz.RunLockedError, match=str(holder.pid)):
            RunWriter.resume(path)
        holder.kill()
        assert paramviz.open_run(path).status == "crashed"
    RunWriter.resume(path).close("finished")
    run = paramviz.open_run(path)
    assert run.iterations.tolist() == list(range(2 * (kill + 1)))
    assert sum(event.kind == "resume" for event in run.events) == kill + 1
    assert verify_run(path).problems == ()


def test_a_lock_on_a_file_that_is_gone_is_not_taken_for_the_runs(tmp_path, monkeypatch):
    """Somebody removes a failed beginning while another one is about to lock it."""
    path = tmp_path / "run"
    (path / layout.PRIVATE).mkdir(parents=True)
    opened = os.open

    def slow(name: object, *args: int) -> int:
        descriptor = opened(name, *args)
        if len(seen) == 0:
            (path / layout.LOCK).unlink()
        seen.append(name)
        return descriptor

    seen: list[object] = []
    monkeypatch.setattr("paramviz.store.lock.os.open", slow)
    first = WriterLock.acquire(path)
    monkeypatch.undo()
    with pytest.raises(paramviz.RunLockedError):
        WriterLock.acquire(path)
    first.release()
    WriterLock.acquire(path).release()


def test_without_locks_of_the_system_a_living_writer_of_this_machine_is_respected(
    tmp_path, programs, monkeypatch
):
    """Some network file systems refuse flock: then the process number in the file decides."""
    path = tmp_path / "run"

    def refused(descriptor: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("paramviz.store.lock.fcntl.flock", refused)
    holder = programs.start("hold", path, 0)
    holder.wait_for_lines(1)
    with pytest.raises(paramviz.RunLockedError, match=str(holder.pid)):
        RunWriter.resume(path)
    holder.kill()
    RunWriter.resume(path).close("finished")
    assert paramviz.open_run(path).status == "finished"


def test_two_recorders_of_one_process_do_not_share_a_run(tmp_path):
    training = Training()
    with paramviz.Recorder(tmp_path / "run", training.model) as recorder:
        for resume in (False, True):
            with pytest.raises((paramviz.RunLockedError, paramviz.RunExistsError)):
                paramviz.Recorder(tmp_path / "run", training.model, resume=resume)
        recorder.step(0)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0]
