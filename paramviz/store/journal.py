"""The append-only journal: every step's scalars, and one entry per commit.

A segment is a sequence of records: length of the payload (u32 little-endian),
crc32c of the payload (u32), payload (msgpack map with the kind under "k").
Opening and tailing a run need no directory listing, only the bytes that were
appended. The commit record of a group stays the truth about a snapshot.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
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

_LATE_S = 120.0
"""So long after it was left a segment is looked at again: twice what network file systems hold back."""

_LATE_SEGMENTS = 64
"""Of so many at most; each costs a read at every refresh."""


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
        self._left: list[_SegmentReader] = []
        self._newest = _SegmentReader(source, 0)

    def read_new(self) -> Iterator[Entry]:
        """All complete entries that were appended since the last call, as they are read."""
        yield from self._newest.read_on()
        while self._newest.exists:
            # A session starts its own segment, so the next one is there only if this one has ended.
            following = _SegmentReader(self._source, self._newest.number + 1)
            data = following.fetch()
            if data is None:
                return
            yield from self._newest.read_on()
            self._newest.left_s = time.monotonic()
            self._left.append(self._newest)
            self._newest = following
            yield from following.read_on(data)

    def read_late(self) -> Iterator[Entry]:
        """Entries that came to light in segments which seemed to have ended before the newest one began.

        A network file system may show a new file before it shows the end of an older one. A
        status among them counts only if no later segment had one.
        """
        if not self._source.lists_quickly:
            return
        now_s = time.monotonic()
        for segment in self._left[-_LATE_SEGMENTS:]:
            if now_s - segment.left_s > _LATE_S:
                continue
            for entry in segment.read_on():
                later = [s for s in (*self._left, self._newest) if s.number > segment.number]
                if entry.get("k") != "status" or not any(s.has_status for s in later):
                    yield entry

    @property
    def n_segments(self) -> int:
        """Number of segments that were there at the last reading; the next session's gets this number."""
        return self._newest.number + self._newest.exists

    @property
    def key(self) -> str:
        """The segment that is being read."""
        return self._newest.key

    @property
    def damage(self) -> list[SegmentDamage]:
        """Segments that fail a checksum, and earlier ones that end within a record."""
        stops = [s.stop() for s in self._left if s.is_damaged or s.rest]
        return stops + [self._newest.stop()] * self._newest.is_damaged

    @property
    def cut_short(self) -> list[tuple[str, int, int]]:
        """(key, bytes, bytes that there were when the next one began) of segments that lost their end."""
        pairs = pairwise((*self._left, self._newest))
        return [(s.key, s.n_bytes, then.after) for s, then in pairs if s.n_bytes < then.after]

    @property
    def newest_bytes(self) -> int:
        """Length of the newest segment at the last reading."""
        return self._newest.n_bytes

    @property
    def unread_tail(self) -> SegmentDamage | None:
        """Bytes behind the last whole record of the newest segment: a write in flight, or a crash."""
        newest = self._newest
        return newest.stop() if newest.rest and not newest.is_damaged else None


class _SegmentReader:
    """Where reading stands in one segment.

    Bytes that fail their checksum are tried again: where a file grows, they may be zeros that
    stand for bytes still on their way. `rest`: bytes behind the last whole record. `after`:
    how long the segment before is, as the first record of this one says; 0 if it does not.
    """

    def __init__(self, source: Source, number: int) -> None:
        self.number = number
        self.key = journal_segment(number)
        self.exists = self.is_damaged = self.has_status = False
        self.rest = self.after = 0
        self.left_s = 0.0
        self._source = source
        self._offset = 0

    def fetch(self) -> bytes | None:
        """What follows the last whole record; None if the segment is not there."""
        try:
            return self._source.read_range(self.key, self._offset, _READ_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except CorruptBytesError as error:
            raise DamagedArrayError(self.key, str(error)) from error

    def read_on(self, data: bytes | None = None) -> Iterator[Entry]:
        """The entries that follow. data: what `fetch` brought, else it is fetched."""
        data = self.fetch() if data is None else data
        while data is not None:
            self.exists = True
            entries, consumed, self.is_damaged = decode_entries(data)
            if not self._offset and entries and entries[0].get("k") == "segment":
                after = entries[0].get("after")
                self.after = after if isinstance(after, int) else 0
            self._offset += consumed
            self.rest = len(data) - consumed
            self.has_status |= any(entry.get("k") == "status" for entry in entries)
            yield from entries
            # Not two readings in memory at a time.
            del entries
            # Fewer bytes than were asked for: here the segment ends.
            if self.is_damaged or len(data) < _READ_BYTES or not consumed:
                return
            data = self.fetch()

    @property
    def n_bytes(self) -> int:
        return self._offset + self.rest

    def stop(self) -> SegmentDamage:
        """Where the segment stops being readable."""
        return SegmentDamage(self.key, self._offset, torn=not self.is_damaged)
