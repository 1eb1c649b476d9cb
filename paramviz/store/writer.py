"""Writing a run: iterations are published whole, after their last chunk.

Order of a commit: the folders and chunks of the iteration, then its record by
rename, then the journal entry. Whoever sees the record may trust every file
that it lists; whoever sees less sees no iteration.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from paramviz.schema import (
    FORMAT_MAJOR,
    FORMAT_MINOR,
    GRADIENT_KEYS,
    STATISTIC_KEYS,
    Description,
    EmbeddingPlan,
    Event,
    Plan,
    Snapshot,
    TensorInfo,
)
from paramviz.store import layout
from paramviz.store.codec import crc32c, encode_array
from paramviz.store.files import AppendFile, Durability, RunFiles
from paramviz.store.journal import Entry, commit_entry, encode_entry
from paramviz.store.lock import WriterLock
from paramviz.store.opening import open_run
from paramviz.store.placement import FOLDERS, cannot_write, refuse_occupied, run_exists
from paramviz.store.reader import Run
from paramviz.store.records import FileSeal, commit_record, plan_record, write_files

Array = npt.NDArray[Any]


class RunWriter:
    """The one writer of a run. Use it from one thread at a time.

    `raw_bytes` and `stored_bytes` count the arrays of the commits made here,
    before and after encoding.
    """

    def __init__(self, files: RunFiles, lock: WriterLock, run_id: str, durability: Durability) -> None:
        self.path = files.path
        self.run_id = run_id
        self.raw_bytes = 0
        self.stored_bytes = 0
        self._files = files
        self._lock = lock
        self._durability = durability
        self._journal: AppendFile | None = None
        self._next_segment = 0
        self._plans: list[Plan] = []
        self._n_bases = 0
        self._unjournaled: list[Entry] = []
        self._committed: set[int] = set()
        self._array_metadata: dict[layout.ArrayLayout, bytes] = {}
        self._closed = False

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
        another process is just starting one there.
        """
        run = Path(path)
        existed = refuse_occupied(run)
        files = RunFiles(run, durability)
        try:
            files.make_root()
            files.make_folder(layout.PRIVATE)
            lock = WriterLock.acquire(run)
        except OSError as error:
            raise cannot_write(run, error) from error
        try:
            if files.exists(layout.GROUP_RECORD):
                raise run_exists(run)
            try:
                files.clear(FOLDERS)
                writer = cls(files, lock, secrets.token_hex(8), durability)
                writer._lay_out(name or run.name.removesuffix(".zarr"), description, vocabulary)
            except OSError as error:
                # Nothing half-made stays where there was nothing before.
                files.clear(FOLDERS if existed else ("",))
                raise cannot_write(run, error) from error
        except BaseException:
            lock.release()
            raise
        return writer

    @classmethod
    def resume(cls, path: str | os.PathLike[str], *, durability: Durability = "process") -> RunWriter:
        """Continue a run that ended or crashed.

        Raises NotARunError, FormatVersionError or DamagedRunError as reading
        it does, RunLockedError if it is still being recorded.
        """
        run_path = Path(path)
        run = open_run(run_path)
        files = RunFiles(run_path, durability)
        try:
            files.make_folder(layout.PRIVATE)
            lock = WriterLock.acquire(run_path)
        except OSError as error:
            raise cannot_write(run_path, error) from error
        try:
            run.refresh()
            writer = cls(files, lock, run.run_id, durability)
            writer._continue(run)
        except OSError as error:
            lock.release()
            raise cannot_write(run_path, error) from error
        except BaseException:
            lock.release()
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
    ) -> Plan:
        """Fix what the following snapshots hold. positions: (N,), vector_positions: (V,)."""
        plan = Plan(len(self._plans), tuple(tensors), positions, vector_positions, embedding)
        key = layout.plan_key(plan.number)
        arrays: dict[str, Array] = {"positions": positions, "vector_positions": vector_positions}
        if embedding is not None:
            arrays["embedding_tokens"] = embedding.tokens
        self._publish_group(key, arrays, plan_record(plan))
        self._plans.append(plan)
        self._log({"k": "plan", "plan": plan.number})
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
        arrays: dict[str, Array] = {"components": components, "mean": mean, "explained": explained}
        record = {
            "basis": number,
            "iteration": iteration,
            "scores": components.shape[0],
            "width": components.shape[1],
        }
        self._publish_group(layout.basis_key(number), arrays, record)
        self._n_bases += 1
        return number

    def commit(self, snapshot: Snapshot) -> None:
        """Publish a snapshot; blocks until it is visible.

        Raises ValueError if the iteration is committed already or its plan is
        unknown; OSError if a file cannot be written, and then nothing of it
        is visible.
        """
        iteration = snapshot.iteration
        if iteration in self._committed:
            raise ValueError(f"{self.path}: iteration {iteration} is committed already")
        if iteration < 0 or not 0 <= snapshot.plan < len(self._plans):
            raise ValueError(f"{self.path}: no plan {snapshot.plan} for iteration {iteration}")
        group = layout.iteration_key(iteration)
        self._files.remove_folder(group)
        try:
            self._files.make_folder(group)
            arrays = {
                key: array for key in layout.SNAPSHOT_ARRAYS if (array := getattr(snapshot, key)) is not None
            }
            files = self._write_arrays(group, arrays)
            record = commit_record(snapshot, len(self._committed), files)
            self._files.publish(f"{group}/{layout.GROUP_RECORD}", layout.group_metadata(record))
        except OSError:
            self._files.remove_folder(group)
            raise
        self._committed.add(iteration)
        self.raw_bytes += sum(array.nbytes for array in arrays.values())
        self.stored_bytes += sum(file.length for file in files.values())
        self._unjournaled.append(commit_entry(record, layout.seal(record), time.time()))
        # The snapshot is published: a journal that cannot be written now gets the entry with the next one.
        with contextlib.suppress(OSError):
            self._flush_journal()

    def log_step(self, iteration: int, scalars: Mapping[str, float], time_unix_s: float) -> None:
        """Journal the scalars of a step. Later entries for the same iteration add to it."""
        values = {name: float(value) for name, value in scalars.items()}
        self._log({"k": "step", "i": iteration, "s": values, "t": time_unix_s})

    def log_event(self, event: Event) -> None:
        """Journal an event that belongs to no snapshot, or to one that is committed already."""
        self._log(
            {"k": "event", "i": event.iteration, "kind": event.kind, "text": event.text, "t": time.time()}
        )

    def close(self, status: Literal["finished", "crashed"]) -> None:
        """Say how the run ended and let go of it. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self._log({"k": "status", "status": status, "t": time.time()})
        finally:
            if self._journal is not None:
                self._journal.close()
            self._lock.release()

    def _lay_out(self, name: str, description: Description, vocabulary: Sequence[str] | None) -> None:
        """Make the hierarchy of a new run; its root record comes last."""
        self._make_private_folders()
        for folder in (layout.PLANS, layout.BASES, layout.ITERATIONS):
            self._files.make_folder(folder)
            self._files.publish(f"{folder}/{layout.GROUP_RECORD}", layout.group_metadata())
        if vocabulary is not None:
            text, offsets = _pack_strings(vocabulary)
            arrays: dict[str, Array] = {"text": text, "offsets": offsets}
            record = {"tokens": len(vocabulary), "bytes": len(text)}
            self._publish_group(layout.VOCABULARY, arrays, record)
        now = time.time()
        self._log({"k": "status", "status": "recording", "t": now})
        root = {
            "format": f"{FORMAT_MAJOR}.{FORMAT_MINOR}",
            "run_id": self.run_id,
            "name": name,
            "created_unix_s": now,
            "statistics": list(STATISTIC_KEYS),
            "gradient_statistics": list(GRADIENT_KEYS),
            "vocabulary": vocabulary is not None,
            "description": description,
        }
        self._files.publish(layout.GROUP_RECORD, layout.group_metadata(root))

    def _make_private_folders(self) -> None:
        """A copy of a run may have come without empty folders, or without anything private at all."""
        for folder in (layout.JOURNAL, layout.STAGING):
            self._files.make_folder(folder)

    def _continue(self, run: Run) -> None:
        """Take over the numbering of a run, and journal what a crash kept out of the journal."""
        self._make_private_folders()
        self._plans = list(run.plans)
        self._n_bases = run.n_bases
        self._committed = set(run.iterations.tolist())
        self._next_segment = run.n_journal_segments
        self._log({"k": "status", "status": "recording", "t": time.time()})
        for iteration in run.unjournaled_iterations:
            commit = run[iteration].record
            self._log(commit_entry(commit.to_json(), commit.crc32c, time.time()))
            self.log_step(iteration, commit.scalars, commit.time_unix_s)
        if self.last_iteration is not None:
            self.log_event(Event(self.last_iteration, "resume", f"resumed after {self.last_iteration}"))

    def _publish_group(self, key: str, arrays: dict[str, Array], record: dict[str, Any]) -> None:
        """Write a plan, a basis or the vocabulary; like a commit, its record comes last."""
        self._files.remove_folder(key)
        self._files.make_folder(key)
        files = self._write_arrays(key, arrays)
        sealed = {**record, "files": write_files(files)}
        self._files.publish(f"{key}/{layout.GROUP_RECORD}", layout.group_metadata(sealed))

    def _write_arrays(self, group: str, arrays: dict[str, Array]) -> dict[str, FileSeal]:
        """Write arrays below a group that is not committed; returns their files' seals by relative key."""
        seals: dict[str, FileSeal] = {}
        for name, array in arrays.items():
            # A Zarr array without elements has no chunk that could be damaged; leave it out.
            if array.size == 0:
                continue
            plan = layout.layout_of(name, array.shape, layout.SNAPSHOT_ARRAYS.get(name, array.dtype))
            metadata = self._array_metadata.get(plan)
            if metadata is None:
                metadata = self._array_metadata[plan] = layout.array_metadata(plan)
            self._files.make_folder(f"{group}/{name}")
            for file, data in ((plan.chunk_name, encode_array(array, plan)), (layout.GROUP_RECORD, metadata)):
                self._files.write(f"{group}/{name}/{file}", data)
                seals[f"{name}/{file}"] = FileSeal(len(data), crc32c(data))
            self._files.sync_folder(f"{group}/{name}")
        self._files.sync_folder(group)
        return seals

    def _log(self, entry: Entry) -> None:
        self._flush_journal(entry)

    def _flush_journal(self, entry: Entry | None = None) -> None:
        """Append what waits, then `entry`. A segment that failed once is left behind, with what it holds."""
        if self._journal is None:
            segment = layout.journal_segment(self._next_segment)
            self._journal = AppendFile(self.path / segment, self._durability)
            self._next_segment += 1
            self._files.sync_folder(layout.JOURNAL)
        try:
            while self._unjournaled:
                self._journal.append(encode_entry(self._unjournaled[0]))
                del self._unjournaled[0]
            if entry is not None:
                self._journal.append(encode_entry(entry))
        except OSError:
            self._journal.close()
            self._journal = None
            raise


def _pack_strings(strings: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Strings as (bytes,) uint8 of UTF-8 and (n + 1,) int64 offsets. Lone surrogates survive."""
    encoded = [s.encode("utf-8", "surrogatepass") for s in strings]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets
