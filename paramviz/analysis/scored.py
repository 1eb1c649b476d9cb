"""Points of a picture from the scores of a snapshot, without the rows that the scores stand for.

A row is estimated as what it was at the scores' own basis, the anchor, moved along
the basis by what its scores moved since:

    row = anchor + (score - score of the anchor) @ components

Seen from the axes of a picture that is a table of points, plus a turn of the few numbers
that moved. So the table is made once for a pair of bases, and a snapshot of 10,000
tokens costs a few thousand multiplications instead of two products at full width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import EmbeddingBasis

Floats = npt.NDArray[Any]
Places = slice | npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class ScoredTable:
    """What scores of K tokens in one basis (S of them each) look like from other axes.

    scores: (K, S) of the anchor; points: (K, 3) of the anchor in the picture; turn: (S, 3);
    squares: (K,) squared norms of the anchor's rows; products: (K, S) of the anchor's rows with the
    basis' components; gram: (S, S) products of the components. All float64. Where no anchor is
    known, K is 1: each row is taken to have been the mean.
    """

    scores: Floats
    points: Floats
    turn: Floats
    squares: Floats
    products: Floats
    gram: Floats

    @classmethod
    def of(
        cls, anchor: Floats | None, stored: EmbeddingBasis, axes_mean: Floats, axes_3W: Floats
    ) -> ScoredTable:
        """anchor: (K, width) rows at the stored basis' iteration, or None; axes_3W: (3, width)."""
        components_SW = stored.components.astype(np.float64)
        mean = stored.mean.astype(np.float64)
        rows_KW = mean[None] if anchor is None else anchor.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            return cls(
                (rows_KW - mean) @ components_SW.T,
                (rows_KW - axes_mean) @ axes_3W.T,
                components_SW @ axes_3W.T,
                np.einsum("kw,kw->k", rows_KW, rows_KW),
                rows_KW @ components_SW.T,
                components_SW @ components_SW.T,
            )

    def see(self, scores_KS: Floats, at: Places) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """(points (n, 3), norms (n,)) of the tokens `at` some places; NaN for what is not finite."""
        own = slice(None) if len(self.squares) == 1 else at
        with np.errstate(invalid="ignore", over="ignore"):
            moved = scores_KS[at].astype(np.float64) - self.scores[own]
            points = self.points[own] + moved @ self.turn
            squares = self.squares[own] + ((2 * self.products[own] + moved @ self.gram) * moved).sum(axis=1)
            norms = np.sqrt(np.maximum(squares, 0.0))
        broken = ~np.isfinite(norms)
        points[broken] = np.nan
        norms[broken] = np.nan
        return points.astype(np.float32), norms.astype(np.float32)
