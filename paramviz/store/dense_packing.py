"""Putting the samples of consecutive snapshots into dense blocks, on their way into a packed run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.store import layout
from paramviz.store.codec import decode_array
from paramviz.store.copying import KeyedFile
from paramviz.store.dense import Differences, dense_layout, encode_dense
from paramviz.store.dense_index import (
    INDEX_KEY,
    VALUES,
    Iterations,
    block_record,
    index_record,
    is_samples,
)
from paramviz.store.group_files import GroupEncoder, LaidOutArray, sealed_record
from paramviz.store.zip_directory import member_bytes

BLOCK_SNAPSHOTS = 16
"""More make a block hardly smaller, and one of its snapshots slower to read."""

BLOCK_BYTES = 32 << 20
"""Samples of a block. A reader that plays forward keeps all of it, decoded."""

_EACH: tuple[Differences, ...] = (1, 2)

_WORTH_WHILE = 0.95
"""A block that is not at least so much smaller stays away: it is slower to read."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A snapshot whose samples may go into a block. Its record is written behind them, wherever they are."""

    iteration: int
    plan: int
    values_N: npt.NDArray[np.float16]
    samples: list[KeyedFile]
    record: KeyedFile

    def fits(self, other: _Waiting) -> bool:
        """Whether the samples of both are at the same positions."""
        return (self.plan, len(self.values_N)) == (other.plan, len(other.values_N))


class DensePacker:
    """Changes the files of one copy: `snapshots` of it lie in blocks then, and save `saved_bytes`."""

    def __init__(self) -> None:
        self.snapshots = 0
        self.saved_bytes = 0
        self._encoder = GroupEncoder()
        self._blocks: list[Iterations] = []
        self._waiting: list[_Waiting] = []

    def repacked(self, files: Iterable[KeyedFile]) -> Iterator[KeyedFile]:
        """The files of `copied_files`, with blocks in place of the samples in them.

        At most the samples of one block are held in memory.
        """
        samples: list[KeyedFile] = []
        for key, data in files:
            iteration, relative = _snapshot_file(key)
            if iteration is None:
                yield from self._end()
                yield key, data
            elif is_samples(relative):
                samples.append((key, data))
            elif relative == layout.GROUP_RECORD:
                yield from self._add(iteration, samples, (key, data))
                samples = []
            else:
                yield key, data
        yield from self._end()

    def _add(self, iteration: int, samples: list[KeyedFile], record: KeyedFile) -> Iterator[KeyedFile]:
        values_N = _decoded(samples)
        if values_N is None:
            yield from self._seal()
            yield from (*samples, record)
            return
        added = _Waiting(iteration, _plan_of(record[1]), values_N, samples, record)
        if self._waiting and not self._waiting[-1].fits(added):
            yield from self._seal()
        self._waiting.append(added)
        if len(self._waiting) >= min(BLOCK_SNAPSHOTS, BLOCK_BYTES // values_N.nbytes):
            yield from self._seal()

    def _seal(self) -> Iterator[KeyedFile]:
        """What waits: a block if that is smaller, else the samples as they were; then the records."""
        waiting, self._waiting = self._waiting, []
        plain = [file for snapshot in waiting for file in snapshot.samples]
        block = self._block(waiting) if len(waiting) > 1 else plain
        saved = _bytes_of(plain) - _bytes_of(block)
        if saved > (1 - _WORTH_WHILE) * _bytes_of(plain):
            self.saved_bytes += saved
            self.snapshots += len(waiting)
            self._blocks.append(tuple(snapshot.iteration for snapshot in waiting))
            yield from block
        else:
            yield from plain
        yield from (snapshot.record for snapshot in waiting)

    def _block(self, waiting: list[_Waiting]) -> list[KeyedFile]:
        """The files of the smaller of the two blocks that can be made of some snapshots."""
        iterations = tuple(snapshot.iteration for snapshot in waiting)
        values_TN = np.stack([snapshot.values_N for snapshot in waiting])
        blocks = [self._encoded(iterations, values_TN, differences) for differences in _EACH]
        return min(blocks, key=_bytes_of)

    def _encoded(
        self, iterations: Iterations, values_TN: npt.NDArray[np.float16], differences: Differences
    ) -> list[KeyedFile]:
        number, plan = len(self._blocks), dense_layout(*values_TN.shape)
        files = self._encoder.files({VALUES: LaidOutArray(encode_dense(values_TN, differences), plan)})
        record = sealed_record(block_record(number, iterations, values_TN.shape[1], differences), files)
        key = layout.block_key(layout.DENSE, number)
        return [
            *((f"{key}/{relative}", data) for relative, data in files.items()),
            (f"{key}/{layout.GROUP_RECORD}", record),
        ]

    def _end(self) -> Iterator[KeyedFile]:
        """Behind the last snapshot: what waits, and the list of blocks."""
        yield from self._seal()
        if self._blocks:
            index = INDEX_KEY, layout.group_metadata(index_record(self._blocks))
            self.saved_bytes -= _bytes_of([index])
            self._blocks = []
            yield index


def _snapshot_file(key: str) -> tuple[int | None, str]:
    """(iteration, key relative to its group) of a file of a snapshot, (None, "") of any other."""
    folder, _, below = key.partition("/")
    name, _, relative = below.partition("/")
    iteration = layout.parse_iteration(name) if folder == layout.ITERATIONS else None
    return (iteration, relative) if relative else (None, "")


def _plan_of(record: bytes) -> int:
    return int(json.loads(record)["attributes"][layout.NAMESPACE]["plan"])


def _decoded(samples: list[KeyedFile]) -> npt.NDArray[np.float16] | None:
    """(N,) the samples in their files; None if these are not what a recorder writes, and must stay."""
    if len(samples) != 2:
        return None
    (_, chunk), (_, metadata) = samples
    try:
        plan = layout.read_array_metadata(metadata)
        if plan != layout.layout_of(VALUES, plan.shape, "<f2") or len(plan.shape) != 1:
            return None
        values: npt.NDArray[Any] = decode_array(chunk, plan)
    except ValueError:
        return None
    return values


def _bytes_of(files: Iterable[KeyedFile]) -> int:
    return sum(member_bytes(key, len(data)) for key, data in files)
