"""From an array to its statistics: of the whole tensor, and of its samples against the past."""

from paramviz.statistics.measure import engine, measure, warm_up
from paramviz.statistics.updates import compare_samples

__all__ = ["compare_samples", "engine", "measure", "warm_up"]
