"""Which dense block holds the samples of a snapshot, out of records that may be a stranger's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from paramviz.store import layout, limits
from paramviz.store.checked import whole
from paramviz.store.codec import CorruptBytesError, check_extent
from paramviz.store.dense import Differences, dense_layout
from paramviz.store.encoded import DamagedArrayError
from paramviz.store.groups import read_record_bytes
from paramviz.store.layout import ArrayLayout
from paramviz.store.records import FileSeal, Record, open_record, read_files
from paramviz.store.source import Source

Iterations = tuple[int, ...]

INDEX_KEY = f"{layout.DENSE}/{layout.GROUP_RECORD}"
"""The record of all blocks."""


VALUES = "values"
"""The array of a snapshot that may lie in a block, and the array of a block."""


def is_samples(relative: str) -> bool:
    """Whether a file of a snapshot's group is one of those that a block stands for."""
    return relative.startswith(f"{VALUES}/")


class Place(NamedTuple):
    """Where the samples of a snapshot are: row `row` of block `block`."""

    block: int
    row: int


@dataclass(frozen=True, slots=True)
class DenseBlock:
    """A block whose seal holds: `samples` of each of its `iterations`, as `layout` has them."""

    key: str
    iterations: Iterations
    samples: int
    differences: Differences
    layout: ArrayLayout
    files: dict[str, FileSeal]


def index_record(blocks: Iterable[Iterations]) -> Record:
    """The record of the group `dense`: the iterations of each block."""
    return {"iterations": [list(iterations) for iterations in blocks]}


def block_record(number: int, iterations: Iterations, samples: int, differences: Differences) -> Record:
    """A block's record, without the list of its files."""
    return {
        "block": number,
        "iterations": list(iterations),
        "values": samples,
        "differences": differences,
    }


def read_index(source: Source) -> dict[int, Iterations]:
    """The iterations of each block by its number; CorruptBytesError or OSError if they cannot be told."""
    record = open_record(read_record_bytes(source, INDEX_KEY))
    lists = record.get("iterations")
    if not isinstance(lists, list):
        raise CorruptBytesError("holds no list of blocks")
    return {number: _iterations(iterations) for number, iterations in enumerate(lists)}


def read_block(source: Source, number: int) -> DenseBlock:
    """Block `number`; DamagedArrayError if its record makes no sense."""
    group = layout.block_key(layout.DENSE, number)
    key = f"{group}/{layout.GROUP_RECORD}"
    try:
        record = open_record(read_record_bytes(source, key))
        iterations, samples = _iterations(record["iterations"]), whole(record["values"], "values")
        if record["block"] != number:
            raise CorruptBytesError("is the record of another block")
        if not samples:
            raise CorruptBytesError("holds a block without samples")
        plan, files = dense_layout(len(iterations), samples), read_files(record)
        array = f"{VALUES}/{plan.chunk_name}"
        # Checksums of the inner chunks make it possible to read a block by bounded parts, whatever its size.
        if array not in files or len(files[array].chunks) != plan.n_inner:
            raise CorruptBytesError("does not list its array with the checksums of its chunks")
        check_extent(plan, files[array].length)
        differences = _differences(record["differences"])
        return DenseBlock(group, iterations, samples, differences, plan, files)
    except FileNotFoundError as error:
        raise DamagedArrayError(key, "is missing") from error
    except KeyError as error:
        raise DamagedArrayError(key, f"holds a record without {error}") from error
    except (CorruptBytesError, OSError) as error:
        raise DamagedArrayError(key, str(error)) from error


def block_by_iteration(blocks: dict[int, Iterations]) -> dict[int, int]:
    """The number of the block that holds an iteration; CorruptBytesError if two do."""
    found: dict[int, int] = {}
    for number, iterations in blocks.items():
        for iteration in iterations:
            if iteration in found:
                raise CorruptBytesError(f"has iteration {iteration} in two blocks")
            found[iteration] = number
    return found


def _iterations(listed: Any) -> Iterations:
    if not isinstance(listed, list) or not 1 <= len(listed) <= limits.DENSE_SNAPSHOTS:
        raise CorruptBytesError(f"holds a block of no, or more than {limits.DENSE_SNAPSHOTS}, iterations")
    iterations = tuple(whole(iteration, "an iteration") for iteration in listed)
    if len(set(iterations)) < len(iterations):
        raise CorruptBytesError("holds a block with an iteration twice")
    return iterations


def _differences(value: Any) -> Differences:
    times = whole(value, "differences", most=2)
    if times == 0:
        raise CorruptBytesError("holds 0 as differences, which must be 1 or 2")
    return 1 if times == 1 else 2
