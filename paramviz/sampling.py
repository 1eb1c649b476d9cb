"""Which elements of a tensor a snapshot holds.

A sample is a true submatrix: R rows times C columns of the tensor seen as a
matrix (`shape[0]` times the rest; a vector is one row). Each axis is a tree of
halves, groups (Q, K, V, heads, experts) at its top. A level of the tree cuts the
axis into strata, and each stratum gives one element, found by going down the
tree to a single one. Because a stratum's element is always that of one of its
halves, a smaller budget's sample is a subset of a larger one's.

Which half is taken is a hash of (canonical shape, axis, level, index, seed),
never of a name: any two runs of one architecture compare element by element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from paramviz.errors import UsageError
from paramviz.schema import matrix_shape

Index = npt.NDArray[np.int64]

_ROWS, _COLUMNS = 0, 1
_UINT64 = 2**64 - 1


@dataclass(frozen=True, slots=True, eq=False)
class SampleGrid:
    """R rows times C columns of a tensor as it is stored, each ascending.

    rows: (R,) int64; columns: (C,) int64; positions: (R * C,) int64, row-major
    flat indices into the stored tensor, in the order rows × columns. row_edges:
    (R + 1,) and column_edges: (C + 1,) int64 cut the whole matrix into one cell
    around each sample: the strata that the sample was drawn from. The arrays may be
    shared between tensors of one shape and are read-only.
    """

    rows: Index
    columns: Index
    positions: Index
    row_edges: Index
    column_edges: Index


def sample_grid(
    shape: tuple[int, ...],
    budget: int,
    *,
    row_groups: int = 1,
    column_groups: int = 1,
    transposed: bool = False,
    seed: int = 0,
) -> SampleGrid:
    """The sample of at most `budget` elements of a tensor of this shape.

    A tensor no larger than its budget is taken whole, a budget of 0 takes
    nothing. `row_groups` and `column_groups` are numbers of equal groups along
    the canonical axes, (out, in) for a Linear; each group gives the same
    power-of-two number of elements, once the budget reaches one per group. A
    number that does not divide its axis is taken as 1. `transposed` says that
    the tensor is stored as (in, out): the elements drawn are those of the same
    Linear. More than half of the budget is always used.

    Raises UsageError for a negative budget or fewer than one group.
    """
    if budget < 0:
        raise UsageError(f"A sampling budget is a number of elements of at least 0, not {budget}.")
    if row_groups < 1 or column_groups < 1:
        raise UsageError(
            f"Groups are counted from 1, not row_groups={row_groups}, column_groups={column_groups}."
        )
    n_rows, n_columns = matrix_shape(shape)
    if budget == 0:
        return _grid(_span(0), _span(0), n_columns, _span(1), _span(1))
    if n_rows * n_columns <= budget:
        return _grid(_span(n_rows), _span(n_columns), n_columns, _span(n_rows + 1), _span(n_columns + 1))

    out, inner = (n_columns, n_rows) if transposed else (n_rows, n_columns)
    out_groups = row_groups if out % row_groups == 0 else 1
    inner_groups = column_groups if inner % column_groups == 0 else 1
    n_out, n_inner = _counts(out, inner, out_groups, inner_groups, budget)
    drawn_out = _draw(out, inner, _ROWS, out_groups, n_out, seed)
    drawn_inner = _draw(out, inner, _COLUMNS, inner_groups, n_inner, seed)
    out_edges, inner_edges = _edges(out, out_groups, n_out), _edges(inner, inner_groups, n_inner)
    if transposed:
        return _grid(drawn_inner, drawn_out, n_columns, inner_edges, out_edges)
    return _grid(drawn_out, drawn_inner, n_columns, out_edges, inner_edges)


def _grid(rows: Index, columns: Index, n_columns: int, row_edges: Index, column_edges: Index) -> SampleGrid:
    positions = (rows[:, None] * n_columns + columns).ravel()
    positions.flags.writeable = False
    return SampleGrid(rows, columns, positions, row_edges, column_edges)


@lru_cache(maxsize=1024)
def _span(extent: int) -> Index:
    span = np.arange(extent, dtype=np.int64)
    span.flags.writeable = False
    return span


def _steps(extent: int, groups: int) -> list[int]:
    """How many elements of an axis can be drawn, ascending, each set within the next.

    Up to the number of groups: powers of two, one element from each of so many
    neighbourhoods of groups. From there: a power of two per group. Last: all.
    """
    steps = []
    count = 1
    while count < groups:
        steps.append(count)
        count *= 2
    count = groups
    while count <= extent:
        steps.append(count)
        count *= 2
    if steps[-1] != extent:
        steps.append(extent)
    return steps


@lru_cache(maxsize=4096)
def _counts(rows: int, columns: int, row_groups: int, column_groups: int, budget: int) -> tuple[int, int]:
    """(R, C) with R * C <= budget: the last state that fits on one fixed chain of states.

    The chain does not depend on the budget and never goes back on either axis;
    so samples nest. It reaches each group first, rows before columns, and then
    always refines the axis with the coarser strata, which keeps the sample's aspect
    ratio that of the matrix. A step is at most a doubling.
    """
    row_steps, column_steps = _steps(rows, row_groups), _steps(columns, column_groups)
    i = j = 0
    while True:
        r, c = row_steps[i], column_steps[j]
        if r < row_groups:
            refine_rows = True
        elif c < column_groups:
            refine_rows = False
        else:
            refine_rows = c == columns or (r < rows and rows * c >= columns * r)
        i, j = (i + 1, j) if refine_rows else (i, j + 1)
        if row_steps[i] * column_steps[j] > budget:
            return r, c


@lru_cache(maxsize=1024)
def _draw(rows: int, columns: int, axis: int, groups: int, count: int, seed: int) -> Index:
    """One index from each of `count` strata of an axis of the (rows, columns) matrix. (count,) int64."""
    extent = rows if axis == _ROWS else columns
    if count == extent:
        return _span(extent)
    group_size = extent // groups
    key = _hash(np.array([seed & _UINT64], dtype=np.uint64), rows, columns, axis)
    group = np.arange(groups, dtype=np.int64)
    if count < groups:
        # The groups are the leaves of a tree of their own: cut it, and draw a group from each part.
        low, high = _cut(*_whole(groups), count)
        group = _descend(_hash(key, groups), low, high, np.arange(count), _level(count))
    per_group = max(1, count // groups)
    low, high = _cut(group * group_size, (group + 1) * group_size, per_group)
    index = np.add.outer(group * per_group, np.arange(per_group)).ravel()
    drawn = _descend(key, low, high, index, _level(per_group))
    drawn.flags.writeable = False
    return drawn


@lru_cache(maxsize=1024)
def _edges(extent: int, groups: int, count: int) -> Index:
    """(count + 1,) edges of the strata from which `_draw` takes an index each."""
    if count == extent:
        return _span(extent + 1)
    group_size = extent // groups
    if count < groups:
        low = _cut(*_whole(groups), count)[0] * group_size
    else:
        group = np.arange(groups, dtype=np.int64)
        low = _cut(group * group_size, (group + 1) * group_size, count // groups)[0]
    edges = np.append(low, extent)
    edges.flags.writeable = False
    return edges


def _whole(extent: int) -> tuple[Index, Index]:
    """An axis as one range, in the form that `_cut` takes."""
    return np.zeros(1, np.int64), np.full(1, extent, np.int64)


def _level(parts: int) -> int:
    """How often a range is halved until there are so many parts, a power of two."""
    return parts.bit_length() - 1


def _cut(low: Index, high: Index, parts: int) -> tuple[Index, Index]:
    """Halves each range [low, high) until there are `parts`, a power of two, of each."""
    while parts > 1:
        middle = _middle(low, high)
        low = np.stack([low, middle], axis=1).ravel()
        high = np.stack([middle, high], axis=1).ravel()
        parts //= 2
    return low, high


def _middle(low: Index, high: Index) -> Index:
    return low + (high - low + 1) // 2


def _descend(key: npt.NDArray[np.uint64], low: Index, high: Index, index: Index, level: int) -> Index:
    """Goes from each range [low, high) down to one element; each is equally likely. (N,) int64.

    `level` and `index` say where in the tree of halves the ranges lie. A half
    is taken with a probability of its share of the range.
    """
    while (high - low).max() > 1:
        middle = _middle(low, high)
        share = (_hash(key, level, index) >> np.uint64(11)) * 2.0**-53
        right = share * (high - low) >= middle - low
        low, high = np.where(right, middle, low), np.where(right, high, middle)
        index = index * 2 + right
        level += 1
    return low


def _hash(state: npt.NDArray[np.uint64], *words: int | Index) -> npt.NDArray[np.uint64]:
    """Folds words into a hash with the finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    for word in words:
        z = (state ^ np.asarray(word).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = z ^ (z >> np.uint64(31))
    return state


@dataclass(frozen=True, slots=True)
class SampleBudgets:
    """How many elements of each tensor a snapshot holds.

    Embeddings and the outer tensors (first layer, last layer, and what belongs to
    no layer) get more than the middle layers. `patterns` are pairs of a shell
    pattern and a budget; the first that matches the whole name wins, and a budget
    of 0 leaves the tensor out. `total_bytes` bounds the samples of one snapshot; None is no bound.
    """

    embeddings: int = 4096
    outer: int = 4096
    middle: int = 1024
    outer_vectors: int = 1024
    middle_vectors: int = 256
    patterns: tuple[tuple[str, int], ...] = ()
    total_bytes: int | None = 8 << 20

    def __post_init__(self) -> None:
        named = {
            "embeddings": self.embeddings,
            "outer": self.outer,
            "middle": self.middle,
            "outer_vectors": self.outer_vectors,
            "middle_vectors": self.middle_vectors,
            **{f"pattern {pattern!r}": budget for pattern, budget in self.patterns},
        }
        for what, budget in named.items():
            if budget < 0:
                raise UsageError(f"The sampling budget of {what} is {budget}; give 0 (leave out) or more.")

    def of(self, *, name: str, role: str, layer: int | None, n_layers: int, shape: tuple[int, ...]) -> int:
        """The budget of one tensor, in elements, before `total_bytes` is looked at."""
        for pattern, budget in self.patterns:
            if fnmatchcase(name, pattern):
                return budget
        if role in ("token_embedding", "position_embedding"):
            return self.embeddings
        is_outer = layer is None or layer == 0 or layer == n_layers - 1
        if len(shape) <= 1:
            return self.outer_vectors if is_outer else self.middle_vectors
        return self.outer if is_outer else self.middle

    def scaled(self, wanted: Sequence[int], sizes: Sequence[int], sample_bytes: Sequence[int]) -> list[int]:
        """The budgets of all tensors, divided by the power of two with which they fit `total_bytes`.

        `wanted` are the budgets by `of`, `sizes` the tensors' numbers of elements,
        `sample_bytes` the bytes of one stored element (2 or 4). A budget above 0 never
        falls below 1. Raises UsageError if not even that fits.
        """
        budgets = np.asarray(wanted, dtype=np.int64)
        if self.total_bytes is None:
            return [int(budget) for budget in budgets]
        size, width = np.asarray(sizes, dtype=np.int64), np.asarray(sample_bytes, dtype=np.int64)
        while True:
            needed = int((np.minimum(budgets, size) * width).sum())
            if needed <= self.total_bytes:
                return [int(budget) for budget in budgets]
            if budgets.max(initial=0) <= 1:
                raise UsageError(
                    f"total_bytes={self.total_bytes} cannot hold one element of each tensor, "
                    f"which takes {needed}. Raise it, or leave tensors out (a pattern with budget 0)."
                )
            budgets = np.where(budgets > 0, np.maximum(budgets // 2, 1), 0)
