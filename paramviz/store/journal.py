"""The append-only journal: every step's scalars, and one entry per commit.

A segment is a sequence of records: length of the payload (u32 little-endian),
crc32c of the payload (u32), payload (msgpack map with the kind under "k").
Opening and tailing a run need no directory listing, only the bytes that were
appended. The commit record of a group stays the truth about a snapshot.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import msgpack

from paramviz.store.codec import crc32c
from paramviz.store.layout import journal_segment
from paramviz.store.source import Source

Entry = dict[str, Any]

_HEADER = struct.Struct("<II")
_LONGEST_PAYLOAD = 1 << 20
"""A record longer than 1 MiB is not one of ours: scalars of one step take some hundred bytes."""

_READ_BYTES = 1 << 22
"""How much of a segment is read at once, so that a long journal costs bounded memory."""


def encode_entry(entry: Entry) -> bytes:
    payload: bytes = msgpack.packb(entry)
    if len(payload) > _LONGEST_PAYLOAD:
        raise ValueError(f"journal entry of {len(payload)} bytes; at most {_LONGEST_PAYLOAD}")
    return _HEADER.pack(len(payload), crc32c(payload)) + payload


@dataclass(slots=True)
class SegmentDamage:
    """Where a segment stops being readable: `torn` if it merely ends within a record."""

    key: str
    offset: int
    torn: bool


def decode_entries(data: bytes) -> tuple[list[Entry], int, bool]:
    """Whole records at the start of `data`: (entries, bytes consumed, damaged).

    An incomplete record at the end is left for later; a record that fails its
    checksum is damage, and nothing after it can be trusted to start there.
    """
    entries: list[Entry] = []
    position = 0
    while position + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, position)
        # Zeros are what a power failure leaves of a write, and would pass for an empty record.
        if not 0 < length <= _LONGEST_PAYLOAD:
            return entries, position, True
        end = position + _HEADER.size + length
        if end > len(data):
            break
        payload = data[position + _HEADER.size : end]
        if crc32c(payload) != checksum:
            return entries, position, True
        try:
            entry = msgpack.unpackb(payload, strict_map_key=False)
        except (ValueError, msgpack.UnpackException):
            return entries, position, True
        if isinstance(entry, dict):
            entries.append(entry)
        position = end
    return entries, position, False


class JournalReader:
    """Reads what was appended since the last call, across segments."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._segment = 0
        self._offset = 0
        self._damaged_at: int | None = None
        self.damage: list[SegmentDamage] = []

    def read_new(self) -> list[Entry]:
        """All complete entries that were appended since the last call."""
        entries: list[Entry] = []
        while True:
            entries += self._read_segment()
            # A session starts its own segment, so the next one is there only if this one has ended.
            size = self._source.size(journal_segment(self._segment + 1))
            if size is None:
                return entries
            entries += self._read_segment()
            self._leave_segment()

    def _read_segment(self) -> list[Entry]:
        key = journal_segment(self._segment)
        entries: list[Entry] = []
        size = self._source.size(key)
        while size is not None and self._offset < size and self._damaged_at is None:
            data = self._source.read_range(key, self._offset, min(size - self._offset, _READ_BYTES))
            found, consumed, damaged = decode_entries(data)
            entries += found
            self._offset += consumed
            if damaged:
                self._damaged_at = self._offset
                self.damage.append(SegmentDamage(key, self._offset, torn=False))
            if not consumed:
                break
        return entries

    def _leave_segment(self) -> None:
        key = journal_segment(self._segment)
        size = self._source.size(key) or 0
        if self._damaged_at is None and self._offset < size:
            self.damage.append(SegmentDamage(key, self._offset, torn=True))
        self._segment += 1
        self._offset, self._damaged_at = 0, None

    @property
    def n_segments(self) -> int:
        """Number of segments that there are; the next session's segment gets this number."""
        n = self._segment
        while self._source.size(journal_segment(n)) is not None:
            n += 1
        return n

    @property
    def unread_tail(self) -> SegmentDamage | None:
        """Bytes behind the last whole record of the newest segment: a write in flight, or a crash."""
        key = journal_segment(self._segment)
        if self._damaged_at is None and self._offset < (self._source.size(key) or 0):
            return SegmentDamage(key, self._offset, torn=True)
        return None
