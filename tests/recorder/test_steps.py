"""What `step()` keeps: scalars of every iteration, snapshots when they are due or forced, events."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.schedule import adaptive
from paramviz.schema import Event


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def test_the_adaptive_schedule_decides_which_iterations_are_snapshots(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(0, 1301):
            if iteration < 130 or iteration % 7 == 0 or adaptive(iteration):
                recorder.step(iteration)
    expected = [i for i in range(1301) if adaptive(i)]
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == expected


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [(3, [0, 3, 6, 7]), ("4", [0, 4, 7]), (lambda i: i in (2, 5), [2, 5, 7])],
    ids=["every third", "as text", "a function"],
)
def test_a_users_schedule_decides_and_the_last_state_is_always_there(tmp_path, model, schedule, expected):
    with paramviz.Recorder(tmp_path / "run", model, schedule=schedule) as recorder:
        for iteration in range(8):
            recorder.step(iteration)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == expected


@pytest.mark.parametrize("schedule", ["sometimes", 0, -3, None])
def test_a_schedule_that_means_nothing_is_refused(tmp_path, model, schedule):
    with pytest.raises(paramviz.UsageError, match="schedule"):
        paramviz.Recorder(tmp_path / "run", model, schedule=schedule)
    assert not (tmp_path / "run").exists()


def test_a_schedule_that_raises_is_warned_of_once_and_not_due(tmp_path, model, caplog):
    def schedule(iteration: int) -> bool:
        if iteration % 2:
            raise KeyError("odd")
        return True

    with (
        caplog.at_level(logging.WARNING),
        paramviz.Recorder(tmp_path / "run", model, schedule=schedule) as recorder,
    ):
        for iteration in range(5):
            recorder.step(iteration)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0, 2, 4]
    assert sum("schedule" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("event", ["validation", "checkpoint", "final"])
def test_an_event_forces_a_snapshot_of_the_key_tier(tmp_path, model, event):
    with paramviz.Recorder(tmp_path / "run", model, schedule=100) as recorder:
        for iteration in range(20):
            recorder.step(iteration, event=event if iteration == 13 else None, text="why")
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 13, 19]
    assert run[13].tier == "key"
    assert run.events[0] == Event(13, event, "why")


def test_every_eighth_snapshot_is_of_the_key_tier(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(18):
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert [i for i in range(18) if run[i].tier == "key"] == [0, 8, 16]


def test_the_scalars_of_every_step_are_kept_snapshot_or_not(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model, schedule=10) as recorder:
        for iteration in range(25):
            recorder.step(
                iteration,
                loss=torch.tensor(1.0 / (iteration + 1), requires_grad=True),
                validation_loss=np.float32(iteration) if iteration % 5 == 0 else None,
                metrics={"accuracy": iteration / 25, "tokens": 100 * iteration},
            )
    run = paramviz.open_run(tmp_path / "run")
    iterations, loss = run.scalar_series("loss")
    assert iterations.tolist() == list(range(25))
    assert loss == pytest.approx([1 / (i + 1) for i in range(25)])
    assert run.scalar_series("validation_loss")[0].tolist() == [0, 5, 10, 15, 20]
    assert run.scalar_series("tokens")[1].tolist() == [100.0 * i for i in range(25)]
    assert run.scalars("accuracy") == pytest.approx([0, 0.4, 0.8, 24 / 25])
    assert run[20].scalars["loss"] == pytest.approx(1 / 21)
    assert run.scalar_series("recording_ms")[0].tolist() == [0, 10, 20, 24]


def test_a_scalar_that_is_no_number_is_warned_of_once_and_the_others_are_kept(tmp_path, model, caplog):
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(3):
            recorder.step(iteration, loss=torch.zeros(3), metrics={"text": "high", "fine": 2, "none": None})
    run = paramviz.open_run(tmp_path / "run")
    assert run.scalar_series("fine")[1].tolist() == [2.0] * 3
    assert "loss" not in run.scalar_names
    assert len(caplog.records) == 2


def test_a_metric_may_carry_the_name_of_a_scalar_that_is_not_given(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0, loss=1.0, metrics={"validation_loss": 2.0, "loss": 3.0})
    run = paramviz.open_run(tmp_path / "run")
    assert (run[0].scalars["loss"], run[0].scalars["validation_loss"]) == (1.0, 2.0)


def test_losses_that_are_not_finite_stay_what_they_are(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0, loss=float("nan"))
        recorder.step(1, loss=torch.tensor(float("inf")))
    assert np.array_equal(
        paramviz.open_run(tmp_path / "run").scalars("loss"), [np.nan, np.inf], equal_nan=True
    )


def test_a_second_step_of_an_iteration_adds_and_never_rewrites(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model, schedule=2) as recorder:
        recorder.step(0, loss=1.0)
        with torch.no_grad():
            model.weight.add_(1)
        recorder.step(0, event="validation", validation_loss=2.0)
        recorder.step(1, loss=3.0)
        recorder.step(1, event="checkpoint", metrics={"accuracy": 4.0})
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1]
    assert run.scalar_series("loss")[1].tolist() == [1.0, 3.0]
    assert run.scalars("validation_loss")[0] == 2.0
    assert run[1].scalars["loss"] == 3.0
    assert run[1].scalars["accuracy"] == 4.0
    assert run[0].values("weight").mean() < run[1].values("weight").mean()
    assert [(e.iteration, e.kind) for e in run.events] == [(0, "validation"), (1, "checkpoint"), (1, "final")]


def test_iterations_that_have_gone_by_are_counted_and_never_duplicated(tmp_path, model, caplog):
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in (0, 1, 2, 1, 0, 3):
            recorder.step(iteration, loss=float(iteration))
        assert recorder.report.repeated_steps == 2
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1, 2, 3]
    assert run.scalar_series("loss")[0].tolist() == [0, 1, 2, 3]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("iteration", [-1, 1.5, "next", None])
def test_an_iteration_that_is_none_is_warned_of_and_training_goes_on(tmp_path, model, caplog, iteration):
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(iteration)
        recorder.step(0)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0]
    assert len(caplog.records) == 1


def test_an_unknown_event_is_warned_of_and_left_out(tmp_path, model, caplog):
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model, schedule=5) as recorder:
        recorder.step(0)
        recorder.step(1, event="lunch", loss=1.0)
        recorder.step(2)
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 2]
    assert run.scalar_series("loss")[0].tolist() == [1]
    assert "validation, checkpoint, final" in caplog.text


def test_closing_records_the_final_state_once(tmp_path, model):
    recorder = paramviz.Recorder(tmp_path / "run", model, schedule=100)
    for iteration in range(7):
        recorder.step(iteration, loss=float(iteration))
    with torch.no_grad():
        model.weight.fill_(2.5)
    recorder.close()
    recorder.close()
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 6]
    assert (run[6].values("weight") == 2.5).all()
    assert run[6].scalars["loss"] == 6.0
    assert [(e.iteration, e.kind) for e in run.events] == [(6, "final")]
    assert run.status == "finished"


def test_a_recorder_that_never_stepped_leaves_a_finished_run_without_snapshots(tmp_path, model):
    with paramviz.Recorder(tmp_path / "run", model):
        pass
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.iterations) == 0
    assert [t.name for t in run.tensors] == ["weight", "bias"]
    assert run.status == "finished"


def test_a_step_after_the_end_is_warned_of_and_ignored(tmp_path, model, caplog):
    recorder = paramviz.Recorder(tmp_path / "run", model)
    recorder.step(0)
    recorder.close()
    with caplog.at_level(logging.WARNING):
        recorder.step(1)
    assert "closed" in caplog.text
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0]


def test_a_run_is_read_while_it_grows(tmp_path, model):
    """The reader sees what was committed, live, and the report counts it."""
    recorder = paramviz.Recorder(tmp_path / "run", model)
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "recording"
    for iteration in range(3):
        recorder.step(iteration, loss=1.0)
    recorder.close()
    assert run.refresh().tolist() == [0, 1, 2]
    report = recorder.report
    assert (report.snapshots, report.lost, report.dropped_steps) == (3, 0, 0)
    assert report.training_thread_s > 0
    assert report.raw_bytes > 0
    assert report.stored_bytes > 0
    assert recorder.run_path == tmp_path / "run"


def test_the_name_and_the_vocabulary_are_kept(tmp_path):
    model = nn.Embedding(3, 4)
    with paramviz.Recorder(tmp_path / "run", model, name="A name", vocabulary=["a", "ü", "\n"]) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.name == "A name"
    assert run.vocabulary == ("a", "ü", "\n")
