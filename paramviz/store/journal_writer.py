"""Writing the journal: in order, and without losing what is true already."""

from __future__ import annotations

import contextlib
import time

from paramviz.store.files import RunFiles, Segment
from paramviz.store.journal import Entry, encode_entry


class JournalWriter:
    """Appends entries to segments, from segment number `next_segment` on.

    Where a write is dear, entries of steps wait up to the place's
    `journal_interval_s` for others; nothing else waits. A segment that failed
    is left behind with what it holds, and the next one goes on. A segment begins with
    the length of the one before, of which the writer wrote or found `last_bytes`: so it
    is noticed if that loses its end.
    """

    def __init__(self, files: RunFiles, next_segment: int = 0, last_bytes: int = 0) -> None:
        self._files = files
        self._next_segment = next_segment
        self._last_bytes = last_bytes
        self._segment: Segment | None = None
        self._waiting: list[bytes] = []
        self._flushed_s = time.monotonic()

    def log(self, entry: Entry, *, may_wait: bool = False) -> None:
        """Journal an entry. After an OSError it is not in the journal, and never will be."""
        record = encode_entry(entry)
        self._waiting.append(record)
        if may_wait and time.monotonic() - self._flushed_s < self._files.journal_interval_s:
            return
        try:
            self._flush()
        except OSError:
            if self._waiting and self._waiting[-1] is record:
                del self._waiting[-1]
            raise

    def note(self, entry: Entry) -> None:
        """Journal what is published already: if it cannot be written now, it is with the next entry."""
        self._waiting.append(encode_entry(entry))
        with contextlib.suppress(OSError):
            self._flush()

    def close(self) -> None:
        """Write what waits, and let go of the segment."""
        try:
            if self._waiting:
                self._flush()
        finally:
            self._leave_segment()

    def abandon(self) -> None:
        """Let go of the segment; what waits is never written."""
        self._waiting.clear()
        self._leave_segment()

    def _flush(self) -> None:
        if self._segment is None:
            self._segment = self._begin_segment()
        heading = [] if self._segment.n_bytes else self._heading()
        records = [*heading, *self._waiting]
        try:
            self._segment.append(records)
        except OSError:
            if not self._segment.retries:
                self._leave_segment()
            raise
        finally:
            self._waiting = [record for record in records if record not in heading]
        self._flushed_s = time.monotonic()
        if self._segment.full:
            self._leave_segment()

    def _begin_segment(self) -> Segment:
        while True:
            try:
                segment = self._files.open_segment(self._next_segment)
            except FileExistsError:
                # Made by an opening that failed half way. An empty segment is none the worse for a reader.
                self._next_segment += 1
                self._last_bytes = 0
            else:
                self._next_segment += 1
                return segment

    def _heading(self) -> list[bytes]:
        """What a segment begins with, unless there is nothing to say of the one before."""
        return [encode_entry({"k": "segment", "after": self._last_bytes})] if self._last_bytes else []

    def _leave_segment(self) -> None:
        if self._segment is not None:
            self._last_bytes = self._segment.n_bytes
            self._segment.close()
            self._segment = None
