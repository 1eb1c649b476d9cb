"""Damages a small run again and again, and reads all of it each time.

    python -m tests.attacks.fuzz FIRST COUNT

Damage number N is always the same, so one that was found is seen again by
`fuzz N 1`. Prints one line of JSON: how many were tried, how they ended, and
what should not have been: an error that is not paramviz's, a number that was
not recorded, a file outside of the run, memory, time.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from paramviz.errors import ParamvizError
from paramviz.schema import (
    GRADIENT_KEYS,
    STATISTIC_KEYS,
    EmbeddingPlan,
    Event,
    GradientStates,
    Snapshot,
    TensorInfo,
)
from paramviz.store import Run, RunWriter, open_run, pack_run, verify_run
from paramviz.store.layout import SNAPSHOT_ARRAYS
from tests.attacks.mutations import Mutator
from viewer.app import create_app
from viewer.catalogue import Catalogue

PATIENCE_S = 20
VIEWED, ZIPPED = 8, 5
"""Every so many-th run is also asked for through the viewer, or is packed when it is damaged."""

TENSORS = (
    TensorInfo(
        0, "wte.weight", (6, 4), "float32", "token_embedding", None, "embedding", samples=24, grid=(6, 4)
    ),
    TensorInfo(
        1, "fc.weight", (4096, 4), "float32", "mlp_up", 0, "mlp", samples=16_384, grid=(4096, 4), offset=24
    ),
    TensorInfo(2, "fc.bias", (8,), "float32", "bias", 0, "mlp", samples=8, grid=(1, 8), array="vectors"),
    TensorInfo(3, "head.weight", (6, 4), "float32", "head", None, "head", tied_to="wte.weight"),
)
N_VALUES, N_VECTORS, TOKENS, WIDTH, SCORES = 16_408, 8, 6, 4, 8


def make_run(path: Path) -> Path:
    """Two snapshots, a basis, a vocabulary, blocks: everything that the format has, and small."""
    rng = np.random.default_rng(5)
    writer = RunWriter.create(
        path, description={"model": "made", "config": {"lr": 0.1}}, vocabulary=list("abcdef")
    )
    embedding = EmbeddingPlan("wte.weight", WIDTH, TOKENS, np.arange(TOKENS, dtype=np.int32), True)
    positions = np.concatenate([np.arange(24), np.arange(16_384)])
    writer.add_plan(TENSORS, positions, np.arange(8), embedding)
    components, mean = rng.standard_normal((SCORES, WIDTH)), rng.standard_normal(WIDTH)
    writer.add_basis(0, components.astype("f4"), mean.astype("f4"), np.full(SCORES, 1 / SCORES, "f4"))
    n_tensors = len(TENSORS)
    for iteration in range(2):
        scalars = {"loss": 2.0 - iteration, "strange": float("nan")}
        writer.log_step(iteration, scalars, 1_790_000_000.0 + iteration)
        writer.commit(
            Snapshot(
                iteration=iteration,
                plan=0,
                tier="key",
                time_unix_s=1_790_000_000.0 + iteration,
                scalars=scalars,
                events=[Event(iteration, "validation", "half way")],
                gradient_states=GradientStates("used", {3: "unavailable"}, "tied"),
                # Few different values, so that the files are small and each of their bytes is worth a try.
                values=rng.integers(-8, 8, N_VALUES).astype(np.float16),
                vectors=rng.standard_normal(N_VECTORS).astype(np.float32),
                statistics=rng.standard_normal((n_tensors, len(STATISTIC_KEYS))).astype(np.float32),
                histograms=rng.integers(0, 2**32, (n_tensors, 64), dtype=np.uint32),
                gradient_statistics=rng.standard_normal((n_tensors, len(GRADIENT_KEYS))).astype(np.float32),
                embedding_rows=rng.standard_normal((TOKENS, WIDTH)).astype(np.float16),
                embedding_scores=rng.standard_normal((TOKENS, SCORES)).astype(np.float16),
                basis=0,
            )
        )
    writer.close("finished")
    return path


class Reading:
    """Everything that a run says, as bytes that can be compared; what is refused is left out."""

    def __init__(self) -> None:
        self.facts: dict[str, bytes] = {}
        self.refused = 0

    def of(self, path: Path) -> Reading:
        run = self._ask(lambda: open_run(path))
        if run is not None:
            self._read(run)
        self._ask(lambda: verify_run(path))
        return self

    def _ask(self, question: Any) -> Any:
        try:
            return question()
        except ParamvizError:
            self.refused += 1
            return None

    def _note(self, name: str, question: Any) -> None:
        answer = self._ask(question)
        if answer is not None:
            self.facts[name] = answer.tobytes() if isinstance(answer, np.ndarray) else repr(answer).encode()

    def _read(self, run: Run) -> None:
        self._note("root", lambda: (run.run_id, run.name, run.description, run.statistic_keys))
        self._note("vocabulary", lambda: run.vocabulary)
        self._note("basis", lambda: run.basis(0).components)
        self._ask(lambda: (run.status, run.events, run.refresh(), repr(run), run.n_plans))
        for name in run.scalar_names:
            iterations, values = run.scalar_series(name)
            for iteration, value in zip(iterations.tolist(), values, strict=True):
                self.facts[f"{name} at {iteration}"] = value.tobytes()
        for tensor in self._ask(lambda: run.tensors) or ():
            self._note(f"{tensor.name}", lambda t=tensor: t)
            self._note(f"positions of {tensor.name}", lambda t=tensor: run.positions(t.name))
            for of, keys in (("statistics", run.statistic_keys), ("gradient_statistics", run.gradient_keys)):
                key = keys[0] if keys else "nothing"
                series = (
                    self._ask(lambda t=tensor, k=key, of=of: run.timeline(t.name, k, of)) if keys else None
                )
                if series is None:
                    continue
                for iteration, value in zip(run.iterations.tolist(), series, strict=True):
                    self.facts[f"{key} of {of} of {tensor.name} at {iteration}"] = value.tobytes()
        for iteration in run.iterations[:8].tolist():
            self._read_snapshot(run, iteration)

    def _read_snapshot(self, run: Run, iteration: int) -> None:
        snapshot = self._ask(lambda: run[iteration])
        if snapshot is None:
            return
        self._note(
            f"snapshot {iteration}", lambda: (snapshot.scalars, snapshot.events, snapshot.gradient_states)
        )
        for key in SNAPSHOT_ARRAYS:
            self._note(f"{key} of {iteration}", lambda key=key: snapshot.array(key))
        for tensor in TENSORS:
            self._note(f"values of {tensor.name} in {iteration}", lambda t=tensor: snapshot.values(t.name))
            for what in ("statistics", "gradient_statistics", "histogram"):
                self._ask(lambda t=tensor, what=what: getattr(snapshot, what)(t.name))


def look(path: Path) -> list[str]:
    """Answers of the viewer that are neither an answer nor a refusal."""
    try:
        client = create_app(Catalogue([path])).test_client()
    except ParamvizError:
        return []
    run = client.get("/api/runs").json["runs"][0]
    here = f"/api/runs/{run['id']}"
    addresses = [
        here,
        f"{here}/plans/0",
        f"{here}/plans/0/positions",
        f"{here}/scalars",
        f"{here}/vocabulary",
    ]
    addresses += [f"{here}/frames/1?parts=values,statistics,histograms,embedding", f"{here}/timeline/0/mean"]
    addresses += [f"{here}/frames?iterations=0,1", f"/api/poll?runs={run['id']}"]
    answers = {address: client.get(address).status_code for address in addresses}
    return [f"{status} to {address}" for address, status in answers.items() if status not in (200, 404, 422)]


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


def out_of_patience(number: int, frame: object) -> None:
    raise TimeoutError(f"not done after {PATIENCE_S} s")


def fuzz(first: int, count: int, folder: Path) -> dict[str, Any]:
    path = make_run(folder / "run")
    packed = folder / "packed" / "run.zarr.zip"
    packed.parent.mkdir()
    pack_run(path, packed)
    recorded = Reading().of(path).facts
    assert Reading().of(packed).facts == recorded
    look(path)
    mutator, zip_mutator, watch = Mutator(path), Mutator(packed.parent), Watch(folder)
    failures: list[str] = []
    ends: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with open(folder / "at", "wb", buffering=0) as at:
        for number in range(first, first + count):
            os.pwrite(at.fileno(), b"%20d" % number, 0)
            target, mended = path, False
            if number % ZIPPED == 0:
                target, told = packed, zip_mutator.mutate_pieces(number)
            else:
                told, mended = mutator.mutate(number)
            problems: list[str] = []
            watch.on = True
            signal.alarm(PATIENCE_S)
            try:
                reading = Reading().of(target)
                if number % VIEWED == 0:
                    problems += look(target)
            except BaseException as error:
                problems.append(f"{type(error).__name__}: {str(error)[:200]}")
            else:
                if not mended:
                    wrong = [name for name, fact in reading.facts.items() if recorded.get(name) != fact]
                    problems += [f"{name} is not what was recorded" for name in wrong]
                ends["refused in part" if reading.refused else "read"] += 1
            signal.alarm(0)
            watch.on = False
            problems += [f"opened {name}" for name in watch.opened]
            watch.opened.clear()
            failures += [f"{number} ({told}): {problem}" for problem in problems]
            mutator.undo()
            zip_mutator.undo()
    assert Reading().of(path).facts == recorded, "the run was not mended between two damages"
    return {
        "tried": count,
        "seconds": round(time.monotonic() - began, 1),
        "ends": dict(ends),
        "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "failures": failures[:50],
        "failed": len(failures),
    }


def main(first: int, count: int) -> None:
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, out_of_patience)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        print(json.dumps(fuzz(first, count, Path(os.path.realpath(folder)))))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
