"""Points from scores are those of the rows that the scores stand for."""

from __future__ import annotations

import numpy as np
import pytest

from paramviz.analysis.projection import Axes, project
from paramviz.analysis.scored import ScoredTable
from paramviz.schema import EmbeddingBasis

N_TOKENS, WIDTH, N_SCORES = 60, 24, 8


def bases(rng: np.random.Generator) -> tuple[EmbeddingBasis, Axes]:
    """The basis of the scores, and another one that they are looked at from."""
    directions = np.linalg.qr(rng.standard_normal((WIDTH, N_SCORES + 3)))[0].T
    stored = EmbeddingBasis(
        0,
        0,
        directions[:N_SCORES].astype(np.float32),
        rng.standard_normal(WIDTH).astype(np.float32),
        np.full(N_SCORES, 0.1, np.float32),
    )
    slanted = np.linalg.qr(rng.standard_normal((WIDTH, 3)))[0].T
    return stored, Axes(rng.standard_normal(WIDTH), slanted, np.full(3, 0.2))


@pytest.mark.parametrize("at", [slice(None), np.array([3, 41])], ids=["all", "some"])
@pytest.mark.parametrize("has_anchor", [True, False])
def test_points_and_norms_are_those_of_the_estimated_rows(at, has_anchor):
    rng = np.random.default_rng(3)
    stored, axes = bases(rng)
    anchor = rng.standard_normal((N_TOKENS, WIDTH)) if has_anchor else None
    scores = rng.standard_normal((N_TOKENS, N_SCORES)).astype(np.float16)
    start = stored.mean if anchor is None else anchor
    moved = scores - (start - stored.mean) @ stored.components.T
    coordinates, magnitude = project((start + moved @ stored.components)[at], axes)

    points, norms = ScoredTable.of(anchor, stored, axes.mean, axes.components).see(scores, at)

    np.testing.assert_allclose(points, coordinates, atol=2e-5)
    np.testing.assert_allclose(norms, magnitude, rtol=2e-6)


def test_a_token_that_is_not_finite_has_no_point_and_spoils_no_other():
    rng = np.random.default_rng(4)
    stored, axes = bases(rng)
    anchor = rng.standard_normal((N_TOKENS, WIDTH))
    anchor[5, 2] = np.inf
    scores = rng.standard_normal((N_TOKENS, N_SCORES)).astype(np.float16)
    scores[9, 0] = np.nan
    points, norms = ScoredTable.of(anchor, stored, axes.mean, axes.components).see(scores, slice(None))
    assert np.flatnonzero(np.isnan(norms)).tolist() == [5, 9]
    assert np.flatnonzero(np.isnan(points).any(axis=1)).tolist() == [5, 9]
