"""A run in an HDF5 file that `paramviz export` made, read where it lies."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.store import layout
from paramviz.store.codec import CorruptBytesError, crc32c
from paramviz.store.encoded import DamagedArrayError, FileCheck
from paramviz.store.group_files import GroupEncoder, LaidOutArray
from paramviz.store.hdf5_names import CHECKSUM, DIMENSIONS, INNER_CHUNK, JOURNAL, RECORD
from paramviz.store.hdf5_objects import Hdf5Objects
from paramviz.store.layout import ArrayLayout
from paramviz.store.records import FileSeal

Array = npt.NDArray[Any]
Files = Mapping[str, FileSeal]


_UNREADABLE_JOURNAL = bytes(8)
"""No record is empty, so this is one that fails its checksum: the run opens without its journal."""


class Hdf5Source:
    """An exported run. May be used from several threads: h5py lets in one at a time."""

    lists_quickly = True
    look_interval_s = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._objects = Hdf5Objects(path)
        self._encoder = GroupEncoder()
        self._journal: bytes | None = None
        self._checked: set[str] = set()

    def writer_alive(self) -> bool | None:
        """Nobody writes into an export; what was so when it was made, its journal says."""
        return None

    def size(self, key: str) -> int | None:
        try:
            return len(self._whole(key))
        except FileNotFoundError:
            return None
        except CorruptBytesError:
            # If it is there, whoever reads it is told what is wrong. In a broken group is nothing: else there
            # would be any number of snapshots, blocks and bases in it.
            folder, _, name = key.rpartition("/")[0].rpartition("/")
            return 0 if not name or name in self.list_folder(folder) else None

    def read(self, key: str, most: int) -> bytes:
        """A group's record as the `zarr.json` that it was, or the journal."""
        return self._whole(key)[:most]

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self._whole(key)[start : start + length]

    def list_folder(self, key: str) -> list[str]:
        try:
            return self._objects.names(key)
        except (FileNotFoundError, CorruptBytesError):
            return []

    def names_from(self, key: str, first: str, most: int) -> list[str]:
        return sorted(name for name in self.list_folder(key) if name >= first)[:most]

    def read_array(self, group: str, name: str, plan: ArrayLayout, files: Files) -> Array:
        """The whole array, checked against the checksum that was exported with it."""
        key = f"{group}/{name}"
        with _damage_of(key):
            dataset = self._dataset(key, plan, name, files)
            array = self._objects.elements(key, dataset, slice(None))
            if crc32c(array.tobytes()) != self._objects.integer(dataset, CHECKSUM):
                raise CorruptBytesError("fails its checksum")
            return array

    def read_rows(
        self, group: str, name: str, plan: ArrayLayout, files: Files, start: int, count: int
    ) -> Array:
        """Rows start … start + count of an array that was checked as a whole when it was first asked for.

        The library's own checksum of a chunk takes 16 zeros for 16 ones.
        """
        key = f"{group}/{name}"
        if key not in self._checked:
            rows = self.read_array(group, name, plan, files)[start : start + count]
            self._checked.add(key)
            return rows
        with _damage_of(key):
            dataset = self._dataset(key, plan, name, files)
            return self._objects.elements(key, dataset, slice(start, start + count))

    def encoded_files(self, group: str, files: Files) -> Iterator[tuple[str, bytes]]:
        """The arrays of a group, encoded anew: their bytes may differ from those of the run's directory."""
        for name in _array_names(files):
            plan = self._layout(f"{group}/{name}")
            array = self.read_array(group, name, plan, files)
            yield from self._encoder.files({name: LaidOutArray(array, plan)}).items()

    def check_files(self, group: str, files: Files) -> Iterator[FileCheck]:
        """Each array of a group."""
        for name in _array_names(files):
            key = f"{group}/{name}"
            try:
                yield FileCheck(key, self.read_array(group, name, self._layout(key), files).nbytes)
            except DamagedArrayError as error:
                yield FileCheck(key, 0, str(error))

    def _whole(self, key: str) -> bytes:
        if key == layout.journal_segment(0):
            return self._read_journal()
        folder, _, name = key.rpartition("/")
        if name != layout.GROUP_RECORD:
            raise FileNotFoundError(f"{self.path} holds no {key}")
        group = self._objects.group(folder)
        record = self._objects.text(group, RECORD)
        return layout.group_metadata() if record is None else layout.group_document(record)

    def _read_journal(self) -> bytes:
        if self._journal is None:
            try:
                dataset = self._objects.dataset(JOURNAL)
                plan = ArrayLayout(tuple(dataset.shape), np.dtype(np.uint8))
                array = self.read_array("", JOURNAL, plan, {JOURNAL: FileSeal(0, 0)})
                self._journal = array.tobytes()
            except CorruptBytesError:
                self._journal = _UNREADABLE_JOURNAL
        return self._journal

    def _dataset(self, key: str, plan: ArrayLayout, name: str, files: Files) -> Any:
        if name not in _array_names(files):
            raise CorruptBytesError("is not in the record of its group")
        dataset = self._objects.dataset(key)
        if tuple(dataset.shape) != plan.shape or dataset.dtype != plan.dtype:
            raise CorruptBytesError(
                f"holds {dataset.dtype} {tuple(dataset.shape)}, expected {plan.dtype} {plan.shape}"
            )
        return dataset

    def _layout(self, key: str) -> ArrayLayout:
        """How the array lay in the run's directory; DamagedArrayError if it cannot have lain there."""
        with _damage_of(key):
            dataset = self._objects.dataset(key)
            inner = self._objects.integer(dataset, INNER_CHUNK)
            names = self._objects.text(dataset, DIMENSIONS)
            return layout.checked_layout(
                tuple(dataset.shape), dataset.dtype, inner, () if names is None else json.loads(names)
            )


def _array_names(files: Files) -> list[str]:
    return list(dict.fromkeys(relative.partition("/")[0] for relative in files))


@contextmanager
def _damage_of(key: str) -> Iterator[None]:
    """Whatever is wrong with an array is said of its key."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedArrayError(key, "is missing") from error
    except (CorruptBytesError, ValueError, TypeError, RecursionError) as error:
        raise DamagedArrayError(key, str(error)) from error
