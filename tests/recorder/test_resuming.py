"""A run that ended or crashed is continued without a seam, and nothing in it twice."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.store import verify_run
from tests.recorder.models import gpt, train_step


def record(path, model, iterations, **settings):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with paramviz.Recorder(path, model, optimizer, **settings) as recorder:
        for iteration in iterations:
            loss = train_step(model, optimizer, iteration)
            recorder.step(iteration, loss=loss)
    return recorder


def test_a_resumed_run_goes_on_in_the_same_store(tmp_path):
    model = gpt()
    record(tmp_path / "run", model, range(5))
    record(tmp_path / "run", model, range(5, 9), resume=True)
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == list(range(9))
    assert run.scalar_series("loss")[0].tolist() == list(range(9))
    assert [(e.iteration, e.kind) for e in run.events] == [(4, "final"), (4, "resume"), (8, "final")]
    assert run.status == "finished"
    assert verify_run(tmp_path / "run").problems == ()


def test_iterations_that_a_checkpoint_sets_back_are_left_out_and_counted(tmp_path, caplog):
    model = gpt()
    record(tmp_path / "run", model, range(6))
    before = paramviz.open_run(tmp_path / "run")[4].values("lm_head.weight")
    with caplog.at_level(logging.WARNING):
        recorder = record(tmp_path / "run", model, range(3, 9), resume=True)
    assert recorder.report.repeated_steps == 3
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == list(range(9))
    np.testing.assert_array_equal(run[4].values("lm_head.weight"), before)
    assert len(caplog.records) == 1


def test_resuming_what_does_not_exist_begins_a_run(tmp_path):
    record(tmp_path / "run", gpt(), range(2), resume=True)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0, 1]


def test_resuming_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("buy milk")
    with pytest.raises(paramviz.OutputError, match=r"todo\.txt"):
        paramviz.Recorder(tmp_path / "notes", gpt(), resume=True)
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["todo.txt"]


def test_resuming_what_a_kill_left_before_its_beginning_begins_it(tmp_path):
    """A job that was killed while it made the run is started again with the same arguments."""
    record(tmp_path / "run", gpt(), range(0))
    (tmp_path / "run" / "zarr.json").unlink()
    record(tmp_path / "run", gpt(), range(3), resume=True)
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0, 1, 2]


def test_a_resumed_run_keeps_the_plan_that_still_holds(tmp_path):
    model = gpt()
    record(tmp_path / "run", model, range(2))
    record(tmp_path / "run", model, range(2, 4), resume=True)
    assert len(paramviz.open_run(tmp_path / "run").plans) == 1


def test_distances_from_the_start_go_on_over_a_resumed_run(tmp_path):
    """To the precision of the stored samples; the update since the break is not known."""
    model = nn.Linear(20, 20, bias=False)
    nn.init.constant_(model.weight, 0.5)
    for iterations, resume in ((range(2), False), (range(2, 4), True)):
        with paramviz.Recorder(tmp_path / "run", model, resume=resume) as recorder:
            for iteration in iterations:
                recorder.step(iteration)
                with torch.no_grad():
                    model.weight.add_(1)
    run = paramviz.open_run(tmp_path / "run")
    assert run.timeline("weight", "distance_from_start") == pytest.approx([np.nan, 20, 40, 60], nan_ok=True)
    assert np.isnan(run[2].statistics("weight")["update_norm"])
    assert run[3].statistics("weight")["update_norm"] == pytest.approx(20)


def test_a_resumed_run_may_have_another_budget(tmp_path):
    model = gpt()
    record(tmp_path / "run", model, range(2))
    record(
        tmp_path / "run", model, range(2, 4), resume=True, budgets=paramviz.SampleBudgets(middle=64, outer=64)
    )
    run = paramviz.open_run(tmp_path / "run")
    name = "transformer.h.0.mlp.c_fc.weight"
    assert len(run[1].values(name)) == 4096
    assert len(run[2].values(name)) == len(run.positions(name, 2)) == 64
