"""The list of members of a zip file, read with bounds and without trust.

Only what `paramviz pack` writes is taken: members that are stored as they are,
plain names, no links, no encryption. So nothing can unpack to more than the
file's own size, and nothing can point out of it. Sizes and offsets are checked
before anything of that size is allocated. Source of the layout: APPNOTE.TXT
6.3.10, sections 4.3.12 to 4.3.16 and 4.5.3.
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paramviz.errors import DamagedRunError, UnsafeRunError

_END = struct.Struct("<4sHHHHIIH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_MAGIC, _END64_LOCATOR_MAGIC, _END64_MAGIC, _ENTRY_MAGIC = b"PK\5\6", b"PK\6\7", b"PK\6\6", b"PK\1\2"
_LONGEST_COMMENT = 0xFFFF
_IN_ZIP64_16, _IN_ZIP64_32 = 0xFFFF, 0xFFFFFFFF
_ZIP64_EXTRA = 1
_STORED = 0
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
"""Encryption, strong encryption, masked headers."""

MOST_MEMBERS = 1 << 20
"""A run has a dozen files for each snapshot: enough for 60,000 snapshots."""

MOST_DIRECTORY_BYTES = 1 << 27
LONGEST_NAME = 255

_NAME = re.compile(r"(?:(?!\.\.?(?:/|$))[!-.0-9;-\[\]-~ ]+(?:/|$))+")
"""Parts of printable ASCII without slash, backslash and colon, none of them empty, `.` or `..`."""

LOCAL_HEADER_BYTES = 30
"""What stands before a member's name and data, at least."""


def member_bytes(name: str, size: int) -> int:
    """What a file of `size` bytes takes in a zip: its data, its header and its entry in the list."""
    return LOCAL_HEADER_BYTES + _ENTRY.size + 2 * len(name) + size


ReadAt = Callable[[int, int], bytes]
"""(offset, length) → at most so many bytes of the file."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member's header begins in the file, and how many bytes of data follow it."""

    header: int
    size: int


class ZipDirectory:
    """Reads the central directory of the zip at `path` (a person's name for it), `size` bytes long."""

    def __init__(self, path: Any, read_at: ReadAt, size: int) -> None:
        self._path = path
        self._read_at = read_at
        self._size = size

    def members(self) -> dict[str, Member]:
        """Name → member. DamagedRunError if the file was cut off, UnsafeRunError for what is not taken."""
        count, start, length = self._extent()
        if count > MOST_MEMBERS or length > MOST_DIRECTORY_BYTES:
            raise self._unsafe("count", f"lists {count:,} files; at most {MOST_MEMBERS:,} are read")
        data = self._read_at(start, length)
        members: dict[str, Member] = {}
        position = total = 0
        for _ in range(count):
            name, member, position = self._entry(data, position, start)
            if name in members:
                raise self._unsafe("name", f"lists {name!r} twice")
            # A folder has an entry of its own in archives that other programs made.
            if not name.endswith("/"):
                members[name] = member
                total += member.size
        if position != length:
            raise self._damaged("its list of files does not end where it should")
        if total > start:
            raise self._unsafe("overlap", "holds files that overlap each other")
        return members

    def _extent(self) -> tuple[int, int, int]:
        """(number of entries, offset, bytes) of the central directory."""
        tail_bytes = min(self._size, _END.size + _LONGEST_COMMENT)
        tail = self._read_at(self._size - tail_bytes, tail_bytes)
        at = tail.rfind(_END_MAGIC)
        if at < 0 or len(tail) - at < _END.size:
            raise self._damaged("it has no end; it was cut off on its way here")
        _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
        if len(tail) - at != _END.size + comment:
            raise self._damaged("something follows its end")
        end = self._size - tail_bytes + at
        if _IN_ZIP64_16 in (here, count) or _IN_ZIP64_32 in (length, start):
            disk, first_disk, here, count, length, start, end = self._extent64(end)
        if disk or first_disk or here != count:
            raise self._unsafe("parts", "is one part of several")
        if start + length != end or count * _ENTRY.size > length:
            raise self._damaged("its list of files is not where its end says")
        return count, start, length

    def _extent64(self, end: int) -> tuple[int, int, int, int, int, int, int]:
        """The same fields of a file with more members or bytes than 16 and 32 bits can count."""
        locator = self._read_at(max(0, end - _END64_LOCATOR.size), _END64_LOCATOR.size)
        if len(locator) != _END64_LOCATOR.size or locator[:4] != _END64_LOCATOR_MAGIC:
            raise self._damaged("its end lacks the part for large files")
        _, _, at, _ = _END64_LOCATOR.unpack(locator)
        data = self._read_at(at, _END64.size) if at < end else b""
        if len(data) != _END64.size or data[:4] != _END64_MAGIC:
            raise self._damaged("its end lacks the part for large files")
        _, _, _, _, disk, first_disk, here, count, length, start = _END64.unpack(data)
        return disk, first_disk, here, count, length, start, at

    def _entry(self, data: bytes, position: int, directory: int) -> tuple[str, Member, int]:
        """The entry at `position`: its name, its member, and where the next entry begins."""
        if data[position : position + 4] != _ENTRY_MAGIC or len(data) - position < _ENTRY.size:
            raise self._damaged("its list of files is broken")
        fields = _ENTRY.unpack_from(data, position)
        flags, method, compressed, size = fields[3], fields[4], fields[8], fields[9]
        n_name, n_extra, n_comment, attributes, header = *fields[10:13], fields[15], fields[16]
        begin = position + _ENTRY.size
        name = self._name(data[begin : begin + n_name])
        extra = data[begin + n_name : begin + n_name + n_extra]
        size, compressed, header = self._wide(extra, size, compressed, header)
        if method != _STORED or size != compressed:
            raise self._unsafe("compressed", f"holds {name!r} compressed; a packed run's files are stored")
        if flags & _ENCRYPTED:
            raise self._unsafe("encrypted", f"holds {name!r} encrypted")
        kind = stat.S_IFMT(attributes >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise self._unsafe("link", f"holds {name!r}, which is a link or no plain file")
        if header + LOCAL_HEADER_BYTES + n_name + size > directory:
            raise self._damaged(f"{name!r} lies outside of the file")
        return name, Member(header, size), begin + n_name + n_extra + n_comment

    def _name(self, raw: bytes) -> str:
        name = raw.decode("latin-1")
        if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
            raise self._unsafe(
                "name", f"holds a file of the name {name[:40]!r}; no file of a run is called so"
            )
        return name

    def _wide(self, extra: bytes, size: int, compressed: int, header: int) -> tuple[int, int, int]:
        """Sizes and offset of more than 32 bits stand in an extra field, in this order, if needed."""
        if _IN_ZIP64_32 not in (size, compressed, header):
            return size, compressed, header
        while len(extra) >= 4:
            kind, length = struct.unpack_from("<HH", extra)
            wide, extra = extra[4 : 4 + length], extra[4 + length :]
            if kind == _ZIP64_EXTRA:
                values = [value for (value,) in struct.iter_unpack("<Q", wide[: len(wide) // 8 * 8])]
                fields = [size, compressed, header]
                if len(values) < fields.count(_IN_ZIP64_32):
                    break
                wanted = iter(values)
                size, compressed, header = (next(wanted) if f == _IN_ZIP64_32 else f for f in fields)
                return size, compressed, header
        raise self._damaged("an entry of its list lacks the part for large files")

    def _damaged(self, reason: str) -> DamagedRunError:
        return DamagedRunError(
            f"{self._path}: {reason}. Copy the file again, or pack the run again.", path=self._path
        )

    def _unsafe(self, reason: str, says: str) -> UnsafeRunError:
        return UnsafeRunError(
            f"{self._path}: {says}. It was not made by `paramviz pack`, and is not opened.",
            path=self._path,
            reason=reason,
        )
