"""Where each tensor's part lies in the arrays of a snapshot that hold more than samples.

These arrays are packed: the cells, rows, columns and heads of all tensors one behind the
other, in the order of the catalogue. Everything here follows from the catalogue alone
(docs/FORMAT.md, "Further quantities").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from paramviz.schema import EmbeddingPlan, TensorInfo

Indices = npt.NDArray[np.int64]

MOST_NORMS = 16_384
"""A matrix with more rows (or columns) than this gives norms of its sampled ones only, and a histogram."""

HEAD_ROLES = frozenset(
    {"attention_query", "attention_key", "attention_value", "attention_qkv", "attention_projection"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor's part of a packed array: `size` elements from `offset`, to be seen as `shape`.

    `entry` counts the tensors that have a part, for tables of one line each.
    """

    entry: int
    offset: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def span(self) -> slice:
        return slice(self.offset, self.offset + self.size)


class Packing:
    """One packed array: the places of the tensors in it, by their index, and its length."""

    def __init__(self, shapes: Iterator[tuple[int, tuple[int, ...]]]) -> None:
        """shapes: (index of a tensor, shape of its part)."""
        self.places: dict[int, Place] = {}
        self.length = 0
        for entry, (index, shape) in enumerate(shapes):
            place = Place(entry, self.length, shape)
            self.places[index] = place
            self.length += place.size

    @property
    def entries(self) -> int:
        return len(self.places)


class Planned(Protocol):
    """What the places follow from: a plan of the store, or one that is to become it."""

    @property
    def tensors(self) -> tuple[TensorInfo, ...]: ...
    @property
    def embedding(self) -> EmbeddingPlan | None: ...
    def moving(self, array: str) -> int:
        """How many samples of "values" or "vectors" are in each snapshot."""


class Places:
    """The packings of one plan, each made when it is first asked for: a reader needs few of them."""

    def __init__(self, plan: Planned) -> None:
        self._plan = plan
        self._recorded = [tensor for tensor in plan.tensors if tensor.samples > 0]

    @cached_property
    def cells(self) -> Packing:
        return Packing((t.index, t.grid) for t in self._recorded if has_cells(t))

    @cached_property
    def n_edges(self) -> int:
        """How many edges all cells have."""
        return sum(t.grid[0] + t.grid[1] + 2 for t in self._recorded if has_cells(t))

    @cached_property
    def edges(self) -> Packing:
        return Packing((t.index, (sum(t.grid) + 2,)) for t in self._recorded if has_cells(t))

    @cached_property
    def rows(self) -> Packing:
        return Packing((t.index, (self._n_rows(t),)) for t in self._recorded if has_norms(t))

    @cached_property
    def columns(self) -> Packing:
        return Packing((t.index, (self._n_columns(t),)) for t in self._recorded if has_norms(t))

    @cached_property
    def long(self) -> Packing:
        return Packing((t.index, (1,)) for t in self._recorded if is_long(t))

    @cached_property
    def heads(self) -> Packing:
        return Packing((t.index, shape) for t in self._recorded if (shape := heads_shape(t)))

    @cached_property
    def moving(self) -> Packing:
        arrays = (t for array in ("values", "vectors") for t in self._recorded if t.array == array)
        return Packing((t.index, t.grid) for t in arrays if t.offset < self._plan.moving(t.array))

    @cached_property
    def spectra(self) -> Packing:
        return Packing((t.index, (min(t.matrix_shape),)) for t in self._recorded if has_norms(t))

    def _n_rows(self, tensor: TensorInfo) -> int:
        rows = normed_rows(tensor, self._plan.embedding, np.arange(tensor.grid[0]))
        return tensor.matrix_shape[0] if rows is None else len(rows)

    def _n_columns(self, tensor: TensorInfo) -> int:
        columns = normed_columns(tensor, np.arange(tensor.grid[1]))
        return tensor.matrix_shape[1] if columns is None else len(columns)


def has_cells(tensor: TensorInfo) -> bool:
    """Whether a tensor is summed up over cells: not if it is kept whole, since each cell is then a sample."""
    return 0 < tensor.samples < tensor.size


def has_norms(tensor: TensorInfo) -> bool:
    """Whether a tensor has rows and columns to speak of."""
    return tensor.samples > 0 and min(tensor.matrix_shape) > 1


def is_long(tensor: TensorInfo) -> bool:
    """Whether a matrix has too many rows for a norm of each, as embeddings of large vocabularies have."""
    return has_norms(tensor) and tensor.matrix_shape[0] > MOST_NORMS


def normed_rows(tensor: TensorInfo, embedding: EmbeddingPlan | None, sampled_R: Indices) -> Indices | None:
    """Which rows of a matrix have a norm of their own: all (None); of a long one the recorded tokens, or
    those that are sampled."""
    if not is_long(tensor):
        return None
    if embedding is not None and embedding.tensor == tensor.name:
        return embedding.tokens.astype(np.int64)
    return sampled_R


def normed_columns(tensor: TensorInfo, sampled_C: Indices) -> Indices | None:
    """Which columns of a matrix have a norm of their own: all (None), or the sampled ones of a wide one."""
    return None if tensor.matrix_shape[1] <= MOST_NORMS else sampled_C


def heads_shape(tensor: TensorInfo) -> tuple[int, ...]:
    """(3, heads) of a fused Q, K, V; (heads,) of any other weight of attention; () of what has no heads."""
    groups = max(tensor.row_groups, tensor.column_groups)
    if tensor.role not in HEAD_ROLES or not has_norms(tensor) or groups <= 1:
        return ()
    if tensor.role == "attention_qkv":
        return (3, groups // 3) if groups % 3 == 0 else ()
    return (groups,)
