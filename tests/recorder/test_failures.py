"""What goes wrong never reaches training: it is warned of once, counted, and stands in the run."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

import paramviz
from paramviz.recorder import (
    frames,
    writer_thread,
)
from paramviz.recorder import recorder as recorder_module
from paramviz.recorder.assembly import Assembler
from paramviz.recorder.gradients import GradientReader
from paramviz.recorder.optimizer_watch import OptimizerWatch
from paramviz.recorder.plan_keeper import PlanKeeper
from paramviz.store import RunWriter, verify_run
from tests.recorder.waiting import wait_for


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(30, 20)


class Disk:
    """A disk that can be made to hang or to be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.is_full = False
        for name in ("commit", "log_step", "log_event"):
            monkeypatch.setattr(RunWriter, name, self._through(getattr(RunWriter, name)))

    def _through(self, write: Callable) -> Callable:
        def written(*args):
            assert self.answers.wait(60)
            if self.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(*args)

        return written


@pytest.fixture
def disk(monkeypatch) -> Disk:
    monkeypatch.setattr(writer_thread, "RETRY_S", 0.0)
    return Disk(monkeypatch)


def test_a_disk_that_hangs_delays_no_step_and_what_is_dropped_is_counted(
    tmp_path, model, disk, monkeypatch, caplog
):
    monkeypatch.setattr(frames, "MOST", 3)
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model) as recorder:
        disk.answers.clear()
        for iteration in range(10):
            recorder.step(iteration, loss=float(iteration))
        assert recorder.report.snapshots == 0
        disk.answers.set()
        wait_for(lambda: recorder.report.snapshots == 3)
        recorder.step(10)
    assert recorder.report.lost == 7
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1, 2, 10]
    assert run.scalar_series("loss")[0].tolist() == list(range(10))
    gaps = [event for event in run.events if event.kind == "gap"]
    assert [gap.iteration for gap in gaps] == [3]
    assert "7 snapshots lost (iterations 3 to 9)" in gaps[0].text
    assert verify_run(tmp_path / "run").problems == ()


def test_a_full_disk_is_warned_of_once_and_recording_resumes_when_it_can(tmp_path, model, disk, caplog):
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(12):
            disk.is_full = 4 <= iteration < 7
            recorder.step(iteration, loss=float(iteration))
            done = iteration + 1
            wait_for(lambda done=done: recorder.report.snapshots + recorder.report.lost == done)
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1, 2, 3, 7, 8, 9, 10, 11]
    assert run.scalar_series("loss")[0].tolist() == list(range(12))
    assert [(e.iteration, e.kind) for e in run.events] == [(4, "gap"), (11, "final")]
    assert "3 snapshots lost" in run.events[0].text
    assert len([r for r in caplog.records if "Training goes on" in r.message]) == 1
    assert run.status == "finished"


def test_gaps_of_different_reasons_are_told_apart(tmp_path, model, disk, monkeypatch):
    gather = recorder_module.gather

    def faulty(frame, *settings):
        if frame.iteration in (2, 3):
            raise RuntimeError("a fault of the test")
        gather(frame, *settings)

    monkeypatch.setattr(recorder_module, "gather", faulty)
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(6):
            disk.is_full = iteration == 4
            recorder.step(iteration)
            done = iteration + 1
            wait_for(lambda done=done: recorder.report.snapshots + recorder.report.lost == done)
    gaps = [event for event in paramviz.open_run(tmp_path / "run").events if event.kind == "gap"]
    assert [gap.iteration for gap in gaps] == [2, 4]
    assert "a fault of the test" in gaps[0].text
    assert "No space left" in gaps[1].text


def test_after_a_gap_updates_compare_with_the_last_snapshot_that_is_there(tmp_path, disk):
    model = nn.Linear(4, 4, bias=False)
    nn.init.zeros_(model.weight)
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(4):
            disk.is_full = iteration in (1, 2)
            recorder.step(iteration)
            done = iteration + 1
            wait_for(lambda done=done: recorder.report.snapshots + recorder.report.lost == done)
            with torch.no_grad():
                model.weight.add_(1)
    found = paramviz.open_run(tmp_path / "run")[3].statistics("weight")
    assert found["update_norm"] == pytest.approx(3 * 4)


def test_an_explicit_close_on_a_full_disk_raises_what_is_missing(tmp_path, model, disk):
    recorder = paramviz.Recorder(tmp_path / "run", model, schedule=5)
    recorder.step(0)
    recorder.step(1)
    wait_for(lambda: recorder.report.snapshots == 1)
    disk.is_full = True
    with pytest.raises(paramviz.OutputError, match="iteration 1"):
        recorder.close()
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0]


def test_leaving_the_with_on_a_full_disk_warns_and_does_not_raise(tmp_path, model, disk, caplog):
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
        wait_for(lambda: recorder.report.snapshots == 1)
        disk.is_full = True
    assert "not everything is in it" in caplog.text


def test_a_closing_that_the_disk_never_answers_gives_up(tmp_path, model, disk, monkeypatch):
    monkeypatch.setattr(writer_thread, "PATIENCE_S", 0.05)
    recorder = paramviz.Recorder(tmp_path / "run", model)
    disk.answers.clear()
    recorder.step(0)
    with pytest.raises(paramviz.OutputError, match="taken nothing"):
        recorder.close()
    disk.answers.set()
    recorder._thread._thread.join(60)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0]


def test_a_queue_without_room_drops_steps_and_counts_them(tmp_path, model, disk, monkeypatch, caplog):
    monkeypatch.setattr(writer_thread, "MOST_WAITING", 20)
    with (
        caplog.at_level(logging.WARNING),
        paramviz.Recorder(tmp_path / "run", model, schedule=1000) as recorder,
    ):
        disk.answers.clear()
        for iteration in range(100):
            recorder.step(iteration, loss=1.0)
        disk.answers.set()
    dropped = recorder.report.dropped_steps
    kept = len(paramviz.open_run(tmp_path / "run").scalar_series("loss")[0])
    assert kept < 50
    # The end of the run may have been among what was dropped.
    assert kept + dropped in (100, 101)
    assert "dropped" in caplog.text


FAULTS = [
    (recorder_module, "gather"),
    (recorder_module, "take_scalars"),
    (frames.FramePool, "take"),
    (PlanKeeper, "look"),
    (GradientReader, "collect"),
    (GradientReader, "begin"),
    (OptimizerWatch, "_before_step"),
    (OptimizerWatch, "_after_step"),
    (Assembler, "publish"),
]


@pytest.mark.parametrize(("owner", "name"), FAULTS, ids=[name for _, name in FAULTS])
def test_a_fault_inside_never_reaches_training(tmp_path, model, monkeypatch, caplog, owner, name):
    """One warning, and a run that is whole but for what the fault touched."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    original, calls = getattr(owner, name), []

    def faulty(*args, **kwargs):
        calls.append(1)
        if 3 <= len(calls) <= 4:
            raise RuntimeError("a fault of the test")
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, faulty)
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for iteration in range(6):
            optimizer.zero_grad()
            model(torch.randn(2, 30)).square().sum().backward()
            optimizer.step()
            recorder.step(iteration, loss=float(iteration))
    assert len(calls) > 4
    assert len(caplog.records) == 1
    assert "a fault of the test" in caplog.text
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert {0, 4, 5} <= set(run.iterations.tolist())
    assert {0.0, 4.0, 5.0} <= set(run.scalar_series("loss")[1].tolist())
    assert verify_run(tmp_path / "run").problems == ()


def test_a_run_that_exists_is_never_overwritten(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    with pytest.raises(paramviz.RunExistsError, match="resume=True"):
        paramviz.Recorder(tmp_path / "run", model)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0]


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path, model):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(paramviz.OutputError):
        paramviz.Recorder(tmp_path / "file" / "run", model)


def test_a_run_that_is_being_recorded_is_not_recorded_twice(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model), pytest.raises(paramviz.RunLockedError):
        paramviz.Recorder(tmp_path / "run", model, resume=True)


def test_a_disk_that_is_full_from_the_start_is_said_at_once(tmp_path, model, monkeypatch):
    def full(*args, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "add_plan", full)
        with pytest.raises(paramviz.OutputError, match="No space"):
            paramviz.Recorder(tmp_path / "run", model)
    assert paramviz.open_run(tmp_path / "run").status == "crashed"


def test_settings_out_of_range_are_refused(tmp_path, model):
    with pytest.raises(paramviz.UsageError, match="key_every"):
        paramviz.Recorder(tmp_path / "run", model, key_every=0)
    with pytest.raises(paramviz.UsageError, match="total_bytes"):
        paramviz.Recorder(tmp_path / "run", model, budgets=paramviz.SampleBudgets(total_bytes=1))
    assert not (tmp_path / "run").exists()
