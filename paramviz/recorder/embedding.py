"""Token embeddings: which rows are recorded at full width, and the frozen basis of the snapshots between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from paramviz.recorder.principal import PrincipalAxes, Rows, principal_axes
from paramviz.sampling import sample_grid
from paramviz.schema import EmbeddingPlan, TensorInfo

FULL_BYTES = 8 << 20
"""All rows are recorded if they fit into so many bytes as float16."""

MOST_TOKENS = 5_000
"""Otherwise so many at most, one from each of as many strata of the vocabulary."""

EVERY_SNAPSHOT_BYTES = 256 << 10
"""Rows that fit into so many bytes are in every snapshot, and no basis is needed."""

_NARROWED = 1 << 16
"""Elements narrowed at a time."""

STALE = 0.8
"""A basis is replaced once it explains less than this share of what a fresh one would."""


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


def narrowed_in_place(rows_KW: Rows) -> npt.NDArray[np.float16]:
    """(K, width) float16 in the first half of the memory of the rows, which are gone then: a table of
    another eight megabytes would be the largest thing beside the model."""
    wide = rows_KW.reshape(-1)
    narrow = wide.view(np.float16)[: wide.size]
    with np.errstate(over="ignore"):
        for begin in range(0, wide.size, _NARROWED):
            # What is written lies before what is still to be read.
            narrow[begin : begin + _NARROWED] = wide[begin : begin + _NARROWED].astype(np.float16)
    return narrow.reshape(rows_KW.shape)


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
