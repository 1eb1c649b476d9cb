"""Blocks: many snapshots' statistics, and many steps' scalars, side by side.

What is in them is in the snapshots' groups and in the journal too. A block
only makes it quick to follow one tensor over thousands of snapshots, and lets
other Zarr readers see the scalars. Pure: nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.store.group_files import LaidOutArray, laid_out
from paramviz.store.layout import ArrayLayout, timeline_layout
from paramviz.store.records import Record

TIMELINE_TABLES = ("statistics", "gradient_statistics")

BLOCK_SNAPSHOTS = 256
SMALLEST_BLOCK = 16
BLOCK_BYTES = 32 << 20
"""A model of many thousand tensors gets shorter blocks, so that what waits stays bounded."""

BLOCK_STEPS = 4096
BLOCK_CELLS = 1 << 20
"""Steps times names of a block of scalars, if there are very many names."""


@dataclass(frozen=True, slots=True)
class Block:
    """The arrays of a block and its record, without the list of files."""

    arrays: dict[str, LaidOutArray]
    record: Record


class TimelineBuilder:
    """Collects the tables of snapshots, in the order of their commits, into blocks of one plan each."""

    def __init__(self) -> None:
        self._plan = -1
        self._iterations: list[int] = []
        self._tables: dict[str, list[npt.NDArray[np.float32] | None]] = {key: [] for key in TIMELINE_TABLES}
        self._capacity = BLOCK_SNAPSHOTS

    def add(self, iteration: int, plan: int, tables: Mapping[str, Any]) -> Block | None:
        """Take a copy of a snapshot's tables, (tensors, keys) float32 or None; a block if one is full now."""
        given = {key: tables.get(key) for key in TIMELINE_TABLES}
        n_bytes = sum(table.nbytes for table in given.values() if table is not None)
        if not n_bytes:
            return None
        block = self.take() if plan != self._plan else None
        self._plan = plan
        self._capacity = max(SMALLEST_BLOCK, min(BLOCK_SNAPSHOTS, BLOCK_BYTES // n_bytes))
        self._iterations.append(iteration)
        for key, table in given.items():
            self._tables[key].append(None if table is None else table.astype("<f4"))
        return self.take() if len(self._iterations) >= self._capacity else block

    def take(self) -> Block | None:
        """A block of what waits, None if nothing does."""
        if not self._iterations:
            return None
        arrays = laid_out({"iterations": np.array(self._iterations, "<i8")})
        for key, tables in self._tables.items():
            shape = next((table.shape for table in tables if table is not None), None)
            if shape is None:
                continue
            unknown = np.full(shape, np.nan, "<f4")
            stacked = np.stack([unknown if table is None else table for table in tables], axis=-1)
            arrays[key] = LaidOutArray(stacked, timeline_layout(stacked.shape))
        record = {"plan": self._plan, "snapshots": len(self._iterations)}
        self._iterations.clear()
        for tables in self._tables.values():
            tables.clear()
        return Block(arrays, record)


class ScalarBuilder:
    """Collects the scalars of steps into blocks."""

    def __init__(self) -> None:
        self._steps: dict[int, dict[str, float]] = {}
        self._names: dict[str, None] = {}

    def add(self, iteration: int, scalars: Mapping[str, float]) -> Block | None:
        """Take the scalars of a step, which add to those that it has; a block if one is full now."""
        self._steps.setdefault(iteration, {}).update(scalars)
        self._names.update(dict.fromkeys(scalars))
        full = len(self._steps) >= BLOCK_STEPS or len(self._steps) * len(self._names) >= BLOCK_CELLS
        return self.take() if full else None

    def take(self) -> Block | None:
        """A block of what waits, None if nothing does."""
        if not self._names:
            return None
        steps = sorted(self._steps.items())
        nan = float("nan")
        values = np.array([[scalars.get(name, nan) for _, scalars in steps] for name in self._names], "<f8")
        arrays = laid_out({"iterations": np.array([iteration for iteration, _ in steps], "<i8")})
        dimensions = ("scalar", "step")
        arrays["values"] = LaidOutArray(
            values, ArrayLayout(values.shape, values.dtype, dimension_names=dimensions)
        )
        record = {"names": list(self._names), "steps": len(steps)}
        self._steps.clear()
        self._names.clear()
        return Block(arrays, record)
