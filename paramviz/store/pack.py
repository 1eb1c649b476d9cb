"""One file for a whole run, and the way back: `paramviz pack` and `unpack`.

The zip holds the files of the run's directory as they are, stored and not
compressed (their chunks are compressed already), so a run is read in it where
it lies. The same run gives the same bytes: no time and no owner is in them.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from paramviz.store.copying import KeyedFile, Progress, Selection, copied_files
from paramviz.store.dense_packing import DensePacker
from paramviz.store.opening import open_run
from paramviz.store.placement import staged_path
from paramviz.store.thinning import Thinner

_PLAIN_FILE = 0o100644 << 16
_UNIX = 3


@dataclass(frozen=True, slots=True)
class PackReport:
    """What a packed run holds: `snapshots` of the run's `of`, in a file of `bytes`.

    dense_snapshots: those of which the samples lie in dense blocks.
    plain_bytes: what the file would have without blocks.
    """

    path: Path
    snapshots: int
    of: int
    bytes: int
    dense_snapshots: int
    plain_bytes: int


def pack_run(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    every: int = 1,
    max_mb: float | None = None,
    anonymous: bool = False,
    dense: bool = False,
    progress: Progress | None = None,
) -> PackReport:
    """Write the run at `path` into one zip file, which is there whole or not at all.

    every: keep one of so many snapshots, and the first, the last and the
    forced ones. max_mb: keep fewer until the file is at most so large (10⁶
    bytes). anonymous: see docs/SHARING.md. dense: keep the differences between
    consecutive snapshots, where that is smaller (docs/FORMAT.md). What is committed meanwhile is not
    in it. Raises OutputError if `out` exists or cannot be written, UsageError
    if the run cannot be made as small as `max_mb`, DamagedRunError at the
    first file that is not what was committed.
    """
    run, target = open_run(path), Path(out)
    thinner = Thinner(run, every, max_mb, anonymous, dense)
    with staged_path(target) as staged:
        while True:
            selection, packer = thinner.selection(), DensePacker()
            files = copied_files(run, selection, progress)
            _write_zip(staged, packer.repacked(files) if dense else files)
            if thinner.accepts(staged.stat().st_size):
                break
    size = target.stat().st_size
    return PackReport(
        path=target,
        snapshots=len(selection.iterations),
        of=len(run.iterations),
        bytes=size,
        dense_snapshots=packer.snapshots,
        plain_bytes=size + packer.saved_bytes,
    )


def unpack_run(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, progress: Progress | None = None
) -> Path:
    """Write the run at `path` as a directory, which is there whole or not at all.

    Raises OutputError if `out` exists or cannot be written, DamagedRunError
    at the first file that is not what was committed.
    """
    run, target = open_run(path), Path(out)
    with staged_path(target) as staged:
        staged.mkdir()
        for key, data in copied_files(run, Selection(run.iterations), progress):
            file = staged / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    return target


def _write_zip(path: Path, files: Iterable[KeyedFile]) -> None:
    with open(path, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for key, data in files:
                # The earliest time that a zip can hold: when it was packed is nobody's concern.
                entry = zipfile.ZipInfo(key, (1980, 1, 1, 0, 0, 0))
                entry.external_attr, entry.create_system = _PLAIN_FILE, _UNIX
                archive.writestr(entry, data)
        file.flush()
        os.fsync(file.fileno())
