"""Samples of frozen tensors are stored once, and are what the model holds at every snapshot all the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.store import verify_run
from tests.recorder.waiting import wait_for


def _half_frozen() -> nn.Sequential:
    """A fine-tuning: a frozen body with more elements than are sampled, and a head that learns."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(96, 80), nn.Linear(80, 4))
    model[0].requires_grad_(False)
    return model


def _train(model: nn.Module, path: object, steps: range, **settings: object) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    with paramviz.Recorder(path, model, optimizer, schedule=1, **settings) as recorder:
        for iteration in steps:
            optimizer.zero_grad()
            model(torch.ones(2, 96)).square().mean().backward()
            optimizer.step()
            recorder.step(iteration)


def _samples(run: paramviz.Run, model: nn.Module, name: str) -> np.ndarray:
    return model.get_parameter(name).detach().reshape(-1)[torch.tensor(run.positions(name))].numpy()


def test_frozen_samples_lie_in_the_plan_and_in_no_snapshot(tmp_path):
    model = _half_frozen()
    _train(model, tmp_path / "run", range(5))
    run = paramviz.open_run(tmp_path / "run")
    assert (run.plan.frozen_values, run.plan.frozen_vectors) == (run.tensor("0.weight").samples, 80)
    assert run[3].array("values").shape == (run.tensor("1.weight").samples,)
    assert run[3].array("vectors").shape == (4,)
    assert len(run.plans) == 1
    for iteration in run.iterations:
        snapshot = run[iteration]
        for name in ("0.weight", "0.bias"):
            dtype = np.float16 if name == "0.weight" else np.float32
            assert snapshot.values(name).dtype == dtype
            np.testing.assert_array_equal(snapshot.values(name), _samples(run, model, name).astype(dtype))
        assert snapshot.statistics("0.weight")["mean"] == pytest.approx(float(model[0].weight.mean()))
        assert snapshot.statistics("0.weight")["unchanged_share"] in (1, pytest.approx(np.nan, nan_ok=True))
    np.testing.assert_array_equal(run[4].values("1.bias"), model[1].bias.detach().numpy())
    assert not verify_run(tmp_path / "run").problems


def test_a_frozen_tensor_that_is_changed_all_the_same_shows_each_of_its_states(tmp_path):
    """As an average of other weights, or a loaded checkpoint; behind the back of autograd."""
    model = _half_frozen()
    expected = {}
    with paramviz.Recorder(tmp_path / "run", model, schedule=1) as recorder:
        for iteration in range(8):
            if iteration in (3, 5, 6, 7):
                model[0].weight.data += 1.0
            recorder.step(iteration)
            expected[iteration] = model[0].weight.detach().clone().reshape(-1).numpy()
            done = iteration + 1
            wait_for(lambda done=done: recorder.report.snapshots == done)
    run = paramviz.open_run(tmp_path / "run")
    for iteration, weight in expected.items():
        positions = run.positions("0.weight", iteration)
        np.testing.assert_array_equal(
            run[iteration].values("0.weight"), weight[positions].astype(np.float16), err_msg=str(iteration)
        )
    # One plan for what it was found to be when it changed, one in which it is expected to change.
    assert [run[i].plan.number for i in range(8)] == [0, 0, 0, 1, 2, 2, 2, 2]
    assert run[7].plan.frozen_values == 0
    assert run[7].plan.frozen_vectors == 80
    assert run[7].statistics("0.weight")["distance_from_start"] == pytest.approx(
        4 * np.sqrt(96 * 80), rel=1e-3
    )


def test_what_was_trained_before_it_was_frozen_stays_in_the_snapshots(tmp_path):
    model = _half_frozen()
    with paramviz.Recorder(tmp_path / "run", model, schedule=1) as recorder:
        for iteration in range(8):
            model[1].requires_grad_(iteration % 2 == 0)
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.plans) == 2
    assert {run[i].array("vectors").shape for i in range(8)} == {(4,)}


def test_a_resumed_run_goes_on_with_the_plan_that_holds_the_frozen_samples(tmp_path):
    model = _half_frozen()
    _train(model, tmp_path / "run", range(3))
    _train(model, tmp_path / "run", range(3, 6), resume=True)
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.plans) == 1
    assert run[5].statistics("0.weight")["distance_from_start"] == pytest.approx(0, abs=0.01)
    with torch.no_grad():
        model[0].weight.mul_(2)
    _train(model, tmp_path / "run", range(6, 8), resume=True)
    run.refresh()
    assert len(run.plans) == 2
    now = _samples(run, model, "0.weight")
    np.testing.assert_array_equal(run[7].values("0.weight"), now.astype(np.float16))
    np.testing.assert_array_equal(run[5].values("0.weight"), (now / 2).astype(np.float16))


def test_a_model_that_is_frozen_as_a_whole_has_all_of_its_samples_in_the_plan(tmp_path):
    model = _half_frozen().requires_grad_(False)
    with paramviz.Recorder(tmp_path / "run", model, schedule=1) as recorder:
        recorder.step(0)
        recorder.step(1)
    run = paramviz.open_run(tmp_path / "run")
    assert not {"values", "vectors"} & run[1].record.arrays
    assert run[1].array("values").shape == (0,)
    np.testing.assert_array_equal(run[1].values("1.bias"), model[1].bias.numpy())
    assert not verify_run(tmp_path / "run").problems


def test_nan_and_infinities_of_a_frozen_tensor_are_no_change(tmp_path):
    model = _half_frozen()
    with torch.no_grad():
        model[0].weight.reshape(-1)[::7] = float("nan")
        model[0].bias[3] = float("-inf")
    _train(model, tmp_path / "run", range(4))
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.plans) == 1
    np.testing.assert_array_equal(
        run[2].values("0.weight"), _samples(run, model, "0.weight").astype(np.float16)
    )
    assert run[2].values("0.bias")[3] == -np.inf


def test_rows_of_a_frozen_embedding_come_with_the_first_the_forced_and_the_last_snapshot_only(tmp_path):
    model = nn.ModuleDict({"wte": nn.Embedding(30, 8), "head": nn.Linear(8, 2)})
    model["wte"].requires_grad_(False)
    with paramviz.Recorder(tmp_path / "run", model, schedule=1) as recorder:
        for iteration in range(5):
            recorder.step(iteration, event="validation" if iteration == 2 else None)
    run = paramviz.open_run(tmp_path / "run")
    assert [("embedding_rows" in run[i].record.arrays) for i in range(5)] == [True, False, True, False, False]
    np.testing.assert_array_equal(run[2].array("embedding_rows"), model["wte"].weight.numpy().astype("f2"))
