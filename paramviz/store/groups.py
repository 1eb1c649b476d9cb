"""Reading the groups that are written once: plans, bases, the vocabulary. For probes see `probe_group`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paramviz.errors import DamagedRunError
from paramviz.places import Places
from paramviz.schema import EmbeddingBasis, Plan
from paramviz.store import collector, layout, limits
from paramviz.store.checked import whole
from paramviz.store.codec import CorruptBytesError
from paramviz.store.plan_record import read_embedding, read_frozen_counts, read_tensors
from paramviz.store.records import FileSeal, Record, open_record, read_files
from paramviz.store.source import Source

Array = npt.NDArray[Any]
Damaged = Callable[[str, str], DamagedRunError]
"""(key, reason) → the error to raise."""


ASCENDING = ("positions", "vector_positions", "cell_edges")
"""Arrays of a plan that may compress very much."""


def unbacked_bytes(plan: Plan, files: Mapping[str, FileSeal]) -> int:
    """How many bytes of a plan's `ASCENDING` arrays are beyond `limits.KEPT_EXPANSION` times their files.

    files: those of the plan's group, by key relative to it.
    """
    lengths = {name: seal.length for name in ASCENDING if (seal := files.get(f"{name}/c.0")) is not None}
    return sum(
        max(0, getattr(plan, name).nbytes - limits.KEPT_EXPANSION * length)
        for name, length in lengths.items()
    )


class StoredPlan(NamedTuple):
    """A plan, and the files that its record vouches for."""

    plan: Plan
    files: dict[str, FileSeal]


def read_plan(source: Source, number: int, damaged: Damaged) -> StoredPlan:
    """Plan `number` with its positions, but not the samples in it; raises what `damaged` makes of anything
    wrong."""
    with collector.paused():
        return _read_plan(source, layout.plan_key(number), number, damaged)


def _read_plan(source: Source, key: str, number: int, damaged: Damaged) -> StoredPlan:
    record = read_group_record(source, key, damaged)

    def array(name: str, shape: tuple[int, ...], dtype: str) -> Array:
        unbacked = limits.PLAN_UNBACKED_BYTES if name in ASCENDING else limits.KEPT_UNBACKED_BYTES
        return read_kept_array(source, key, name, shape, dtype, record, unbacked)

    try:
        tensors = read_tensors(record)
        tokens = 0 if record["embedding"] is None else whole(record["embedding"]["tokens"], "tokens")
        rows = array("embedding_tokens", (tokens,), "<i4")
        embedding, frozen = read_embedding(record, tensors, rows), read_frozen_counts(record)
        # Format 0.1 had nothing of these.
        n_edges, neighbours = (
            whole(record.get(name, 0), name) for name in ("cell_edges", "neighbour_tokens")
        )
        sketch = whole(record.get("sketch", 0), "a sketch", most=limits.SKETCH_WIDTH)
        sketch_shape = (0 if embedding is None else embedding.width, sketch)
        plan = Plan(
            number,
            tensors,
            positions=array("positions", (record["values"],), "<i8"),
            vector_positions=array("vector_positions", (record["vectors"],), "<i8"),
            embedding=embedding,
            frozen_values=frozen["values"],
            frozen_vectors=frozen["vectors"],
            cell_edges=array("cell_edges", (n_edges,), "<i8"),
            sketch_basis=array("sketch_basis", sketch_shape, "<f4") if sketch else None,
            neighbour_tokens=array("neighbour_tokens", (neighbours,), "<i4"),
        )
        if n_edges and n_edges != Places(plan).n_edges:
            raise CorruptBytesError(f"holds {n_edges} edges of cells, which its catalogue does not have")
        return StoredPlan(plan, read_files(record))
    except (CorruptBytesError, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(key, f"cannot be read ({error})") from error


def read_basis(source: Source, number: int, damaged: Damaged) -> EmbeddingBasis:
    """Basis `number`; raises what `damaged` makes of anything wrong."""
    key = layout.basis_key(number)
    record = read_group_record(source, key, damaged)
    try:
        scores = whole(record["scores"], "scores", most=limits.BASIS_SCORES)
        width = whole(record["width"], "a width", most=limits.EMBEDDING_WIDTH)
        return EmbeddingBasis(
            number,
            whole(record["iteration"], "an iteration"),
            read_kept_array(source, key, "components", (scores, width), "<f4", record),
            read_kept_array(source, key, "mean", (width,), "<f4", record),
            read_kept_array(source, key, "explained", (scores,), "<f4", record),
        )
    except (CorruptBytesError, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(key, f"cannot be read ({error})") from error


def read_vocabulary(source: Source, damaged: Damaged) -> tuple[str, ...]:
    """The token strings by number; raises what `damaged` makes of anything wrong."""
    key = layout.VOCABULARY
    record = read_group_record(source, key, damaged)
    try:
        n_tokens, n_bytes = whole(record["tokens"], "tokens"), whole(record["bytes"], "bytes")
        text = read_kept_array(source, key, "text", (n_bytes,), "|u1", record).tobytes()
        offsets = read_kept_array(source, key, "offsets", (n_tokens + 1,), "<i8", record)
        # Texts that overlap would unfold a small file into any amount of memory.
        if offsets[0] != 0 or offsets[-1] != n_bytes or (np.diff(offsets) < 0).any():
            raise CorruptBytesError("holds offsets that do not part its text")
        ends = offsets.tolist()
        return tuple(text[start:end].decode("utf-8", "surrogatepass") for start, end in pairwise(ends))
    except (CorruptBytesError, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(key, f"cannot be read ({error})") from error


def read_group_record(source: Source, key: str, damaged: Damaged) -> Record:
    """The sealed record of the group at `key`; raises what `damaged` makes of anything wrong."""
    path = f"{key}/{layout.GROUP_RECORD}"
    try:
        return open_record(read_record_bytes(source, path))
    except OSError as error:
        raise damaged(path, "is missing") from error
    except CorruptBytesError as error:
        raise damaged(path, str(error)) from error


def read_record_bytes(source: Source, path: str) -> bytes:
    """What is under `path`, and no more of it than shows that it is too much for a record."""
    return source.read(path, limits.RECORD_BYTES + 1)


def read_kept_array(
    source: Source,
    key: str,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    record: Record,
    unbacked: int = limits.KEPT_UNBACKED_BYTES,
) -> npt.NDArray[Any]:
    """An array below a group that stays in memory, checked against the seal in the group's record.

    unbacked: so many bytes may come out of a file of any size.
    """
    if 0 in shape:
        return np.empty(shape, dtype)
    plan, files = layout.layout_of(name, shape, dtype), read_files(record)
    seal = files.get(f"{name}/{plan.chunk_name}")
    n_bytes = math.prod(shape) * plan.dtype.itemsize
    if seal is not None and n_bytes > max(unbacked, limits.KEPT_EXPANSION * seal.length):
        raise CorruptBytesError(f"has {seal.length:,} bytes for the {n_bytes:,} of {name}")
    return source.read_array(key, name, plan, files)
