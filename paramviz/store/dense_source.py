"""A run of which many snapshots' samples lie in dense blocks, read as if each had its own.

`DenseSource` stands before the source of the container and answers for the
array `values` of the snapshots in its blocks; whoever reads a run does not know.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.store import layout
from paramviz.store.cache import ArrayCache
from paramviz.store.codec import CorruptBytesError, crc32c
from paramviz.store.dense import Bits, decode_piece, float16_of
from paramviz.store.dense_index import (
    INDEX_KEY,
    VALUES,
    DenseBlock,
    Iterations,
    Place,
    block_by_iteration,
    is_samples,
    read_block,
    read_index,
)
from paramviz.store.encoded import DamagedArrayError, FileCheck
from paramviz.store.group_files import GroupEncoder, LaidOutArray
from paramviz.store.layout import ArrayLayout
from paramviz.store.source import Files, Source

Array = npt.NDArray[Any]

_CACHE_BYTES = 48 << 20
"""Decoded pieces: whoever plays forward decodes each of them once, up to 1.5 million samples a snapshot."""

_READ_BYTES = 16 << 20
"""Decoded bytes per read of neighbouring pieces: a whole snapshot of most models in one request."""


class DenseSource:
    """May be used from several threads at once."""

    def __init__(self, source: Source) -> None:
        self.path = source.path
        self.lists_quickly = source.lists_quickly
        self.look_interval_s = source.look_interval_s
        self._source = source
        self._pieces = ArrayCache(_CACHE_BYTES)
        self._encoder = GroupEncoder()
        self._lock = threading.Lock()
        self._blocks: dict[int, DenseBlock] = {}
        self._index: dict[int, Iterations] | None = None
        self._block_by_iteration: dict[int, int] = {}

    @staticmethod
    def is_needed_for(source: Source) -> bool:
        """Whether there are dense blocks. One of the two records may be lost without the other."""
        first = f"{layout.block_key(layout.DENSE, 0)}/{layout.GROUP_RECORD}"
        return any(source.size(key) is not None for key in (INDEX_KEY, first))

    def writer_alive(self) -> bool | None:
        return self._source.writer_alive()

    def size(self, key: str) -> int | None:
        return self._source.size(key)

    def read(self, key: str, most: int) -> bytes:
        return self._source.read(key, most)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self._source.read_range(key, start, length)

    def list_folder(self, key: str) -> list[str]:
        return self._source.list_folder(key)

    def names_from(self, key: str, first: str, most: int) -> list[str]:
        return self._source.names_from(key, first, most)

    def read_array(self, group: str, name: str, plan: ArrayLayout, files: Files) -> Array:
        place = self._place_of(group, name, plan, files)
        if place is None:
            return self._source.read_array(group, name, plan, files)
        return self._read(place, group, plan, 0, plan.shape[0])

    def read_rows(
        self, group: str, name: str, plan: ArrayLayout, files: Files, start: int, count: int
    ) -> Array:
        place = self._place_of(group, name, plan, files)
        if place is None:
            return self._source.read_rows(group, name, plan, files, start, count)
        return self._read(place, group, plan, start, count)

    def encoded_files(self, group: str, files: Files) -> Iterator[tuple[str, bytes]]:
        """What lies in a block is encoded anew: with the zstd that wrote it, the same bytes."""
        made = self._encoded_values(group, files)
        for relative, seal in files.items():
            if relative in made:
                yield relative, made[relative]
            else:
                yield from self._source.encoded_files(group, {relative: seal})

    def check_files(self, group: str, files: Files) -> Iterator[FileCheck]:
        """The files of a group that are there; `check_blocks` checks what is not."""
        own = {relative: seal for relative, seal in files.items() if not self.holds(group, relative)}
        return self._source.check_files(group, own)

    def check_blocks(self) -> Iterator[FileCheck]:
        """The list of blocks and every file of each; what is wrong with one says which snapshots it costs."""
        yield self._check_index()
        index = self._blocks_listed()
        for number, iterations in index.items():
            affected = f"; the values of iterations {iterations[0]} to {iterations[-1]} are in it"
            try:
                block = self._block(number)
                yield FileCheck(key := f"{block.key}/{layout.GROUP_RECORD}", self.size(key) or 0)
                for check in self._source.check_files(block.key, block.files):
                    problem = check.problem
                    yield check if problem is None else check._replace(problem=problem + affected)
            except DamagedArrayError as error:
                yield FileCheck(error.key, self.size(error.key) or 0, f"{error}{affected}")

    def holds(self, group: str, relative: str) -> bool:
        """Whether a file of a snapshot's record lies in a block instead."""
        return is_samples(relative) and self._place(group) is not None

    def share_bytes(self, group: str) -> float:
        """What a snapshot takes of its block, an even share; 0 if it is in none, or in a damaged one."""
        place = self._place(group)
        try:
            block = None if place is None else self._block(place.block)
        except DamagedArrayError:
            block = None
        if block is None:
            return 0.0
        return sum(seal.length for seal in block.files.values()) / len(block.iterations)

    def _place(self, group: str) -> Place | None:
        """Where the samples of the snapshot with this group are, None if it has its own, or is none."""
        folder, _, name = group.partition("/")
        iteration = layout.parse_iteration(name) if folder == layout.ITERATIONS else None
        if iteration is None:
            return None
        index = self._blocks_listed()
        number = self._block_by_iteration.get(iteration)
        return None if number is None else Place(number, index[number].index(iteration))

    def _place_of(self, group: str, name: str, plan: ArrayLayout, files: Files) -> Place | None:
        """The same for an array, which must be one that the record lists."""
        place = self._place(group) if name == VALUES else None
        if place is not None and f"{name}/{plan.chunk_name}" not in files:
            raise DamagedArrayError(f"{group}/{name}/{plan.chunk_name}", "is not in the record of its group")
        return place

    def _read(
        self, place: Place, group: str, plan: ArrayLayout, start: int, count: int
    ) -> npt.NDArray[np.float16]:
        """Samples start … start + count of a snapshot."""
        block = self._block(place.block)
        if plan.shape != (block.samples,):
            raise DamagedArrayError(
                f"{block.key}/{layout.GROUP_RECORD}",
                f"holds {block.samples:,} samples of a snapshot, and {group} is to have {plan.shape[0]:,}",
            )
        piece = block.layout.shape[2]
        first, last = start // piece, (start + count - 1) // piece
        found = np.empty((last + 1 - first, piece), np.uint16)
        for at, numbers_TP in enumerate(self._read_pieces(block, first, last)):
            found[at] = numbers_TP[place.row]
        begin = start - first * piece
        return float16_of(found.reshape(-1)[begin : begin + count])

    def _read_pieces(self, block: DenseBlock, first: int, last: int) -> Iterator[Bits]:
        """(T, P) ordered numbers of each piece from `first` to `last`."""
        snapshots, piece = block.layout.shape[1:]
        together = max(1, _READ_BYTES // (2 * snapshots * piece))
        at = first
        while at <= last:
            kept = self._pieces.find((block.key, at))
            if kept is not None:
                yield kept
                at += 1
                continue
            count = min(together, last + 1 - at)
            planes = self._source.read_rows(block.key, VALUES, block.layout, block.files, 2 * at, 2 * count)
            for i in range(count):
                numbers_TP = decode_piece(planes[2 * i], planes[2 * i + 1], block.differences)
                self._pieces.keep((block.key, at + i), numbers_TP)
                yield numbers_TP
            at += count

    def _encoded_values(self, group: str, files: Files) -> dict[str, bytes]:
        """The files of a snapshot's `values`, by key relative to the group; none if they are its own."""
        place = self._place(group)
        if place is None:
            return {}
        block = self._block(place.block)
        plan = layout.layout_of(VALUES, (block.samples,), "<f2")
        if f"{VALUES}/{plan.chunk_name}" not in files:
            return {}
        # Metadata has the same bytes wherever it is made, so its seal knows how many samples there were.
        seal = files.get(f"{VALUES}/{layout.GROUP_RECORD}")
        if seal is None or seal.crc32c != crc32c(layout.array_metadata(plan)):
            key = f"{block.key}/{layout.GROUP_RECORD}"
            raise DamagedArrayError(key, f"holds {block.samples:,} samples of {group}, which had others")
        values = self._read(place, group, plan, 0, plan.shape[0])
        return self._encoder.files({VALUES: LaidOutArray(values, plan)})

    def _check_index(self) -> FileCheck:
        size = self.size(INDEX_KEY) or 0
        try:
            block_by_iteration(read_index(self._source))
        except FileNotFoundError:
            return FileCheck(INDEX_KEY, 0, "is missing")
        except (CorruptBytesError, OSError) as error:
            return FileCheck(INDEX_KEY, size, str(error))
        return FileCheck(INDEX_KEY, size)

    def _block(self, number: int) -> DenseBlock:
        """Its record, read once; DamagedArrayError if it is not the block that the list has."""
        listed = self._blocks_listed()[number]
        with self._lock:
            block = self._blocks.get(number)
        if block is None:
            block = read_block(self._source, number)
            if block.iterations != listed:
                raise DamagedArrayError(
                    f"{block.key}/{layout.GROUP_RECORD}", "lists other iterations than the list of blocks"
                )
            with self._lock:
                self._blocks[number] = block
        return block

    def _blocks_listed(self) -> dict[int, Iterations]:
        """The iterations of each block by its number."""
        with self._lock:
            if self._index is None:
                try:
                    index = read_index(self._source)
                    self._block_by_iteration = block_by_iteration(index)
                except (CorruptBytesError, OSError):
                    index = self._blocks_found()
                    self._block_by_iteration = block_by_iteration(index)
                self._index = index
            return self._index

    def _blocks_found(self) -> dict[int, Iterations]:
        """What the blocks themselves say, where the list of them is lost."""
        found: dict[int, Iterations] = {}
        seen: set[int] = set()
        for name in sorted(self._source.list_folder(layout.DENSE)):
            if len(name) == 6 and name.isascii() and name.isdigit():
                try:
                    iterations = read_block(self._source, int(name)).iterations
                except DamagedArrayError:
                    continue
                if seen.isdisjoint(iterations):
                    found[int(name)] = iterations
                    seen.update(iterations)
        return found


def stored_bytes(source: Source, group: str, files: Files) -> float:
    """Bytes that the arrays of a snapshot take where they lie, by themselves or in a dense block."""
    if not isinstance(source, DenseSource):
        return sum(seal.length for seal in files.values())
    own = sum(seal.length for relative, seal in files.items() if not source.holds(group, relative))
    return own + source.share_bytes(group)
