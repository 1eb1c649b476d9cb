"""Cells, rows and columns of a matrix as compiled loops. Importing this module needs numba.

One read of the matrix: each row is cut at the column edges, and the short loops over a cut
stay in the first-level cache. The numpy twin is `numpy_grid`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.statistics.compiled import compiled

_Floats = npt.NDArray[np.floating[Any]]
_Sums = npt.NDArray[np.float64]
_Edges = npt.NDArray[np.int64]


@compiled
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
    """Adds the finite elements of a matrix to the sums of its cells, rows and columns.

    x: (rows, columns) C-contiguous. row_cell: (rows,) the row of cells that a row is in.
    n, total, squares, absmax: (R, C) float64; row_squares: (rows,); column_squares: (columns,).
    """
    for row in range(x.shape[0]):
        line = x[row]
        k = row_cell[row]
        in_row = 0.0
        for c in range(column_edges.size - 1):
            begin, end = column_edges[c], column_edges[c + 1]
            part = line[begin:end]
            columns = column_squares[begin:end]
            sum1, sum2, most = _plain(part)
            count = part.size
            if math.isfinite(sum2):
                _add_squares(part, columns)
            else:
                count, sum1, sum2, most = _careful(part, columns)
            n[k, c] += count
            total[k, c] += sum1
            squares[k, c] += sum2
            absmax[k, c] = max(absmax[k, c], most)
            in_row += sum2
        row_squares[row] = in_row


@compiled
def _plain(part: _Floats) -> tuple[float, float, float]:
    """(sum, sum of squares, largest magnitude); the second is not finite if an element is not."""
    sum1 = sum2 = 0.0
    low = high = part.dtype.type(0)
    for i in range(part.size):
        v = part[i]
        low = min(low, v)
        high = max(high, v)
        wide = np.float64(v)
        sum1 += wide
        sum2 += wide * wide
    return sum1, sum2, max(-np.float64(low), np.float64(high))


@compiled
def _add_squares(part: _Floats, columns: _Sums) -> None:
    for i in range(part.size):
        wide = np.float64(part[i])
        columns[i] += wide * wide


@compiled
def _careful(part: _Floats, columns: _Sums) -> tuple[int, float, float, float]:
    """As `_plain` and `_add_squares` of the finite elements only, and how many these are."""
    n = 0
    sum1 = sum2 = most = 0.0
    for i in range(part.size):
        wide = np.float64(part[i])
        if math.isfinite(wide):
            n += 1
            sum1 += wide
            sum2 += wide * wide
            most = max(most, abs(wide))
            columns[i] += wide * wide
    return n, sum1, sum2, most


@compiled
def group_squares(x: _Floats, row_group: _Edges, width: int, out: _Sums) -> None:
    """Adds squares of finite elements to those of their group: rows by `row_group`, columns `width` each."""
    for row in range(x.shape[0]):
        line = x[row]
        k = row_group[row]
        for c in range(out.shape[1]):
            part = line[c * width : (c + 1) * width]
            squares = _squares(part)
            out[k, c] += squares if math.isfinite(squares) else _finite_squares(part)


@compiled
def _squares(part: _Floats) -> float:
    total = 0.0
    for i in range(part.size):
        wide = np.float64(part[i])
        total += wide * wide
    return total


@compiled
def _finite_squares(part: _Floats) -> float:
    total = 0.0
    for i in range(part.size):
        wide = np.float64(part[i])
        if math.isfinite(wide):
            total += wide * wide
    return total
