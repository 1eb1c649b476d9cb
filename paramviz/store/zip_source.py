"""A run in one `.zarr.zip`, read where it lies: nothing is extracted."""

from __future__ import annotations

import struct
from pathlib import Path

from paramviz.store.encoded import EncodedSource
from paramviz.store.zip_directory import LOCAL_HEADER_BYTES, Member, ReadAt, ZipDirectory

_LENGTHS = struct.Struct("<26xHH")
"""Lengths of the name and of the extra field in a member's own header."""

_HEADER_MAGIC = b"PK\3\4"


class ZipSource(EncodedSource):
    """A packed run. `read_at` may be called from several threads at once."""

    lists_quickly = True

    def __init__(self, path: Path | str, read_at: ReadAt, size: int) -> None:
        self.path = path
        self._read_at = read_at
        self._members = ZipDirectory(path, read_at, size).members()
        self._starts: dict[str, int] = {}

    @classmethod
    def open(cls, path: Path) -> ZipSource:
        """The zip file at `path` on this machine; raises as `ZipDirectory.members` does."""

        def read_at(offset: int, length: int) -> bytes:
            with open(path, "rb", buffering=0) as file:
                file.seek(offset)
                return file.read(length)

        return cls(path, read_at, path.stat().st_size)

    def writer_alive(self) -> bool | None:
        """Nobody writes into an archive; what was so when it was made, its journal says."""
        return None

    def size(self, key: str) -> int | None:
        member = self._members.get(key)
        return None if member is None else member.size

    def read(self, key: str, most: int) -> bytes:
        member = self._member(key)
        begin, size = self._starts.get(key), min(member.size, most)
        if begin is not None:
            return self._read_at(begin, size)
        # What we pack has nothing between name and data, so one read brings the header and all of the data.
        head = LOCAL_HEADER_BYTES + len(key)
        together = self._read_at(member.header, head + size)
        begin = self._starts[key] = self._data_start(key, member, together[:head])
        data = together[begin - member.header :]
        return data if len(data) == size else self._read_at(begin, size)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        member = self._member(key)
        begin = self._starts.get(key)
        if begin is None:
            header = self._read_at(member.header, LOCAL_HEADER_BYTES + len(key))
            begin = self._starts[key] = self._data_start(key, member, header)
        return self._read_at(begin + start, max(0, min(length, member.size - start)))

    def list_folder(self, key: str) -> list[str]:
        folder = f"{key}/" if key else ""
        below = (name[len(folder) :] for name in self._members if name.startswith(folder))
        return list(dict.fromkeys(name.partition("/")[0] for name in below))

    def _member(self, key: str) -> Member:
        try:
            return self._members[key]
        except KeyError:
            raise FileNotFoundError(f"{self.path} holds no {key}") from None

    def _data_start(self, key: str, member: Member, header: bytes) -> int:
        """Where a member's data begins: behind a header of its own, which must agree with the list."""
        if header[:4] != _HEADER_MAGIC or header[LOCAL_HEADER_BYTES:] != key.encode():
            raise FileNotFoundError(f"{self.path} holds no {key} where its list of files says")
        n_name, n_extra = _LENGTHS.unpack_from(header)
        return member.header + LOCAL_HEADER_BYTES + int(n_name) + int(n_extra)
