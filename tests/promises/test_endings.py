"""However a program ends, it leaves a good run, and the run says how."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import paramviz
from paramviz.store import RunWriter, verify_run
from paramviz.store.lock import process_exists

ENDINGS = {
    # how it ends: (exit status, status of the run, kinds of its events)
    "nothing": (0, "finished", []),
    "forgotten in a function": (0, "finished", []),
    "sys.exit(0)": (0, "finished", []),
    "sys.exit(3)": (3, "finished", []),
    "exception": (1, "crashed", []),
    "os._exit": (7, "crashed", []),
    "SIGINT": (-signal.SIGINT, "crashed", []),
    "SIGTERM": (-signal.SIGTERM, "crashed", []),
    "with sys.exit(0)": (0, "finished", ["final"]),
    "with sys.exit(3)": (3, "crashed", ["crash"]),
    "with exception": (1, "crashed", ["crash"]),
    "with os._exit": (7, "crashed", []),
    "with SIGINT": (-signal.SIGINT, "crashed", ["crash"]),
    "with SIGTERM": (-signal.SIGTERM, "crashed", []),
}


def test_a_program_that_ends_in_any_way_leaves_a_good_run(programs, tmp_path):
    """All of them at once, since their ends are what takes time."""
    started = {how: programs.start("train_and_end", tmp_path / how, how, finalize=True) for how in ENDINGS}
    for how, program in started.items():
        if how.endswith(("SIGINT", "SIGTERM")):
            program.wait_for_lines(1)
            program.send(getattr(signal, how.split()[-1]))
    found = {}
    for how, program in started.items():
        exit_status, run = program.wait(), paramviz.open_run(tmp_path / how)
        found[how] = (exit_status, run.status, [event.kind for event in run.events])
        assert run.iterations.tolist() == run.scalar_series("loss")[0].tolist() == list(range(5))
        report = verify_run(tmp_path / how)
        assert (report.problems, report.notes) == ((), ())
        RunWriter.resume(tmp_path / how).close("finished")
    assert found == ENDINGS


@pytest.mark.parametrize("persistent", [False, True], ids=["workers of an epoch", "persistent workers"])
def test_forked_workers_of_a_data_loader_leave_the_run_alone(tmp_path, programs, persistent):
    """They inherit the recorder, its open journal and its lock."""
    path = tmp_path / "run"
    program = programs.start("train_with_workers", path, persistent, "nothing")
    assert program.wait() == 0, program.errors.read_text()
    run = paramviz.open_run(path)
    assert run.status == "finished"
    assert run.iterations.tolist() == run.scalar_series("loss")[0].tolist() == list(range(12))
    assert verify_run(path).problems == ()
    assert program.errors.read_text() == ""


def test_workers_that_outlive_a_killed_training_hold_no_lock(tmp_path, programs):
    path = tmp_path / "run"
    program = programs.start("train_with_workers", path, True, "SIGTERM")
    program.wait_for_lines(1)
    workers = children_of(program.pid)
    program.kill()
    alive = [worker for worker in workers if process_exists(worker)]
    assert alive, "torch's workers look for their parent every few seconds only"
    assert paramviz.open_run(path).status == "crashed"
    RunWriter.resume(path).close("finished")
    assert paramviz.open_run(path).iterations.tolist() == list(range(9))
    for worker in alive:
        os.kill(worker, signal.SIGKILL)
    assert verify_run(path).problems == ()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_forked_child_that_steps_closes_and_exits_changes_nothing(tmp_path, programs):
    path = tmp_path / "run"
    program = programs.start("fork_and_step", path, finalize=True)
    assert program.wait() == 0, program.errors.read_text()
    run = paramviz.open_run(path)
    assert run.status == "finished"
    assert run.iterations.tolist() == [0, 1]
    assert run.scalar_series("loss")[1].max() < 1e3
    assert verify_run(path).problems == ()
