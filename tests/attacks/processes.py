"""Attempts in processes that may die of them, and what is known of each afterwards."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.attacks.containers import CONTAINERS, Container, container_of

CHUNK = 5000
"""Attempts for each process, so that what leaks or grows shows in one of them."""

_MOST_TOLD = 50


class Tally:
    """How far a process has come, in memory that outlives it, and a file for what it found."""

    def __init__(self, failures: Path) -> None:
        self._failures = failures
        self._memory = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.int64)
        self._memory[0] = -1
        self._ends = self._memory[1 : 1 + 2 * len(CONTAINERS)].reshape(len(CONTAINERS), 2)

    def begin(self, number: int) -> None:
        self._memory[0] = number

    def end(self, container: Container, refused: bool, problems: list[str]) -> None:
        self._ends[CONTAINERS.index(container), int(refused)] += 1
        if problems:
            with open(self._failures, "a") as file:
                file.writelines(f"{problem!r}\n" for problem in problems)

    def died(self, problem: str | None) -> None:
        """The process ended at what it had begun; `problem`: what that says of it, if anything."""
        self.end(container_of(self.at), True, [] if problem is None else [problem])

    @property
    def at(self) -> int:
        """The attempt that was begun last, -1 if none was."""
        return int(self._memory[0])

    def ends(self) -> dict[str, Counter[str]]:
        """Container → how many were read in full, and how many had something refused."""
        return {
            container: Counter({"read": int(read), "refused in part": int(refused)})
            for container, (read, refused) in zip(CONTAINERS, self._ends, strict=True)
        }


Work = Callable[[range, Tally, Path], None]
"""(numbers, where to tell of them, an empty folder): does them one by one."""


class Attempts:
    """Does `numbers` by `work` in processes of `CHUNK` each; one that dies is followed by another."""

    def __init__(self, work: Work, numbers: range, folder: Path) -> None:
        self._work = work
        self._numbers = numbers
        self._folder = folder
        self._failures = folder / "failures"
        self._failures.touch()
        self._waiting = deque(numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK))
        self._running: dict[int, tuple[range, Tally, Path]] = {}
        self._tallies: list[Tally] = []
        self._library: dict[str, list[int]] = defaultdict(list)
        self._started = 0

    def made(self, processes: int) -> dict[str, Any]:
        """Make all attempts, `processes` at a time, and tell how they ended."""
        began = time.monotonic()
        while self._waiting or self._running:
            while self._waiting and len(self._running) < processes:
                self._start(self._waiting.popleft())
            self._await_one()
            self._tell(time.monotonic() - began)
        failures = self._failures.read_text().splitlines()
        return {
            "tried": self._tried(),
            "seconds": round(time.monotonic() - began, 1),
            "ends": {container: dict(ends) for container, ends in self._ends().items()},
            "library": dict(self._library),
            "failures": failures[:_MOST_TOLD],
            "failed": len(failures),
        }

    def _start(self, numbers: range) -> None:
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        tally = Tally(self._failures)
        self._tallies.append(tally)
        child = os.fork()
        if child == 0:
            try:
                self._work(numbers, tally, folder)
            except BaseException as error:
                tally.died(f"{tally.at}: {type(error).__name__}: {error}")
                os._exit(1)
            os._exit(0)
        self._running[child] = numbers, tally, folder

    def _await_one(self) -> None:
        child, status = os.wait()
        numbers, tally, folder = self._running.pop(child)
        shutil.rmtree(folder)
        if status == 0:
            return
        if tally.at < 0 or not os.WIFSIGNALED(status):
            raise RuntimeError(f"a process of the fuzzer failed: {self._failures.read_text()[-2000:]}")
        cause = signal.Signals(os.WTERMSIG(status)).name
        if container_of(tally.at) == "hdf5":
            self._library[cause].append(tally.at)
            tally.died(None)
        else:
            tally.died(f"{tally.at} ({container_of(tally.at)}): its process was ended by {cause}")
        if tally.at + 1 < numbers.stop:
            self._waiting.appendleft(range(tally.at + 1, numbers.stop))

    def _tell(self, seconds: float) -> None:
        tried, failed = self._tried(), len(self._failures.read_text().splitlines())
        each_ms = 1000 * seconds / max(1, tried)
        print(
            f"fuzz: {tried:,} of {len(self._numbers):,} damages, {failed} failures, {each_ms:.2f} ms each",
            file=sys.stderr,
            flush=True,
        )

    def _tried(self) -> int:
        return sum(sum(ends.values()) for ends in self._ends().values())

    def _ends(self) -> dict[str, Counter[str]]:
        total: dict[str, Counter[str]] = {container: Counter() for container in CONTAINERS}
        for tally in self._tallies:
            for container, ends in tally.ends().items():
                total[container] += ends
        return total
