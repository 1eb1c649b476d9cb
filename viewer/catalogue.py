"""The runs on offer, by the id that the server hands out. The only place that knows their paths."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from paramviz.analysis.projection import EmbeddingProjection
from paramviz.errors import NotARunError, ParamvizError
from paramviz.store import Run, open_run
from viewer.problems import absent, without_path

_PLAIN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_BIRTH_PATIENCE_S = 2.0
"""How long to wait for the root record of a run whose recorder has only just begun."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenedRun:
    """A run and what the server keeps beside it."""

    id: str
    run: Run
    projection: EmbeddingProjection = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnreadableRun:
    """A run in a folder of runs that cannot be opened, and why."""

    id: str
    name: str
    error: str


class Catalogue:
    """Opens runs, and folders of runs, once each. Safe to use from several threads.

    A run keeps its id as long as the server lives. A folder is looked at
    again whenever the list is asked for, so new runs in it appear.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        """Open what the user named; the first path that is no run (or a damaged one) raises its error."""
        self._lock = threading.Lock()
        self._opened: dict[str, OpenedRun] = {}
        self._unreadable: dict[str, UnreadableRun] = {}
        self._taken_ids: set[str] = set()
        self._roots: list[tuple[Path, bool]] = []
        for path in map(Path, paths):
            holds_run = _awaits_or_holds_run(path)
            is_folder = not holds_run and path.is_dir() and bool(_runs_below(path))
            self._roots.append((path, is_folder))
            if not is_folder:
                self._open(path)
        self._scan()
        self._refuse_folders_without_runs()

    def all(self) -> list[OpenedRun | UnreadableRun]:
        """Every run, in the order of the paths; within a folder by creation."""
        with self._lock:
            self._scan()
            listed: dict[str, OpenedRun | UnreadableRun] = {}
            for path, is_folder in self._roots:
                keys = [os.path.realpath(run) for run in (_runs_below(path) if is_folder else [path])]
                opened = [self._opened[key] for key in keys if key in self._opened]
                unreadable = [self._unreadable[key] for key in keys if key in self._unreadable]
                opened.sort(key=lambda entry: entry.run.created_unix_s)
                found: list[OpenedRun | UnreadableRun] = [*opened, *unreadable]
                listed |= {entry.id: entry for entry in found if entry.id not in listed}
            return list(listed.values())

    def get(self, run_id: str) -> OpenedRun:
        """The run of that id; a 404 if there is none."""
        with self._lock:
            for opened in self._opened.values():
                if opened.id == run_id:
                    return opened
        raise absent("This viewer has no run of that id. `api/runs` lists those it has.")

    def _scan(self) -> None:
        for folder in (path for path, is_folder in self._roots if is_folder):
            for path in _runs_below(folder):
                key = os.path.realpath(path)
                if key in self._opened or key in self._unreadable:
                    continue
                try:
                    self._open(path)
                except NotARunError:
                    continue
                except (ParamvizError, OSError) as error:
                    run_id = self._new_id("unreadable")
                    self._unreadable[key] = UnreadableRun(run_id, path.name, without_path(error))

    def _refuse_folders_without_runs(self) -> None:
        found = self._opened.keys() | self._unreadable.keys()
        for folder in (path for path, is_folder in self._roots if is_folder):
            if not any(os.path.realpath(run) in found for run in _runs_below(folder)):
                raise NotARunError(
                    f"{folder}: holds no run, and no folder in it is one. Name a run, or a folder of runs.",
                    path=folder,
                )

    def _open(self, path: Path) -> None:
        key = os.path.realpath(path)
        if key not in self._opened:
            run = open_run(path)
            self._opened[key] = OpenedRun(self._new_id(run.run_id), run, EmbeddingProjection(run))

    def _new_id(self, wanted: str) -> str:
        # What a stranger's run calls itself goes into addresses and headers only if it is harmless there.
        if not _PLAIN_ID.fullmatch(wanted):
            wanted = hashlib.blake2b(wanted.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        run_id, n = wanted, 1
        while run_id in self._taken_ids:
            n += 1
            run_id = f"{wanted}~{n}"
        self._taken_ids.add(run_id)
        return run_id


def _runs_below(folder: Path) -> list[Path]:
    """Direct subfolders that may be runs, by name."""
    try:
        return sorted(child for child in folder.iterdir() if (child / "zarr.json").is_file())
    except OSError:
        return []


def _awaits_or_holds_run(path: Path) -> bool:
    """Whether a run is at `path`, with a little patience for one whose recorder is just laying it out."""
    deadline = time.monotonic() + _BIRTH_PATIENCE_S
    while not (path / "zarr.json").is_file():
        if not (path / ".paramviz").is_dir() or time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
