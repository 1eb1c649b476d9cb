"""Folders of runs: what in them may be a run, and whether it changed since it was looked at."""

from __future__ import annotations

import os
from pathlib import Path

RECORD = "zarr.json"
FILE_SUFFIXES = (".zarr.zip", ".h5", ".hdf5")

Stamp = tuple[int, int, int]
"""Of a file: which it is, how long, and when it was changed. A hint, on which nothing depends but when
something that was refused is tried again."""


def runs_below(folder: Path) -> dict[Path, Stamp]:
    """What lies directly in `folder` and may be a run, by name: directories, packed and exported runs."""
    found: dict[Path, Stamp] = {}
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError:
        return found
    for name in names:
        path = folder / name
        # What begins with a point is hidden, or still being written.
        is_file = name.lower().endswith(FILE_SUFFIXES) and not name.startswith(".") and path.is_file()
        stamp = stamp_of(path if is_file else path / RECORD)
        if stamp is not None:
            found[path] = stamp
    return found


def stamp_of(path: Path) -> Stamp | None:
    """None if no plain file is at `path`."""
    try:
        if not path.is_file():
            return None
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
