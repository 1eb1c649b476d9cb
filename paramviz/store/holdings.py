"""Which snapshots of a run hold what most of them lack: looked up near an iteration, and remembered."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from paramviz.errors import DamagedRunError
from paramviz.store.reader import Run

IsWanted = Callable[[int], bool]
"""Whether the snapshot of an iteration is one that is looked for."""


class Holdings:
    """Each record is read once at most, when a question needs it. Safe in several threads."""

    def __init__(self, run: Run, most: int | None = None) -> None:
        """most: how many snapshots either way are looked at; each may cost a request."""
        self._run = run
        self._most = most
        self._known: dict[int, frozenset[str]] = {}
        self._alike: dict[frozenset[str], frozenset[str]] = {}

    def arrays(self, iteration: int) -> frozenset[str]:
        """Names of the arrays that a snapshot holds; none if its record is damaged.

        Raises IterationNotFoundError, UnreachableError.
        """
        if iteration not in self._known:
            try:
                arrays = self._run[iteration].record.arrays
            except DamagedRunError:
                arrays = frozenset()
            # Thousands of snapshots hold one of a few sets.
            self._known[iteration] = self._alike.setdefault(arrays, arrays)
        return self._known[iteration]

    def newest(self, iteration: int, is_wanted: IsWanted) -> int | None:
        """The newest snapshot not after an iteration that is wanted; None if there is none."""
        before = self._run.iterations[: self._place_behind(iteration)][::-1]
        return next(filter(is_wanted, before[: self._most].tolist()), None)

    def next(self, iteration: int, is_wanted: IsWanted) -> int | None:
        """The first snapshot after an iteration that is wanted; None if there is none."""
        after = self._run.iterations[self._place_behind(iteration) :]
        return next(filter(is_wanted, after[: self._most].tolist()), None)

    def _place_behind(self, iteration: int) -> int:
        return int(np.searchsorted(self._run.iterations, iteration, side="right"))
