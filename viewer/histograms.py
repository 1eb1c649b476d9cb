"""One tensor's histogram over the whole run (docs/HTTP.md, Scalars and timelines)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paramviz.errors import DamagedRunError, TensorNotFoundError
from paramviz.schema import histogram_edges
from paramviz.store import Run
from paramviz.store.cache import ArrayCache

MOST_SNAPSHOTS = 512
"""More columns than that are not told apart on a screen."""
LEAST_SNAPSHOTS = 16
_ROW_BYTES = 4 * (len(histogram_edges()) - 1)


class HistogramTables:
    """The tables of histograms that were read last: whoever looks at one tensor looks at the next one too."""

    BYTES = 32 << 20

    def __init__(self, run: Run, most: int = MOST_SNAPSHOTS) -> None:
        """most: how many snapshots one answer may be made of."""
        self._run = run
        self._most = most
        self._tables = ArrayCache(self.BYTES)

    def over_time(self, name: str) -> tuple[list[int], npt.NDArray[np.uint32], list[int]]:
        """(iterations, counts (T, 64), iterations that are damaged) of one tensor.

        A snapshot that has no histograms, or not this tensor, is left out. Raises UnreachableError.
        """
        run, iterations, rows, damaged = self._run, [], [], []
        # A table is one chunk, so all of it is read for one row: as many as are kept are read.
        fitting = self.BYTES // (_ROW_BYTES * max(len(run.tensors), 1))
        most = min(self._most, max(fitting, LEAST_SNAPSHOTS))
        for iteration in spread(run.iterations, most).tolist():
            try:
                row = self._row(iteration, name)
            except DamagedRunError:
                damaged.append(iteration)
                continue
            if row is not None:
                iterations.append(iteration)
                rows.append(row)
        counts = np.array(rows, np.uint32).reshape(len(rows), _ROW_BYTES // 4)
        return iterations, counts, damaged

    def _row(self, iteration: int, name: str) -> npt.NDArray[np.uint32] | None:
        snapshot = self._run[iteration]
        if "histograms" not in snapshot.record.arrays:
            return None
        try:
            tensor = self._run.tensor(name, snapshot.record.plan)
        except TensorNotFoundError:
            return None
        if tensor.skipped is not None:
            return None
        table = self._tables.get(snapshot.etag, lambda: snapshot.table("histograms"))
        row: npt.NDArray[np.uint32] = table[tensor.index]
        return row


def spread(iterations: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most `most` of `iterations`: every 1st, 2nd, 4th, 8th … one, and the last.

    While a run grows, those that are chosen stay chosen, or every other one of them does.
    """
    stride = 1
    while -(-len(iterations) // stride) + (stride > 1) > most:
        stride *= 2
    chosen = iterations[::stride]
    return (
        chosen if len(iterations) == 0 or chosen[-1] == iterations[-1] else np.append(chosen, iterations[-1])
    )
