"""How fast the recorder's loops read a tensor, beside how fast this machine reads memory at all."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bench.reporting import row
from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS
from paramviz.statistics import engine, group_squares, measure, sum_grid

ROWS, COLUMNS, COPIES = 4096, 4096, 3
"""Tensors of 64 MiB that take turns: none is in a cache when its turn comes."""

Matrix = npt.NDArray[np.float32]


def print_kernels(repeats: int = 7) -> None:
    rng = np.random.default_rng(0)
    matrices = [0.02 * rng.standard_normal((ROWS, COLUMNS), np.float32) for _ in range(COPIES)]
    statistics, histogram = np.empty(len(MOMENT_KEYS)), np.zeros(HISTOGRAM_BINS, np.uint32)
    edges = np.linspace(0, ROWS, 33).astype(np.int64)
    limit = _speed(lambda x: x.max(), matrices, repeats)
    row(f"memory read limit (numpy's max), engine {engine()}", f"{limit:.1f} GB/s")
    for name, kernel in (
        ("moments and extremes", lambda x: measure(x, statistics, None)),
        ("moments, extremes and histogram", lambda x: measure(x, statistics, histogram)),
        ("cells, row and column norms", lambda x: sum_grid(x, edges, edges)),
        ("norms of heads", lambda x: group_squares(x, 12, 1)),
        ("all of these", lambda x: _everything(x, statistics, histogram, edges)),
    ):
        speed = _speed(kernel, matrices, repeats)
        row(name, f"{speed:.1f} GB/s, {100 * speed / limit:.0f} % of the limit")


def _everything(
    x: Matrix,
    statistics: npt.NDArray[np.float64],
    histogram: npt.NDArray[np.uint32],
    edges: npt.NDArray[np.int64],
) -> None:
    measure(x, statistics, histogram)
    sum_grid(x, edges, edges)
    group_squares(x, 12, 1)


def _speed(kernel: Callable[[Matrix], object], matrices: list[Matrix], repeats: int) -> float:
    """GB/s of the fastest reading: other programs can only slow it down."""
    taken_s = []
    for turn in range(repeats):
        x = matrices[turn % len(matrices)]
        started = time.perf_counter()
        kernel(x)
        taken_s.append(time.perf_counter() - started)
    return matrices[0].nbytes / min(taken_s) / 1e9
