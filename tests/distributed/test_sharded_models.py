"""Models spread over several processes: the run is that of one process which holds the same numbers."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.places import heads_shape
from paramviz.schema import KEY_STATISTIC_KEYS, MOMENT_KEYS, UPDATE_KEYS
from paramviz.store import Run, verify_run
from tests.distributed.ranks import run_ranks
from tests.distributed.sharded_programs import SETTINGS, STEPS, perceptron, uneven_gpt

pytestmark = pytest.mark.slow  # each process imports torch

_NOT_OF_PARTS = {"sigma_max", "stable_rank"}


class Replayed(torch.optim.AdamW):
    """Makes each step by taking over what stood after it in another training."""

    def step(self, closure=None):
        names = {p: name for name, p in self.model.named_parameters()}
        for p in self.param_groups[0]["params"]:
            value, _, state = self.stood[names[p]]
            p.data.copy_(value)
            self.state[p] = {key: value.clone() for key, value in state.items()}


def run_of_one_process(model: nn.Module, stood: list[dict], path: Path) -> Run:
    """The run of a model that is not spread, and has the same weights, gradients and moments."""
    optimizer = Replayed(model.parameters(), lr=1e-2)
    optimizer.model = model
    with paramviz.Recorder(path, model, optimizer, **SETTINGS) as recorder:
        for iteration, states in enumerate(stood):
            for name, p in model.named_parameters():
                p.grad = states[name][1].clone()
            optimizer.stood = states
            optimizer.step()
            recorder.step(iteration)
    return paramviz.open_run(path)


def assert_same(found: Run, expected: Run) -> None:
    """Samples to the bit, sums to rounding; what cannot be told of parts is not known."""
    assert [t.name for t in found.tensors] == [t.name for t in expected.tensors]
    assert found.iterations.tolist() == expected.iterations.tolist()
    for tensor in (t for t in expected.tensors if t.samples):
        np.testing.assert_array_equal(found.positions(tensor.name), expected.positions(tensor.name))
        for iteration in expected.iterations.tolist():
            _assert_same_tensor(found[iteration], expected[iteration], tensor)
    for iteration in expected.iterations.tolist():
        ours, theirs = found[iteration], expected[iteration]
        assert ours.tier == theirs.tier
        assert ours.scalars["gradient_norm"] == pytest.approx(theirs.scalars["gradient_norm"], rel=1e-6)
        rows = ours.array("embedding_rows"), theirs.array("embedding_rows")
        np.testing.assert_array_equal(*rows)


def _assert_same_tensor(found, expected, tensor) -> None:
    name, is_key = tensor.name, expected.tier == "key"
    np.testing.assert_array_equal(found.values(name), expected.values(name))
    ours, theirs = found.statistics(name), expected.statistics(name)
    for key in (*MOMENT_KEYS, *UPDATE_KEYS, *KEY_STATISTIC_KEYS):
        if key in _NOT_OF_PARTS:
            assert np.isnan(ours[key])
        else:
            assert ours[key] == pytest.approx(theirs[key], rel=2e-5, abs=1e-7, nan_ok=True), (name, key)
    np.testing.assert_array_equal(found.histogram(name)[0], expected.histogram(name)[0])
    ours, theirs = found.gradient_statistics(name), expected.gradient_statistics(name)
    for snapshot in (found, expected):
        assert snapshot.gradient_states.of(tensor.index) == "used"
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, rel=2e-5, abs=1e-9, nan_ok=True), (name, key)
    if heads_shape(tensor):
        np.testing.assert_allclose(found.head_norms(name), expected.head_norms(name), rtol=1e-6)
    if not is_key:
        return
    np.testing.assert_array_equal(found.gradient_values(name), expected.gradient_values(name))
    pairs = [(found.cells(name), expected.cells(name))]
    if min(tensor.matrix_shape) > 1:
        for of in ("values", "gradient"):
            pairs.append((found.row_norms(name, of), expected.row_norms(name, of)))
            pairs.append((found.column_norms(name, of), expected.column_norms(name, of)))
    for ours, theirs in pairs:
        for a, b in zip(astuple(ours), astuple(theirs), strict=True):
            # A sum that is rounded otherwise may be the float16 beside.
            np.testing.assert_allclose(a, b, rtol=2e-3)


@pytest.mark.parametrize(
    ("program", "n_ranks", "make"),
    [
        ("fsdp", 2, uneven_gpt),
        ("fsdp", 4, uneven_gpt),
        ("tensor_parallel", 2, perceptron),
        ("two_dimensions", 4, perceptron),
    ],
)
def test_a_sharded_model_is_recorded_as_one_process_would(tmp_path, program, n_ranks, make):
    first, *others = run_ranks(program, tmp_path, n_ranks, "sharded_programs")
    assert (first["kind"], first["snapshots"]) == ("Recorder", STEPS)
    for other in others:
        assert (other["kind"], other["snapshots"]) == ("ShareRecorder", STEPS)
    assert all(rank["threads"] == [] for rank in (first, *others)), "nothing is left behind"
    assert first["keys"] == list(make().state_dict())
    found = paramviz.open_run(tmp_path / "run")
    assert found.status == "finished"
    assert verify_run(found.path).problems == ()
    assert all(t.skipped is None for t in found.tensors)
    expected = run_of_one_process(make(), first["stood"], tmp_path / "alone")
    assert_same(found, expected)


def test_parts_lie_where_their_placements_say(tmp_path):
    for said in run_ranks("placements", tmp_path, 4, "sharded_programs"):
        assert said["tried"] == 86
        assert "P(sum)" in said["partial"]


def test_whole_parameters_between_forward_and_backward_are_not_taken_for_the_shards(tmp_path):
    first, _ = run_ranks("between_forward_and_backward", tmp_path, 2, "sharded_programs")
    assert set(first["kinds"]) == {"Parameter"}, "what the test is about"
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1]
    assert len(run.plans) == 1
    for tensor in (t for t in run.tensors if t.samples):
        np.testing.assert_array_equal(run[0].values(tensor.name), run[1].values(tensor.name))


def test_a_snapshot_that_one_process_alone_takes_is_a_gap_and_the_rest_goes_on(tmp_path):
    run_ranks("only_the_first_forces", tmp_path, 2, "sharded_programs")
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 3, 6, 9, 12]
    assert [run[i].tier for i in (0, 3, 6, 9)].count("key") == 2
    gaps = [event for event in run.events if event.kind == "gap"]
    assert [(gap.iteration, "rank 1 has no share" in gap.text) for gap in gaps] == [(4, True)]


def test_no_process_waits_for_others_that_make_no_recorder(tmp_path):
    first, _ = run_ranks("only_the_first_records", tmp_path, 2, "sharded_programs")
    assert "rank 1 has not called" in first["error"]
    run = paramviz.open_run(tmp_path / "run")
    assert (run.status, run.iterations.tolist()) == ("finished", [])
    assert run.scalar_series("loss")[0].tolist() == [0, 1, 2, 3, 4], "what needs no other is recorded"
    assert "lost (iterations 0 to 4)" in next(e for e in run.events if e.kind == "gap").text


def test_no_process_waits_for_a_first_one_that_makes_no_recorder(tmp_path):
    _, second = run_ranks("only_the_others_record", tmp_path, 2, "sharded_programs")
    assert second["snapshots"] == 0


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_a_rank_that_is_killed_is_a_gap_from_there_on(tmp_path, n_ranks):
    first, *others = run_ranks("is_killed", tmp_path, n_ranks, "sharded_programs")
    assert first["snapshots"] == 3
    assert others[-1] is None
    assert all(other["snapshots"] >= 3 for other in others[:-1])
    run = paramviz.open_run(tmp_path / "run")
    assert verify_run(run.path).problems == ()
    assert run.iterations.tolist() == [0, 1, 2]
    assert run.scalar_series("loss")[0].tolist() == [3, 4, 5, 6, 7]
    gap = next(event for event in run.events if event.kind == "gap")
    assert gap.text.startswith("5 snapshots lost (iterations 3 to 7)")
    assert f"rank {n_ranks - 1} is gone" in gap.text


def test_the_others_end_when_the_first_is_killed(tmp_path):
    first, second = run_ranks("first_is_killed", tmp_path, 2, "sharded_programs")
    assert first is None
    assert second["closed"]


def test_training_does_not_wait_for_a_slow_disk_of_the_first(tmp_path):
    first, _ = run_ranks("slow_disk", tmp_path, 2, "sharded_programs")
    assert first["lost"] > 0
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.iterations) == first["snapshots"] == 40 - first["lost"]
    assert run.iterations[-1] == 39
