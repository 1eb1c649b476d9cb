"""Programs that start at once: a process that has imported everything forks them.

A forked child is a program like any other. It runs a function of
`tests.promises.programs` at the top level, and can end as Python ends: through
uncaught exceptions, `atexit` and all. Only the seconds of importing torch are
spared.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 120.0
"""A program that takes longer hangs."""


@dataclass(frozen=True)
class Program:
    """A running program. Its output is in files, so that it never waits for who reads it."""

    pid: int
    output: Path
    errors: Path
    nursery: Nursery

    def lines(self) -> list[str]:
        """Whole lines that it has printed so far."""
        return self.output.read_text().split("\n")[:-1]

    def wait_for_lines(self, n: int) -> list[str]:
        """Until it has printed `n` lines."""
        deadline = time.monotonic() + PATIENCE_S
        while len(lines := self.lines()) < n:
            assert time.monotonic() < deadline, f"printed {lines}, and {self.errors.read_text()}"
            time.sleep(0.001)
        return lines

    def send(self, signal_number: int) -> None:
        os.kill(self.pid, signal_number)

    def wait(self, work_s: float = 0.0) -> int:
        """Its exit status; that of a killed one is the negative number of the signal.

        work_s: how long it has to do on purpose.
        """
        return self.nursery.ask({"wait": self.pid, "patience_s": PATIENCE_S + work_s})

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL


class Nursery:
    """Starts programs by name. One thread at a time."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._n = 0

    def start(self, program: str, *arguments: Any, finalize: bool = False) -> Program:
        """Start the function `program` of `tests.promises.programs`; paths are handed over as text.

        finalize: when the function has returned, end as Python ends. That takes seconds with
        torch in memory, so programs whose end is of no interest leave at once.
        """
        self._n += 1
        output, errors = self._folder / f"{self._n}.out", self._folder / f"{self._n}.err"
        output.touch()
        given = [str(a) if isinstance(a, Path) else a for a in arguments]
        start = {"program": program, "arguments": given, "finalize": finalize}
        pid = self.ask(start | {"output": str(output), "errors": str(errors)})
        return Program(pid, output, errors, self)

    def ask(self, request: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def nursery(root: Path, folder: Path) -> Iterator[Nursery]:
    """A nursery that runs in `root` and keeps the output of its programs in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.promises.nursery"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        yield Nursery(process, folder)
        process.stdin.close()


def serve() -> dict[str, Any] | None:
    """Fork whatever is asked for. Returns None in the nursery itself, in a child what it shall do."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            print(await_exit(request["wait"], request["patience_s"]), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            for name, descriptor in (("output", 1), ("errors", 2)):
                os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), descriptor)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            return dict(request)
        print(pid, flush=True)
    return None


def await_exit(pid: int, patience_s: float) -> int:
    """The exit status of a child; one that hangs is ended and answers as a killed one."""
    deadline = time.monotonic() + patience_s
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


if __name__ == "__main__":
    from tests.promises import programs, training

    # Whatever torch and numba do at first use is done here, once.
    with tempfile.TemporaryDirectory() as folder:
        training.train(Path(folder) / "run", 2)
    # What is there already, no child needs to look through for garbage when it ends.
    gc.freeze()
    todo = serve()
    if todo is not None:
        getattr(programs, todo["program"])(*todo["arguments"])
        if not todo["finalize"]:
            sys.stdout.flush()
            os._exit(0)
