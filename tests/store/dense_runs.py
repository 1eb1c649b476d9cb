"""Runs whose samples drift, so that dense blocks are worth while, and their packed copies."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from paramviz.schema import Snapshot
from paramviz.store import Run, pack_run
from tests.store import made_runs

ITERATIONS = 40
MATRIX = "h.0.fc.weight"


def values_of(iteration: int) -> np.ndarray:
    """Samples that drift, as weights do; among them NaN with a payload, infinities, zeros of both signs."""
    rng = np.random.default_rng(1)
    start, direction = rng.standard_normal((2, made_runs.N_VALUES))
    values = (start + 1e-4 * iteration * direction).astype(np.float16)
    odd = np.array([0x7E00, 0xFE01, 0x7C00, 0xFC00, 0x0000, 0x8000, 0x0001, 0x7D00], np.uint16)
    values[:8] = np.roll(odd, iteration).view(np.float16)
    return values


def drifting(iteration: int, plan: int = 0) -> Snapshot:
    return replace(made_runs.snapshot(iteration, plan=plan), values=values_of(iteration))


def make_run(path: Path) -> Path:
    """A finished run with iterations 0 to `ITERATIONS` - 1."""
    writer = made_runs.start(path)
    for iteration in range(ITERATIONS):
        made = drifting(iteration)
        writer.log_step(iteration, made.scalars, made.time_unix_s)
        writer.commit(made)
    writer.close("finished")
    return path


def make_packed(folder: Path) -> Path:
    """The same run as one file with dense blocks; the directory lies beside it."""
    return pack_run(make_run(folder / "run"), folder / "dense.zarr.zip", dense=True).path


def rewritten(packed: Path, out: Path, changes: dict[str, bytes | None]) -> Path:
    """A copy of a zip with other bytes in some members, or without them."""
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = changes.get(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return out


def member(packed: Path, name: str) -> bytes:
    with zipfile.ZipFile(packed) as archive:
        return archive.read(name)


def dense_members(packed: Path) -> list[str]:
    with zipfile.ZipFile(packed) as archive:
        return [name for name in archive.namelist() if name.startswith("dense/")]


def record_of(packed: Path, name: str) -> dict[str, Any]:
    record = json.loads(member(packed, name))["attributes"]["paramviz"]
    del record["crc32c"]
    return record


def assert_same(run: Run, iterations: Iterable[int]) -> None:
    for iteration in iterations:
        assert run[iteration].array("values").tobytes() == values_of(iteration).tobytes()
        assert run[iteration].values(MATRIX).tobytes() == values_of(iteration)[320:20_320].tobytes()
