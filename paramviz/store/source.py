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
from paramviz.store.plain_files import open_plain, plain_folder, plain_size
from paramviz.store.records import FileSeal

Array = npt.NDArray[Any]
Files = Mapping[str, FileSeal]


class Source(Protocol):
    """Read access to one run.

    A key that is not there is a FileNotFoundError, one that cannot be read as
    a plain file of the run a CorruptBytesError; an array that is missing or
    not what was written is a `DamagedArrayError`.
    """

    @property
    def path(self) -> Path | str:
        """Where the run is: a path, or the address of a remote one."""

    @property
    def lists_quickly(self) -> bool:
        """Whether listing a folder costs no more than reading a file."""

    @property
    def look_interval_s(self) -> float:
        """How long to wait between two looks for what is new: 0 where a look costs next to nothing."""

    def writer_alive(self) -> bool | None:
        """Whether a process records into this run now; None if that cannot be told from here."""

    def size(self, key: str) -> int | None:
        """Bytes under `key`, None if there are none."""

    def read(self, key: str, most: int) -> bytes:
        """All bytes under `key`, but only the first `most` if there are more."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start`; fewer if the key ends before."""

    def list_folder(self, key: str) -> list[str]:
        """Names directly below `key`, in no order; empty if there is no such folder."""

    def names_from(self, key: str, first: str, most: int) -> list[str]:
        """Names directly below `key` that sort at or behind `first`, ascending, at most `most` of them.

        Costs one request at most. A place that cannot answer that in one has none to tell.
        """

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
        return plain_size(self.path, key)

    def read(self, key: str, most: int) -> bytes:
        return self.read_range(key, 0, most)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with open_plain(self.path, key) as file:
            # A read of a gigabyte from a small file would first allocate the gigabyte.
            there = max(0, os.fstat(file.fileno()).st_size - start)
            file.seek(start)
            return file.read(min(length, there))

    def list_folder(self, key: str) -> list[str]:
        return plain_folder(self.path, key)
