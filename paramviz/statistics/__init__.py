"""From an array to its statistics: of the whole tensor, and of its samples against the past."""

from __future__ import annotations

import numpy as np

from paramviz.statistics.engines import current_engine
from paramviz.statistics.moments import measure
from paramviz.statistics.updates import compare_samples

__all__ = ["compare_samples", "engine", "measure", "warm_up"]


def engine() -> str:
    """What computes here: "numba", or "numpy" where that is not installed or does not work."""
    return current_engine().name


def warm_up() -> str:
    """Compiles the kernels for float32, or loads them from their cache, before the first step; `engine()`."""
    x = np.zeros(1, dtype=np.float32)
    measure(x, np.empty(14), np.empty(64, dtype=np.uint32))
    compare_samples(x, x, x, x)
    return engine()
