"""A whole matrix summed up: over the cells of a grid, along its rows, along its columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.statistics.engines import current_engine

Floats = npt.NDArray[np.float64]
Edges = npt.NDArray[np.int64]

_COPIED = 1 << 20
"""Elements copied at a time, of a matrix that is no contiguous float32 or float64."""


@dataclass(frozen=True, slots=True, eq=False)
class GridSums:
    """Sums over the finite elements of a matrix.

    n, total, squares, absmax: (R, C) of the cells; row_squares: (rows,) and
    column_squares: (columns,) sums of squares. All float64.
    """

    n: Floats
    total: Floats
    squares: Floats
    absmax: Floats
    row_squares: Floats
    column_squares: Floats

    @classmethod
    def zeros(cls, shape: tuple[int, ...], row_edges: Edges, column_edges: Edges) -> GridSums:
        """The sums of nothing, for a matrix of this shape with these cells."""
        n, total, squares, absmax = np.zeros((4, len(row_edges) - 1, len(column_edges) - 1))
        return cls(n, total, squares, absmax, np.zeros(shape[0]), np.zeros(shape[1]))

    @property
    def mean(self) -> Floats:
        """(R, C), NaN where no element of a cell is finite; so are the next two."""
        return self._or_nan(self.total / np.maximum(self.n, 1))

    @property
    def rms(self) -> Floats:
        return self._or_nan(np.sqrt(self.squares / np.maximum(self.n, 1)))

    @property
    def largest(self) -> Floats:
        return self._or_nan(self.absmax)

    @property
    def row_norms(self) -> Floats:
        """(rows,) Euclidean norms."""
        return np.sqrt(self.row_squares)

    @property
    def column_norms(self) -> Floats:
        """(columns,) Euclidean norms."""
        return np.sqrt(self.column_squares)

    def _or_nan(self, of_cells: Floats) -> Floats:
        return np.where(self.n > 0, of_cells, np.nan)


def whole_axis(extent: int) -> Edges:
    """The edges of an axis that is one cell."""
    return np.array([0, extent], np.int64)


def sum_grid(
    x_RC: npt.NDArray[Any], row_edges: Edges | None = None, column_edges: Edges | None = None
) -> GridSums:
    """The sums of a matrix; without edges it is one cell.

    x_RC: (rows, columns) real numbers in any layout, read once. row_edges: (R + 1,) and
    column_edges: (C + 1,) ascending, from 0 to the number of rows and of columns, at
    least one row or column apart.
    """
    return sum_parts(x_RC.shape, _parts(x_RC), row_edges, column_edges)


def sum_parts(
    shape: tuple[int, ...],
    parts: Iterable[npt.NDArray[Any]],
    row_edges: Edges | None = None,
    column_edges: Edges | None = None,
) -> GridSums:
    """The sums of a matrix that comes in parts: (some rows, columns) each, all rows in turn."""
    row_edges = whole_axis(shape[0]) if row_edges is None else row_edges
    column_edges = whole_axis(shape[1]) if column_edges is None else column_edges
    sums = GridSums.zeros(shape, row_edges, column_edges)
    row_cell = np.repeat(np.arange(len(row_edges) - 1), np.diff(row_edges))
    for begin, x in _counted(parts):
        current_engine().sum_up(
            x,
            row_cell[begin : begin + len(x)],
            column_edges,
            sums.n,
            sums.total,
            sums.squares,
            sums.absmax,
            sums.row_squares[begin : begin + len(x)],
            sums.column_squares,
        )
    return sums


def group_squares(x_RC: npt.NDArray[Any], row_groups: int, column_groups: int) -> Floats:
    """(row_groups, column_groups) float64 sums of squares over equal parts of a matrix, finite elements only.

    The numbers of groups divide the matrix.
    """
    return group_parts(x_RC.shape, _parts(x_RC), row_groups, column_groups)


def group_parts(
    shape: tuple[int, ...], parts: Iterable[npt.NDArray[Any]], row_groups: int, column_groups: int
) -> Floats:
    """The same of a matrix that comes in parts, as in `sum_parts`."""
    rows, columns = shape
    squares = np.zeros((row_groups, column_groups))
    row_group = np.arange(rows, dtype=np.int64) // max(1, rows // row_groups)
    for begin, x in _counted(parts):
        current_engine().group_squares(
            x, row_group[begin : begin + len(x)], columns // column_groups, squares
        )
    return squares


def _parts(x_RC: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """A matrix as it is, or some rows at a time where it must be copied."""
    dtype = np.float64 if x_RC.dtype.itemsize > 4 else np.float32
    step = len(x_RC) if x_RC.dtype == dtype and x_RC.flags.c_contiguous else _COPIED // max(1, x_RC.shape[1])
    for begin in range(0, len(x_RC), max(1, step)):
        yield np.ascontiguousarray(x_RC[begin : begin + max(1, step)], dtype)


def _counted(parts: Iterable[npt.NDArray[Any]]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """(first row, part) of the parts that have elements."""
    begin = 0
    for part in parts:
        if part.size:
            yield begin, part
        begin += len(part)
