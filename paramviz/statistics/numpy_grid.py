"""Cells, rows and columns of a matrix in plain numpy, for machines without numba."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.floating[Any]]
_Sums = npt.NDArray[np.float64]
_Edges = npt.NDArray[np.int64]

_ROWS = 1 << 18
"""Elements widened at a time."""


def sum_up(
    x: _Floats,
    row_cell: _Edges,
    column_edges: _Edges,
    n: _Sums,
    total: _Sums,
    squares: _Sums,
    absmax: _Sums,
    row_squares: _Sums,
    column_squares: _Sums,
) -> None:
    """See `numba_grid.sum_up`."""
    starts = column_edges[:-1]
    for begin in range(0, x.shape[0], step := max(1, _ROWS // max(1, x.shape[1]))):
        part = x[begin : begin + step].astype(np.float64)
        cell = row_cell[begin : begin + step]
        finite = np.isfinite(part)
        part[~finite] = 0.0
        square = part * part
        row_squares[begin : begin + step] = square.sum(axis=1)
        column_squares += square.sum(axis=0)
        np.add.at(n, cell, np.add.reduceat(finite, starts, axis=1, dtype=np.float64))
        np.add.at(total, cell, np.add.reduceat(part, starts, axis=1))
        np.add.at(squares, cell, np.add.reduceat(square, starts, axis=1))
        np.maximum.at(absmax, cell, np.maximum.reduceat(np.abs(part), starts, axis=1))


def group_squares(x: _Floats, row_group: _Edges, width: int, out: _Sums) -> None:
    """See `numba_grid.group_squares`."""
    edges = np.arange(0, x.shape[1] + 1, width)
    for begin in range(0, x.shape[0], step := max(1, _ROWS // max(1, x.shape[1]))):
        part = x[begin : begin + step].astype(np.float64)
        part[~np.isfinite(part)] = 0.0
        np.add.at(out, row_group[begin : begin + step], np.add.reduceat(part * part, edges[:-1], axis=1))
