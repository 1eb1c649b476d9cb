"""Which snapshots a thinner copy of a run keeps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paramviz.errors import UsageError
from paramviz.schema import FORCING_EVENTS
from paramviz.store.copying import Selection
from paramviz.store.dense_index import is_samples
from paramviz.store.reader import Run
from paramviz.store.records import CommitRecord

_MB = 1_000_000
_GROWTH = 1.1
"""Each attempt to fit keeps about a tenth fewer snapshots than the one before."""


def keep_every(forced_T: npt.NDArray[np.bool_], every: int) -> npt.NDArray[np.bool_]:
    """(T,) which snapshots stay: every `every`-th, the first, the last and the forced ones.

    forced_T: (T,) in the order of their iterations.
    """
    keep_T = forced_T.copy()
    keep_T[::every] = True
    keep_T[-1:] = True
    return keep_T


def _least_bytes(record: CommitRecord, dense: bool) -> int:
    """Bytes that a snapshot takes in any copy that holds it."""
    kept = (seal.length for key, seal in record.files.items() if not (dense and is_samples(key)))
    return sum(kept)


class Thinner:
    """Chooses the snapshots of a copy, and fewer of them as long as the copy is too large."""

    def __init__(self, run: Run, every: int, max_mb: float | None, anonymous: bool, dense: bool) -> None:
        """dense: whether samples may take less in the copy than they do in the run.

        Raises UsageError if `every` makes no sense, DamagedRunError if a commit record is damaged."""
        if every < 1:
            raise UsageError(f"every={every}: one of so many snapshots is kept; at least 1.")
        self._run, self._every, self._anonymous = run, every, anonymous
        self._limit = None if max_mb is None else round(max_mb * _MB)
        records = [run[int(iteration)].record for iteration in run.iterations]
        self._forced_T = np.array(
            [any(event.kind in FORCING_EVENTS for event in record.events) for record in records], bool
        )
        if self._limit is not None:
            stored_T = np.array([_least_bytes(record, dense) for record in records], np.int64)
            self._skip_what_cannot_fit(stored_T, self._limit)

    def selection(self) -> Selection:
        """The snapshots to copy, and what the copy says about those that it lacks."""
        keep_T = keep_every(self._forced_T, self._every)
        kept = self._run.iterations[keep_T]
        thinned = None
        if len(kept) < len(keep_T):
            earlier = self._run.description.get("thinned")
            before = earlier.get("of") if isinstance(earlier, dict) else None
            thinned = {
                "every": self._every,
                "snapshots": len(kept),
                "of": before if isinstance(before, int) else len(keep_T),
            }
        return Selection(kept, thinned, self._anonymous)

    def accepts(self, copy_bytes: int) -> bool:
        """Whether a copy of this size is small enough; if not, the next selection is smaller.

        Raises UsageError if no selection is.
        """
        if self._limit is None or copy_bytes <= self._limit:
            return True
        if not self._thin():
            raise UsageError(
                f"{self._run.path}: its first, last and forced snapshots alone take {copy_bytes / _MB:.3g} "
                f"MB, and max_mb is {self._limit / _MB:g}. Allow more."
            )
        return False

    def _skip_what_cannot_fit(self, stored_T: npt.NDArray[np.int64], limit: int) -> None:
        """Go on to the first stride whose chunks alone are within the limit. stored_T: bytes of each."""
        while stored_T[keep_every(self._forced_T, self._every)].sum() > limit:
            if not self._thin():
                return

    def _thin(self) -> bool:
        """Take the next stride; False if there is none that keeps less."""
        if self._every >= len(self._forced_T):
            return False
        self._every = max(self._every + 1, int(self._every * _GROWTH))
        return True
