"""What computes: compiled loops where numba is installed and works, numpy elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from paramviz.statistics import numpy_engine, numpy_grid, numpy_updates
from paramviz.statistics.tally import empty_tally


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to compute. Engines give the same numbers, to rounding.

    accumulate(x_N, tally, bins): adds elements to a tally and a histogram.
    compare(now_N, before_N, start_N, previous_update_N): (7,) changes of float32 samples.
    sum_up(x_RC, …): adds a matrix to the sums of its cells, rows and columns.
    group_squares(x_RC, …): adds it to the squares of equal parts.
    """

    name: str
    accumulate: Callable[..., Any]
    compare: Callable[..., Any]
    sum_up: Callable[..., Any]
    group_squares: Callable[..., Any]


NUMPY = Engine(
    "numpy", numpy_engine.accumulate, numpy_updates.compare, numpy_grid.sum_up, numpy_grid.group_squares
)


@cache
def current_engine() -> Engine:
    """The fastest engine that works here.

    The first call imports numba and compiles its loops for float32, or loads them
    from their cache: seconds the first time, a fraction of one later.
    """
    try:
        from paramviz.statistics import numba_engine, numba_grid, numba_updates

        engine = Engine(
            "numba",
            numba_engine.accumulate,
            numba_updates.compare,
            numba_grid.sum_up,
            numba_grid.group_squares,
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
    except Exception:
        # Missing, at odds with this numpy or Python, no room for its cache: recording must not depend on it.
        return NUMPY
    return engine
