"""What the journal tells of a run: scalars of every step, events, status, commits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import Event, RunStatus
from paramviz.store import limits
from paramviz.store.checked import moment, number, text, whole
from paramviz.store.codec import CorruptBytesError
from paramviz.store.journal import Entry
from paramviz.store.layout import BLOCK_FOLDERS

SILENCE_S = 600.0
"""A run on another machine that said nothing for ten minutes is taken for crashed."""


class History:
    """Journal entries, folded into series. Entries of an unknown kind are passed over."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, dict[str, float]]] = []
        self.events: list[Event] = []
        self.commits: list[int] = []
        self.seals: dict[int, int] = {}
        self.commit_times_unix_s: dict[int, float] = {}
        self.status: RunStatus = "recording"
        self.copied = False
        self.blocks: dict[str, int] = {}
        self.newest_plan = -1
        self.last_sign_of_life_unix_s = 0.0
        self._series: dict[str, tuple[list[int], list[float]]] = {}
        self._told: set[int] = set()

    def add(self, entries: Iterable[Entry], *, late: bool = False) -> None:
        """Fold entries in. late: they were written before others that are here already.

        CorruptBytesError if there are more of them than any run has.
        """
        for entry in entries:
            try:
                self._add(entry, late)
            except (KeyError, TypeError, ValueError, AttributeError):
                # Its checksum was right, so it is what somebody wrote: a later minor version, or mischief.
                continue
            if len(self.steps) > limits.JOURNAL_STEPS or len(self.events) > limits.JOURNAL_EVENTS:
                raise CorruptBytesError("holds more steps or events than are read")

    def add_step(self, iteration: int, scalars: dict[str, float]) -> None:
        self.steps.append((iteration, scalars))
        for name, value in scalars.items():
            iterations, values = self._series.setdefault(name, ([], []))
            iterations.append(iteration)
            values.append(value)

    def add_commit_events(self, iteration: int, events: Iterable[Event]) -> None:
        """Events of a commit, once: a reader may find the record before its journal entry comes."""
        if iteration not in self._told:
            self._told.add(iteration)
            self.events += events

    def _add(self, entry: Entry, late: bool) -> None:
        kind = entry["k"]
        time_unix_s = moment(entry["t"], "a time") if "t" in entry else 0.0
        if kind == "step":
            scalars = {text(k, "a scalar"): number(v, "a scalar") for k, v in entry["s"].items()}
            iteration = whole(entry["i"], "an iteration")
            if late:
                scalars = {name: value for name, value in scalars.items() if not self._has(name, iteration)}
            self.add_step(iteration, self._known_names(scalars))
        elif kind == "commit":
            iteration, plan = whole(entry["i"], "an iteration"), self._plan(entry)
            events, seal = _events(iteration, entry["e"]), whole(entry["crc"], "a checksum")
            self.newest_plan = max(self.newest_plan, plan)
            self.seals[iteration] = seal
            self.commit_times_unix_s[iteration] = time_unix_s
            self.commits.append(iteration)
            self.add_commit_events(iteration, events)
        elif kind == "event":
            self.events += _events(whole(entry["i"], "an iteration"), [(entry["kind"], entry["text"])])
        elif kind == "status" and entry["status"] in ("recording", "finished", "crashed"):
            self.status = entry["status"]
            self.copied = entry.get("copied") is True
        elif kind == "plan":
            self.newest_plan = max(self.newest_plan, self._plan(entry))
        elif kind == "block" and entry["of"] in BLOCK_FOLDERS:
            folder, n = entry["of"], whole(entry["block"], "a block") + 1
            self.blocks[folder] = max(self.blocks.get(folder, 0), n)
        if "t" in entry and not late:
            # The last one, not the latest: a clock that was ahead for a while would keep a dead run alive.
            self.last_sign_of_life_unix_s = time_unix_s

    def _has(self, name: str, iteration: int) -> bool:
        return name in self._series and iteration in self._series[name][0]

    def _known_names(self, scalars: dict[str, float]) -> dict[str, float]:
        """The scalars without those that would make more series than any run has."""
        room = limits.SCALAR_NAMES - len(self._series)
        new = [name for name in scalars if name not in self._series]
        for name in new[max(0, room) :]:
            del scalars[name]
        return scalars

    @staticmethod
    def _plan(entry: Entry) -> int:
        return whole(entry["plan"], "a plan", most=limits.PLANS)

    @property
    def end(self) -> int:
        """The iteration at which the journal ends: after a return to a checkpoint not its highest."""
        ends = [*self.commits[-1:], *(iteration for iteration, _ in self.steps[-1:])]
        return min(ends, default=0)

    @property
    def scalar_names(self) -> tuple[str, ...]:
        return tuple(self._series)

    def series(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """(iterations (n,), values (n,)) ascending; of two entries for an iteration the later one counts."""
        iterations, values = self._series.get(name, ([], []))
        # Copies first: another thread may append meanwhile, and both lists must end at the same entry.
        n = min(len(iterations), len(values))
        i_n = np.array(iterations[:n], np.int64)
        v_n = np.array(values[:n], np.float64)
        last_first, where = np.unique(i_n[::-1], return_index=True)
        return last_first, v_n[::-1][where]


def _events(iteration: int, pairs: Any) -> list[Event]:
    return [
        Event(iteration, text(kind, "the kind of an event"), text(told, "an event", most=limits.RECORD_BYTES))
        for kind, told in pairs
    ]
