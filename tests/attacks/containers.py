"""A damaged run in each kind of container that a run can come in."""

from __future__ import annotations

import gc
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal, get_args

import pytest

from paramviz.store import Run, open_run, pack_run
from paramviz.store.codec import CorruptBytesError
from paramviz.store.dense_source import DenseSource
from paramviz.store.encoded import EncodedSource
from paramviz.store.hdf5_export import export_hdf5
from paramviz.store.source import Source
from paramviz.store.zip_source import ZipSource
from tests.attacks.hdf5_mutations import Hdf5Mutator
from tests.attacks.mutations import Files, Mutator, Odd
from tests.attacks.specimen import make_run
from tests.attacks.zip_mutations import archive_of, damage_archive, damage_bytes

Container = Literal["memory", "directory", "zip", "zip on disk", "hdf5"]
CONTAINERS: tuple[Container, ...] = get_args(Container)

_EVERY: tuple[tuple[int, Container], ...] = ((50, "hdf5"), (25, "directory"), (24, "zip on disk"), (6, "zip"))


def container_of(number: int) -> Container:
    """What damage number `number` is met in: of a hundred 80 in memory, 12 in a zip in memory, 4 in a
    zip on the disk, 2 in a directory and 2 in an HDF5 file. A third of those in memory, and half of those
    in zips, have dense blocks."""
    return next((container for every, container in _EVERY if number % every == every - 1), "memory")


@dataclass(frozen=True, slots=True)
class Met:
    """A damaged run: how to open it, where it lies if it lies anywhere, and what was done to it."""

    opening: Callable[[], Run]
    path: Path | None
    told: str
    mended: bool


class MemorySource(EncodedSource):
    """A run of files in memory; `lists_quickly` False is how an object store behaves."""

    def __init__(self, files: Files, lists_quickly: bool) -> None:
        self.path = "a run in memory"
        self.lists_quickly = lists_quickly
        self._files = files
        self._odd = tuple(key for key, found in files.items() if isinstance(found, Odd))

    def writer_alive(self) -> bool | None:
        return None

    def size(self, key: str) -> int | None:
        try:
            return len(self._found(key))
        except FileNotFoundError:
            return None
        except CorruptBytesError:
            return 0

    def read(self, key: str, most: int) -> bytes:
        return self.read_range(key, 0, most)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return _part(self._found(key), start, length)

    def list_folder(self, key: str) -> list[str]:
        below = (name[len(key) + 1 :] for name in self._files if name.startswith(f"{key}/"))
        return list(dict.fromkeys(name.partition("/")[0] for name in below))

    def _found(self, key: str) -> bytes:
        if any(key == odd or key.startswith(f"{odd}/") for odd in self._odd):
            raise CorruptBytesError("is no plain file, or lies behind what is no folder")
        found = self._files.get(key)
        if found is None:
            raise FileNotFoundError(key)
        assert isinstance(found, bytes)
        return found


class Containers:
    """The same run as a directory, a zip and an HDF5 file below `folder`, to be damaged in turn."""

    def __init__(self, folder: Path) -> None:
        self.run, self.zip, self.hdf5 = folder / "run", folder / "run.zarr.zip", folder / "run.h5"
        make_run(self.run)
        dense = folder / "dense.zarr.zip"
        with pytest.MonkeyPatch.context() as patch:
            # So few samples would not be worth a block.
            patch.setattr("paramviz.store.dense_packing._WORTH_WHILE", 100)
            pack_run(self.run, dense, dense=True)
        self.dense = {name: zipfile.ZipFile(dense).read(name) for name in zipfile.ZipFile(dense).namelist()}
        assert any(key.startswith("dense/") for key in self.dense)
        pack_run(self.run, self.zip)
        export_hdf5(self.run, self.hdf5)
        self.good = {
            str(file.relative_to(self.run)): file.read_bytes()
            for file in self.run.rglob("*")
            if file.is_file()
        }
        self.openings: dict[Container, Callable[[], Run]] = {
            "memory": lambda: Run(MemorySource(dict(self.good), lists_quickly=True)),
            "directory": partial(open_run, self.run),
            "zip": partial(open_run, self.zip),
            "hdf5": partial(open_run, self.hdf5),
        }
        """The run undamaged."""
        self._folders = {folder for folder in self.run.rglob("*") if folder.is_dir()}
        self._files, self._blocks = Mutator(self.good), Mutator(self.dense)
        self._packed = self.zip.read_bytes()
        self._exported = Hdf5Mutator(self.hdf5.read_bytes())

    @contextmanager
    def damaged(self, number: int) -> Iterator[Met]:
        """Damage number `number`; what lies on the disk is good again afterwards."""
        container = container_of(number)
        if container == "hdf5":
            data, told, mended = self._exported.damage(number)
            # A file of its own: the library would take one that it has open already for the same.
            self.hdf5.unlink()
            self.hdf5.write_bytes(data)
            yield Met(partial(open_run, self.hdf5), self.hdf5, told, mended)
            gc.collect()
        elif container.startswith("zip"):
            data, told, mended = self._damaged_zip(number)
            if container == "zip":
                opening = partial(ZipSource, "a zip in memory", partial(_part, data), len(data))
                yield Met(lambda: _opened(opening()), None, told, mended)
            else:
                self.zip.write_bytes(data)
                yield Met(partial(open_run, self.zip), self.zip, told, mended)
        else:
            is_dense = container == "memory" and number % 3 == 1
            damage = (self._blocks if is_dense else self._files).damage(number)
            if container == "memory":
                source = MemorySource(damage.files, lists_quickly=is_dense or number % 2 == 0)
                yield Met(lambda: _opened(source), None, damage.told, damage.mended)
            else:
                with self._laid_out(damage.files):
                    yield Met(partial(open_run, self.run), self.run, damage.told, damage.mended)

    def _damaged_zip(self, number: int) -> tuple[bytes, str, bool]:
        """A zip with other bytes, with odd headers and lists, or of a damaged run."""
        random = Random(number)
        what = random.randrange(3)
        if what == 0:
            return (*damage_bytes(random, self._packed, self._packed), False)
        is_dense = random.random() < 0.5
        files: dict[str, bytes] = dict(self.dense if is_dense else self.good)
        told, mended = "", False
        if what == 1 or random.random() < 0.2:
            damage = (self._blocks if is_dense else self._files).damage(number)
            files = {key: data for key, data in damage.files.items() if isinstance(data, bytes)}
            told, mended = f"{damage.told}; ", damage.mended
        archive = archive_of(files)
        if what == 2 and files:
            told += "; ".join(damage_archive(random, archive) for _ in range(random.choice((1, 1, 2))))
        return archive.written(), told, mended

    @contextmanager
    def _laid_out(self, files: Files) -> Iterator[None]:
        """The run's directory holds `files`."""
        keys = sorted({**self.good, **files})
        # A folder comes before what is in it, so that nothing is reached through a link in its place.
        touched = [key for key in keys if files.get(key) is not self.good.get(key)]
        for key in touched:
            self._clear(key)
        try:
            for key in touched:
                self._put(key, files.get(key))
            yield
        finally:
            for key in touched:
                self._clear(key)
            for folder in sorted(self.run.rglob("*"), reverse=True):
                if folder.is_dir() and folder not in self._folders:
                    shutil.rmtree(folder)
            for key in touched:
                self._put(key, self.good.get(key))

    def _put(self, key: str, found: bytes | Odd | None) -> None:
        file = self.run / key
        if found is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        match found:
            case Odd.FOLDER:
                file.mkdir()
            case Odd.PIPE:
                os.mkfifo(file)
            case Odd.LINK_WITHIN:
                file.symlink_to(self.run / next(iter(self.good)))
            case Odd.LINK_OUTSIDE:
                file.symlink_to("/etc/passwd")
            case Odd.LINK_DEVICE:
                file.symlink_to("/dev/zero")
            case _:
                file.write_bytes(found)

    def _clear(self, key: str) -> None:
        file = self.run / key
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)


def _opened(source: Source) -> Run:
    """As `open_run` does it."""
    return Run(DenseSource(source) if source.lists_quickly and DenseSource.is_needed_for(source) else source)


def _part(data: bytes, start: int, length: int) -> bytes:
    # A file would refuse the one, and take the other for all that there is.
    assert start >= 0, f"a read from {start}"
    assert length >= 0, f"a read of {length} bytes"
    return data[start : start + length]
