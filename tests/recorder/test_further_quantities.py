"""What key snapshots hold beyond samples and statistics, against float64 references of the whole tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.errors import NotRecordedError, UsageError
from paramviz.places import MOST_NORMS
from paramviz.quantities import CORE, KEY, QUANTITIES
from paramviz.store import verify_run
from tests.recorder.models import gpt, train_step

HALF = 2.0**-11
"""Relative error of a float16."""


def copies(model: nn.Module, gradients: bool = False) -> dict[str, np.ndarray]:
    tensors = {name: p.grad if gradients else p for name, p in model.named_parameters()}
    return {
        name: t.detach().clone().numpy().astype(np.float64) for name, t in tensors.items() if t is not None
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A GPT trained for 10 iterations with everything recorded: run, weights, gradients, optimizer states."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("runs") / "gpt"
    model = gpt(vocabulary=300, n_embd=48, n_layer=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    weights, gradients, states = [], [], []
    with paramviz.Recorder(
        path, model, optimizer, schedule=1, key_every=4, quantities=QUANTITIES
    ) as recorder:
        for iteration in range(10):
            loss = train_step(model, optimizer, iteration)
            weights.append(copies(model))
            gradients.append(copies(model, gradients=True))
            states.append(
                {
                    name: {key: value.clone().double().numpy() for key, value in optimizer.state[p].items()}
                    for name, p in model.named_parameters()
                }
            )
            recorder.step(iteration, loss=loss, event="checkpoint" if iteration == 6 else None)
    return paramviz.open_run(path), weights, gradients, states


def recorded_tensors(run):
    return [t for t in run.tensors if t.samples]


def test_key_snapshots_are_the_first_the_forced_and_one_of_so_many(recorded):
    run, *_ = recorded
    assert [run[i].tier for i in range(10)] == ["key"] + ["core"] * 3 + [
        "key",
        "core",
        "key",
        "core",
        "key",
        "core",
    ]
    held = set(run[4].record.arrays)
    assert {
        "gradient_values",
        "update_values",
        "cells_rms",
        "row_norms",
        "embedding_sketch",
        "head_norms",
    } <= held
    samples = {"values", "vectors", "embedding_rows"}
    tables = {"statistics", "histograms", "gradient_statistics", "head_norms"}
    assert set(run[5].record.arrays) == samples | tables


@pytest.mark.parametrize("iteration", [0, 4, 8])
def test_gradient_samples_are_those_of_the_gradient_that_the_optimizer_used(recorded, iteration):
    run, _, gradients, _ = recorded
    for tensor in recorded_tensors(run):
        whole = gradients[iteration][tensor.name].ravel()
        expected, absmax = whole[run.positions(tensor.name)], np.abs(whole).max()
        found = run[iteration].gradient_values(tensor.name)
        np.testing.assert_allclose(found, expected, rtol=HALF, atol=absmax * 2.0**-28, err_msg=tensor.name)


def test_update_samples_are_taken_before_the_cast(recorded):
    """Many moves are smaller than a step of float16 at the weight itself."""
    run, weights, *_ = recorded
    for tensor in recorded_tensors(run):
        positions = run.positions(tensor.name)
        # In float32, as the weights themselves: that is what moved.
        moved = (weights[8][tensor.name].astype("f4") - weights[7][tensor.name].astype("f4")).ravel()[
            positions
        ]
        found = run[8].update_values(tensor.name)
        np.testing.assert_allclose(found, moved, rtol=HALF, atol=np.abs(moved).max() * 2.0**-28)
    with pytest.raises(NotRecordedError):
        run[0].update_values("transformer.wte.weight")


def test_cells_are_of_the_whole_tensor(recorded):
    run, weights, *_ = recorded
    sampled = [t for t in recorded_tensors(run) if not t.whole]
    assert sampled
    for tensor in sampled:
        whole = weights[4][tensor.name].reshape(tensor.matrix_shape)
        cells = run[4].cells(tensor.name)
        absmax = np.abs(whole).max()
        for r, c in np.ndindex(*tensor.grid):
            rows = slice(cells.row_edges[r], cells.row_edges[r + 1])
            cell = whole[rows, cells.column_edges[c] : cells.column_edges[c + 1]]
            assert cells.mean[r, c] == pytest.approx(cell.mean(), rel=HALF, abs=absmax * 2.0**-26)
            assert cells.rms[r, c] == pytest.approx(np.sqrt((cell**2).mean()), rel=HALF)
            assert cells.absmax[r, c] == pytest.approx(np.abs(cell).max(), rel=HALF)


def test_an_outlier_that_no_sample_hits_stands_in_its_cell(tmp_path):
    model = nn.Linear(768, 300, bias=False)
    with torch.no_grad():
        model.weight[123, 456] = 1e4
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert np.abs(run[0].values("weight").astype(np.float32)).max() < 1
    cells = run[0].cells("weight")
    r = np.searchsorted(cells.row_edges, 123, "right") - 1
    c = np.searchsorted(cells.column_edges, 456, "right") - 1
    assert cells.absmax[r, c] == pytest.approx(1e4, rel=HALF)
    assert (cells.absmax > 1).sum() == 1


@pytest.mark.parametrize("of", ["values", "gradient"])
def test_norms_of_rows_and_columns(recorded, of):
    run, weights, gradients, _ = recorded
    matrices = [t for t in recorded_tensors(run) if len(t.shape) > 1]
    for tensor in matrices:
        whole = (weights if of == "values" else gradients)[4][tensor.name].reshape(tensor.matrix_shape)
        for axis, norms in (
            (1, run[4].row_norms(tensor.name, of)),
            (0, run[4].column_norms(tensor.name, of)),
        ):
            expected = np.linalg.norm(whole, axis=axis)
            assert len(norms.indices) == len(expected)
            np.testing.assert_allclose(norms.norms, expected, rtol=HALF, atol=expected.max() * 2.0**-28)


def test_heads_have_the_norms_of_their_own_parts(recorded):
    run, weights, *_ = recorded
    for iteration in (3, 4):
        qkv = weights[iteration]["transformer.h.1.attn.c_attn.weight"].reshape(3, 2, 24, 48)
        expected = np.sqrt((qkv**2).sum(axis=(2, 3)))
        np.testing.assert_allclose(
            run[iteration].head_norms("transformer.h.1.attn.c_attn.weight"), expected, rtol=1e-6
        )
        projection = weights[iteration]["transformer.h.1.attn.c_proj.weight"].reshape(48, 2, 24)
        expected = np.sqrt((projection**2).sum(axis=(0, 2)))
        np.testing.assert_allclose(
            run[iteration].head_norms("transformer.h.1.attn.c_proj.weight"), expected, rtol=1e-6
        )


def test_a_transposed_attention_has_the_head_norms_of_the_plain_one(tmp_path):
    """Conv1D of GPT-2 stores (in, out)."""

    class Conv1D(nn.Module):
        def __init__(self, n_out: int, n_in: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(n_in, n_out))

    model = nn.Module()
    model.n_head = 3
    model.attn = nn.ModuleDict({"c_attn": Conv1D(36, 12), "c_proj": Conv1D(12, 12)})
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.tensor("attn.c_attn.weight").transposed
    qkv = model.attn["c_attn"].weight.detach().numpy().reshape(12, 3, 3, 4)
    np.testing.assert_allclose(
        run[0].head_norms("attn.c_attn.weight"), np.sqrt((qkv**2).sum((0, 3))), rtol=1e-5
    )
    out = model.attn["c_proj"].weight.detach().numpy().reshape(3, 4, 12)
    np.testing.assert_allclose(
        run[0].head_norms("attn.c_proj.weight"), np.sqrt((out**2).sum((1, 2))), rtol=1e-5
    )


def test_moments_of_adam_are_corrected_for_their_bias(recorded):
    run, _, _, states = recorded
    for name, state in states[4].items():
        m, v = state["exp_avg"] / (1 - 0.9**5), state["exp_avg_sq"] / (1 - 0.999**5)
        found = run[4].statistics(name)
        assert found["moment1_norm"] == pytest.approx(np.linalg.norm(m), rel=1e-5)
        assert found["moment2_rms"] == pytest.approx(np.sqrt(v.mean()), rel=1e-5)
        assert found["epsilon_share"] == pytest.approx((np.sqrt(v) < 1e-8).mean(), abs=1e-6)
        assert np.isnan(run[5].statistics(name)["moment1_norm"])


def test_epsilon_rules_where_no_gradient_ever_was(tmp_path):
    model = nn.Embedding(10, 4)
    optimizer = torch.optim.Adam(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        model(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
        recorder.step(0)
    assert paramviz.open_run(tmp_path / "run")[0].statistics("weight")["epsilon_share"] == pytest.approx(0.8)


def test_an_optimizer_without_moments_leaves_them_unknown(tmp_path):
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        model(torch.ones(3)).sum().backward()
        optimizer.step()
        recorder.step(0)
    found = paramviz.open_run(tmp_path / "run")[0].statistics("weight")
    assert np.isnan([found[key] for key in ("moment1_norm", "moment2_rms", "epsilon_share")]).all()
    assert found["sigma_max"] > 0


def test_sigma_max_is_close_below_the_largest_singular_value(recorded):
    run, weights, *_ = recorded
    for iteration in (0, 4, 8):
        for tensor in (t for t in recorded_tensors(run) if min(t.matrix_shape) > 1):
            whole = weights[iteration][tensor.name].reshape(tensor.matrix_shape)
            true = np.linalg.norm(whole, 2)
            found = run[iteration].statistics(tensor.name)
            assert 0.97 * true <= found["sigma_max"] <= true * (1 + 1e-5), tensor.name
            stable = found["l2_norm"] ** 2 / found["sigma_max"] ** 2
            assert found["stable_rank"] == pytest.approx(stable, rel=1e-5)


def test_all_singular_values_come_with_forced_snapshots(recorded):
    run, weights, *_ = recorded
    assert "spectrum" in run[6].record.arrays
    assert "spectrum" not in run[4].record.arrays
    for tensor in (t for t in recorded_tensors(run) if min(t.matrix_shape) > 1):
        whole = weights[6][tensor.name].reshape(tensor.matrix_shape)
        expected = np.linalg.svd(whole, compute_uv=False)
        np.testing.assert_allclose(
            run[6].singular_values(tensor.name), expected, rtol=1e-4, atol=1e-6 * expected[0]
        )


def test_a_matrix_that_is_not_finite_has_no_sigma_and_gets_one_again(tmp_path):
    model = nn.Linear(20, 30, bias=False)
    good = model.weight.detach().clone()
    with paramviz.Recorder(tmp_path / "run", model, key_every=1) as recorder:
        for iteration in range(3):
            with torch.no_grad():
                model.weight.copy_(good)
                if iteration == 1:
                    model.weight[2, 3] = float("nan")
            recorder.step(iteration)
    sigma = paramviz.open_run(tmp_path / "run").timeline("weight", "sigma_max")
    assert np.isnan(sigma[1])
    assert sigma[2] == pytest.approx(np.linalg.norm(good.numpy(), 2), rel=0.03)


def test_the_embedding_has_neighbours_at_full_width_and_a_sketch(recorded):
    run, weights, *_ = recorded
    rows = weights[4]["transformer.wte.weight"]
    view, plan = run[4].embedding(), run.plan
    assert view.variance == pytest.approx(rows.var(axis=0).sum(), rel=1e-6)
    np.testing.assert_allclose(view.sketch, rows @ plan.sketch_basis, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(plan.sketch_basis.T @ plan.sketch_basis, np.eye(48), atol=1e-6)
    for q, token in enumerate(plan.neighbour_tokens):
        apart = np.linalg.norm(rows - rows[token], axis=1)
        apart[token] = np.inf
        nearest = np.argsort(apart, kind="stable")[:10]
        assert view.neighbours[q].tolist() == nearest.tolist()
        np.testing.assert_allclose(view.distances[q], apart[nearest], rtol=1e-6)


def test_a_long_embedding_has_norms_of_its_recorded_tokens_and_a_histogram_of_all(tmp_path):
    model = nn.Embedding(MOST_NORMS + 10, 4)
    with paramviz.Recorder(tmp_path / "run", model, name="long") as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    norms = np.linalg.norm(model.weight.detach().numpy().astype(np.float64), axis=1)
    found = run[0].row_norms("weight")
    assert len(found.indices) == len(run.plan.embedding.tokens)
    np.testing.assert_allclose(found.norms, norms[found.indices], rtol=HALF)
    counts, edges = run[0].row_norm_histogram("weight")
    np.testing.assert_array_equal(counts, np.histogram(norms, edges)[0])


@pytest.mark.parametrize("left_out", [*CORE, *KEY])
def test_each_quantity_can_be_left_out_by_itself(tmp_path, left_out):
    model = gpt(n_layer=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    wanted = set(QUANTITIES) - {left_out}
    with paramviz.Recorder(tmp_path / "run", model, optimizer, key_every=1, quantities=wanted) as recorder:
        for iteration in range(2):
            train_step(model, optimizer, iteration)
            recorder.step(iteration)
    assert recorder.report.snapshots == 2
    run = paramviz.open_run(tmp_path / "run")
    arrays = set(run[1].record.arrays)
    gone = {
        "embedding": {"embedding_rows", "embedding_scores"},
        "cells": {"cells_mean", "cell_exponents"},
        "norms": {"row_norms", "gradient_row_norms", "norm_exponents"},
        "moments": set(),
        "sigma_max": set(),
        "values": {"values", "vectors"},
    }.get(left_out, {left_out})
    assert not arrays & gone
    key = {"moments": "moment1_norm", "sigma_max": "sigma_max"}.get(left_out)
    if key is not None:
        assert np.isnan(run.timeline("transformer.wte.weight", key)).all()
    assert not verify_run(tmp_path / "run").problems


@pytest.mark.parametrize("alone", QUANTITIES)
def test_each_quantity_can_be_recorded_by_itself(tmp_path, alone):
    model = gpt(n_layer=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with paramviz.Recorder(tmp_path / "run", model, optimizer, key_every=1, quantities=alone) as recorder:
        for iteration in range(2):
            train_step(model, optimizer, iteration)
            recorder.step(iteration, event="checkpoint")
    assert recorder.report.snapshots == 2
    run = paramviz.open_run(tmp_path / "run")
    assert not verify_run(tmp_path / "run").problems
    others = {
        "values",
        "vectors",
        "statistics",
        "histograms",
        "gradient_statistics",
        "cells_rms",
        "row_norms",
    }
    own = {"values": {"values", "vectors"}, "cells": {"cells_rms"}, "norms": {"row_norms"}}.get(
        alone, {alone}
    )
    assert not set(run[1].record.arrays) & (others - own)


def test_a_quantity_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no 'cels'"):
        paramviz.Recorder(tmp_path / "run", nn.Linear(2, 2), quantities=["cels"])
    assert not (tmp_path / "run").exists()
