"""Reading a run, finished or growing. Needs neither torch nor zarr's machinery."""

from __future__ import annotations

import difflib
import threading
import time
import weakref
from bisect import bisect_left
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.errors import DamagedRunError, IterationNotFoundError, TensorNotFoundError
from paramviz.schema import (
    Description,
    EmbeddingBasis,
    Event,
    FrozenSamples,
    Plan,
    Probe,
    RunStatus,
    TensorInfo,
)
from paramviz.stacks import Stack, stacks_of
from paramviz.store import layout, numbered
from paramviz.store.cache import ArrayCache
from paramviz.store.codec import CorruptBytesError
from paramviz.store.encoded import DamagedArrayError
from paramviz.store.groups import read_record_bytes, read_vocabulary
from paramviz.store.history import SILENCE_S, History
from paramviz.store.journal import JournalReader
from paramviz.store.limits import KEPT_BYTES
from paramviz.store.plan_reader import PlanReader
from paramviz.store.records import CommitRecord, read_commit
from paramviz.store.root import read_root
from paramviz.store.shapes import Shapes
from paramviz.store.snapshot import StoredSnapshot
from paramviz.store.source import Source
from paramviz.store.timeline import BlockReader

Array = npt.NDArray[Any]

_TABLE_CACHE_BYTES = 64 << 20
_RECORD_CACHE = 4096

_MOST_UNJOURNALED = 16
"""Folders that are looked into for snapshots behind the journal's end; a crash leaves one."""


class Run:
    """A recorded run. Committed iterations only; `refresh` picks up what was added since.

    May be read from several threads at once.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.path = source.path
        self.root = root = read_root(source, self.damaged)
        self.format = root.format
        self.run_id = root.run_id
        self.name = root.name
        self.created_unix_s = root.created_unix_s
        self.description: Description = root.description
        self.statistic_keys = root.statistic_keys
        self.gradient_keys = root.gradient_keys
        self._lock = threading.RLock()
        self._journal = JournalReader(source)
        self._history = History()
        # What a run is made of holds it weakly: let go of, it closes its file at once.
        weak = weakref.proxy(self)
        parts = source, lambda *why: weak.damaged(*why), lambda *kept: weak._keep(*kept)
        self.plan_reader = PlanReader(*parts)
        self._bases, self._probes = numbered.bases(*parts), numbered.probes(*parts)
        self._shapes: dict[int, Shapes] = {}
        self._kept_bytes = 0
        self._vocabulary: tuple[str, ...] | None = None
        self._records: OrderedDict[int, CommitRecord] = OrderedDict()
        self.blocks = BlockReader(weak)
        self._tables = ArrayCache(_TABLE_CACHE_BYTES)
        self._order: list[int] = []
        self._known: set[int] = set()
        self._sorted: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._n_admitted = 0
        self.unjournaled_iterations: tuple[int, ...] = ()
        self.refresh()
        if source.lists_quickly or not self._journal.n_segments:
            self.look_for_unjournaled()
        elif self._history.status == "recording":
            # Only a crash keeps a snapshot out of the journal, and only the last: no need to list them all.
            self.look_for_unjournaled(behind_the_newest=True)

    def __repr__(self) -> str:
        return f"<run {self.name!r} at {self.path}: {len(self.iterations)} snapshots, {self.status}>"

    def __getitem__(self, iteration: int) -> StoredSnapshot:
        iteration = int(iteration)
        if iteration not in self._known:
            raise self._no_iteration(iteration)
        return StoredSnapshot(self, iteration, self._commit(iteration))

    def __len__(self) -> int:
        return len(self.iterations)

    @property
    def iterations(self) -> npt.NDArray[np.int64]:
        """(T,) committed iterations, ascending."""
        return self._sorted

    @property
    def iterations_in_commit_order(self) -> npt.NDArray[np.int64]:
        return np.array(self._order, np.int64)

    @property
    def commit_count(self) -> int:
        return len(self._order)

    def committed_unix_s(self, iteration: int) -> float | None:
        """When an iteration was committed, by the recorder's clock; None if a crash kept it unsaid."""
        return self._history.commit_times_unix_s.get(iteration)

    @property
    def status(self) -> RunStatus:
        """`recording` while a writer is alive, else how it ended."""
        if self._history.status != "recording":
            return self._history.status
        alive = self.source.writer_alive()
        if alive is None:
            # Of a copy that was made of a living run, its journal says so for good.
            alive = self._history.copied or time.time() - self.last_sign_of_life_unix_s < SILENCE_S
        return "recording" if alive else "crashed"

    @property
    def journaled_status(self) -> RunStatus:
        """The last status in the journal; a killed writer had no time to say that it crashed."""
        return self._history.status

    @property
    def last_sign_of_life_unix_s(self) -> float:
        """When anything was last journaled, by the recording machine's clock."""
        return self._history.last_sign_of_life_unix_s

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(self.plan_numbered(number) for number in range(self.n_plans))

    @property
    def n_plans(self) -> int:
        return self.plan_reader.count

    @property
    def plan(self) -> Plan:
        """The newest plan in use; a run that has none yet holds no tensors."""
        newest = self._history.newest_plan
        if newest < 0:
            newest = self.n_plans - 1
        if newest < 0:
            nothing = np.empty(0, np.int64)
            return Plan(0, (), nothing, nothing)
        return self.plan_numbered(newest)

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """One entry per parameter of the newest plan, in the model's order."""
        return self.plan.tensors

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Experts that belong together, as one tensor with slices each."""
        return stacks_of(self.tensors)

    def plan_numbered(self, number: int) -> Plan:
        return self.plan_reader.numbered(number)

    def shapes(self, plan: int) -> Shapes:
        """The shapes of the arrays of a snapshot under a plan."""
        with self._lock:
            if plan not in self._shapes:
                columns = len(self.statistic_keys), len(self.gradient_keys)
                self._shapes[plan] = Shapes(self.plan_numbered(plan), *columns)
            return self._shapes[plan]

    def frozen(self, plan: int) -> FrozenSamples:
        """Samples of the tensors that do not change under a plan, which no snapshot repeats."""
        return self.plan_reader.frozen(plan)

    def frozen_samples(self, plan: int, tensor: TensorInfo) -> Array | None:
        """(samples,) of one tensor that does not change under a plan; None if it may."""
        return self.plan_reader.frozen_samples(plan, tensor)

    def tensor(self, name: str, plan: int | None = None) -> TensorInfo:
        """The tensor that answers for `name`: itself, or the owner that it is tied to."""
        by_name = self.plan_reader.by_name(self.plan if plan is None else self.plan_numbered(plan))
        tensor = by_name.get(name)
        if tensor is None:
            close = difflib.get_close_matches(str(name), list(by_name), n=3)
            hint = f" Did you mean {', '.join(close)}?" if close else ""
            raise TensorNotFoundError(
                f"{self.path}: no tensor is called {name!r}.{hint}", path=self.path, name=name, close=close
            )
        return tensor if tensor.tied_to is None else by_name[tensor.tied_to]

    def positions(self, name: str, iteration: int | None = None) -> npt.NDArray[np.int64]:
        """(samples,) flat indices of a tensor's samples, as of the newest plan or of an iteration."""
        plan = self.plan if iteration is None else self[iteration].plan
        tensor = self.tensor(name, plan.number)
        positions = plan.positions if tensor.array == "values" else plan.vector_positions
        return positions[tensor.offset : tensor.offset + tensor.samples]

    @property
    def n_journal_segments(self) -> int:
        return self._journal.n_segments

    @property
    def last_segment_bytes(self) -> int:
        """Length of the newest segment of the journal."""
        return self._journal.newest_bytes

    def journaled_blocks(self, folder: str) -> int:
        """Number of blocks in `timeline` or `scalars` that the journal knows of."""
        return self._history.blocks.get(folder, 0)

    @property
    def n_bases(self) -> int:
        return self._bases.count

    def basis(self, number: int) -> EmbeddingBasis:
        """The frozen basis that embedding scores refer to."""
        return self._bases.numbered(number)

    @property
    def n_probes(self) -> int:
        return self._probes.count

    def probe(self, number: int) -> Probe:
        """The fixed batch that attention and activations of some snapshots come from."""
        return self._probes.numbered(number)

    @property
    def has_vocabulary(self) -> bool:
        """Whether token strings are recorded, without reading them."""
        return self.root.has_vocabulary

    @property
    def vocabulary(self) -> tuple[str, ...] | None:
        """Token strings by token number, None if the run does not know them."""
        with self._lock:
            if self._vocabulary is None and self.root.has_vocabulary:
                self._vocabulary = read_vocabulary(self.source, self.damaged)
            return self._vocabulary

    @property
    def events(self) -> tuple[Event, ...]:
        """Validations, checkpoints, gaps, skipped steps, resumes, the end; as they were recorded."""
        return tuple(self._history.events)

    @property
    def scalar_names(self) -> tuple[str, ...]:
        return self._history.scalar_names

    @property
    def step_count(self) -> int:
        """Number of journaled steps read so far."""
        return len(self._history.steps)

    def steps_since(self, n: int) -> list[tuple[int, dict[str, float]]]:
        """(iteration, scalars) of every step from the n-th on, in the order they were recorded."""
        return self._history.steps[n:]

    def scalar_series(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """(iterations (n,), values (n,)) of every step that gave this scalar, snapshot or not."""
        return self._history.series(name)

    def scalars(self, name: str) -> npt.NDArray[np.float64]:
        """(T,) a scalar at the snapshots; NaN where it was not given."""
        iterations, values = self._history.series(name)
        at_snapshots = np.full(len(self.iterations), np.nan)
        if len(iterations):
            where = np.searchsorted(iterations, self.iterations).clip(0, len(iterations) - 1)
            given = iterations[where] == self.iterations
            at_snapshots[given] = values[where[given]]
        return at_snapshots

    def timeline(self, name: str, key: str, of: str = "statistics") -> npt.NDArray[np.float64]:
        """(T,) one statistic of one tensor over all snapshots; NaN where it was not recorded.

        of: "statistics" or "gradient_statistics". KeyError for a key that the run does not hold.
        """
        return self.blocks.timeline(name, key, of)

    def refresh(self) -> npt.NDArray[np.int64]:
        """Read what was journaled since the last call; returns the newly committed iterations, ascending."""
        with self._lock:
            try:
                self._history.add(self._journal.read_late(), late=True)
                self._history.add(self._journal.read_new())
            except DamagedArrayError as error:
                raise self.damaged(error.key, str(error)) from error
            except CorruptBytesError as error:
                raise self.damaged(self._journal.key, str(error)) from error
            # All that were read: the network may have cut off the call before this one.
            new = self._history.commits[self._n_admitted :]
            self._n_admitted += len(new)
            return self._admit(new)

    def cached_table(self, snapshot: StoredSnapshot, key: str) -> Array:
        """A small table of a snapshot, kept for the next question about the same iteration."""
        return self._tables.get((snapshot.iteration, key), lambda: snapshot.table(key))

    def damaged(self, key: str, reason: str) -> DamagedRunError:
        """The error for bytes of this run that cannot be trusted."""
        cure = "The rest of the run stays readable; `paramviz verify` lists all damage."
        if key == layout.GROUP_RECORD:
            cure = "Without it the run cannot be opened: copy it again from where it came."
        return DamagedRunError(f"{self.path}: {key} {reason}. {cure}", path=self.path, key=key)

    def _keep(self, key: str, *arrays: Array) -> None:
        """Count what stays in memory as long as the run is open."""
        self._kept_bytes += sum(array.nbytes for array in arrays)
        if self._kept_bytes > KEPT_BYTES:
            raise self.damaged(key, f"makes more than the {KEPT_BYTES:,} bytes that are kept of a run")

    def _admit(self, iterations: list[int]) -> npt.NDArray[np.int64]:
        new = [i for i in dict.fromkeys(iterations) if i not in self._known]
        if new:
            self._known.update(new)
            self._order += new
            self._sorted = np.array(sorted(self._known), np.int64)
            self._sorted.setflags(write=False)
        return np.array(sorted(new), np.int64)

    def look_for_unjournaled(self, *, behind_the_newest: bool = False) -> None:
        """Admit snapshots that were published although a crash kept them out of the journal.

        Lists all snapshots; behind_the_newest: only those behind the newest that is in the journal,
        a few of them, with one request.
        """
        found = []
        names = self.source.list_folder if not behind_the_newest else self._names_at_the_end
        for name in names(layout.ITERATIONS):
            iteration = layout.parse_iteration(name)
            if iteration is None or iteration in self._known:
                continue
            if self.source.size(f"{layout.iteration_key(iteration)}/{layout.GROUP_RECORD}") is not None:
                found.append(iteration)
        if found:
            # A run that grows meanwhile has journaled them by now, and in their order.
            self.refresh()
            found = [iteration for iteration in found if iteration not in self._known]
        journaled = {iteration for iteration, _ in self._history.steps}
        for iteration in sorted(found):
            self._admit([iteration])
            try:
                commit = self._commit(iteration)
            except DamagedRunError:
                continue
            self._history.add_commit_events(iteration, commit.events)
            if iteration not in journaled:
                self._history.add_step(iteration, commit.scalars)
        self.unjournaled_iterations = tuple(sorted((*self.unjournaled_iterations, *found)))

    def _names_at_the_end(self, key: str) -> list[str]:
        return self.source.names_from(key, layout.iteration_name(self._history.end), _MOST_UNJOURNALED)

    def _commit(self, iteration: int) -> CommitRecord:
        with self._lock:
            record = self._records.get(iteration)
            if record is not None:
                self._records.move_to_end(iteration)
                return record
        key = f"{layout.iteration_key(iteration)}/{layout.GROUP_RECORD}"
        try:
            record = read_commit(read_record_bytes(self.source, key), iteration)
        except OSError as error:
            raise self.damaged(key, "is missing although the iteration was committed") from error
        except CorruptBytesError as error:
            raise self.damaged(key, str(error)) from error
        if self._history.seals.get(iteration, record.crc32c) != record.crc32c:
            raise self.damaged(key, "is not the record that was journaled")
        with self._lock:
            self._records[iteration] = record
            while len(self._records) > _RECORD_CACHE:
                self._records.popitem(last=False)
        return record

    def _no_iteration(self, iteration: int) -> IterationNotFoundError:
        at = bisect_left(self._sorted, iteration)
        neighbours = [int(i) for i in self._sorted[max(0, at - 1) : at + 1]]
        near = (
            f"the nearest are {' and '.join(map(str, neighbours))}" if neighbours else "there is none at all"
        )
        return IterationNotFoundError(
            f"{self.path}: iteration {iteration} has no snapshot; {near}.",
            path=self.path,
            iteration=iteration,
            neighbours=neighbours,
        )
