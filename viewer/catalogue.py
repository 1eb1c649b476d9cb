"""The runs on offer, by the id that the server hands out. The only place that knows where they lie."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paramviz.errors import NotARunError, ParamvizError
from paramviz.store import open_run
from paramviz.store.remote import is_address
from viewer.folders import RECORD, Stamp, runs_below, stamp_of
from viewer.opened import OpenedRun
from viewer.problems import absent, without_path

__all__ = ["Catalogue", "OpenedRun", "UnreadableRun"]

_PLAIN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_BIRTH_PATIENCE_S = 2.0
"""How long to wait for the root record of a run whose recorder has only just begun."""

MOST_OPEN_FILES = 64
"""So many packed and exported runs of folders stay open; a process may have some hundred files open."""


@dataclass(frozen=True, slots=True)
class UnreadableRun:
    """A run in a folder of runs that cannot be opened, and why."""

    id: str
    name: str
    error: str


@dataclass(frozen=True, slots=True)
class _Refused:
    """Something that is no run (`entry` is None) or cannot be opened, as long as it stays what it was."""

    stamp: Stamp
    entry: UnreadableRun | None


class Catalogue:
    """Opens runs, and folders of runs, once each. Safe to use from several threads.

    A run keeps its id as long as the server lives. A folder is looked at
    again whenever the list is asked for, so new runs in it appear.
    """

    def __init__(self, places: Iterable[str | os.PathLike[str]]) -> None:
        """Open what the user named, paths or addresses; the first that is no run raises its error."""
        self._lock = threading.Lock()
        self._opened: dict[str, OpenedRun] = {}
        self._refused: dict[str, _Refused] = {}
        self._taken_ids: set[str] = set()
        self._files: dict[str, OpenedRun] = {}
        self._named: list[str | Path] = []
        """Keys of runs, and folders, in the order in which the user named them."""
        for place in places:
            folder = _as_folder(place)
            self._named.append(_key(place) if folder is None else folder)
            if folder is None:
                self._open(place)
            else:
                self._scan(folder)
                self._refuse_without_runs(folder)

    def all(self) -> list[OpenedRun | UnreadableRun]:
        """Every run, in the order in which they were named; within a folder by creation."""
        with self._lock:
            listed: dict[str, OpenedRun | UnreadableRun] = {}
            for place in self._named:
                found = self._in_folder(place) if isinstance(place, Path) else [self._opened[place]]
                listed |= {entry.id: entry for entry in found if entry.id not in listed}
            return list(listed.values())

    def get(self, run_id: str) -> OpenedRun:
        """The run of that id; a 404 if there is none."""
        with self._lock:
            for opened in self._opened.values():
                if opened.id == run_id:
                    if run_id in self._files:
                        self._keep_open(opened)
                    return opened
        raise absent("This viewer has no run of that id. `api/runs` lists those it has.")

    def _in_folder(self, folder: Path) -> list[OpenedRun | UnreadableRun]:
        keys = self._scan(folder)
        opened = [self._opened[key] for key in keys if key in self._opened]
        opened.sort(key=lambda entry: entry.listing.created_unix_s)
        refused = [self._refused[key].entry for key in keys if key in self._refused]
        return [*opened, *(entry for entry in refused if entry is not None)]

    def _scan(self, folder: Path) -> list[str]:
        """Open what is new in a folder, and what was refused and changed since. The keys of all in it."""
        keys = []
        for path, stamp in runs_below(folder).items():
            key = _key(path)
            keys.append(key)
            before = self._refused.get(key)
            if key in self._opened or (before is not None and before.stamp == stamp):
                continue
            try:
                opened = self._open(path)
            except NotARunError:
                self._refused[key] = _Refused(stamp, None)
            except (ParamvizError, OSError) as error:
                was = before.entry if before is not None else None
                run_id = was.id if was is not None else self._new_id("unreadable")
                self._refused[key] = _Refused(stamp, UnreadableRun(run_id, path.name, without_path(error)))
            else:
                self._refused.pop(key, None)
                if path.is_file():
                    self._keep_open(opened)
        return keys

    def _refuse_without_runs(self, folder: Path) -> None:
        if not self._in_folder(folder):
            raise NotARunError(
                f"{folder}: holds no run, and nothing in it is one. Name a run, or a folder of runs.",
                path=folder,
            )

    def _open(self, place: str | os.PathLike[str]) -> OpenedRun:
        key = _key(place)
        if key not in self._opened:
            run = open_run(place)
            self._opened[key] = OpenedRun(self._new_id(run.run_id), partial(open_run, place), run)
        return self._opened[key]

    def _keep_open(self, opened: OpenedRun) -> None:
        """Of the packed and exported runs in folders, the ones used last stay open."""
        self._files.pop(opened.id, None)
        self._files[opened.id] = opened
        for least_used in list(self._files.values())[:-MOST_OPEN_FILES]:
            least_used.rest()

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


def _key(place: str | os.PathLike[str]) -> str:
    """The same for every spelling of a place."""
    return str(place).rstrip("/") if is_address(place) else os.path.realpath(place)


def _as_folder(place: str | os.PathLike[str]) -> Path | None:
    """The folder of runs at `place`; None if a run is there, or nothing."""
    if is_address(place):
        return None
    path = Path(place)
    if _awaits_or_holds_run(path) or not path.is_dir() or not runs_below(path):
        return None
    return path


def _awaits_or_holds_run(path: Path) -> bool:
    """Whether a run is at `path`, with a little patience for one whose recorder is just laying it out."""
    deadline = time.monotonic() + _BIRTH_PATIENCE_S
    while stamp_of(path / RECORD) is None:
        if not (path / ".paramviz").is_dir() or time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
