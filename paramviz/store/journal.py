"""The append-only journal: every step's scalars, and one entry per commit.

A segment is a sequence of records: length of the payload (u32 little-endian),
crc32c of the payload (u32), payload (msgpack map with the kind under "k").
Opening and tailing a run need no directory listing, only the bytes that were
appended. The commit record of a group stays the truth about a snapshot.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from paramviz.store.codec import CorruptBytesError, crc32c
from paramviz.store.encoded import DamagedArrayError
from paramviz.store.layout import journal_segment
from paramviz.store.source import Source

Entry = dict[str, Any]

_HEADER = struct.Struct("<II")
_LONGEST_PAYLOAD = 1 << 20
"""A record longer than 1 MiB is not one of ours: scalars of one step take some hundred bytes."""

_READ_BYTES = _LONGEST_PAYLOAD + _HEADER.size
"""How much of a segment is read at once, so that a long journal costs bounded memory. A record fits in, but
not two of the longest: one that was made to do harm unpacks to 72 MiB."""


def encode_entry(entry: Entry) -> bytes:
    # A text of a path that is no UTF-8 has surrogates in it, and is journaled with their escapes.
    payload: bytes = msgpack.packb(entry, unicode_errors="backslashreplace")
    if len(payload) > _LONGEST_PAYLOAD:
        raise ValueError(f"journal entry of {len(payload)} bytes; at most {_LONGEST_PAYLOAD}")
    return _HEADER.pack(len(payload), crc32c(payload)) + payload


def commit_entry(record: Mapping[str, Any], seal: int, time_unix_s: float) -> Entry:
    """What the journal says of a commit; time_unix_s is when readers could first see it."""
    events = [[event["kind"], event["text"]] for event in record["events"]]
    return {
        "k": "commit",
        "i": record["iteration"],
        "plan": record["plan"],
        "crc": seal,
        "e": events,
        "t": time_unix_s,
    }


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
        except (ValueError, TypeError, msgpack.UnpackException):
            # TypeError: a map whose key is a list or a map itself.
            return entries, position, True
        if isinstance(entry, dict):
            entries.append(entry)
        position = end
    return entries, position, False


class JournalReader:
    """Reads what was appended since the last call, across segments.

    Asks no sizes and lists no folder: to open a run in an object store takes
    one request for each segment, and one for the segment that is not there yet.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._segment = 0
        self._offset = 0
        self._rest = 0
        self._exists = False
        self._damaged = False
        self.damage: list[SegmentDamage] = []

    def read_new(self) -> Iterator[Entry]:
        """All complete entries that were appended since the last call, as they are read."""
        yield from self._read_on(self._fetch_rest())
        while self._exists:
            # A session starts its own segment, so the next one is there only if this one has ended.
            following = self._fetch(self._segment + 1, 0)
            if following is None:
                break
            yield from self._read_on(self._fetch_rest())
            self._leave_segment()
            yield from self._read_on(following)

    @property
    def n_segments(self) -> int:
        """Number of segments that were there at the last reading; the next session's gets this number."""
        return self._segment + self._exists

    @property
    def unread_tail(self) -> SegmentDamage | None:
        """Bytes behind the last whole record of the newest segment: a write in flight, or a crash."""
        if self._damaged or not self._rest:
            return None
        return SegmentDamage(self.key, self._offset, torn=True)

    @property
    def key(self) -> str:
        """The segment that is being read."""
        return journal_segment(self._segment)

    def _read_on(self, data: bytes | None) -> Iterator[Entry]:
        """Decode `data`, the bytes from the present offset on, and what follows them in the segment."""
        if data is None:
            return
        self._exists = True
        while not self._damaged:
            entries, consumed, damaged = decode_entries(data)
            self._offset += consumed
            self._rest = len(data) - consumed
            if damaged:
                self._damaged = True
                self.damage.append(SegmentDamage(self.key, self._offset, torn=False))
            yield from entries
            # Not two readings in memory at a time.
            del entries
            # Fewer bytes than were asked for: here the segment ends.
            if len(data) < _READ_BYTES or not consumed:
                return
            data = self._fetch_rest() or b""

    def _fetch_rest(self) -> bytes | None:
        return None if self._damaged else self._fetch(self._segment, self._offset)

    def _fetch(self, segment: int, offset: int) -> bytes | None:
        try:
            return self._source.read_range(journal_segment(segment), offset, _READ_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except CorruptBytesError as error:
            raise DamagedArrayError(journal_segment(segment), str(error)) from error

    def _leave_segment(self) -> None:
        if self._rest and not self._damaged:
            self.damage.append(SegmentDamage(self.key, self._offset, torn=True))
        self._segment += 1
        self._offset, self._rest = 0, 0
        self._exists = self._damaged = False
