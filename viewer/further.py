"""The further quantities of a snapshot as parts of a frame, and which snapshots hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from paramviz.schema import Plan
from paramviz.store import Run, StoredSnapshot
from paramviz.store.holdings import Holdings
from viewer.packed import raw

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


def content(snapshot: StoredSnapshot, part: str) -> dict[str, Any] | None:
    """The fields of a part as raw bytes, nil where one was not recorded; None without its first one."""
    if _first(part) not in snapshot.record.arrays:
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


def around(holdings: Holdings, iteration: int, part: str) -> tuple[int | None, int | None]:
    """(the newest snapshot not after an iteration that holds a part, the next one that does).

    None where there is none. Raises UnreachableError.
    """

    def is_wanted(candidate: int) -> bool:
        return _first(part) in holdings.arrays(candidate)

    return holdings.newest(iteration, is_wanted), holdings.next(iteration, is_wanted)


def _first(part: str) -> str:
    """The array that the part cannot be without."""
    return next(iter(PARTS[part].values()))[0]


def _raw(array: npt.NDArray[Any] | None, dtype: str) -> bytes | None:
    return None if array is None else raw(array, dtype)
