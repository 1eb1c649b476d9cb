"""What the journal tells of a run: scalars of every step, events, status, commits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import Event, RunStatus
from paramviz.store.journal import Entry

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

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            try:
                self._add(entry)
            except (KeyError, TypeError, ValueError, AttributeError):
                # Its checksum was right, so it is what somebody wrote: a later minor version, or mischief.
                continue

    def add_step(self, iteration: int, scalars: dict[str, float]) -> None:
        self.steps.append((iteration, scalars))
        for name, value in scalars.items():
            iterations, values = self._series.setdefault(name, ([], []))
            iterations.append(iteration)
            values.append(value)

    def _add(self, entry: Entry) -> None:
        kind = entry["k"]
        if kind == "step":
            scalars = {str(name): float(value) for name, value in entry["s"].items()}
            self.add_step(int(entry["i"]), scalars)
        elif kind == "commit":
            iteration, events = int(entry["i"]), _events(int(entry["i"]), entry["e"])
            self.newest_plan = max(self.newest_plan, int(entry["plan"]))
            self.seals[iteration] = int(entry["crc"])
            self.commit_times_unix_s[iteration] = float(entry["t"])
            self.commits.append(iteration)
            self.events += events
        elif kind == "event":
            self.events.append(Event(int(entry["i"]), str(entry["kind"]), str(entry["text"])))
        elif kind == "status" and entry["status"] in ("recording", "finished", "crashed"):
            self.status = entry["status"]
            self.copied = entry.get("copied") is True
        elif kind == "plan":
            self.newest_plan = max(self.newest_plan, int(entry["plan"]))
        elif kind == "block":
            folder, n = str(entry["of"]), int(entry["block"]) + 1
            self.blocks[folder] = max(self.blocks.get(folder, 0), n)
        if "t" in entry:
            self.last_sign_of_life_unix_s = max(self.last_sign_of_life_unix_s, float(entry["t"]))

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
    return [Event(iteration, str(kind), str(text)) for kind, text in pairs]
