"""Arrays out of the files that hold them, each checked before a number of it is returned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paramviz.store.codec import (
    CorruptBytesError,
    check_extent,
    crc32c,
    decode_array,
    decode_index,
    decode_inner,
    extend_crc32c,
    index_bytes,
)
from paramviz.store.layout import ArrayLayout
from paramviz.store.records import FileSeal

Array = npt.NDArray[Any]

_PART_BYTES = 1 << 24
"""How much of a file is checked at a time: few requests for a large file, and little memory."""


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

    look_interval_s = 0.0

    @abstractmethod
    def read(self, key: str, most: int) -> bytes: ...

    @abstractmethod
    def size(self, key: str) -> int | None: ...

    @abstractmethod
    def read_range(self, key: str, start: int, length: int) -> bytes: ...

    @abstractmethod
    def list_folder(self, key: str) -> list[str]: ...

    def names_from(self, key: str, first: str, most: int) -> list[str]:
        return sorted(name for name in self.list_folder(key) if name >= first)[:most]

    def read_array(self, group: str, name: str, layout: ArrayLayout, files: Mapping[str, FileSeal]) -> Array:
        """The whole array, (layout.shape)."""
        relative = f"{name}/{layout.chunk_name}"
        seal = files.get(relative)
        try:
            if seal is not None:
                check_extent(layout, seal.length)
            return decode_array(self._read_sealed(group, relative, seal), layout)
        except DamagedArrayError:
            raise
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
        if seal is None or len(seal.chunks) != layout.n_inner:
            return self.read_array(group, name, layout, files)[start : start + count]
        first, last = start // layout.inner_chunk, (start + count - 1) // layout.inner_chunk
        try:
            check_extent(layout, seal.length)
            tail = self.read_range(key, max(0, seal.length - index_bytes(layout)), index_bytes(layout))
            index = decode_index(tail, layout, seal.length)[first : last + 1]
            chunks = self._read_inner(key, layout, index.tolist(), seal.chunks[first : last + 1])
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
                yield self._check_file(key, seal)
            except FileNotFoundError:
                yield FileCheck(key, 0, "is missing")
            except (CorruptBytesError, OSError) as error:
                yield FileCheck(key, 0, str(error))

    def _check_file(self, key: str, seal: FileSeal) -> FileCheck:
        # By parts, so that a large file costs no memory; one byte more than there should be is enough.
        part = self.read(key, min(_PART_BYTES, seal.length + 1))
        checksum, n_bytes = crc32c(part), len(part)
        while part and n_bytes <= seal.length and n_bytes % _PART_BYTES == 0:
            part = self.read_range(key, n_bytes, min(_PART_BYTES, seal.length + 1 - n_bytes))
            checksum, n_bytes = extend_crc32c(checksum, part), n_bytes + len(part)
        if n_bytes != seal.length:
            n_bytes = self.size(key) or 0
            return FileCheck(key, n_bytes, f"is {n_bytes} bytes long, {seal.length} were committed")
        return FileCheck(key, n_bytes, None if checksum == seal.crc32c else "fails its checksum")

    def _read_inner(
        self, key: str, layout: ArrayLayout, index: list[list[int]], checksums: tuple[int, ...]
    ) -> list[Array]:
        """Inner chunks at (offset, length). They lie close together, so one read brings them all."""
        begin = min(offset for offset, _ in index)
        end = max(offset + length for offset, length in index)
        if end - begin > sum(length for _, length in index):
            raise CorruptBytesError("has gaps between its chunks")
        data = self.read_range(key, begin, end - begin)
        encoded = [data[offset - begin : offset - begin + length] for offset, length in index]
        if tuple(map(crc32c, encoded)) != checksums:
            raise CorruptBytesError("is not what was committed (the checksum of a chunk differs)")
        return [decode_inner(chunk, layout) for chunk in encoded]

    def _read_sealed(self, group: str, relative: str, seal: FileSeal | None) -> bytes:
        key = f"{group}/{relative}"
        if seal is None:
            raise DamagedArrayError(key, "is not in the record of its group")
        try:
            data = self.read(key, seal.length + 1)
        except FileNotFoundError as error:
            raise DamagedArrayError(key, "is missing") from error
        except (CorruptBytesError, OSError) as error:
            raise DamagedArrayError(key, str(error)) from error
        if len(data) != seal.length or crc32c(data) != seal.crc32c:
            raise DamagedArrayError(key, "is not what was committed (length or checksum differ)")
        return data
