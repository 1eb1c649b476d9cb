"""Runs whose every number is chosen, so that a test can say what colour a place must have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paramviz.places import Places
from paramviz.scaled import to_scaled
from paramviz.schema import STATISTIC_KEYS, Event, GradientStates, Snapshot, TensorInfo
from paramviz.store import RunWriter

SIDE, GRID = 1024, 64
OUTLIER = (20, 40)
"""The cell of the large matrix in which one element, that was not sampled, is a hundred times the others."""
FINE_GRID = 256
"""So many cells a side that a pixel of a far picture has several."""
SCATTERED = tuple((11 + 41 * k, 13 + 43 * (2 * k % 5)) for k in range(5))
"""Such cells of the fine grid that lie apart, at other places within their pixels."""


def tensors_of(grid: int) -> tuple[TensorInfo, ...]:
    return (
        TensorInfo(
            0,
            "large.weight",
            (SIDE, SIDE),
            "float32",
            "other",
            None,
            "mlp",
            samples=grid * grid,
            grid=(grid, grid),
        ),
        TensorInfo(
            1,
            "small.weight",
            (4, 4),
            "float32",
            "other",
            None,
            "attention",
            samples=16,
            grid=(4, 4),
            offset=grid * grid,
        ),
        TensorInfo(
            2,
            "small.bias",
            (4,),
            "float32",
            "bias",
            None,
            "attention",
            samples=4,
            grid=(1, 4),
            array="vectors",
        ),
    )


TENSORS = tensors_of(GRID)
N_VALUES = GRID * GRID + 16

SMALL = np.array(
    [
        [0.5, -0.5, 0.0, 1.0],
        [np.nan, np.inf, -np.inf, 0.25],
        [-0.125, 0.75, -1.0, 0.1],
        [0.2, 0.3, -0.4, 4.0],
    ],
    np.float32,
)
"""The small matrix at the first snapshot."""
STEP = np.array([[0.25, -0.125, 0.0, 0.5], [0, 0, 0, 0.5], [0, 0, 0, 0], [1, 1, -1, 0]], np.float32)
"""By how much it is larger at each further one."""
GRADIENT = np.arange(-8, 8, dtype=np.float32).reshape(4, 4) * np.float32(1e-6)
ROW_NORMS = np.array([1.0, 3.0, 4.0, 2.0], np.float32)
COLUMN_NORMS = np.array([4.0, 3.0, 2.0, 1.0], np.float32)
BIAS = np.array([1.0, -1.0, 0.5, 0.0], np.float32)
RMS, ABSMAX = 1 / 3, 8.0
"""Statistics of every tensor: the end of its scale is 3 × RMS = 1."""


def small_at(iteration: int) -> npt.NDArray[np.float32]:
    """The small matrix as it is stored."""
    return (SMALL + iteration * STEP).astype(np.float16).astype(np.float32)


def large_positions(grid: int = GRID) -> npt.NDArray[np.int64]:
    at = np.arange(grid, dtype=np.int64) * (SIDE // grid)
    return (at[:, None] * SIDE + at[None, :]).reshape(-1)


def make_run(
    path: Path,
    iterations: int = 3,
    shift: float = 0.0,
    outliers: Sequence[tuple[int, int]] = (OUTLIER,),
    grid: int = GRID,
) -> Path:
    """Key snapshots at 0 and nowhere else. `shift` is added to the small matrix."""
    tensors, n_values = tensors_of(grid), grid * grid + 16
    writer = RunWriter.create(path, description={"model": "made"})
    edges = np.arange(grid + 1, dtype=np.int64) * (SIDE // grid)
    plan = writer.add_plan(
        tensors,
        np.concatenate([large_positions(grid), np.arange(16)]),
        np.arange(4),
        None,
        cell_edges=np.concatenate([edges, edges]),
    )
    places = Places(plan)
    for iteration in range(iterations):
        is_key = iteration == 0
        statistics = np.zeros((len(tensors), len(STATISTIC_KEYS)), np.float32)
        statistics[:, STATISTIC_KEYS.index("rms")] = RMS
        statistics[:, STATISTIC_KEYS.index("absmax")] = ABSMAX + iteration
        values = np.full(n_values, 0.25, np.float16)
        values[grid * grid :] = (small_at(iteration) + np.float32(shift)).astype(np.float16).reshape(-1)
        writer.commit(
            Snapshot(
                iteration,
                0,
                "key" if is_key else "core",
                1_790_000_000.0 + iteration,
                {"loss": 1.0},
                [Event(iteration, "validation", "")] if is_key else [],
                GradientStates(),
                values=values,
                vectors=BIAS,
                statistics=statistics,
                more=further(places, outliers, grid) if is_key else {},
            )
        )
    writer.close("finished")
    return path


def further(
    places: Places, outliers: Sequence[tuple[int, int]], grid: int
) -> dict[str, npt.NDArray[np.generic]]:
    n_values = grid * grid + 16
    gradient, exponent = to_scaled(GRADIENT)
    samples = np.zeros(n_values + 4, np.float16)
    samples[grid * grid : n_values] = gradient.reshape(-1)
    absmax = np.ones((grid, grid), np.float32)
    absmax[tuple(zip(*outliers, strict=True))] = 100.0
    scaled_absmax, absmax_exponent = to_scaled(absmax)
    rows = np.ones(places.rows.length, np.float16)
    columns = np.ones(places.columns.length, np.float16)
    norms = (rows, places.rows, ROW_NORMS), (columns, places.columns, COLUMN_NORMS)
    for array, packing, chosen in norms:
        place = packing.places[1]
        array[place.offset : place.offset + place.size] = chosen
    return {
        "gradient_values": samples,
        "gradient_exponents": np.array([0, exponent, 0], np.int16),
        "cells_mean": np.full(places.cells.length, 0.5, np.float16),
        "cells_rms": np.full(places.cells.length, 0.5, np.float16),
        "cells_absmax": scaled_absmax.reshape(-1),
        "cell_exponents": np.array([[0, 0, absmax_exponent]], np.int16),
        "row_norms": rows,
        "column_norms": columns,
        "norm_exponents": np.zeros((places.rows.entries, 4), np.int16),
    }
