"""Cells, rows and columns of a matrix as compiled loops. Importing this module needs numba.

The matrix is read once, in patches of up to 64 rows of one row of cells and 1,024 columns.
Four rows of a patch at a time stay in the first-level cache while small loops, each
of which the compiler vectorises, add them to sums along the columns; what these add
up to over the cells is found once for each patch. The numpy twin is `numpy_grid`.
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

_ROWS, _COLUMNS = 64, 1024
"""Of a patch: its sums along columns take 20 KiB, and what is not finite costs only its patch."""


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

    x: (rows, columns) C-contiguous. row_cell: (rows,) the row of cells that a row is in,
    ascending. n, total, squares, absmax: (R, C) float64; row_squares: (rows,);
    column_squares: (columns,).
    """
    # A row that is sliced off first is known to be contiguous; of a slice of several rows none is.
    count_of, sum_of, square_of = np.empty(_COLUMNS), np.empty(_COLUMNS), np.empty(_COLUMNS)
    peak_of = np.empty(_COLUMNS, x.dtype)
    of_rows = np.empty(_ROWS)
    top = 0
    while top < x.shape[0]:
        k = row_cell[top]
        bottom = top + 1
        while bottom < min(top + _ROWS, x.shape[0]) and row_cell[bottom] == k:
            bottom += 1
        first = 0
        for left in range(0, x.shape[1], _COLUMNS):
            right = min(left + _COLUMNS, x.shape[1])
            width = right - left
            counts, sums, squared, peaks = (
                count_of[:width],
                sum_of[:width],
                square_of[:width],
                peak_of[:width],
            )
            if _sum_patch(x, top, bottom, left, right, sums, squared, peaks, of_rows):
                counts[:] = bottom - top
            else:
                _sum_finite(x[top:bottom, left:right], counts, sums, squared, peaks, of_rows)
            for row in range(bottom - top):
                row_squares[top + row] += of_rows[row]
            _add(squared, column_squares[left:right])
            first = _fold(
                column_edges, first, left, counts, sums, squared, peaks,
                n[k], total[k], squares[k], absmax[k],
            )  # fmt: skip
        top = bottom


@compiled
def _sum_patch(
    x: _Floats, top: int, bottom: int, left: int, right: int,
    sums: _Sums, squared: _Sums, peaks: _Floats, of_rows: _Sums,
) -> bool:  # fmt: skip
    """Sums, squares and largest magnitudes along columns, squares along rows; false if not all is finite."""
    sums[:] = 0.0
    squared[:] = 0.0
    peaks[:] = 0.0
    everything = 0.0
    fours = bottom - (bottom - top) % 4
    for row in range(top, fours, 4):
        a, b, c, d = (
            x[row][left:right],
            x[row + 1][left:right],
            x[row + 2][left:right],
            x[row + 3][left:right],
        )
        place = row - top
        of_rows[place], of_rows[place + 1], of_rows[place + 2], of_rows[place + 3] = _add_four(
            a, b, c, d, sums, squared
        )
        _peaks_of_four(a, b, c, d, peaks)
    for row in range(fours, bottom):
        line = x[row][left:right]
        of_rows[row - top] = _add_one(line, sums, squared)
        _peaks_of_one(line, peaks)
    for row in range(bottom - top):
        everything += of_rows[row]
    return math.isfinite(everything)


@compiled
def _add_four(
    a: _Floats, b: _Floats, c: _Floats, d: _Floats, sums: _Sums, squared: _Sums
) -> tuple[float, float, float, float]:
    """Adds four rows to the sums along columns; the squares of each row."""
    of_a = of_b = of_c = of_d = 0.0
    for i in range(sums.size):
        s, t, u, v = np.float64(a[i]), np.float64(b[i]), np.float64(c[i]), np.float64(d[i])
        s2, t2, u2, v2 = s * s, t * t, u * u, v * v
        sums[i] += (s + t) + (u + v)
        squared[i] += (s2 + t2) + (u2 + v2)
        of_a += s2
        of_b += t2
        of_c += u2
        of_d += v2
    return of_a, of_b, of_c, of_d


@compiled
def _add_one(line: _Floats, sums: _Sums, squared: _Sums) -> float:
    of_line = 0.0
    for i in range(sums.size):
        wide = np.float64(line[i])
        square = wide * wide
        sums[i] += wide
        squared[i] += square
        of_line += square
    return of_line


@compiled
def _peaks_of_four(a: _Floats, b: _Floats, c: _Floats, d: _Floats, peaks: _Floats) -> None:
    for i in range(peaks.size):
        most = max(max(abs(a[i]), abs(b[i])), max(abs(c[i]), abs(d[i])))
        peaks[i] = max(peaks[i], most)


@compiled
def _peaks_of_one(line: _Floats, peaks: _Floats) -> None:
    for i in range(peaks.size):
        peaks[i] = max(peaks[i], abs(line[i]))


@compiled
def _sum_finite(
    patch: _Floats, counts: _Sums, sums: _Sums, squared: _Sums, peaks: _Floats, of_rows: _Sums
) -> None:
    """As `_sum_patch` of the finite elements only, and how many these are along columns."""
    counts[:] = 0.0
    sums[:] = 0.0
    squared[:] = 0.0
    peaks[:] = 0.0
    for row in range(patch.shape[0]):
        in_row = 0.0
        for i in range(sums.size):
            wide = np.float64(patch[row, i])
            if math.isfinite(wide):
                counts[i] += 1.0
                sums[i] += wide
                squared[i] += wide * wide
                in_row += wide * wide
                peaks[i] = max(peaks[i], abs(patch[row, i]))
        of_rows[row] = in_row


@compiled
def _add(more: _Sums, to: _Sums) -> None:
    for i in range(to.size):
        to[i] += more[i]


@compiled
def _fold(
    edges: _Edges, first: int, left: int, counts: _Sums, sums: _Sums, squared: _Sums, peaks: _Floats,
    n: _Sums, total: _Sums, squares: _Sums, absmax: _Sums,
) -> int:  # fmt: skip
    """Adds sums along the columns from `left` to those of their cells, of which `first` is the first one.

    Returns the cell that the next column is in.
    """
    right = left + sums.size
    cell = first
    while cell < n.size and edges[cell] < right:
        begin, end = max(edges[cell], left) - left, min(edges[cell + 1], right) - left
        count = sum1 = sum2 = most = 0.0
        for i in range(begin, end):
            count += counts[i]
            sum1 += sums[i]
            sum2 += squared[i]
            most = max(most, np.float64(peaks[i]))
        n[cell] += count
        total[cell] += sum1
        squares[cell] += sum2
        absmax[cell] = max(absmax[cell], most)
        cell += 1
    return cell - 1 if cell and edges[cell] > right else cell


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
