"""What computes: compiled loops where numba is installed and works, numpy elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS
from paramviz.statistics import compiler_pages, numpy_engine, numpy_grid, numpy_many, numpy_updates
from paramviz.statistics.tally import empty_tally


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to compute. Engines give the same numbers, to rounding.

    accumulate(x_N, tally, bins): adds elements to a tally and a histogram.
    compare(now_N, before_N, start_N, previous_update_N): (7,) changes of float32 samples.
    sum_up(x_RC, …): adds a matrix to the sums of its cells, rows and columns.
    group_squares(x_RC, …): adds it to the squares of equal parts.
    measure_many, take_many, moments_many, gram_many, sum_many: of many arrays by their addresses (`many`).
    """

    name: str
    accumulate: Callable[..., Any]
    compare: Callable[..., Any]
    sum_up: Callable[..., Any]
    group_squares: Callable[..., Any]
    measure_many: Callable[..., None]
    take_many: Callable[..., None]
    moments_many: Callable[..., None]
    gram_many: Callable[..., None]
    sum_many: Callable[..., None]


NUMPY = Engine(
    "numpy",
    numpy_engine.accumulate,
    numpy_updates.compare,
    numpy_grid.sum_up,
    numpy_grid.group_squares,
    numpy_many.measure_many,
    numpy_many.take_many,
    numpy_many.moments_many,
    numpy_many.gram_many,
    numpy_many.sum_many,
)


@cache
def current_engine() -> Engine:
    """The fastest engine that works here.

    The first call imports numba and compiles its loops for float32, or loads them
    from their cache: seconds the first time, a fraction of one later.
    """
    try:
        from paramviz.statistics import numba_engine, numba_grid, numba_many, numba_updates

        engine = Engine(
            "numba",
            numba_engine.accumulate,
            numba_updates.compare,
            numba_grid.sum_up,
            numba_grid.group_squares,
            numba_many.measure_many,
            numba_many.take_many,
            numba_many.moments_many,
            numba_many.gram_many,
            numba_many.sum_many,
        )
        x = np.zeros(1, dtype=np.float32)
        engine.accumulate(x, empty_tally(), None)
        engine.compare(x, x, x, x)
        sums, line = np.zeros((1, 1)), np.zeros(1)
        engine.sum_up(
            x[None],
            np.zeros(1, np.int64),
            np.array([0, 1]),
            *(sums.copy() for _ in range(4)),
            line,
            line.copy(),
        )
        engine.group_squares(x[None], np.zeros(1, np.int64), 1, sums)
        address, one, row = np.array([x.ctypes.data]), np.ones(1, np.int64), np.zeros(1, np.int64)
        table, bins = np.zeros((1, len(MOMENT_KEYS))), np.zeros((1, HISTOGRAM_BINS), np.uint32)
        engine.measure_many(address, one, row, table, bins)
        engine.take_many(address, row, one, row, np.zeros(1, np.float32))
        engine.moments_many(address, address, one, row, np.ones((1, 3)), np.zeros((1, 3)))
        pair = np.ones((1, 2), np.int64)
        engine.gram_many(address, pair, row, np.zeros(3))
        ends, offsets = np.array([[0, 2, 4]]), np.zeros((1, 3), np.int64)
        norms, cells = np.zeros((2, 1), np.float32), np.zeros((3, 1), np.float32)
        counts = np.zeros(1, np.uint32)
        engine.sum_many(address, pair, np.array([0, 1, 0, 1]), ends, offsets, counts, cells, *norms)
    except Exception:
        # Missing, at odds with this numpy or Python, no room for its cache: recording must not depend on it.
        return NUMPY
    compiler_pages.let_go()
    return engine
