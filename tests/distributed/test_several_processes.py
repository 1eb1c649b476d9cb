"""Several processes train together: the first records what a single one would have, the others nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import paramviz
from paramviz.store import verify_run
from tests.distributed.programs import PROBE, STEPS, train
from tests.distributed.ranks import run_ranks
from tests.recorder.models import gpt

pytestmark = pytest.mark.slow  # each process imports torch


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run of one process that trains on whole batches."""
    path = tmp_path_factory.mktemp("alone") / "run"
    train(gpt(), path, probe=PROBE)
    return paramviz.open_run(path)


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_data_parallel_training_is_recorded_by_the_first_as_by_one_process(tmp_path, alone, n_ranks):
    first, *others = run_ranks("data_parallel", tmp_path, n_ranks)
    assert first["snapshots"] == STEPS
    assert first["threads"] == ["paramviz-writer"]
    for other in others:
        assert (other["snapshots"], other["threads"], other["hooks"]) == (0, [], 0), "it costs nothing"
    for rank in (first, *others):
        for name, weight in rank["bare"].items():
            assert torch.equal(weight, rank["recorded"][name]), "recording changes nothing"
    run = paramviz.open_run(tmp_path / "run")
    assert verify_run(run.path).problems == ()
    assert (run.status, run.iterations.tolist()) == ("finished", alone.iterations.tolist())
    assert [t.name for t in run.tensors] == [t.name for t in alone.tensors]
    assert run.description["model"] == "GPT"
    assert run[0].attention("transformer.h.1.attn").pattern.shape == (2, 13, 13)
    for tensor in (t for t in run.tensors if t.samples):
        np.testing.assert_array_equal(run.positions(tensor.name), alone.positions(tensor.name))
        for iteration in run.iterations.tolist():
            found, expected = run[iteration], alone[iteration]
            np.testing.assert_allclose(
                found.values(tensor.name), expected.values(tensor.name), rtol=2e-3, atol=2e-4
            )
            for of in ("statistics", "gradient_statistics"):
                ours, theirs = getattr(found, of)(tensor.name), getattr(expected, of)(tensor.name)
                assert ours["l2_norm"] == pytest.approx(theirs["l2_norm"], rel=2e-3), (tensor.name, of)


def test_a_probe_of_the_first_process_waits_for_no_other(tmp_path):
    first, second = run_ranks("buffers", tmp_path, 2)
    for name, value in first.items():
        assert torch.equal(value, second[name]) or "running" in name
    assert paramviz.open_run(tmp_path / "run")[2].activations("features.1")["rms"] > 0


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_a_rank_that_dies_ends_the_training_and_not_the_run(tmp_path, n_ranks):
    first = run_ranks("dies", tmp_path, n_ranks)[0]
    assert first["error"]
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "crashed"
    assert run.iterations.tolist() == [0, 1, 2]
    assert verify_run(run.path).problems == ()


def test_a_launcher_tells_the_ranks_before_they_have_found_each_other(tmp_path):
    first, second = run_ranks("launched", tmp_path, 2)
    assert (first["snapshots"], second["snapshots"]) == (1, 0)
    assert second["path"] == str(tmp_path / "early")


def test_a_scalar_that_needs_all_processes_is_left_out_and_not_waited_for(tmp_path):
    sums = run_ranks("scalars", tmp_path, 2)
    assert [said["sum"] for said in sums] == [2, 2]
    scalars = paramviz.open_run(tmp_path / "run")[0].scalars
    assert scalars["whole"] == 1
    assert "part" not in scalars
