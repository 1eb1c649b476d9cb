"""Writing a run: iterations are published whole, after their last chunk.

Order of a commit: the folders and chunks of the iteration, then its record by
rename, then the journal entry. Whoever sees the record may trust every file
that it lists; whoever sees less sees no iteration.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from paramviz.errors import DamagedRunError, UsageError
from paramviz.schema import (
    GRADIENT_KEYS,
    STATISTIC_KEYS,
    Description,
    EmbeddingBasis,
    EmbeddingPlan,
    Event,
    FrozenSamples,
    Plan,
    Probe,
    Snapshot,
    TensorInfo,
)
from paramviz.store import layout, limits
from paramviz.store.block_writer import BlockWriter
from paramviz.store.blocks import BLOCK_SNAPSHOTS, TIMELINE_TABLES
from paramviz.store.files import Durability, HeldLock, RunFiles
from paramviz.store.group_files import GroupEncoder, LaidOutArray, laid_out, sealed_record, seals
from paramviz.store.groups import unbacked_bytes
from paramviz.store.journal import commit_entry
from paramviz.store.journal_writer import JournalWriter
from paramviz.store.opening import open_files, open_run
from paramviz.store.placement import FOLDERS, cannot_write, run_exists
from paramviz.store.reader import Run
from paramviz.store.records import Record, commit_record
from paramviz.store.root import new_root, refuse_older
from paramviz.store.shapes import Shapes, probe_shape
from paramviz.store.written_once import (
    NOTHING_FROZEN,
    NewGroup,
    basis_group,
    plan_group,
    probe_group,
    refuse_unreadable,
    vocabulary_group,
)

Array = npt.NDArray[Any]

SNAPSHOT_FIELDS = (
    "values",
    "vectors",
    "statistics",
    "histograms",
    "gradient_statistics",
    "embedding_rows",
    "embedding_scores",
)
"""Arrays that a `Snapshot` has fields for; the others are in its `more`."""


class RunWriter:
    """The one writer of a run. Use it from one thread at a time.

    `raw_bytes` and `stored_bytes` count the arrays of the commits made here,
    before and after encoding.
    """

    def __init__(self, files: RunFiles, lock: HeldLock, run_id: str) -> None:
        self.path = files.path
        self.run_id = run_id
        self.raw_bytes = 0
        self.stored_bytes = 0
        self._files = files
        self._lock = lock
        self._encoder = GroupEncoder()
        self._plans: list[Plan] = []
        self._shapes: list[Shapes] = []
        self._unbacked_bytes = 0
        self._n_bases = 0
        self._probes: list[Probe] = []
        self._committed: set[int] = set()
        self._closed = False
        self._journal = JournalWriter(files)
        self._blocks = BlockWriter(files, self._journal, self._publish_group)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        description: Description,
        vocabulary: Sequence[str] | None = None,
        durability: Durability = "process",
    ) -> RunWriter:
        """Start a new run at `path`, which must not exist or be empty.

        Raises RunExistsError if a run is there, OutputError if the directory
        cannot be made or written or holds something else, RunLockedError if
        another process is just starting one there, UsageError if the name or
        the description is more than a reader takes (`limits`).
        """
        files = open_files(path, durability)
        root = new_root(files.path, name, description, has_vocabulary=vocabulary is not None)
        existed = files.refuse_occupied()
        try:
            files.make_root()
            lock = files.acquire_lock()
        except OSError as error:
            raise cannot_write(files.path, error) from error
        writer = cls(files, lock, root["run_id"])
        try:
            if files.has_run():
                raise run_exists(files.path)
            try:
                files.clear(FOLDERS)
                writer._lay_out(root, vocabulary)
            except OSError as error:
                # Nothing half-made stays where there was nothing before.
                files.clear(FOLDERS if existed else ("",))
                raise cannot_write(files.path, error) from error
        except BaseException:
            writer._let_go()
            raise
        return writer

    @classmethod
    def resume(cls, path: str | os.PathLike[str], *, durability: Durability = "process") -> RunWriter:
        """Continue a run that ended or crashed.

        Raises NotARunError, FormatVersionError or DamagedRunError as reading
        it does, FormatVersionError too for a run of an earlier version, RunLockedError
        if it is still being recorded.
        """
        run = open_run(path)
        refuse_older(run.path, run.root)
        files = open_files(path, durability)
        try:
            files.make_root()
            lock = files.acquire_lock()
        except OSError as error:
            raise cannot_write(files.path, error) from error
        writer = cls(files, lock, run.run_id)
        try:
            run.refresh()
            run.look_for_unjournaled()
            writer._continue(run)
        except OSError as error:
            writer._let_go()
            raise cannot_write(files.path, error) from error
        except BaseException:
            writer._let_go()
            raise
        return writer

    @property
    def last_iteration(self) -> int | None:
        """The highest committed iteration, None if there is none."""
        return max(self._committed, default=None)

    def has_iteration(self, iteration: int) -> bool:
        return iteration in self._committed

    def add_plan(
        self,
        tensors: Sequence[TensorInfo],
        positions: npt.NDArray[np.int64],
        vector_positions: npt.NDArray[np.int64],
        embedding: EmbeddingPlan | None = None,
        frozen: FrozenSamples = NOTHING_FROZEN,
        *,
        cell_edges: npt.NDArray[np.int64] | None = None,
        sketch_basis: npt.NDArray[np.float32] | None = None,
        neighbour_tokens: npt.NDArray[np.int32] | None = None,
    ) -> Plan:
        """Fix what the following snapshots hold. positions: (N,), vector_positions: (V,).

        frozen: the samples at the last F and G of these positions, which no snapshot repeats. The
        others: see `Plan`.
        UsageError for a catalogue that is more than a reader takes (`limits`).
        """
        plan = Plan(
            len(self._plans),
            tuple(tensors),
            positions,
            vector_positions,
            embedding,
            len(frozen.values),
            len(frozen.vectors),
            np.empty(0, np.int64) if cell_edges is None else cell_edges,
            sketch_basis,
            np.empty(0, np.int32) if neighbour_tokens is None else neighbour_tokens,
        )
        group = plan_group(plan, frozen)
        refuse_unreadable(self.path, group)
        files = self._encoder.files(laid_out(group.arrays))
        unbacked = self._unbacked_bytes + unbacked_bytes(plan, seals(files))
        if unbacked > limits.PLAN_UNBACKED_BYTES:
            raise UsageError(
                f"{self.path}: {len(positions):,} samples, beside those of earlier plans, are more than a "
                "reader takes. Give smaller budgets, such as SampleBudgets(total_bytes=2_000_000)."
            )
        self._publish_files(group.key, files, group.record)
        self._unbacked_bytes = unbacked
        self._plans.append(plan)
        self._shapes.append(_shapes(plan))
        self._journal.note({"k": "plan", "plan": plan.number})
        return plan

    def add_basis(
        self,
        iteration: int,
        components: npt.NDArray[np.float32],
        mean: npt.NDArray[np.float32],
        explained: npt.NDArray[np.float32],
    ) -> int:
        """Store a frozen basis for embedding scores (see `EmbeddingBasis`); returns its number."""
        number = self._n_bases
        self._publish_new(basis_group(EmbeddingBasis(number, iteration, components, mean, explained)))
        self._n_bases += 1
        return number

    def add_probe(self, probe: Probe) -> int:
        """Store what a fixed batch is; returns its number, whatever `probe` says itself."""
        number = len(self._probes)
        if number == 0:
            self._publish_folder(layout.PROBES)
        numbered = replace(probe, number=number)
        self._publish_new(probe_group(numbered))
        self._probes.append(numbered)
        return number

    def commit(self, snapshot: Snapshot) -> None:
        """Publish a snapshot; blocks until it is visible.

        Raises ValueError if the iteration is committed already, its plan is
        unknown or an array has not the shape that a reader expects; OSError if
        a file cannot be written, and then nothing of it is visible.
        """
        iteration = snapshot.iteration
        if iteration in self._committed:
            raise ValueError(f"{self.path}: iteration {iteration} is committed already")
        if iteration < 0 or not 0 <= snapshot.plan < len(self._plans):
            raise ValueError(f"{self.path}: no plan {snapshot.plan} for iteration {iteration}")
        arrays = {key: array for key in SNAPSHOT_FIELDS if (array := getattr(snapshot, key)) is not None}
        arrays |= snapshot.more
        self._check_shapes(snapshot, arrays)
        files = self._encoder.files(laid_out(arrays))
        record = commit_record(snapshot, len(self._committed), seals(files))
        group = layout.iteration_key(iteration)
        try:
            self._files.start_group(group)
            self._files.write_group(group, files)
            self._files.publish(f"{group}/{layout.GROUP_RECORD}", layout.group_metadata(record))
        except OSError:
            self._files.clear((group,))
            raise
        self._committed.add(iteration)
        self.raw_bytes += sum(array.nbytes for array in arrays.values())
        self.stored_bytes += sum(map(len, files.values()))
        self._journal.note(commit_entry(record, layout.seal(record), time.time()))
        self._blocks.add_snapshot(iteration, snapshot.plan, arrays)

    def _check_shapes(self, snapshot: Snapshot, arrays: Mapping[str, Array]) -> None:
        """What has another shape than the plan says could never be read again."""
        shapes, scores = self._shapes[snapshot.plan], snapshot.embedding_scores
        for key, array in arrays.items():
            if key in layout.PROBE_ARRAYS:
                if snapshot.probe is None or not 0 <= snapshot.probe < len(self._probes):
                    raise ValueError(f"{self.path}: no probe {snapshot.probe} for {key}")
                expected = probe_shape(key, self._probes[snapshot.probe])
            else:
                expected = shapes.of(key, 0 if scores is None else scores.shape[1])
            if array.shape != expected:
                raise ValueError(
                    f"{self.path}: {key} of iteration {snapshot.iteration} has the shape {array.shape}; "
                    f"plan {snapshot.plan} says {expected}"
                )

    def log_step(self, iteration: int, scalars: Mapping[str, float], time_unix_s: float) -> None:
        """Journal the scalars of a step. Later entries for the same iteration add to it."""
        values = {name: float(value) for name, value in scalars.items()}
        self._journal.log({"k": "step", "i": iteration, "s": values, "t": time_unix_s}, may_wait=True)
        self._blocks.add_step(iteration, values)

    def log_event(self, event: Event) -> None:
        """Journal an event that belongs to no snapshot, or to one that is committed already."""
        self._journal.log(
            {"k": "event", "i": event.iteration, "kind": event.kind, "text": event.text, "t": time.time()}
        )

    def close(self, status: Literal["finished", "crashed"]) -> None:
        """Say how the run ended and let go of it. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._blocks.finish()
            self._journal.log({"k": "status", "status": status, "t": time.time()})
        finally:
            try:
                self._journal.close()
            finally:
                self._lock.release()

    def _let_go(self) -> None:
        """Leave a run that could not be begun; an open file each time would add up."""
        with contextlib.suppress(OSError):
            self._journal.abandon()
        self._lock.release()

    def _lay_out(self, root: Record, vocabulary: Sequence[str] | None) -> None:
        """Make the hierarchy of a new run; its root record comes last."""
        self._make_private_folders()
        for folder in (layout.PLANS, layout.BASES, layout.ITERATIONS):
            self._publish_folder(folder)
        if vocabulary is not None:
            self._publish_new(vocabulary_group(vocabulary))
        self._journal.log({"k": "status", "status": "recording", "t": root["created_unix_s"]})
        self._files.publish(layout.GROUP_RECORD, layout.group_metadata(root))

    def _make_private_folders(self) -> None:
        """A copy of a run may have come without empty folders, or without anything private at all."""
        self._files.make_folders((layout.JOURNAL, layout.STAGING))

    def _continue(self, run: Run) -> None:
        """Take over the numbering of a run, and journal what a crash kept out of the journal."""
        self._make_private_folders()
        self._plans = list(run.plans)
        self._unbacked_bytes = run.plan_reader.unbacked_bytes
        self._shapes = [_shapes(plan) for plan in self._plans]
        self._n_bases = run.n_bases
        self._probes = [run.probe(number) for number in range(run.n_probes)]
        self._committed = set(run.iterations.tolist())
        self._journal = JournalWriter(self._files, run.n_journal_segments, run.last_segment_bytes)
        self._journal.log({"k": "status", "status": "recording", "t": time.time()})
        for iteration in run.unjournaled_iterations:
            commit = run[iteration].record
            self._journal.log(commit_entry(commit.to_json(), commit.crc32c, time.time()))
            self._journal.log({"k": "step", "i": iteration, "s": commit.scalars, "t": commit.time_unix_s})
        self._blocks = BlockWriter(
            self._files,
            self._journal,
            self._publish_group,
            {folder: run.blocks.count(folder) for folder in layout.BLOCK_FOLDERS},
        )
        self._catch_up(run)
        if self.last_iteration is not None:
            self.log_event(Event(self.last_iteration, "resume", f"resumed after {self.last_iteration}"))

    def _catch_up(self, run: Run) -> None:
        """Hand to the blocks what a crash kept from them: of the snapshots at most one block's worth."""
        blocked = {int(i) for block in run.blocks.blocks() for i in block.iterations}
        for iteration in run.iterations_in_commit_order[-BLOCK_SNAPSHOTS:].tolist():
            if iteration in blocked:
                continue
            try:
                snapshot = run[iteration]
                tables = {key: snapshot.array(key) for key in TIMELINE_TABLES}
            except DamagedRunError:
                continue
            self._blocks.add_snapshot(iteration, snapshot.record.plan, tables)
        last = run.blocks.last_blocked_step()
        for iteration, scalars in run.steps_since(0):
            if iteration > last:
                self._blocks.add_step(iteration, scalars)

    def _publish_folder(self, folder: str) -> None:
        """A group that only holds others."""
        self._files.make_folders((folder,))
        self._files.publish(f"{folder}/{layout.GROUP_RECORD}", layout.group_metadata())

    def _publish_new(self, group: NewGroup) -> None:
        self._publish_group(group.key, laid_out(group.arrays), group.record)

    def _publish_group(self, key: str, arrays: Mapping[str, LaidOutArray], record: Record) -> None:
        """Write a basis, a probe, the vocabulary or a block."""
        self._publish_files(key, self._encoder.files(arrays), record)

    def _publish_files(self, key: str, files: Mapping[str, bytes], record: Record) -> None:
        """Write the files of a group that is written once; like a commit, its record comes last."""
        self._files.start_group(key)
        self._files.write_group(key, files)
        self._files.publish(f"{key}/{layout.GROUP_RECORD}", sealed_record(record, files))


def _shapes(plan: Plan) -> Shapes:
    return Shapes(plan, len(STATISTIC_KEYS), len(GRADIENT_KEYS))
