"""Matrix products on the writer's thread that leave the other cores to training.

OpenBLAS, which numpy brings, wakes a thread per core for a large product, and these spin for
tens of milliseconds after a product of half a millisecond: training would find its cores
busy. How many threads it takes can only be set for the whole process, which is not ours to
set. But a product of at most 2**18 multiplications it computes where it was called.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_Float = TypeVar("_Float", bound=np.floating[Any])

QUIET = 1 << 18
"""Multiplications up to which OpenBLAS stays on one thread (its GEMM_MULTITHREAD_THRESHOLD of 4)."""

_SIDE = 64
"""Of a tile: as many rows as columns are the cheapest to read."""


def product(a_RK: npt.NDArray[_Float], b_KC: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """a @ b, (R, C), of two matrices of one dtype, tile by tile on this thread alone."""
    (rows, inner), columns = a_RK.shape, b_KC.shape[1]
    if rows * inner * columns <= QUIET:
        return np.asarray(a_RK @ b_KC)
    width = max(1, min(columns, _SIDE))
    depth = max(1, min(inner, QUIET // (width * _SIDE)))
    height = max(1, QUIET // (width * depth))
    out = np.zeros((rows, columns), a_RK.dtype)
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            tile = out[top : top + height, left : left + width]
            for begin in range(0, inner, depth):
                part = a_RK[top : top + height, begin : begin + depth]
                tile += part @ b_KC[begin : begin + depth, left : left + width]
    return out
