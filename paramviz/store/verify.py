"""Checking every byte of a run against what was committed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from paramviz.errors import DamagedRunError
from paramviz.store import layout
from paramviz.store.codec import CorruptBytesError
from paramviz.store.dense_source import DenseSource
from paramviz.store.encoded import FileCheck
from paramviz.store.groups import read_group_record
from paramviz.store.journal import JournalReader
from paramviz.store.opening import open_run
from paramviz.store.reader import Run
from paramviz.store.records import FileSeal, read_files
from paramviz.store.snapshot import StoredSnapshot

_CUT_OFF = "the last record was cut off by a crash; nothing committed is lost"


@dataclass(frozen=True, slots=True)
class Problem:
    """Damage: the file inside the run, and what is wrong with it."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify_run` found. `notes` are no damage: traces of a crash, or files of others."""

    path: Path | str
    status: str
    iterations: int
    files: int
    bytes: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def verify_run(
    path: str | os.PathLike[str], progress: Callable[[int, int], None] | None = None
) -> VerifyReport:
    """Read everything that was committed and compare it with its checksums.

    Works on finished, growing and crashed runs. `progress(done, total)` is
    called for each iteration. Raises as `open_run` does if there is nothing
    to check.
    """
    return verify_opened(open_run(path), progress)


def verify_opened(run: Run, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """`verify_run` of a run that is open already, whatever its source."""
    return _Verification(run).run(progress)


class _Verification:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._files = 0
        self._bytes = 0

    def run(self, progress: Callable[[int, int], None] | None) -> VerifyReport:
        run = self._run
        run.look_for_unjournaled()
        iterations = run.iterations.tolist()
        for check in (self._check_folders, self._check_written_once, self._check_journal):
            check()
        for done, iteration in enumerate(iterations, start=1):
            self._check_iteration(iteration)
            if progress is not None:
                progress(done, len(iterations))
        self._look_for_strangers(set(iterations))
        return VerifyReport(
            path=run.path,
            status=run.status,
            iterations=len(iterations),
            files=self._files,
            bytes=self._bytes,
            problems=tuple(dict.fromkeys(self._problems)),
            notes=tuple(self._notes),
        )

    def _note_damage(self, error: DamagedRunError) -> None:
        reason = str(error).split(f"{error.key} ", 1)[-1].split(". The rest of the run", 1)[0]
        self._problems.append(Problem(error.key, reason))

    def _check_folders(self) -> None:
        """The groups that only hold others: a Zarr library needs their records, ours does not."""
        self._count(layout.GROUP_RECORD)
        for folder in (layout.PLANS, layout.BASES, layout.ITERATIONS):
            self._compare(f"{folder}/{layout.GROUP_RECORD}", layout.group_metadata())

    def _check_written_once(self) -> None:
        """Plans, bases, probes, blocks and the vocabulary."""
        run = self._run
        self._check_group(layout.VOCABULARY, lambda: run.vocabulary, is_published=run.has_vocabulary)
        if run.n_probes:
            self._compare(f"{layout.PROBES}/{layout.GROUP_RECORD}", layout.group_metadata())
        reads = ((layout.BASES, run.basis), (layout.PLANS, run.frozen), (layout.PROBES, run.probe))
        for folder, read in reads:
            for name in sorted(run.source.list_folder(folder)):
                if name.isascii() and name.isdigit():
                    self._check_group(f"{folder}/{name}", partial(read, int(name)))
        try:
            # The newest one in the journal, which no snapshot may have been taken with yet.
            _ = run.plan
        except DamagedRunError as error:
            self._note_once(error)
        for folder in layout.BLOCK_FOLDERS:
            self._check_blocks(folder)
        if isinstance(run.source, DenseSource):
            self._take(run.source.check_blocks())

    def _check_blocks(self, folder: str) -> None:
        n_blocks = self._run.blocks.count(folder)
        if n_blocks:
            self._compare(f"{folder}/{layout.GROUP_RECORD}", layout.group_metadata())
        for number in range(n_blocks):
            key = layout.block_key(folder, number)
            self._check_group(key, partial(self._run.blocks.check, folder, number), is_published=True)

    def _check_group(self, group: str, read: Callable[[], object], *, is_published: bool = False) -> None:
        if self._run.source.size(f"{group}/{layout.GROUP_RECORD}") is None:
            # A group without its record was never published, unless something else refers to it.
            if is_published:
                self._problems.append(Problem(f"{group}/{layout.GROUP_RECORD}", "is missing"))
            return
        try:
            record = read_group_record(self._run.source, group, self._run.damaged)
            self._count(f"{group}/{layout.GROUP_RECORD}")
            self._check_files(group, read_files(record))
            read()
        except DamagedRunError as error:
            self._note_once(error)
        except CorruptBytesError as error:
            self._problems.append(Problem(f"{group}/{layout.GROUP_RECORD}", str(error)))

    def _note_once(self, error: DamagedRunError) -> None:
        """Reading stumbles over damage that the checksums have named already, file by file."""
        if not any(problem.key.startswith(error.key) for problem in self._problems):
            self._note_damage(error)

    def _check_journal(self) -> None:
        reader = JournalReader(self._run.source)
        for _ in reader.read_new():
            pass
        for damage in reader.damage:
            if damage.torn:
                self._notes.append(f"{damage.key}: {_CUT_OFF}")
            else:
                self._problems.append(Problem(damage.key, f"fails its checksum at byte {damage.offset}"))
        for key, n_bytes, written in reader.cut_short:
            reason = f"is {n_bytes} bytes long, {written} were journaled"
            self._problems.append(Problem(key, reason))
        tail = reader.unread_tail
        if tail is not None and self._run.status != "recording":
            self._notes.append(f"{tail.key}: {_CUT_OFF}")
        names, read = self._run.source.list_folder(layout.JOURNAL), reader.n_segments
        for name in names:
            self._count(f"{layout.JOURNAL}/{name}")
        numbers = {int(name[:-4]) for name in names if name.endswith(".log") and name[:-4].isdecimal()}
        # Segments have no gaps: behind one that is missing, the others are not read.
        if read not in numbers and max(numbers, default=0) > read:
            self._problems.append(Problem(layout.journal_segment(read), "is missing"))
        if not names and not read:
            self._notes.append(f"{layout.JOURNAL}: holds nothing; only the snapshots tell of the run")

    def _check_iteration(self, iteration: int) -> None:
        group = layout.iteration_key(iteration)
        try:
            snapshot = self._run[iteration]
        except DamagedRunError as error:
            self._note_damage(error)
            return
        self._count(f"{group}/{layout.GROUP_RECORD}")
        self._check_files(group, snapshot.record.files)
        self._decode(snapshot)

    def _check_files(self, group: str, files: dict[str, FileSeal]) -> None:
        self._take(self._run.source.check_files(group, files))

    def _take(self, checks: Iterable[FileCheck]) -> None:
        for check in checks:
            if not (check.problem or "").startswith("is missing"):
                self._files += 1
                self._bytes += check.n_bytes
            if check.problem is not None:
                self._problems.append(Problem(check.key, check.problem))

    def _decode(self, snapshot: StoredSnapshot) -> None:
        """What the checksums vouch for must also decode to the shapes that the plan asks for."""
        for key in sorted(snapshot.record.arrays):
            try:
                snapshot.array(key)
            except DamagedRunError as error:
                self._note_once(error)

    def _look_for_strangers(self, committed: set[int]) -> None:
        for name in sorted(self._run.source.list_folder(layout.ITERATIONS)):
            iteration = layout.parse_iteration(name)
            if name == layout.GROUP_RECORD or iteration in committed:
                continue
            if iteration is None:
                self._notes.append(f"{layout.ITERATIONS}/{name}: is not ours")
            else:
                self._notes.append(f"{layout.ITERATIONS}/{name}: was never committed; a crash left it")

    def _compare(self, key: str, expected: bytes) -> None:
        try:
            data = self._run.source.read(key, len(expected) + 1)
        except (OSError, CorruptBytesError) as error:
            missing = isinstance(error, OSError)
            self._problems.append(Problem(key, "is missing" if missing else str(error)))
            return
        self._count(key)
        if data != expected:
            self._problems.append(Problem(key, "is not what was written"))

    def _count(self, key: str) -> None:
        size = self._run.source.size(key)
        if size is not None:
            self._files += 1
            self._bytes += size
