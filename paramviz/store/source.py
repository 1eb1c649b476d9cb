"""Where the bytes of a run come from.

A source knows keys (`/`-separated, relative to the run), the bytes under them,
and the arrays of a group. `DirectorySource` is a run on a file system; other
containers have a source of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from paramviz.store import lock
from paramviz.store.encoded import EncodedSource, FileCheck
from paramviz.store.layout import ArrayLayout
from paramviz.store.records import FileSeal

Array = npt.NDArray[Any]
Files = Mapping[str, FileSeal]


class Source(Protocol):
    """Read access to one run.

    A key that is not there is a FileNotFoundError; an array that is missing
    or not what was written is a `DamagedArrayError`.
    """

    @property
    def path(self) -> Path | str:
        """Where the run is: a path, or the address of a remote one."""

    @property
    def lists_quickly(self) -> bool:
        """Whether listing a folder costs no more than reading a file."""

    def writer_alive(self) -> bool | None:
        """Whether a process records into this run now; None if that cannot be told from here."""

    def size(self, key: str) -> int | None:
        """Bytes under `key`, None if there are none."""

    def read(self, key: str) -> bytes:
        """All bytes under `key`."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer if the key ends before."""

    def list_folder(self, key: str) -> list[str]:
        """Names directly below `key`, in no order; empty if there is no such folder."""

    def read_array(self, group: str, name: str, layout: ArrayLayout, files: Files) -> Array:
        """A whole array of a group, checked against the group's list of files."""

    def read_rows(
        self, group: str, name: str, layout: ArrayLayout, files: Files, start: int, count: int
    ) -> Array:
        """Rows start … start + count of a sharded array; reads little more than these."""

    def encoded_files(self, group: str, files: Files) -> Iterator[tuple[str, bytes]]:
        """(key relative to the group, bytes) of every file of a group's arrays, verified."""

    def check_files(self, group: str, files: Files) -> Iterator[FileCheck]:
        """Read everything of a group's arrays, and say of each file whether it is what was written."""


class DirectorySource(EncodedSource):
    """A run that is a directory on a file system."""

    lists_quickly = True

    def __init__(self, path: Path) -> None:
        self.path = path

    def writer_alive(self) -> bool | None:
        return lock.writer_alive(self.path)

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
