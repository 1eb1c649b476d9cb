"""From a series of checkpoints to a run, by the recorder itself: so it is a run like any other.

The checkpoints' tensors stay mapped files. The recorder reads one tensor after the other, and
a snapshot is on disk before the next checkpoint is opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import nn

from paramviz.errors import OutputError, UsageError
from paramviz.integrations.checkpoints.series import Checkpoint, find_checkpoints
from paramviz.integrations.checkpoints.skeleton import fill, skeleton
from paramviz.integrations.checkpoints.weights import Weights, open_weights, read_json
from paramviz.recorder import Recorder

_POLL_S = 0.002
_LOGGED_AS = {"eval_loss": "validation_loss", "grad_norm": "gradient_norm_before_clipping"}
"""Scalars that a Hugging Face Trainer logs under names other than ours."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """Where the run is, and how many snapshots are in it."""

    path: Path | str
    snapshots: int


def import_checkpoints(
    source: Path,
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """Make a run of the checkpoints at `source`, each a snapshot under its iteration.

    Every checkpoint is opened once before anything is written. progress: takes (done, total)
    checkpoints. Raises what `find_checkpoints`, `open_weights` and `Recorder` raise, UsageError
    if iterations cannot be told apart, OutputError if something could not be written.
    """
    series = _in_order(find_checkpoints(source))
    first = open_weights(series[0])
    model = skeleton(_class_name(first), first.settings)
    fill(model, first.tensors)
    recorder = Recorder(
        out,
        model,
        schedule=_OnlyCheckpoints(),
        config={"imported": [checkpoint.name for checkpoint in series], **first.settings},
        name=name,
        include=include,
        exclude=exclude,
    )
    with recorder:
        _record(recorder, model, series, progress)
        recorder.close()
    return ImportReport(recorder.run_path, recorder.report.snapshots)


def _record(
    recorder: Recorder, model: nn.Module, series: Sequence[Checkpoint], progress: Callable[[int, int], None]
) -> None:
    logged = list(_logged(series[-1].folder))
    for done, checkpoint in enumerate(series):
        iteration = checkpoint.iteration or 0
        while logged and logged[0][0] < iteration:
            _log(recorder, *logged.pop(0))
        fill(model, open_weights(checkpoint).tensors)
        recorder.step(iteration, event="checkpoint", text=checkpoint.name)
        while logged and logged[0][0] == iteration:
            _log(recorder, *logged.pop(0))
        _wait_for(recorder, done + 1, checkpoint)
        progress(done + 1, len(series))
    for step, scalars in logged:
        _log(recorder, step, scalars)


def _wait_for(recorder: Recorder, n: int, checkpoint: Checkpoint) -> None:
    """Until n snapshots are on disk: a recorder drops what comes faster than it can be written."""
    while (report := recorder.report).snapshots + report.lost < n:
        time.sleep(_POLL_S)
    if report.lost:
        raise OutputError(
            f"{recorder.run_path}: {checkpoint.name} could not be recorded; `paramviz info` lists the gap. "
            "Check the space.",
            path=recorder.run_path,
        )


def _in_order(series: Sequence[Checkpoint]) -> list[Checkpoint]:
    """By iteration, each with one: from its name, else from its file, else 0 if it is alone."""
    numbered = []
    for checkpoint in series:
        told = open_weights(checkpoint).iteration
        iteration = told if checkpoint.iteration is None else checkpoint.iteration
        if iteration is None and len(series) > 1:
            raise UsageError(
                f"{checkpoint.folder}: which iteration is {checkpoint.name}? Neither its name nor its "
                "content tells; give it a name such as step-100."
            )
        numbered.append(replace(checkpoint, iteration=iteration or 0))
    numbered.sort(key=lambda checkpoint: checkpoint.iteration or 0)
    for one, next_one in pairwise(numbered):
        if one.iteration == next_one.iteration:
            raise UsageError(
                f"{one.folder}: {one.name} and {next_one.name} are both of iteration {one.iteration}. Import "
                "them apart, or rename one."
            )
    return numbered


def _class_name(weights: Weights) -> str:
    names = weights.settings.get("architectures")
    if isinstance(names, list) and names and isinstance(names[0], str) and names[0].isidentifier():
        return names[0]
    return "Checkpoint"


def _logged(folder: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """(step, scalars) that a Hugging Face Trainer logged until that checkpoint, by step."""
    history = read_json(folder / "trainer_state.json").get("log_history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    steps = [entry for entry in entries if isinstance(entry.get("step"), int) and entry["step"] >= 0]
    for entry in sorted(steps, key=lambda entry: int(entry["step"])):
        scalars = {
            _LOGGED_AS.get(name, name): float(value)
            for name, value in entry.items()
            if name != "step" and isinstance(value, int | float) and isinstance(name, str)
        }
        yield entry["step"], scalars


def _log(recorder: Recorder, step: int, scalars: Mapping[str, Any]) -> None:
    recorder.step(step, metrics=scalars)


class _OnlyCheckpoints:
    """A schedule by which nothing is due but what its event forces."""

    def __call__(self, iteration: int) -> bool:
        return False

    def __str__(self) -> str:
        return "checkpoints"
