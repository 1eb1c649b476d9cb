"""One writer per run.

The lock is an advisory lock of the operating system on `.paramviz/lock`, so a
killed writer never leaves a stale one; the file's text only tells people who
holds it. Where the system or the file system has no such locks, the process
number in the text decides.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from paramviz.errors import RunLockedError
from paramviz.store.codec import CorruptBytesError
from paramviz.store.layout import LOCK
from paramviz.store.plain_files import open_plain

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no fcntl
    fcntl = None  # type: ignore[assignment]

_TEXT_BYTES = 4096
_HELD_BY_ANOTHER = (errno.EWOULDBLOCK, errno.EACCES)
_PATIENCE_S = 0.5
"""A viewer that looks whether a run is alive holds a shared lock for microseconds; wait that out."""


class WriterLock:
    """Held from `acquire` to `release`, or to the end of the process."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._owner = os.getpid()
        self._path = path
        if hasattr(os, "register_at_fork"):
            # A forked DataLoader worker inherits the open file, and with it a lock that would outlive us.
            os.register_at_fork(after_in_child=self._forget)

    @classmethod
    def acquire(cls, run: Path) -> WriterLock:
        """Take the run's lock; RunLockedError if another process holds it."""
        path = run / LOCK
        while True:
            # A run from elsewhere may have a link there, to a file that would be emptied.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            lock = cls._acquire(descriptor, run, path)
            if lock is not None:
                return lock

    @classmethod
    def _acquire(cls, descriptor: int, run: Path, path: Path) -> WriterLock | None:
        """The lock on an open file; None if that is no longer the file at `path`."""
        try:
            if not _take(descriptor, path):
                holder = read_holder(run)
                raise RunLockedError(
                    f"{run}: process {holder.get('pid', '?')} on {holder.get('host', '?')} records into this "
                    "run now. Stop it first, or record to another path.",
                    path=run,
                )
            if not _is_at(descriptor, path):
                # Removed with a beginning that failed, before it was ours: who comes next locks another.
                os.close(descriptor)
                return None
            text = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since_unix_s": time.time()})
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, path)

    def release(self) -> None:
        if self._descriptor < 0 or self._owner != os.getpid():
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = -1

    def _forget(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_holder(run: Path) -> dict[str, Any]:
    """Who holds (or held) the run's lock: `pid`, `host`, `since_unix_s`; empty if nobody or unknown."""
    try:
        with open_plain(run, LOCK) as file:
            holder = json.loads(file.read(_TEXT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def writer_alive(run: Path) -> bool | None:
    """Whether a process holds the run's lock; None if this machine cannot tell."""
    holder = read_holder(run)
    if not holder:
        return False
    if holder.get("host") != socket.gethostname():
        return None
    if fcntl is None:  # pragma: no cover - Windows has no fcntl
        return process_exists(holder.get("pid"))
    try:
        file = open_plain(run, LOCK)
    except (OSError, CorruptBytesError):
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _HELD_BY_ANOTHER or process_exists(holder.get("pid"))
        return False


def _take(descriptor: int, path: Path) -> bool:
    if fcntl is None:  # pragma: no cover - Windows has no fcntl
        return not _holder_lives(path)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD_BY_ANOTHER:
                # A file system without locks.
                return not _holder_lives(path)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _holder_lives(path: Path) -> bool:
    """Whether the text in the file names a living process of this machine, other than this one.

    Of another machine's nothing is known: one careful writer is better than none.
    """
    holder = read_holder(path.parent.parent)
    pid = holder.get("pid")
    return holder.get("host") == socket.gethostname() and pid != os.getpid() and process_exists(pid)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def process_exists(pid: Any) -> bool:
    """Whether a process of this number runs on this machine."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
