"""The token embedding in key snapshots: a sketch, the exact variance, and who is nearest to whom."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from paramviz.recorder.principal import Rows, centred_parts, mean_of, wide_parts
from paramviz.recorder.products import product
from paramviz.schema import EmbeddingPlan

SKETCH = 128
"""Numbers that a row keeps: distances between rows survive to about a tenth."""

MOST_QUERIES = 64
"""Tokens whose nearest neighbours are recorded."""

_SEED = 0

Tokens = npt.NDArray[np.int32]


@lru_cache(maxsize=8)
def sketch_basis(width: int) -> npt.NDArray[np.float32]:
    """(width, min(width, 128)) float32 with orthonormal columns, the same for every run of this width."""
    start = np.random.default_rng(_SEED).standard_normal((width, min(width, SKETCH)))
    basis: npt.NDArray[np.float32] = np.linalg.qr(start).Q.astype(np.float32)
    basis.flags.writeable = False
    return basis


def neighbour_tokens(embedding: EmbeddingPlan) -> Tokens:
    """(Q,) tokens, evenly spread over the recorded ones, ascending."""
    n = len(embedding.tokens)
    spread = np.unique(np.linspace(0, n - 1, min(n, MOST_QUERIES)).round().astype(int))
    tokens: Tokens = embedding.tokens[spread]
    return tokens


def sketch(rows_KW: Rows, basis_WS: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """(K, S) float16."""
    with np.errstate(over="ignore", invalid="ignore"):
        return product(rows_KW, basis_WS).astype(np.float16)


def variance(rows_KW: Rows) -> npt.NDArray[np.float64]:
    """(1,) mean squared distance of the rows to their mean; NaN if an element is not finite."""
    if not rows_KW.size:
        return np.array([np.nan])
    with np.errstate(invalid="ignore"):
        centred = centred_parts(rows_KW, mean_of(rows_KW))
        return np.array([sum(np.square(part).sum() for part in centred) / len(rows_KW)])


def nearest(
    rows_KW: Rows, tokens_K: Tokens, queries_Q: Sequence[int] | Tokens, count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The `count` nearest other rows to each query, by Euclidean distance at full width.

    tokens_K: which token each row is, ascending; queries_Q: some of them. Returns tokens (Q, count)
    int32 and distances (Q, count) float32, nearest first, of equal ones the lower token;
    -1 and NaN where there are fewer. Rows that are not finite are nobody's neighbours.
    """
    queries = np.asarray(queries_Q)
    tokens = np.full((len(queries), count), -1, np.int32)
    distances = np.full((len(queries), count), np.nan, np.float32)
    finite = np.concatenate([np.isfinite(part).all(axis=1) for part in wide_parts(rows_KW)])
    at = np.searchsorted(tokens_K, queries)
    asked_QW = rows_KW[at].astype(np.float64)
    asked_QW[~finite[at]] = 0.0
    with np.errstate(invalid="ignore"):  # what is not finite is put at an infinite distance
        parts = [np.square(p).sum(axis=1) - 2 * product(asked_QW, p.T) for p in wide_parts(rows_KW)]
    apart2_QK = np.square(asked_QW).sum(axis=1)[:, None] + np.concatenate(parts, axis=1)
    apart2_QK[:, ~finite] = np.inf
    apart2_QK[np.arange(len(at)), at] = np.inf
    apart2_QK[~finite[at]] = np.inf
    # The difference of large squares is inexact for near rows: their order is settled on differences.
    shortlist = np.argsort(apart2_QK, axis=1, kind="stable")[:, : 4 * count]
    for q, candidates in enumerate(shortlist):
        candidates = np.sort(candidates[np.isfinite(apart2_QK[q, candidates])])
        exact = np.sqrt(np.square(rows_KW[candidates].astype(np.float64) - asked_QW[q]).sum(axis=1))
        order = np.argsort(exact, kind="stable")[:count]
        tokens[q, : len(order)] = tokens_K[candidates[order]]
        distances[q, : len(order)] = exact[order]
    return tokens, distances
