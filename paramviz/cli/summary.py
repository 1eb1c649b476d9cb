"""What `paramviz info` tells of a run, as plain data; `info` prints it, `--json` writes it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.errors import DamagedRunError
from paramviz.schema import Plan
from paramviz.store import Run, layout
from paramviz.store.dense_source import stored_bytes

TRAINING_KEYS = frozenset({"model", "parameters", "config", "optimizers", "versions", "thinned", "packed"})
"""Parts of a description that speak of the training and of this copy; all others of who ran it, and where."""


@dataclass(frozen=True, slots=True)
class Summary:
    """`content` can be written as JSON; `damage` are snapshots whose commit record cannot be read."""

    content: dict[str, Any]
    damage: tuple[DamagedRunError, ...]


def summarise(run: Run) -> Summary:
    """Everything but the arrays themselves. Reads each snapshot's commit record, about 0.1 ms each."""
    plan = run.plan
    stored, damage = _stored(run)
    content = {
        "path": str(run.path),
        "name": run.name,
        "run_id": run.run_id,
        "format": run.format,
        "status": run.status,
        "created_unix_s": run.created_unix_s,
        "last_sign_of_life_unix_s": run.last_sign_of_life_unix_s,
        "model": run.description.get("model"),
        "parameters": run.description.get("parameters"),
        "tensors": _tensors(plan),
        "roles": _roles(plan),
        "iterations": _iterations(run),
        "gaps": [{"iteration": e.iteration, "text": e.text} for e in run.events if e.kind == "gap"],
        "events": dict(Counter(event.kind for event in run.events)),
        **stored,
        "scalars": _scalars(run),
        "description": {key: run.description[key] for key in run.description if key in TRAINING_KEYS},
        "reveals": {key: run.description[key] for key in run.description if key not in TRAINING_KEYS},
    }
    return Summary(content, damage)


def strides(iterations: npt.NDArray[np.int64]) -> list[dict[str, int]]:
    """Stretches of equal spacing; a stretch starts where the one before ends.

    iterations: (T,) ascending. Each of the answer has `first`, `last`, `every`.
    """
    if len(iterations) < 2:
        return []
    gaps = np.diff(iterations)
    turns = np.flatnonzero(np.diff(gaps)) + 1
    starts, ends = np.concatenate([[0], turns]), np.concatenate([turns, [len(gaps)]])
    return [
        {"first": int(iterations[a]), "last": int(iterations[b]), "every": int(gaps[a])}
        for a, b in zip(starts, ends, strict=True)
    ]


def _tensors(plan: Plan) -> dict[str, Any]:
    return {
        "total": len(plan.tensors),
        "recorded": sum(t.samples > 0 for t in plan.tensors),
        "tied": {t.name: t.tied_to for t in plan.tensors if t.tied_to is not None},
        "skipped": {t.name: t.skipped for t in plan.tensors if t.skipped is not None},
        "frozen": sum(t.frozen for t in plan.tensors),
        "elements": sum(t.size for t in plan.tensors if t.tied_to is None),
        "samples": sum(t.samples for t in plan.tensors),
    }


def _roles(plan: Plan) -> dict[str, dict[str, int]]:
    """Per role, in the model's order; a tied name counts as a tensor, its elements count with the owner."""
    roles: dict[str, dict[str, int]] = {}
    for tensor in plan.tensors:
        role = roles.setdefault(tensor.role, {"tensors": 0, "elements": 0, "samples": 0})
        role["tensors"] += 1
        role["elements"] += tensor.size if tensor.tied_to is None else 0
        role["samples"] += tensor.samples
    return roles


def _iterations(run: Run) -> dict[str, Any]:
    iterations = run.iterations
    return {
        "snapshots": len(iterations),
        "first": int(iterations[0]) if len(iterations) else None,
        "last": int(iterations[-1]) if len(iterations) else None,
        "steps": run.step_count,
        "strides": strides(iterations),
    }


def _scalars(run: Run) -> dict[str, dict[str, float]]:
    """Per scalar: how many steps gave it, and its last value."""
    last: dict[str, dict[str, float]] = {}
    for name in run.scalar_names:
        iterations, values = run.scalar_series(name)
        last[name] = {"steps": len(values), "iteration": int(iterations[-1]), "value": float(values[-1])}
    return last


def _stored(run: Run) -> tuple[dict[str, Any], tuple[DamagedRunError, ...]]:
    """What the snapshots hold, and in how many bytes: `raw` as arrays, `stored` as files."""
    damage: list[DamagedRunError] = []
    recorded: Counter[str] = Counter()
    raw, stored = 0, 0.0
    for iteration in run.iterations.tolist():
        try:
            snapshot = run[iteration]
            raw += sum(snapshot.raw_bytes(key) for key in snapshot.record.arrays)
        except DamagedRunError as error:
            damage.append(error)
            continue
        recorded.update(snapshot.record.arrays)
        stored += stored_bytes(run.source, layout.iteration_key(iteration), snapshot.record.files)
    return {
        "recorded": dict(sorted(recorded.items())),
        "bytes": {"raw": raw, "stored": round(stored)},
    }, tuple(damage)
