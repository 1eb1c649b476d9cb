"""Recording straight to an object store, with the promise of a directory.

One PUT makes an object appear whole, so a record that is put behind its
chunks commits them. A segment of the journal is an object that is put again
with what was added, until it is long enough for the next: the journal is in
few objects, and a reader asks only for what is new.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from paramviz.errors import OutputError
from paramviz.store import layout
from paramviz.store.placement import refuse_others, run_exists
from paramviz.store.remote import RemotePlace
from paramviz.store.remote_lock import RemoteLock

_SEGMENT_BYTES = 1 << 18
"""A segment this long is not put again. Ten thousand steps make about five of them."""


class RemoteFiles:
    """A run in an object store; see `RunFiles`."""

    journal_interval_s = 2.0

    def __init__(self, place: RemotePlace) -> None:
        if not place.writable:
            raise OutputError(
                f"{place.address}: nothing can be recorded to a web server. Record to a directory, or to an "
                "object store.",
                path=place.address,
            )
        self.path = place.address
        self._place = place

    def refuse_occupied(self) -> bool:
        if self.has_run():
            raise run_exists(self.path)
        names = self._place.names("")
        refuse_others(self.path, names, self._place.names(layout.ITERATIONS) if names else [])
        return bool(names)

    def make_root(self) -> None:
        """Nothing to do: keys need no folders."""

    def acquire_lock(self) -> RemoteLock:
        return RemoteLock.acquire(self._place)

    def has_run(self) -> bool:
        return self._place.size(layout.GROUP_RECORD) is not None

    def make_folders(self, keys: Iterable[str]) -> None:
        """Nothing to do: keys need no folders."""

    def start_group(self, key: str) -> None:
        """Nothing to do: what an interrupted write left is overwritten, or not in the group's record."""

    def write_group(self, key: str, files: Mapping[str, bytes]) -> None:
        self._place.put({f"{key}/{relative}": data for relative, data in files.items()})

    def publish(self, key: str, data: bytes) -> None:
        self._place.put({key: data})

    def clear(self, keys: Iterable[str]) -> None:
        for key in keys:
            with contextlib.suppress(OSError):
                self._place.remove(key)

    def open_segment(self, number: int) -> RemoteSegment:
        return RemoteSegment(self._place, layout.journal_segment(number))


class RemoteSegment:
    """A segment that is put whole each time: after an OSError the old one is there, or the new one."""

    retries = True

    def __init__(self, place: RemotePlace, key: str) -> None:
        self._place = place
        self._key = key
        self._content = b""

    @property
    def n_bytes(self) -> int:
        return len(self._content)

    @property
    def full(self) -> bool:
        return self.n_bytes >= _SEGMENT_BYTES

    def append(self, records: list[bytes]) -> None:
        content = self._content + b"".join(records)
        self._place.put({self._key: content})
        self._content = content
        records.clear()

    def close(self) -> None:
        """Nothing is held open."""
