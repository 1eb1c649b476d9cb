"""Where the bytes of a run come from.

A source knows keys (`/`-separated, relative to the run) and bytes, nothing of
arrays. Other containers than a directory get a source of their own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """Read access to the keys of one run."""

    @property
    def location(self) -> str:
        """How a person names this run."""

    def size(self, key: str) -> int | None:
        """Bytes under `key`, None if there are none."""

    def read(self, key: str) -> bytes:
        """All bytes under `key`; FileNotFoundError if there are none."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer if the key ends before."""

    def list_folder(self, key: str) -> list[str]:
        """Names directly below `key`, in no order; empty if there is no such folder."""


class DirectorySource:
    """A run that is a directory on a file system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def location(self) -> str:
        return str(self.path)

    def size(self, key: str) -> int | None:
        try:
            return os.stat(self._file(key)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, key: str) -> bytes:
        with open(self._file(key), "rb") as file:
            return file.read()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with open(self._file(key), "rb", buffering=0) as file:
            file.seek(start)
            return file.read(length)

    def list_folder(self, key: str) -> list[str]:
        try:
            return os.listdir(self._file(key))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _file(self, key: str) -> str:
        return f"{self.path}/{key}"
