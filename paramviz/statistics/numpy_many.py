"""Many arrays in one call, one by one in plain numpy: for machines without numba."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from paramviz.statistics import numpy_engine, numpy_grid
from paramviz.statistics.tally import empty_tally, finish

_Integers = npt.NDArray[np.int64]
_Wide = npt.NDArray[np.float64]


def measure_many(
    addresses: _Integers,
    sizes: _Integers,
    rows: _Integers,
    statistics: _Wide,
    histograms: npt.NDArray[np.uint32] | None,
) -> None:
    """See `many.measure_many`."""
    for address, size, row in zip(addresses.tolist(), sizes.tolist(), rows.tolist(), strict=True):
        tally = empty_tally()
        bins = None if histograms is None else np.zeros(histograms.shape[1], np.int64)
        numpy_engine.accumulate(_float32_at(address, size), tally, bins)
        finish(tally, 0, statistics[row])
        if histograms is not None and bins is not None:
            histograms[row] = np.minimum(bins, np.iinfo(np.uint32).max)


def take_many(
    addresses: _Integers,
    begins: _Integers,
    ends: _Integers,
    positions: _Integers,
    out: npt.NDArray[np.float32],
) -> None:
    """See `many.take_many`."""
    for address, begin, end in zip(addresses.tolist(), begins.tolist(), ends.tolist(), strict=True):
        if end > begin:
            where = positions[begin:end]
            out[begin:end] = _float32_at(address, int(where[-1]) + 1)[where]


def moments_many(
    firsts: _Integers, seconds: _Integers, sizes: _Integers, rows: _Integers, settings: _Wide, out: _Wide
) -> None:
    """See `many.moments_many`."""
    for i, size in enumerate(sizes.tolist()):
        first, second = (
            _float32_at(int(addresses[i]), size).astype(np.float64) for addresses in (firsts, seconds)
        )
        unbiased1, unbiased2, epsilon = settings[i].tolist()
        n = max(1, size)
        with np.errstate(invalid="ignore"):
            out[rows[i]] = (
                np.sqrt(first @ first) / unbiased1,
                np.sqrt(second.sum() / unbiased2 / n),
                np.count_nonzero(second < epsilon * epsilon * unbiased2) / n,
            )


def gram_many(addresses: _Integers, shapes: _Integers, offsets: _Integers, out: _Wide) -> None:
    """See `many.gram_many`."""
    for address, (rows, columns), offset in zip(
        addresses.tolist(), shapes.tolist(), offsets.tolist(), strict=True
    ):
        x = _float32_at(address, rows * columns).reshape(rows, columns).astype(np.float64)
        with np.errstate(invalid="ignore"):
            gram = x.T @ x if columns <= rows else x @ x.T
        triangle = gram[np.tril_indices(len(gram))]
        out[offset : offset + len(triangle)] = triangle


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
    for i, address in enumerate(addresses.tolist()):
        rows, columns = shapes[i].tolist()
        start, middle, end = edge_ends[i].tolist()
        row_edges, column_edges = edges[start:middle], edges[middle:end]
        grid = (len(row_edges) - 1, len(column_edges) - 1)
        if rows * columns:
            in_cells, in_rows, in_columns = offsets[i].tolist()
            n, total, squares, absmax = np.zeros((4, *grid))
            row_squares, column_squares = np.zeros(rows), np.zeros(columns)
            numpy_grid.sum_up(
                _float32_at(address, rows * columns).reshape(rows, columns),
                np.repeat(np.arange(grid[0]), np.diff(row_edges)),
                column_edges,
                n,
                total,
                squares,
                absmax,
                row_squares,
                column_squares,
            )
            span = slice(in_cells, in_cells + n.size)
            counts[span] = n.reshape(-1)
            for part, of_cells in zip(cells, _means(n, total, squares, absmax), strict=True):
                part[span] = of_cells.reshape(-1)
            row_rms[in_rows : in_rows + rows] = np.sqrt(row_squares / columns)
            column_rms[in_columns : in_columns + columns] = np.sqrt(column_squares / rows)


def _means(n: _Wide, total: _Wide, squares: _Wide, absmax: _Wide) -> tuple[_Wide, _Wide, _Wide]:
    """Mean, rms and largest magnitude of cells; 0 where nothing is finite."""
    divisor = np.maximum(n, 1.0)
    return total / divisor, np.sqrt(squares / divisor), absmax


def _float32_at(address: int, size: int) -> npt.NDArray[np.float32]:
    """(size,) float32 that lie at an address."""
    if not size:
        return np.empty(0, np.float32)
    return np.ctypeslib.as_array((ctypes.c_float * size).from_address(address))
