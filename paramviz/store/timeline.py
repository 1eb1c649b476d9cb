"""Following one tensor over all snapshots: from sealed blocks where there are any, else from the groups."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from paramviz.errors import DamagedRunError, TensorNotFoundError
from paramviz.store import layout, limits
from paramviz.store.blocks import TIMELINE_TABLES
from paramviz.store.checked import whole
from paramviz.store.codec import CorruptBytesError
from paramviz.store.groups import read_group_record
from paramviz.store.records import FileSeal, Record, read_files

if TYPE_CHECKING:
    from paramviz.store.reader import Run

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TimelineBlock:
    """A block whose seal holds: the statistics of `iterations`, (n,) in the order of their commits."""

    key: str
    plan: int
    iterations: npt.NDArray[np.int64]
    files: dict[str, FileSeal]


class BlockReader:
    """The blocks of a run. Damage in one is no error: its snapshots are read from their groups."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._blocks: dict[int, TimelineBlock | None] = {}
        self._lock = threading.Lock()

    def count(self, folder: str) -> int:
        """Number of blocks in `timeline` or `scalars`, as journaled; where looking is cheap, as they are."""
        run = self._run
        # Each holds at least one snapshot or step, whatever a journal claims.
        n = min(
            run.journaled_blocks(folder), run.commit_count if folder == layout.TIMELINE else run.step_count
        )
        # Nothing can be said of what lies behind a link or in a broken group: 0 bytes, and that of any block.
        while run.source.lists_quickly and run.source.size(self._record_key(folder, n)):
            n += 1
        return n

    def timeline(self, name: str, key: str, of: str) -> npt.NDArray[np.float64]:
        """(T,) one statistic of one tensor over `run.iterations`; NaN where it was not recorded."""
        run = self._run
        keys = {"statistics": run.statistic_keys, "gradient_statistics": run.gradient_keys}[of]
        if key not in keys:
            raise KeyError(f"{key!r} is no statistic of this run; it holds {', '.join(keys)}")
        run.tensor(name)
        column, iterations = keys.index(key), run.iterations
        values_T, known_T = np.full(len(iterations), np.nan), np.zeros(len(iterations), bool)
        for block in self.blocks():
            found = self._rows(block, name, of, len(keys))
            if found is None:
                continue
            # A thinned copy, or a stranger's run, may have blocks of snapshots that it does not hold.
            at = np.searchsorted(iterations, block.iterations).clip(0, max(0, len(iterations) - 1))
            held = iterations[at] == block.iterations if len(iterations) else np.zeros(len(at), bool)
            values_T[at[held]] = found[column][held]
            known_T[at[held]] = True
        for t in np.flatnonzero(~known_T).tolist():
            values_T[t] = self._value(int(iterations[t]), name, of, column)
        return values_T

    def blocks(self) -> Iterator[TimelineBlock]:
        """The blocks of the timeline that can be trusted."""
        for number in range(self.count(layout.TIMELINE)):
            with self._lock:
                if number not in self._blocks:
                    self._blocks[number] = self._open(number)
                block = self._blocks[number]
            if block is not None:
                yield block

    def last_blocked_step(self) -> int:
        """The highest iteration whose scalars are in a block, -1 if there is none."""
        for number in reversed(range(self.count(layout.SCALARS))):
            key = layout.block_key(layout.SCALARS, number)
            try:
                record = read_group_record(self._run.source, key, self._run.damaged)
                return int(self._iterations(key, record, "steps")[-1])
            except (DamagedRunError, CorruptBytesError, KeyError, TypeError, ValueError, IndexError):
                continue
        return -1

    def check(self, folder: str, number: int) -> None:
        """Read a whole block; DamagedRunError if anything in it is not what was written."""
        run, key = self._run, layout.block_key(folder, number)
        record = read_group_record(run.source, key, run.damaged)
        try:
            files = read_files(record)
            if record["block"] != number:
                raise run.damaged(f"{key}/{layout.GROUP_RECORD}", "is the record of another block")
            n = len(self._iterations(key, record, "snapshots" if folder == layout.TIMELINE else "steps"))
            if folder == layout.SCALARS:
                names = len(record["names"])
                run.source.read_array(key, "values", layout.ArrayLayout((names, n), np.dtype("<f8")), files)
                return
            tensors = len(run.plan_numbered(whole(record["plan"], "a plan", most=limits.PLANS)).tensors)
            for table, keys in zip(TIMELINE_TABLES, (run.statistic_keys, run.gradient_keys), strict=True):
                if f"{table}/{layout.GROUP_RECORD}" in files:
                    plan = layout.timeline_layout((tensors, len(keys), n))
                    run.source.read_array(key, table, plan, files)
        except (CorruptBytesError, KeyError, TypeError, ValueError) as error:
            raise run.damaged(key, f"cannot be read ({error})") from error

    def _open(self, number: int) -> TimelineBlock | None:
        key = layout.block_key(layout.TIMELINE, number)
        try:
            record = read_group_record(self._run.source, key, self._run.damaged)
            iterations = self._iterations(key, record, "snapshots")
            plan = whole(record["plan"], "a plan", most=limits.PLANS)
            return TimelineBlock(key, plan, iterations, read_files(record))
        except (DamagedRunError, CorruptBytesError, OSError, KeyError, TypeError, ValueError):
            return None

    def _iterations(self, key: str, record: Record, length: str) -> npt.NDArray[np.int64]:
        n = whole(record[length], length, most=limits.BLOCK_ROWS)
        plan = layout.layout_of("iterations", (n,), "<i8")
        return self._run.source.read_array(key, "iterations", plan, read_files(record))

    def _rows(self, block: TimelineBlock, name: str, of: str, n_keys: int) -> Array | None:
        """(keys, n) of one tensor in a block; None if the groups must tell."""
        unknown = np.full((n_keys, len(block.iterations)), np.nan)
        if f"{of}/{layout.GROUP_RECORD}" not in block.files:
            return unknown
        try:
            tensors = len(self._run.plan_numbered(block.plan).tensors)
            index = self._run.tensor(name, block.plan).index
            plan = layout.timeline_layout((tensors, n_keys, len(block.iterations)))
            rows = self._run.source.read_rows(block.key, of, plan, block.files, index, 1)
        except TensorNotFoundError:
            return unknown
        except (DamagedRunError, CorruptBytesError):
            return None
        found: Array = rows[0]
        return found

    def _value(self, iteration: int, name: str, of: str, column: int) -> float:
        """From the snapshot's own group; NaN where it was not recorded."""
        snapshot = self._run[iteration]
        if of not in snapshot.record.arrays:
            return float("nan")
        try:
            index = self._run.tensor(name, snapshot.record.plan).index
        except TensorNotFoundError:
            return float("nan")
        return float(self._run.cached_table(snapshot, of)[index, column])

    @staticmethod
    def _record_key(folder: str, number: int) -> str:
        return f"{layout.block_key(folder, number)}/{layout.GROUP_RECORD}"
