"""Damages a small run again and again, and reads all of it each time.

    python -m tests.attacks.fuzz FIRST COUNT [--processes N]

Damage number N is always the same, so one that was found is seen again by
`fuzz N 1`. Which container it is met in follows from its number
(`containers.container_of`). Each is read in full; some are also given to
`verify` and to the viewer. Progress goes to stderr; one line of
JSON on stdout says how many were tried, how they ended, and what should not
have been: an error that is not paramviz's, a number that was not recorded,
something refused that `verify` has no word for, a file outside of the run, more
than a second of processor time, 200 MB of memory, a process that died or hung.

An HDF5 file is read by a library that is not ours: where that ends the process,
or does not come back, it is counted apart (`library`) and is no failure. A loop
of ours is one: Python gets to run in it, and it is broken off.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import viewer.catalogue
from tests.attacks.containers import Containers, Met, container_of
from tests.attacks.processes import Attempts, Tally
from tests.attacks.reading import Reading, is_verified, look
from tests.attacks.specimen import small_chunks

SECONDS, MEGABYTES = 1.0, 200
"""What a damage may cost: processor time, and memory beyond what its process had."""

LOOP_S, HANG_S, SILENCE_S = 5.0, 10.0, 60.0
"""Processor time after which a damage is broken off, and after which, or that much wall time, the kernel
ends its process."""

ADDRESS_SPACE_BYTES = 4 << 30

VERIFIED, VIEWED = 8, 4
"""One of so many is also given to `verify`, and one of so many of those on a disk to the viewer."""


class EndlessError(BaseException):
    """Nothing that catches errors is to catch it."""


class Watch:
    """Notes each file that is opened outside of the run."""

    def __init__(self, inside: Path) -> None:
        self._inside = f"{inside}/"
        self._libraries = tuple(
            {os.path.realpath(path) for path in (*sys.path, sys.prefix, sys.base_prefix) if path}
        )
        self.opened: list[str] = []
        self.on = False
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event == "open" and isinstance(arguments[0], str):
            name = os.path.abspath(arguments[0])
            if not name.startswith((self._inside, *self._libraries)):
                self.opened.append(name)


class Fuzzer:
    """Tries damages one by one, in this process, with a run below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._containers = Containers(folder)
        self._recorded = Reading().of(self._containers.openings["directory"]).facts
        for container, opening in self._containers.openings.items():
            reading = Reading().of(opening)
            assert reading.facts == self._recorded, container
            assert is_verified(opening), container
        look(self._containers.run)
        self._watch = Watch(folder)
        self._peak_bytes = _peak_bytes()

    def attempt(self, number: int) -> tuple[bool, list[str]]:
        """(whether damage `number` had anything refused, what should not have been)."""
        with self._containers.damaged(number) as met:
            began = time.process_time()
            self._watch.on = True
            _set_timers(LOOP_S, HANG_S, SILENCE_S)
            try:
                reading = Reading().of(met.opening)
                problems = self._wrong(reading, met)
                turn = number // 7
                if turn % VERIFIED == 0 and is_verified(met.opening) and reading.refused and not met.mended:
                    problems.append("what is refused, verify takes for good")
                if turn % VIEWED == 1 and met.path is not None:
                    problems += look(met.path)
            except BaseException as error:
                return True, [f"{met.told}: {type(error).__name__}: {str(error)[:200]}"]
            finally:
                seconds = time.process_time() - began
                _set_timers(0, 0, 0)
                self._watch.on = False
            problems += self._costs(seconds)
        problems += [f"opened {name}" for name in self._watch.opened]
        self._watch.opened.clear()
        return reading.refused > 0, [f"{met.told}: {problem}" for problem in problems]

    def _wrong(self, reading: Reading, met: Met) -> list[str]:
        """Numbers that were not recorded; under checksums that were mended, any may be."""
        if met.mended:
            return []
        wrong = [name for name, fact in reading.facts.items() if self._recorded.get(name) != fact]
        return [f"{name} is not what was recorded" for name in wrong[:3]]

    def _costs(self, seconds: float) -> list[str]:
        problems = [f"took {seconds:.2f} s"] if seconds > SECONDS else []
        peak_bytes = _peak_bytes()
        if (more := (peak_bytes - self._peak_bytes) >> 20) > MEGABYTES:
            problems.append(f"took {more} MB")
            self._peak_bytes = peak_bytes
        return problems


def _set_timers(loop_s: float, hang_s: float, silence_s: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, loop_s)
    # These two have no handler, and end the process wherever it is.
    signal.setitimer(signal.ITIMER_VIRTUAL, hang_s)
    signal.setitimer(signal.ITIMER_REAL, silence_s)


def _break_off(number: int, frame: object) -> None:
    raise EndlessError(f"not done after {LOOP_S} s of processor time")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def work(numbers: range, tally: Tally, folder: Path) -> None:
    """Try `numbers`, in a process that may be ended at any of them."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    signal.signal(signal.SIGPROF, _break_off)
    fuzzer = Fuzzer(folder)
    gc.collect()
    # What is there already is not looked through again whenever a file of HDF5 has to be let go.
    gc.freeze()
    for number in numbers:
        tally.begin(number)
        refused, problems = fuzzer.attempt(number)
        tally.end(
            container_of(number), refused, [f"{number} ({container_of(number)}): {p}" for p in problems]
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.fuzz", description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    # A viewer waits a little for a run whose recorder has only begun; here none has.
    viewer.catalogue._BIRTH_PATIENCE_S = 0.0
    # In memory where there is a place: a disk would take longer than all that is tried.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=place) as folder, small_chunks():
        attempts = Attempts(
            work, range(asked.first, asked.first + asked.count), Path(os.path.realpath(folder))
        )
        print(json.dumps(attempts.made(asked.processes)))


if __name__ == "__main__":
    main()
