"""Token embeddings: which rows are recorded at full width, and the frozen basis of the snapshots between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paramviz.recorder.products import product
from paramviz.sampling import sample_grid
from paramviz.schema import EmbeddingPlan, TensorInfo

FULL_BYTES = 8 << 20
"""All rows are recorded if they fit into so many bytes as float16."""

MOST_TOKENS = 5_000
"""Otherwise so many at most, one from each of as many strata of the vocabulary."""

EVERY_SNAPSHOT_BYTES = 256 << 10
"""Rows that fit into so many bytes are in every snapshot, and no basis is needed."""

_PART = 512
"""Rows made wide at a time."""

N_SCORES = 8
STALE = 0.8
"""A basis is replaced once it explains less than this share of what a fresh one would."""

Rows = npt.NDArray[np.float32]


def plan_embedding(tensors: Sequence[TensorInfo], still: Collection[int] = ()) -> EmbeddingPlan | None:
    """The plan for the model's first token embedding; None if it has none that is recorded.

    still: indices of tensors that do not change, whose rows need not be in every snapshot.
    """
    for tensor in tensors:
        if tensor.role == "token_embedding" and tensor.samples and len(tensor.shape) == 2:
            vocabulary_size, width = tensor.shape
            tokens = choose_tokens(vocabulary_size, width)
            is_small = 2 * len(tokens) * width <= EVERY_SNAPSHOT_BYTES
            every_snapshot = is_small and tensor.index not in still
            return EmbeddingPlan(tensor.name, width, vocabulary_size, tokens, every_snapshot)
    return None


def choose_tokens(vocabulary_size: int, width: int) -> npt.NDArray[np.int32]:
    """The recorded rows, ascending, (K,) int32: all of them, or a stratified choice."""
    fitting = FULL_BYTES // (2 * width)
    if vocabulary_size <= fitting:
        return np.arange(vocabulary_size, dtype=np.int32)
    return sample_grid((vocabulary_size, 1), max(1, min(MOST_TOKENS, fitting))).rows.astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalAxes:
    """components: (8, width) float32, orthonormal rows, by falling variance; mean: (width,) float32;
    explained: (8,) float32 shares of the total variance. Of a narrower table the last rows are zero."""

    components: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    explained: npt.NDArray[np.float32]

    def scores(self, rows_KW: Rows) -> npt.NDArray[np.float32]:
        """(K, 8) coordinates of rows along the components."""
        return product(rows_KW - self.mean, self.components.T)

    def share_explained(self, rows_KW: Rows) -> float:
        """Share of the variance of other rows that lies along these components."""
        centred: Rows = rows_KW - rows_KW.mean(axis=0)
        total = float(np.square(centred).sum(dtype=np.float64))
        along = float(np.square(product(centred, self.components.T)).sum(dtype=np.float64))
        return along / total if total > 0 else 1.0


def principal_axes(rows_KW: Rows) -> PrincipalAxes | None:
    """Exact principal axes of finite rows, (K, width); None if some number is not finite.

    From the eigenvectors of the smaller of the two Gram matrices. Each axis is
    turned so that its largest component is positive.
    """
    if not np.isfinite(rows_KW).all():
        return None
    n_rows, width = rows_KW.shape
    mean = rows_KW.mean(axis=0, dtype=np.float64)
    tall = n_rows >= width
    gram = _gram(rows_KW, mean, along_rows=not tall)
    total = float(np.trace(gram))
    n = min(N_SCORES, n_rows, width)
    axes = np.zeros((N_SCORES, width))
    explained = np.zeros(N_SCORES)
    if total > 0:
        variances, vectors = np.linalg.eigh(gram)
        top = vectors[:, ::-1][:, :n].T
        directions = top if tall else top @ (rows_KW - mean)
        norms = np.linalg.norm(directions, axis=1, keepdims=True)
        # What is left of directions without variance is rounding: no axis.
        real = variances[::-1][:n] > total * 1e-12
        axes[:n][real] = (directions / np.where(norms > 0, norms, 1))[real]
        explained[:n] = np.where(real, variances[::-1][:n] / total, 0)
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes *= np.where(largest < 0, -1, 1)
    return PrincipalAxes(axes.astype(np.float32), mean.astype(np.float32), explained.astype(np.float32))


def wide_parts(rows_KW: Rows) -> Iterator[npt.NDArray[np.float64]]:
    """Some rows at a time as float64: all of them would take tens of megabytes."""
    for begin in range(0, len(rows_KW), _PART):
        yield rows_KW[begin : begin + _PART].astype(np.float64)


def _gram(rows_KW: Rows, mean: npt.NDArray[np.float64], *, along_rows: bool) -> npt.NDArray[np.float64]:
    """Of the centred rows, the products of all columns, or of all rows if these are fewer."""
    if along_rows:
        centred = rows_KW - mean
        return product(centred, centred.T)
    gram = np.zeros((rows_KW.shape[1], rows_KW.shape[1]))
    for part in wide_parts(rows_KW):
        part -= mean
        gram += product(part.T, part)
    return gram


class FrozenBasis:
    """The basis in use, by its `number` in the store. It changes only at a snapshot that stores the rows."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._axes: PrincipalAxes | None = None

    def renew(self, rows_KW: Rows, store: Callable[[PrincipalAxes], int]) -> None:
        """Store a fresh basis if there is none of this width, or the one in use went stale."""
        fresh = principal_axes(rows_KW)
        if fresh is None:
            return
        old = self._axes
        if old is not None and old.mean.shape == fresh.mean.shape:
            enough = STALE * float(fresh.explained.sum())
            if old.share_explained(rows_KW) >= enough:
                return
        self.number, self._axes = store(fresh), fresh

    def scores(self, rows_KW: Rows) -> npt.NDArray[np.float32] | None:
        """(K, 8) in the basis in use; None without one of this width."""
        if self._axes is None or self._axes.mean.shape != rows_KW.shape[1:]:
            return None
        return self._axes.scores(rows_KW)
