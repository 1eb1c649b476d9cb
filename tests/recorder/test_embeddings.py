"""Token embeddings are recorded row by row where they fit, else as principal scores in a frozen basis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import paramviz
from paramviz.recorder.embedding import (
    EVERY_SNAPSHOT_BYTES,
    FULL_BYTES,
    MOST_TOKENS,
    STALE,
    choose_tokens,
)
from paramviz.recorder.principal import principal_axes
from tests.recorder.models import gpt, train_step


class Lookup(nn.Module):
    """A table too large to be in every snapshot, with a few strong directions."""

    def __init__(self, n_tokens: int = 3000, width: int = 64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.wte = nn.Embedding(n_tokens, width)
        strength = torch.tensor([8.0, 6, 5, 4, 3, 2, 1.5, 1] + [0.05] * (width - 8))
        with torch.no_grad():
            self.wte.weight.copy_(torch.randn(n_tokens, width, generator=generator) * strength)


def scores(run, iteration):
    snapshot = run[iteration]
    basis = run.basis(snapshot.basis)
    return snapshot.array("embedding_scores"), basis


def test_a_small_table_has_all_its_rows_in_every_snapshot(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    tables = []
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for iteration in range(3):
            train_step(model, optimizer, iteration)
            tables.append(model.lm_head.weight.detach().numpy().astype(np.float16))
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert run.plan.embedding.tensor == "transformer.wte.weight"
    assert run.plan.embedding.tokens.tolist() == list(range(31))
    for iteration in range(3):
        np.testing.assert_array_equal(run[iteration].array("embedding_rows"), tables[iteration])
        assert run[iteration].basis is None


def test_a_large_table_has_its_rows_at_the_first_the_forced_and_the_last_snapshot(tmp_path):
    """And scores in all, in one basis as long as that explains enough."""
    model = Lookup()
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(10):
            recorder.step(
                iteration, event="checkpoint" if iteration == 4 else "final" if iteration == 9 else None
            )
    run = paramviz.open_run(tmp_path / "run")
    with_rows = [i for i in range(10) if run[i].array("embedding_rows") is not None]
    assert with_rows == [0, 4, 9]
    assert {run[i].basis for i in range(10)} == {0}
    table = model.wte.weight.detach().numpy()
    np.testing.assert_array_equal(run[4].array("embedding_rows"), table.astype(np.float16))
    for iteration in (0, 3, 9):
        found, basis = scores(run, iteration)
        expected = (table - basis.mean) @ basis.components.T
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_a_basis_is_renewed_only_with_rows_and_only_when_it_went_stale(tmp_path):
    model = Lookup()
    turned = model.wte.weight.detach().flip(1)
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
        recorder.step(1, event="checkpoint")
        with torch.no_grad():
            model.wte.weight.copy_(turned)
        recorder.step(2)
        recorder.step(3, event="checkpoint")
        recorder.step(4)
    run = paramviz.open_run(tmp_path / "run")
    assert [run[i].basis for i in range(5)] == [0, 0, 0, 1, 1]
    assert run.basis(1).iteration == 3


def test_rows_that_are_not_finite_leave_the_basis_as_it_was(tmp_path):
    model = Lookup()
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
        with torch.no_grad():
            model.wte.weight[7, 7] = torch.nan
        recorder.step(1, event="checkpoint")
    run = paramviz.open_run(tmp_path / "run")
    assert run[1].basis == 0
    assert np.isnan(run[1].array("embedding_scores")[7]).all()
    assert np.isfinite(run[1].array("embedding_scores")[8]).all()


@given(vocabulary=st.integers(1, 300_000), width=st.integers(1, 5_000))
def test_chosen_tokens_are_distinct_ascending_and_within_their_bounds(vocabulary, width):
    tokens = choose_tokens(vocabulary, width)
    assert tokens.dtype == np.int32
    assert (np.diff(tokens) > 0).all()
    assert 0 <= tokens[0] <= tokens[-1] < vocabulary
    if 2 * vocabulary * width <= FULL_BYTES:
        assert len(tokens) == vocabulary
    else:
        assert len(tokens) <= MOST_TOKENS
        assert 2 * len(tokens) * width <= FULL_BYTES
        assert 2 * len(tokens) >= min(MOST_TOKENS, FULL_BYTES // (2 * width))


@given(
    n_rows=st.integers(1, 40),
    width=st.integers(1, 40),
    rank=st.integers(0, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_principal_axes_are_those_of_a_singular_value_decomposition(n_rows, width, rank, seed):
    random = np.random.default_rng(seed)
    rows = (random.standard_normal((n_rows, rank)) @ random.standard_normal((rank, width))).astype(np.float32)
    axes = principal_axes(rows)
    assert axes is not None
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    singular = np.linalg.svd(centred, compute_uv=False)
    total = np.sum(singular**2)
    expected = np.zeros(8)
    if total > 0:
        found = singular[:8] ** 2 / total
        expected[: len(found)] = found
    np.testing.assert_allclose(axes.explained, expected, atol=1e-5)
    gram = axes.components @ axes.components.T
    real = axes.explained > 1e-6
    np.testing.assert_allclose(gram[np.ix_(real, real)], np.eye(real.sum()), atol=1e-4)
    projected = np.sum((centred @ axes.components.T) ** 2)
    assert projected == pytest.approx(total * expected.sum(), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("decay", [0.0, 0.5], ids=["noise", "trained"])
@pytest.mark.parametrize("shape", [(400, 300), (280, 500)])
def test_the_axes_of_a_wide_table_explain_what_the_best_would(shape, decay):
    """Within a percent for noise, whose axes are all alike, and never more than there is."""
    strength = np.arange(1, shape[1] + 1) ** -decay
    rows = (np.random.default_rng(3).standard_normal(shape) * strength).astype(np.float32)
    axes = principal_axes(rows)
    assert axes is not None
    singular = np.linalg.svd(rows - rows.mean(axis=0, dtype=np.float64), compute_uv=False)
    best = np.sum(singular[:8] ** 2) / np.sum(singular**2)
    assert 0.99 * best < axes.explained.sum() < best * 1.000001
    np.testing.assert_allclose(axes.components @ axes.components.T, np.eye(8), atol=1e-5)
    assert axes.share_explained(rows) == pytest.approx(axes.explained.sum(), rel=1e-5)


def test_a_wide_table_of_low_rank_has_no_more_axes_than_that():
    random = np.random.default_rng(4)
    rows = (random.standard_normal((300, 3)) @ random.standard_normal((3, 280))).astype(np.float32)
    axes = principal_axes(rows)
    assert axes is not None
    assert axes.explained.sum() == pytest.approx(1, abs=1e-5)
    assert (axes.components[3:] == 0).all()


def test_the_bounds_are_those_that_the_documentation_names():
    assert (FULL_BYTES, EVERY_SNAPSHOT_BYTES, MOST_TOKENS, STALE) == (8 << 20, 256 << 10, 5000, 0.8)
