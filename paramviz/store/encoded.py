"""Arrays out of the files that hold them, each checked before a number of it is returned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paramviz.store.codec import (
    CorruptBytesError,
    crc32c,
    decode_array,
    decode_index,
    decode_inner,
    index_bytes,
)
from paramviz.store.layout import ArrayLayout
from paramviz.store.records import FileSeal

Array = npt.NDArray[Any]


class DamagedArrayError(CorruptBytesError):
    """An array that is missing or not what was written. `key` is its file, relative to the run."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(reason)
        self.key = key


class FileCheck(NamedTuple):
    """What checking a file of a group found: its key, its bytes, and what is wrong with it, if anything."""

    key: str
    n_bytes: int
    problem: str | None = None


class EncodedSource(ABC):
    """The half of a `Source` that all containers of Zarr files share: arrays from their chunks."""

    @abstractmethod
    def read(self, key: str) -> bytes: ...

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes: ...

    def read_array(self, group: str, name: str, layout: ArrayLayout, files: Mapping[str, FileSeal]) -> Array:
        """The whole array, (layout.shape)."""
        relative = f"{name}/{layout.chunk_name}"
        data = self._read_sealed(group, relative, files.get(relative))
        try:
            return decode_array(data, layout)
        except CorruptBytesError as error:
            raise DamagedArrayError(f"{group}/{relative}", str(error)) from error

    def read_rows(
        self,
        group: str,
        name: str,
        layout: ArrayLayout,
        files: Mapping[str, FileSeal],
        start: int,
        count: int,
    ) -> Array:
        """Rows start … start + count of a shard: its index, then in one read the inner chunks of the rows."""
        assert layout.inner_chunk is not None
        relative = f"{name}/{layout.chunk_name}"
        key, seal = f"{group}/{relative}", files.get(relative)
        try:
            if seal is None:
                raise CorruptBytesError("is not in the record of its group")
            tail = self.read_range(key, max(0, seal.length - index_bytes(layout)), index_bytes(layout))
            index = decode_index(tail, layout, seal.length)
            first, last = start // layout.inner_chunk, (start + count - 1) // layout.inner_chunk
            chunks = self._read_inner(key, layout, index[first : last + 1].tolist())
        except FileNotFoundError as error:
            raise DamagedArrayError(key, "is missing") from error
        except (CorruptBytesError, OSError) as error:
            raise DamagedArrayError(key, str(error)) from error
        whole = np.concatenate(chunks) if len(chunks) > 1 else chunks[0]
        begin = start - first * layout.inner_chunk
        return whole[begin : begin + count]

    def encoded_files(self, group: str, files: Mapping[str, FileSeal]) -> Iterator[tuple[str, bytes]]:
        """(relative key, bytes) of every file in a group's record, in its order, each verified."""
        for relative, seal in files.items():
            yield relative, self._read_sealed(group, relative, seal)

    def check_files(self, group: str, files: Mapping[str, FileSeal]) -> Iterator[FileCheck]:
        """Every file in a group's record."""
        for relative, seal in files.items():
            key = f"{group}/{relative}"
            try:
                data = self.read(key)
            except OSError:
                yield FileCheck(key, 0, "is missing")
                continue
            problem = None
            if len(data) != seal.length:
                problem = f"is {len(data)} bytes long, {seal.length} were committed"
            elif crc32c(data) != seal.crc32c:
                problem = "fails its checksum"
            yield FileCheck(key, len(data), problem)

    def _read_inner(self, key: str, layout: ArrayLayout, index: list[list[int]]) -> list[Array]:
        """Inner chunks at (offset, length). They lie close together, so one read brings them all."""
        begin = min(offset for offset, _ in index)
        end = max(offset + length for offset, length in index)
        data = self.read_range(key, begin, end - begin)
        return [
            decode_inner(data[offset - begin : offset - begin + length], layout) for offset, length in index
        ]

    def _read_sealed(self, group: str, relative: str, seal: FileSeal | None) -> bytes:
        key = f"{group}/{relative}"
        try:
            data = self.read(key)
        except OSError as error:
            raise DamagedArrayError(key, "is missing") from error
        if seal is None or len(data) != seal.length or crc32c(data) != seal.crc32c:
            raise DamagedArrayError(key, "is not what was committed (length or checksum differ)")
        return data
