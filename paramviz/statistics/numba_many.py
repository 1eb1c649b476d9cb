"""Many small arrays in one call, as compiled loops over their addresses. Importing this module needs numba.

A call from Python costs microseconds, which for thousands of small tensors is most of
the time. The numpy twin is `numpy_many`.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from numba.core import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from paramviz.statistics.compiled import compiled
from paramviz.statistics.numba_engine import LIMITS_32, accumulate_with
from paramviz.statistics.numba_grid import sum_up
from paramviz.statistics.tally import BLOCK, MAX, MIN, finish_plain

_Integers = npt.NDArray[np.int64]
_Wide = npt.NDArray[np.float64]

_finish_plain = compiled(finish_plain)


def _pointer(typing_context: Any, address: Any) -> Any:
    """An address as a pointer to float32."""
    signature = cast(Any, types.CPointer)(types.float32)(address)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, generate


_float32_at = cast(Any, intrinsic(_pointer))


def measure_many(
    addresses: _Integers,
    sizes: _Integers,
    rows: _Integers,
    statistics: _Wide,
    histograms: npt.NDArray[np.uint32] | None,
) -> None:
    """See `many.measure_many`."""
    if histograms is None:
        histograms = np.empty((0, 0), np.uint32)
    _measure_many(addresses, sizes, rows, statistics, histograms, LIMITS_32)


@compiled
def _measure_many(
    addresses: _Integers, sizes: _Integers, rows: _Integers, statistics: _Wide,
    histograms: npt.NDArray[np.uint32], limits: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    kept = np.empty(BLOCK, np.float32)
    exponents = np.zeros((4, 1 << 9), np.uint32)
    tally, bins = np.empty(12), np.zeros(histograms.shape[1], np.int64)
    for i in range(addresses.size):
        x = carray(_float32_at(addresses[i]), (sizes[i],))
        tally[:] = 0.0
        tally[MIN], tally[MAX] = np.inf, -np.inf
        bins[:] = 0
        accumulate_with(
            kept, exponents, x, x.view(np.int32), x.view(np.uint32), limits, 23, tally, bins
        )  # fmt: skip
        _finish_plain(tally, tally[MIN], statistics[rows[i]])
        for k in range(bins.size):
            histograms[rows[i], k] = min(bins[k], 4294967295)


@compiled
def take_many(
    addresses: _Integers,
    begins: _Integers,
    ends: _Integers,
    positions: _Integers,
    out: npt.NDArray[np.float32],
) -> None:
    """See `many.take_many`."""
    for i in range(addresses.size):
        begin, end = begins[i], ends[i]
        samples, where = out[begin:end], positions[begin:end]
        if end > begin:
            # Samples are of the whole array at most, so what is behind the last of them is not read.
            x = carray(_float32_at(addresses[i]), (where[where.size - 1] + 1,))
            for k in range(samples.size):
                samples[k] = x[where[k]]


@compiled
def moments_many(
    firsts: _Integers, seconds: _Integers, sizes: _Integers, rows: _Integers, settings: _Wide, out: _Wide
) -> None:
    """See `many.moments_many`."""
    for i in range(firsts.size):
        first = carray(_float32_at(firsts[i]), (sizes[i],))
        second = carray(_float32_at(seconds[i]), (sizes[i],))
        unbiased1, unbiased2, epsilon = settings[i]
        squares = total = 0.0
        small = 0
        # Below this, the root of the unbiased moment is below epsilon.
        limit = epsilon * epsilon * unbiased2
        for k in range(first.size):
            wide = np.float64(first[k])
            squares += wide * wide
        for k in range(second.size):
            wide = np.float64(second[k])
            total += wide
            small += wide < limit
        n = max(1, sizes[i])
        out[rows[i], 0] = math.sqrt(squares) / unbiased1
        out[rows[i], 1] = math.sqrt(total / unbiased2 / n)
        out[rows[i], 2] = small / n


@compiled
def gram_many(addresses: _Integers, shapes: _Integers, offsets: _Integers, out: _Wide) -> None:
    """See `many.gram_many`."""
    for i in range(addresses.size):
        rows, columns = shapes[i]
        side = min(rows, columns)
        x = carray(_float32_at(addresses[i]), (rows, columns))
        # A line of it are the elements that are multiplied with each other.
        wide = np.empty((max(rows, columns), side))
        if side == columns:
            wide[:] = x
        else:
            for k in range(rows):
                wide[:, k] = x[k]
        gram = np.zeros((side, side))
        for line in wide:
            for k in range(side):
                row, factor = gram[k], line[k]
                # The whole row: what vectorises is cheaper than half of it.
                for j in range(side):
                    row[j] += factor * line[j]
        at = offsets[i]
        for k in range(side):
            out[at : at + k + 1] = gram[k, : k + 1]
            at += k + 1


@compiled
def sum_many(
    addresses: _Integers,
    shapes: _Integers,
    edges: _Integers,
    edge_ends: _Integers,
    offsets: _Integers,
    counts: npt.NDArray[np.uint32],
    cells: npt.NDArray[np.float32],
    row_rms: npt.NDArray[np.float32],
    column_rms: npt.NDArray[np.float32],
) -> None:
    """See `many.ManySums`."""
    for i in range(addresses.size):
        rows, columns = shapes[i]
        start, middle, end = edge_ends[i]
        row_edges, column_edges = edges[start:middle], edges[middle:end]
        high, wide = row_edges.size - 1, column_edges.size - 1
        row_cell = np.empty(rows, np.int64)
        for k in range(high):
            row_cell[row_edges[k] : row_edges[k + 1]] = k
        in_cells, in_rows, in_columns = offsets[i]
        n, total, squares, absmax = np.zeros((4, high, wide))
        row_squares, column_squares = np.zeros(rows), np.zeros(columns)
        sum_up(
            carray(_float32_at(addresses[i]), (rows, columns)),
            row_cell,
            column_edges,
            n,
            total,
            squares,
            absmax,
            row_squares,
            column_squares,
        )
        at = in_cells
        for k in range(high):
            for j in range(wide):
                divisor = max(1.0, n[k, j])
                counts[at] = n[k, j]
                cells[0, at] = total[k, j] / divisor
                cells[1, at] = math.sqrt(squares[k, j] / divisor)
                cells[2, at] = absmax[k, j]
                at += 1
        for k in range(rows):
            row_rms[in_rows + k] = math.sqrt(row_squares[k] / columns)
        for k in range(columns):
            column_rms[in_columns + k] = math.sqrt(column_squares[k] / rows)
