"""Writing the files of a run, in an order that a crash cannot turn round.

The only place where the store touches the disk for writing. With
`durability="power"` a file is on the disk (fsync of the file and of its
folder) before the next step begins; with "process" the operating system may
delay it, which a killed process does not notice and a power failure does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from paramviz.store.layout import STAGING

Durability = Literal["process", "power"]


class RunFiles:
    """File operations below one run's directory; keys as in `Source`."""

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self.path = path
        self._sync = durability == "power"

    def make_root(self) -> None:
        """Make the run's own directory, and its parents; fine if it is there."""
        os.makedirs(self.path, exist_ok=True)
        self.sync_folder("..")

    def make_folder(self, key: str) -> None:
        """Make a folder (its parent exists); fine if it is there."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path / key)
            self.sync_folder(key.rpartition("/")[0])

    def write(self, key: str, data: bytes) -> None:
        """Write a whole file in place: only for files that nobody trusts before a later commit."""
        descriptor = os.open(self.path / key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            _write_all(descriptor, data)
            if self._sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def publish(self, key: str, data: bytes) -> None:
        """Let a file appear whole or not at all: written aside, then renamed."""
        staged = f"{STAGING}/{key.replace('/', '-')}"
        self.write(staged, data)
        os.replace(self.path / staged, self.path / key)
        self.sync_folder(key.rpartition("/")[0])

    def sync_folder(self, key: str) -> None:
        """Make the entries of a folder durable, where that was asked for."""
        if not self._sync:
            return
        descriptor = os.open(self.path / key, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove_folder(self, key: str) -> None:
        """Remove what an interrupted write left; fine if nothing is there."""
        shutil.rmtree(self.path / key, ignore_errors=True)

    def clear(self, keys: Iterable[str]) -> None:
        """Remove several folders; the key "" is the run itself."""
        for key in keys:
            self.remove_folder(key)

    def exists(self, key: str) -> bool:
        return (self.path / key).exists()


class AppendFile:
    """A file that only grows, one whole record per write."""

    def __init__(self, path: Path, durability: Durability = "process") -> None:
        self._sync = durability == "power"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)

    def append(self, record: bytes) -> None:
        """Append a record. After an OSError half of it may be there: write no more to this file."""
        _write_all(self._descriptor, record)
        if self._sync:
            os.fsync(self._descriptor)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
