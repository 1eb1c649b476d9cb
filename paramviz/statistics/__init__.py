"""From an array to its statistics: of the whole tensor, and of its samples against the past."""

from __future__ import annotations

from paramviz.statistics.combining import combine
from paramviz.statistics.engines import current_engine
from paramviz.statistics.grid import GridSums, group_parts, group_squares, sum_grid, sum_parts, whole_axis
from paramviz.statistics.many import ManyGrids, ManySums, gram_many, measure_many, moments_many, take_many
from paramviz.statistics.moments import measure, measure_parts
from paramviz.statistics.updates import compare_samples

__all__ = [
    "GridSums",
    "ManyGrids",
    "ManySums",
    "combine",
    "compare_samples",
    "engine",
    "gram_many",
    "group_parts",
    "group_squares",
    "measure",
    "measure_many",
    "measure_parts",
    "moments_many",
    "sum_grid",
    "sum_parts",
    "take_many",
    "warm_up",
    "whole_axis",
]


def engine() -> str:
    """What computes here: "numba", or "numpy" where that is not installed or does not work."""
    return current_engine().name


def warm_up() -> str:
    """Compiles the loops, or loads them from their cache, now instead of in the first step; `engine()`."""
    return engine()
