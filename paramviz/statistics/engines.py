"""What computes: compiled loops where numba is installed and works, numpy elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from paramviz.statistics import numpy_engine, numpy_updates


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to compute. Engines give the same numbers, to rounding.

    accumulate(x_N, tally, bins): adds elements to a tally and a histogram.
    compare(now_N, before_N, start_N, previous_update_N): (7,) changes of float32 samples.
    """

    name: str
    accumulate: Callable[..., Any]
    compare: Callable[..., Any]


NUMPY = Engine("numpy", numpy_engine.accumulate, numpy_updates.compare)


@cache
def current_engine() -> Engine:
    """The fastest engine that works here. numba is first imported now, which takes about a second."""
    try:
        from paramviz.statistics import numba_engine, numba_updates
    except Exception:
        # Missing, or at odds with this numpy or Python. Recording must not depend on it.
        return NUMPY
    return Engine("numba", numba_engine.accumulate, numba_updates.compare)
