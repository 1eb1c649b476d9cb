"""Writing the files of a run, in an order that a crash cannot turn round.

`RunFiles` is what the writer asks of a place; `DirectoryFiles` is the only one
that touches the disk. With `durability="power"` a file is on the disk (fsync
of the file and of its folder) before the next step begins; with "process" the
operating system may delay it, which a killed process does not notice and a
power failure does.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from paramviz.store.layout import GROUP_RECORD, JOURNAL, PRIVATE, STAGING, journal_segment
from paramviz.store.lock import WriterLock
from paramviz.store.placement import refuse_occupied

Durability = Literal["process", "power"]

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class HeldLock(Protocol):
    """The right to write into a run."""

    def release(self) -> None:
        """Give it back; a second call does nothing."""


class Segment(Protocol):
    """The part of the journal that is being written."""

    @property
    def retries(self) -> bool:
        """Whether it may be written again after an OSError; if not, a new segment must follow."""

    @property
    def n_bytes(self) -> int:
        """Length of what was written."""

    @property
    def full(self) -> bool:
        """Whether the next record should begin a new segment."""

    def append(self, records: list[bytes]) -> None:
        """Write records, and take each off the list as soon as it is written."""

    def close(self) -> None: ...


class RunFiles(Protocol):
    """A place for one run that can be written; keys as in `Source`. All raise OSError."""

    @property
    def path(self) -> Path | str:
        """Where the run is, as a person says it."""

    @property
    def journal_interval_s(self) -> float:
        """How long the journal of steps may wait until it is worth a write."""

    def refuse_occupied(self) -> bool:
        """Whether there was a place; raises if there is anything in it but the beginning of a run."""

    def make_root(self) -> None:
        """Make the place itself; fine if it is there."""

    def acquire_lock(self) -> HeldLock:
        """Become the one writer; RunLockedError if there is another."""

    def has_run(self) -> bool:
        """Whether a root record is there."""

    def make_folders(self, keys: Iterable[str]) -> None:
        """Make folders whose parents exist; fine if they are there."""

    def start_group(self, key: str) -> None:
        """Begin a group anew, without what an interrupted write left of it."""

    def write_group(self, key: str, files: Mapping[str, bytes]) -> None:
        """Write files of a group that nobody trusts before its record; keys relative to it."""

    def publish(self, key: str, data: bytes) -> None:
        """Let a file appear whole or not at all."""

    def clear(self, keys: Iterable[str]) -> None:
        """Remove folders, as far as that goes; the key "" is the run itself."""

    def open_segment(self, number: int) -> Segment:
        """Begin a segment of the journal that is not there yet."""


class DirectoryFiles:
    """A run that is a directory on a file system."""

    journal_interval_s = 0.0

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self.path = path
        self._sync = durability == "power"

    def refuse_occupied(self) -> bool:
        return refuse_occupied(self.path)

    def make_root(self) -> None:
        path = self.path.absolute()
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        os.makedirs(path, exist_ok=True)
        for folder in reversed(new):
            self._sync_folder(folder.parent)
        self.make_folders((PRIVATE,))

    def acquire_lock(self) -> HeldLock:
        return WriterLock.acquire(self.path)

    def has_run(self) -> bool:
        return (self.path / GROUP_RECORD).exists()

    def make_folders(self, keys: Iterable[str]) -> None:
        for key in keys:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path / key)
                self._sync_folder(key.rpartition("/")[0])

    def start_group(self, key: str) -> None:
        self.clear((key,))
        self.make_folders((key,))

    def write_group(self, key: str, files: Mapping[str, bytes]) -> None:
        folders = dict.fromkeys(f"{key}/{relative.rpartition('/')[0]}" for relative in files)
        self.make_folders(folders)
        for relative, data in files.items():
            self._write(f"{key}/{relative}", data)
        for folder in (*folders, key):
            self._sync_folder(folder)

    def publish(self, key: str, data: bytes) -> None:
        """Written aside, then renamed."""
        staged = f"{STAGING}/{key.replace('/', '-')}"
        try:
            self._write(staged, data)
            os.replace(self.path / staged, self.path / key)
        except OSError:
            # On a full disk, what cannot be published would take room from what comes next.
            self._remove(staged)
            raise
        self._sync_folder(key.rpartition("/")[0])

    def clear(self, keys: Iterable[str]) -> None:
        for key in keys:
            # Its record goes first: a group that cannot be removed wholly must not pass for a published one.
            self._remove(f"{key}/{GROUP_RECORD}" if key else GROUP_RECORD)
            shutil.rmtree(self.path / key, ignore_errors=True)

    def open_segment(self, number: int) -> Segment:
        key = journal_segment(number)
        segment = AppendFile(self.path / key, self._sync)
        try:
            self._sync_folder(JOURNAL)
        except OSError:
            segment.close()
            self._remove(key)
            raise
        return segment

    def _remove(self, key: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path / key)

    def _write(self, key: str, data: bytes) -> None:
        descriptor = os.open(self.path / key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write_all(descriptor, data)
            if self._sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sync_folder(self, key: str | Path) -> None:
        """Make the entries of a folder durable, where that was asked for. key: or an absolute path."""
        if not self._sync:
            return
        descriptor = os.open(self.path / key, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AppendFile:
    """A segment that is a file. After an OSError nothing of the failed record is in it."""

    full = False

    def __init__(self, path: Path, sync: bool) -> None:
        self._sync = sync
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self.n_bytes = 0
        self.retries = True

    def append(self, records: list[bytes]) -> None:
        while records:
            self._append(records[0])
            del records[0]

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, record: bytes) -> None:
        try:
            _write_all(self._descriptor, record)
            if self._sync:
                os.fsync(self._descriptor)
        except OSError as error:
            # Only want of space says nothing against this file; each of its retries would leave another one.
            is_intact = self._cut_back()
            self.retries = is_intact and error.errno in _NO_SPACE
            raise
        self.n_bytes += len(record)

    def _cut_back(self) -> bool:
        """Take away what is there of a record: it will be written again, and must not be there twice."""
        try:
            os.ftruncate(self._descriptor, self.n_bytes)
        except OSError:
            return False
        return True


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
