"""The further quantities of a snapshot as parts of a frame, and which snapshots hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.errors import DamagedRunError
from paramviz.schema import Plan
from paramviz.store import Run, StoredSnapshot

Part = Mapping[str, tuple[str, str]]

PARTS: Mapping[str, Part] = {
    "gradient_values": {
        "samples": ("gradient_values", "<f2"),
        "exponents": ("gradient_exponents", "<i2"),
    },
    "update_values": {
        "samples": ("update_values", "<f2"),
        "exponents": ("update_exponents", "<i2"),
    },
    "cells": {
        "mean": ("cells_mean", "<f2"),
        "rms": ("cells_rms", "<f2"),
        "absmax": ("cells_absmax", "<f2"),
        "exponents": ("cell_exponents", "<i2"),
    },
    "norms": {
        "rows": ("row_norms", "<f2"),
        "columns": ("column_norms", "<f2"),
        "gradient_rows": ("gradient_row_norms", "<f2"),
        "gradient_columns": ("gradient_column_norms", "<f2"),
        "exponents": ("norm_exponents", "<i2"),
    },
    "heads": {"norms": ("head_norms", "<f4")},
    "neighbours": {
        "tokens": ("embedding_neighbours", "<i4"),
        "distances": ("embedding_distances", "<f4"),
        "variance": ("embedding_variance", "<f8"),
    },
}
"""Part of a frame → its fields → (array in the store, dtype on the wire). The first field is always there."""


def holds(snapshot: StoredSnapshot, part: str) -> bool:
    """Whether the snapshot has what the part cannot be without; nothing is read but its record."""
    first, _ = next(iter(PARTS[part].values()))
    return first in snapshot.record.arrays


def content(snapshot: StoredSnapshot, part: str) -> dict[str, Any] | None:
    """The fields of a part as raw bytes, nil where one was not recorded; None without its first one."""
    if not holds(snapshot, part):
        return None
    return {field: _raw(snapshot.array(key), dtype) for field, (key, dtype) in PARTS[part].items()}


def n_bytes(snapshot: StoredSnapshot, part: str) -> int:
    """Bytes of the arrays of a part, as the plan says; nothing of them is read."""
    recorded = snapshot.record.arrays
    return sum(snapshot.raw_bytes(key) for key, _ in PARTS[part].values() if key in recorded)


def places_of(run: Run, plan: Plan) -> dict[str, Any]:
    """Where the tensors lie in the packed arrays: of each that is there [tensor, offset, count], in order."""
    places = run.shapes(plan.number).places
    packings = {"cells": places.cells, "rows": places.rows, "columns": places.columns, "heads": places.heads}
    return {
        name: [[index, place.offset, place.size] for index, place in packing.places.items()]
        for name, packing in packings.items()
    }


class Holdings:
    """Which snapshots of a run hold a part. Each record is read once at most, when a question needs it."""

    def __init__(self, run: Run, most: int | None = None) -> None:
        """most: how many snapshots either way are looked at; each may cost a request."""
        self._run = run
        self._most = most
        self._known: dict[str, dict[int, bool]] = {part: {} for part in PARTS}

    def around(self, iteration: int, part: str) -> tuple[int | None, int | None]:
        """(the newest snapshot not after an iteration that holds a part, the next one that does).

        None where there is none. A snapshot whose record is damaged holds nothing. Raises UnreachableError.
        """
        iterations = self._run.iterations
        at = int(np.searchsorted(iterations, iteration, side="right"))
        before, after = iterations[:at][::-1][: self._most], iterations[at:][: self._most]
        return self._first(before.tolist(), part), self._first(after.tolist(), part)

    def _first(self, iterations: Sequence[int], part: str) -> int | None:
        return next((iteration for iteration in iterations if self._holds(iteration, part)), None)

    def _holds(self, iteration: int, part: str) -> bool:
        known = self._known[part]
        if iteration not in known:
            try:
                snapshot: StoredSnapshot | None = self._run[iteration]
            except DamagedRunError:
                snapshot = None
            for each, answers in self._known.items():
                answers[iteration] = snapshot is not None and holds(snapshot, each)
        return known[iteration]


def _raw(array: npt.NDArray[Any] | None, dtype: str) -> bytes | None:
    return None if array is None else np.ascontiguousarray(array, dtype=dtype).tobytes()
