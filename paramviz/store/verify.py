"""Checking every byte of a run against what was committed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paramviz.errors import DamagedRunError, NotRecordedError
from paramviz.store import layout
from paramviz.store.codec import crc32c
from paramviz.store.journal import JournalReader
from paramviz.store.reader import Run, open_run
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

    path: Path
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
    return _Verification(open_run(path)).run(progress)


class _Verification:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._files = 0
        self._bytes = 0

    def run(self, progress: Callable[[int, int], None] | None) -> VerifyReport:
        run = self._run
        iterations = run.iterations.tolist()
        for check in (self._check_plans, self._check_bases, self._check_vocabulary, self._check_journal):
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

    def _check_plans(self) -> None:
        try:
            for plan in self._run.plans:
                self._check_group(layout.plan_key(plan.number))
        except DamagedRunError as error:
            self._note_damage(error)

    def _check_bases(self) -> None:
        for number in range(self._run.n_bases):
            try:
                self._run.basis(number)
                self._check_group(layout.basis_key(number))
            except DamagedRunError as error:
                self._note_damage(error)

    def _check_vocabulary(self) -> None:
        try:
            if self._run.vocabulary is not None:
                self._check_group(layout.VOCABULARY)
        except DamagedRunError as error:
            self._note_damage(error)

    def _check_group(self, group: str) -> None:
        """Files of a group whose arrays were read; their metadata must be what its shape asks for."""
        for name in self._run.source.list_folder(group):
            self._count(f"{group}/{name}")

    def _check_journal(self) -> None:
        reader = JournalReader(self._run.source)
        reader.read_new()
        for damage in reader.damage:
            if damage.torn:
                self._notes.append(f"{damage.key}: {_CUT_OFF}")
            else:
                self._problems.append(Problem(damage.key, f"fails its checksum at byte {damage.offset}"))
        tail = reader.unread_tail
        if tail is not None and self._run.status != "recording":
            self._notes.append(f"{tail.key}: {_CUT_OFF}")
        for name in self._run.source.list_folder(layout.JOURNAL):
            self._count(f"{layout.JOURNAL}/{name}")

    def _check_iteration(self, iteration: int) -> None:
        group = layout.iteration_key(iteration)
        try:
            snapshot = self._run[iteration]
        except DamagedRunError as error:
            self._note_damage(error)
            return
        self._count(f"{group}/{layout.GROUP_RECORD}")
        for relative, seal in snapshot.record.files.items():
            key = f"{group}/{relative}"
            try:
                data = self._run.source.read(key)
            except OSError:
                self._problems.append(Problem(key, "is missing"))
                continue
            self._files += 1
            self._bytes += len(data)
            if len(data) != seal.length:
                self._problems.append(
                    Problem(key, f"is {len(data)} bytes long, {seal.length} were committed")
                )
            elif crc32c(data) != seal.crc32c:
                self._problems.append(Problem(key, "fails its checksum"))
        self._decode(snapshot)

    def _decode(self, snapshot: StoredSnapshot) -> None:
        for key in sorted(snapshot.record.arrays):
            try:
                snapshot.array(key)
            except DamagedRunError as error:
                if all(problem.key != error.key for problem in self._problems):
                    self._note_damage(error)
            except (NotRecordedError, KeyError) as error:
                self._problems.append(Problem(layout.iteration_key(snapshot.iteration), str(error)))

    def _look_for_strangers(self, committed: set[int]) -> None:
        for name in sorted(self._run.source.list_folder(layout.ITERATIONS)):
            iteration = layout.parse_iteration(name)
            if name == layout.GROUP_RECORD or iteration in committed:
                continue
            if iteration is None:
                self._notes.append(f"{layout.ITERATIONS}/{name}: is not ours")
            else:
                self._notes.append(f"{layout.ITERATIONS}/{name}: was never committed; a crash left it")

    def _count(self, key: str) -> None:
        size = self._run.source.size(key)
        if size is not None:
            self._files += 1
            self._bytes += size
