"""Random damage to a zip file: to its bytes, or to the fields of its headers and lists.

Source of the layout: APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 to 4.3.16 and 4.5.3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from tests.attacks.mutations import flip_bits, piece

_NARROW = (0, 1, 2, 8, 0x41, 0x2041, 20, 45, 0x7FFF, 0xFFFE, 0xFFFF)
_WIDE = (0, 1, 29, 30, 46, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_LARGE = (0, 1, 46, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
_NAMES = (
    b"..", b"../x", b"/etc/passwd", b"a//b", b"a/", b"", b"zarr.json", b"zarr.json/",
    b".paramviz/journal/000000.log",
    b"C:x", b"a\\b", b"\0", b"\xff\xfe", b"n" * 256, b"n" * 65_535, b"iterations/00000005/zarr.json",
)  # fmt: skip
_KINDS = (0o120777, 0o040755, 0o020666, 0o010644, 0o100644, 0)

_HEADER_FIELDS = ("version", "flags", "method", "time", "date", "crc", "packed", "size", "n_name", "n_extra")
_END_FIELDS = ("disk", "first_disk", "here", "count", "length", "start", "n_comment")


@dataclass
class Entry:
    """A member, and what its headers say otherwise than is true."""

    name: bytes
    data: bytes
    attributes: int = 0o100644 << 16
    extra: bytes = b""
    own_extra: bytes = b""
    comment: bytes = b""
    own_name: bytes | None = None
    local: dict[str, int] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)


@dataclass
class Archive:
    """A zip file to be written, with odd fields where there are any."""

    entries: list[Entry]
    end: dict[str, int] = field(default_factory=dict)
    end64: dict[str, int] | None = None
    locator: int | None = None
    before: bytes = b""
    between: bytes = b""
    comment: bytes = b""
    order: list[int] | None = None

    def written(self) -> bytes:
        """The bytes of the file."""
        parts, offsets, at = [self.before], [], len(self.before)
        for entry in self.entries:
            header = _local_header(entry)
            offsets.append(at)
            parts += [header, entry.data]
            at += len(header) + len(entry.data)
        parts.append(self.between)
        start = at + len(self.between)
        order = self.order if self.order is not None else range(len(self.entries))
        listed = b"".join(_listed(self.entries[n], offsets[n]) for n in order)
        parts.append(listed)
        n = len(order)
        true = {"here": n, "count": n, "length": len(listed), "start": start, "n_comment": len(self.comment)}
        if self.end64 is not None:
            parts.append(self._end64(true, start + len(listed)))
        values = dict.fromkeys(_END_FIELDS, 0) | true | self.end
        end = struct.pack("<4sHHHHIIH", b"PK\5\6", *(values[name] for name in _END_FIELDS))
        return b"".join([*parts, end, self.comment])

    def _end64(self, true: dict[str, int], at: int) -> bytes:
        assert self.end64 is not None
        values = dict.fromkeys(_END_FIELDS, 0) | true | self.end64
        fields = [values[name] for name in _END_FIELDS[:-1]]
        end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, *fields)
        place = at if self.locator is None else self.locator
        return end + struct.pack("<4sIQI", b"PK\6\7", 0, place, 1)


def archive_of(files: dict[str, bytes]) -> Archive:
    """The archive that holds these files as `paramviz pack` would put them."""
    return Archive([Entry(key.encode(), data) for key, data in files.items()])


def damage_archive(random: Random, archive: Archive) -> str:
    """Change fields of an archive, and say which."""
    entry = random.choice(archive.entries)
    what = random.randrange(10)
    if what == 0:
        name = random.choice(_HEADER_FIELDS)
        entry.local[name] = random.choice(_wide(name))
        return f"{entry.name!r}: {name} = {entry.local[name]} in its own header"
    if what == 1:
        name = random.choice((*_HEADER_FIELDS, "n_comment", "disk", "attributes", "offset"))
        entry.listed[name] = random.choice(_wide(name))
        return f"{entry.name!r}: {name} = {entry.listed[name]} in the list"
    if what == 2:
        name = random.choice(_END_FIELDS)
        archive.end[name] = random.choice(_WIDE if name in ("length", "start") else _NARROW)
        return f"{name} = {archive.end[name]} in the end"
    if what == 3:
        return _make_large(random, archive, entry)
    if what == 4:
        other = random.choice(archive.entries)
        archive.entries.append(Entry(entry.name, other.data))
        return f"{entry.name!r} twice"
    if what == 5:
        archive.order = random.choices(
            range(len(archive.entries)), k=random.randrange(2 * len(archive.entries))
        )
        return "members listed several times, or not"
    if what == 6:
        name = random.choice(_NAMES)
        if random.random() < 0.3:
            entry.own_name = name
        else:
            entry.name = name
        return f"a member is called {name[:30]!r}"
    if what == 7:
        entry.attributes = random.choice(_KINDS) << 16
        return f"{entry.name!r} is of the kind {entry.attributes >> 16:o}"
    if what == 8:
        other = random.choice(archive.entries)
        entry.own_name, other.own_name = other.name, entry.name
        return f"{entry.name!r} and {other.name!r} in each other's place"
    where, more = random.choice(("before", "between", "comment")), random.choice((b"PK\5\6", b"x", bytes(30)))
    setattr(archive, where, more * random.choice((1, 1, 100, 2000)))
    return f"{more!r} {where}"


def damage_bytes(random: Random, data: bytes, other: bytes) -> tuple[bytes, str]:
    """(a file with other bytes, what was done to it); what lies at its end is met as often as the rest."""
    changed = bytearray(data)
    what = random.randrange(7)
    if what == 0:
        flip_bits(random, changed)
        return bytes(changed), "bits flipped"
    if what == 1:
        kept = random.randrange(len(changed))
        return bytes(changed[:kept]), f"cut to {kept} bytes"
    at, n = piece(random, changed)
    if random.random() < 0.5:
        at = len(changed) - 1 - random.randrange(min(len(changed), 8192))
        n = min(n, len(changed) - at)
    if what == 2:
        changed[at : at + n] = random.choice((b"\0", b"\xff", random.randbytes(1))) * n
    elif what == 3:
        changed[at] ^= 1 << random.randrange(8)
    elif what == 4:
        begin, length = piece(random, other)
        changed[at : at + n] = other[begin : begin + length]
    elif what == 5:
        changed[at:at] = changed[at : at + n]
    else:
        del changed[at : at + n]
    return bytes(changed), f"{n} bytes at {at} changed ({what})"


def _make_large(random: Random, archive: Archive, entry: Entry) -> str:
    """Fields that say that the true number stands in a part for large files, which is there or not."""
    if random.random() < 0.5:
        marked = random.sample(("packed", "size", "offset"), random.randint(1, 3))
        entry.listed |= dict.fromkeys(marked, 0xFFFFFFFF)
        values = [random.choice((*_LARGE, len(entry.data))) for _ in range(random.randrange(5))]
        if random.random() < 0.5:
            values = [len(entry.data)] * ("size" in marked) + [len(entry.data)] * ("packed" in marked)
            values += [random.choice(_LARGE)] * ("offset" in marked)
        body = b"".join(value.to_bytes(8, "little") for value in values)
        kind = random.choice((1, 1, 1, 2))
        length = random.choice((len(body), len(body), 0, 7, 65_535))
        entry.extra = struct.pack("<HH", kind, length) + body
        return f"{entry.name!r} large: {marked}, {values}"
    archive.end64 = {}
    archive.end[random.choice(("here", "count"))] = 0xFFFF
    if random.random() < 0.7:
        name = random.choice(("here", "count", "length", "start"))
        archive.end64[name] = random.choice(_LARGE)
    if random.random() < 0.3:
        archive.locator = random.choice(_LARGE)
    return f"an end for large files: {archive.end64}, {archive.locator}"


def _wide(name: str) -> tuple[int, ...]:
    return _WIDE if name in ("crc", "packed", "size", "attributes", "offset") else _NARROW


def _local_header(entry: Entry) -> bytes:
    name = entry.name if entry.own_name is None else entry.own_name
    values = _true_fields(entry, name, entry.own_extra) | entry.local
    header = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", *(values[field] for field in _HEADER_FIELDS))
    return header + name[:0xFFFF] + entry.own_extra


def _listed(entry: Entry, offset: int) -> bytes:
    values = _true_fields(entry, entry.name, entry.extra)
    values |= {"n_comment": len(entry.comment), "disk": 0, "attributes": entry.attributes, "offset": offset}
    values |= entry.listed
    fields = [values[field] for field in (*_HEADER_FIELDS, "n_comment", "disk")]
    header = struct.pack(
        "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 0x0314, *fields, 0, values["attributes"], values["offset"]
    )
    return header + entry.name[:0xFFFF] + entry.extra + entry.comment


def _true_fields(entry: Entry, name: bytes, extra: bytes) -> dict[str, int]:
    sizes = {"packed": len(entry.data), "size": len(entry.data)}
    lengths = {"n_name": min(len(name), 0xFFFF), "n_extra": len(extra)}
    return {
        "version": 20,
        "flags": 0,
        "method": 0,
        "time": 0,
        "date": 33,
        "crc": crc32(entry.data),
        **sizes,
        **lengths,
    }
