"""Does with a run whatever a person can do with it, and says as JSON what happened.

    python -m tests.attacks.visit GOOD

Reads paths of runs, one a line, and visits each in a process of its own. Of
each, one line: the errors of paramviz, whatever else was raised, the memory
that it took, the processor time until it was open and until the first refusal,
files that were opened outside of it, classes that a pickle named, and what was
imported. GOOD is a run that does no harm: what is loaded when it is first
needed is loaded for it, once for all.
"""

from __future__ import annotations

import json
import mimetypes
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import numcodecs.registry
import numpy as np

from paramviz.cli import main as command_line
from paramviz.errors import DamagedRunError, ParamvizError
from paramviz.store import Run, open_run, verify_run
from paramviz.store.layout import SNAPSHOT_ARRAYS
from viewer.app import create_app
from viewer.catalogue import Catalogue

ADDRESS_SPACE_BYTES = 2 << 30
"""So that an attack that works ends its process and not the machine."""

TIMEOUT_S = 60


class Visit:
    """Collects what is said; `stray` is whatever is no error of paramviz.

    `opened_s` and `refused_s`: processor time from the beginning to the answer to the first question, and
    to the first refusal, None if nothing was refused.
    """

    def __init__(self) -> None:
        self.refusals: list[dict[str, str]] = []
        self.stray: list[str] = []
        self.opened_s: float | None = None
        self.refused_s: float | None = None
        self._began_s = time.process_time()

    def ask(self, what: str, question: Callable[[], Any]) -> Any:
        """The answer; None after an error."""
        try:
            return question()
        except ParamvizError as error:
            key = error.key if isinstance(error, DamagedRunError) else ""
            self.refusals.append(
                {
                    "at": what,
                    "type": type(error).__name__,
                    "key": key,
                    "says": str(error),
                    "path": str(error.path),
                }
            )
        except BaseException as error:
            self.stray.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
        finally:
            now_s = time.process_time() - self._began_s
            self.opened_s = now_s if self.opened_s is None else self.opened_s
            if self.refusals and self.refused_s is None:
                self.refused_s = now_s
        return None


def visit(path: Path) -> dict[str, Any]:
    found = Visit()
    run = found.ask("open", lambda: open_run(path))
    if run is not None:
        for what, question in questions(run):
            found.ask(what, question)
    report = found.ask("verify", lambda: verify_run(path))
    if report is not None:
        found.refusals += [
            {"at": "verify", "type": "Problem", "key": p.key, "says": p.message, "path": str(path)}
            for p in report.problems
        ]
    found.ask("viewer", lambda: look(path, found))
    output = "".join(
        found.ask(command, lambda c=command: print_of(c, path, found)) or "" for command in ("info", "verify")
    )
    if bad := [c for c in output if not (c.isprintable() or c == "\n")]:
        found.stray.append(f"the command line printed {bad!r}")
    return {
        "refusals": found.refusals,
        "stray": found.stray,
        "opened_s": found.opened_s,
        "refused_s": found.refused_s,
    }


def questions(run: Run) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that can be asked of a run."""
    yield "description", lambda: (run.name, run.description, run.status, run.events, repr(run))
    yield "refresh", run.refresh
    yield "plans", lambda: run.plans
    yield "vocabulary", lambda: run.vocabulary
    yield "scalars", lambda: [run.scalar_series(name) for name in run.scalar_names[:100]]
    yield "steps", lambda: run.steps_since(0)
    for number in range(min(run.n_bases, 10)):
        yield f"basis {number}", lambda number=number: run.basis(number)
    for number in range(min(run.n_probes, 10)):
        yield f"probe {number}", lambda number=number: run.probe(number)
    tensors = []
    try:
        tensors = [t.name for t in run.tensors]
    except ParamvizError:
        yield "tensors", lambda: run.tensors
    for name in tensors:
        yield f"positions of {name!r}", lambda name=name: run.positions(name)
        for of in ("statistics", "gradient_statistics"):
            yield f"{of} of {name!r} over time", lambda name=name, of=of: run.timeline(name, "mean", of)
    for iteration in run.iterations[:5].tolist():
        yield f"snapshot {iteration}", lambda i=iteration: run[i].plan
        for key in SNAPSHOT_ARRAYS:
            yield f"{key} of {iteration}", lambda i=iteration, key=key: run[i].array(key)
        for name in tensors:
            for method in ("values", "statistics", "gradient_statistics", "histogram"):
                yield (
                    f"{method} of {name!r} in {iteration}",
                    lambda i=iteration, name=name, method=method: getattr(run[i], method)(name),
                )


def look(path: Path, found: Visit) -> None:
    """Through the viewer: no answer may be a defect of it."""
    client = create_app(Catalogue([path.parent])).test_client()
    listed = [run for run in client.get("/api/runs").json["runs"] if run["name"]]
    ids = [run["id"] for run in listed if not run["error"] and run["snapshots"] is not None]
    addresses = [f"/api/poll?runs={run}" for run in ids]
    for run in ids:
        here = f"/api/runs/{run}"
        addresses += [
            here,
            f"{here}/plans/0",
            f"{here}/plans/0/positions",
            f"{here}/scalars",
            f"{here}/vocabulary",
        ]
        addresses += [f"{here}/frames/0", f"{here}/frames/1", f"{here}/frames?iterations=0,1,100"]
        addresses += [f"{here}/frames/1?parts=histograms", f"{here}/timeline/0/mean"]
    for address in addresses:
        answer = client.get(address)
        if answer.status_code not in (200, 404, 422):
            found.stray.append(
                f"the viewer answered {answer.status_code} to {address}: {answer.get_data()[:200]!r}"
            )


def print_of(command: str, path: Path, found: Visit) -> str:
    result = click.testing.CliRunner().invoke(command_line, [command, str(path)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        found.stray.append(f"`{command}` died of {result.exception!r}"[:300])
    return result.output


def watched(path: Path) -> dict[str, Any]:
    """`visit`, and what it did to the machine."""
    opened: set[str] = set()
    pickled: list[str] = []
    inside = (os.path.realpath(path) + "/", os.path.realpath(path.parent))
    libraries = tuple(os.path.realpath(p) for p in sys.path if p) + tuple({sys.prefix, sys.base_prefix})

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            name = os.path.abspath(os.fsdecode(arguments[0]))
            if not name.startswith((inside[0], *libraries)) and name not in inside:
                opened.add(name)
        elif event == "pickle.find_class":
            pickled.append(".".join(arguments))

    def no_codec(*_: Any) -> None:
        pickled.append("numcodecs.registry.get_codec")

    numcodecs.registry.get_codec = no_codec
    sys.addaudithook(audit)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **visit(path),
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "opened": sorted(opened),
        "pickled": pickled,
        "zarr": "zarr" in sys.modules,
    }


def in_a_process_of_its_own(path: Path) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        # SIGALRM ends the process, also where it waits for a pipe.
        import signal

        signal.alarm(TIMEOUT_S)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
        with os.fdopen(writing, "w") as out:
            json.dump(watched(path), out)
            out.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if status == 0 else {"died": status}


def main(good: Path) -> None:
    visit(good)
    click.testing.CliRunner().invoke(command_line, ["info", "--help"])
    np.linalg.svd(np.eye(2))
    mimetypes.init()
    for line in sys.stdin:
        print(json.dumps(in_a_process_of_its_own(Path(line.rstrip("\n")))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
