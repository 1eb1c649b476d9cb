"""Which kind of container a run is in, and opening it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from paramviz.errors import NotARunError, OutputError, UsageError
from paramviz.store import layout
from paramviz.store.dense_source import DenseSource
from paramviz.store.files import DirectoryFiles, Durability, RunFiles
from paramviz.store.reader import Run
from paramviz.store.remote import RemotePlace, is_address
from paramviz.store.remote_files import RemoteFiles
from paramviz.store.remote_source import RemoteSource
from paramviz.store.source import DirectorySource, Source
from paramviz.store.zip_source import ZipSource

_HDF5_SUFFIXES = (".h5", ".hdf5")
_ZIP_MAGIC, _HDF5_MAGIC = b"PK", b"\x89HDF\r\n\x1a\n"


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run for reading: a directory, or a file that `paramviz pack` or `paramviz export` made,
    or an address (`s3://…`, `https://…`; docs/REMOTE.md) of a directory or a packed run.

    Raises NotARunError if there is none at `path`, FormatVersionError if it
    is of another format, DamagedRunError if its root record is damaged,
    UnsafeRunError if a file holds what no run needs, UnreachableError if a
    server does not answer, MissingExtraError if a package is missing for it.
    """
    return Run(open_source(path))


def open_source(path: str | os.PathLike[str]) -> Source:
    """The source that fits what lies at `path`; NotARunError if no run can be there."""
    source = _open_container(path)
    # Only a packed run has dense blocks, and what another program unzipped from one.
    return DenseSource(source) if source.lists_quickly and DenseSource.is_needed_for(source) else source


def _open_container(path: str | os.PathLike[str]) -> Source:
    if is_address(path):
        return _open_address(str(path))
    run = Path(path)
    if not run.exists():
        raise NotARunError(f"{run}: does not exist. Check the spelling of the path.", path=run)
    if run.is_dir():
        return _open_directory(run)
    if not run.is_file():
        raise NotARunError(f"{run}: is neither a directory nor a plain file. Name a run.", path=run)
    if _starts_with(run, _ZIP_MAGIC):
        return ZipSource.open(run)
    if _starts_with(run, _HDF5_MAGIC):
        # h5py takes a tenth of a second to import; a run in a directory has no need of it.
        from paramviz.store.hdf5_source import Hdf5Source

        return Hdf5Source(run)
    raise NotARunError(
        f"{run}: is a file, and neither a packed run (.zarr.zip) nor an exported one (.h5).", path=run
    )


def _open_address(address: str) -> Source:
    place = RemotePlace(address)
    if address.endswith(_HDF5_SUFFIXES):
        raise UsageError(f"{address}: an HDF5 file is read from a disk only. Copy it to this machine first.")
    if not address.endswith(".zip"):
        return RemoteSource(place)
    size = place.size("")
    if size is None:
        raise NotARunError(f"{address}: does not exist. Check the spelling of the address.", path=address)
    return ZipSource(address, partial(place.get, ""), size)


def open_files(path: str | os.PathLike[str], durability: Durability) -> RunFiles:
    """The place at `path` to record a run to; OutputError if a run there cannot be written."""
    if is_address(path):
        return RemoteFiles(RemotePlace(str(path)))
    run = Path(path)
    if run.is_file() and not isinstance(open_source(run), DirectorySource):
        raise OutputError(
            f"{run}: is a packed run, and cannot be recorded into. Make a directory of it first: "
            "`paramviz unpack`.",
            path=run,
        )
    return DirectoryFiles(run, durability)


def _open_directory(run: Path) -> Source:
    if not (run / layout.GROUP_RECORD).exists():
        if not any(run.iterdir()):
            raise NotARunError(
                f'{run}: is an empty directory. Record into it with paramviz.Recorder("{run}", model).',
                path=run,
            )
        raise NotARunError(
            f"{run}: holds no run (there is no zarr.json in it). Name the run itself.", path=run
        )
    return DirectorySource(run)


def _starts_with(file: Path, magic: bytes) -> bool:
    with open(file, "rb") as opened:
        return opened.read(len(magic)) == magic
