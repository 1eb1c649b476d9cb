"""From a frame to a snapshot: everything that need not happen on the training thread."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.recorder.embedding import FrozenBasis, PrincipalAxes
from paramviz.recorder.frames import Frame
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.plan_registry import PlanRegistry, stored_plans
from paramviz.recorder.scalars import read_scalars
from paramviz.recorder.updates import SampleHistory
from paramviz.schema import (
    GRADIENT_KEYS,
    KEY_STATISTIC_KEYS,
    Event,
    GradientState,
    GradientStates,
    Snapshot,
    TensorInfo,
)
from paramviz.store import Run, RunWriter

_L2_NORM, _N_NAN, _N_INF = (GRADIENT_KEYS.index(key) for key in ("l2_norm", "n_nan", "n_inf"))
_NOT_FINITE = [_N_NAN, _N_INF]
_AS_USED: frozenset[str] = frozenset({"used", "last-evaluation"})
"""States whose gradients the optimizer made its step with."""


class Assembler:
    """Turns frames into snapshots and publishes them. Used by the writer thread only.

    `earlier` is the run as an earlier session left it: its first snapshot stays the start.
    The names of frozen tensors that change all the same are added to `moving`.
    """

    def __init__(self, writer: RunWriter, earlier: Run | None, moving: set[str]) -> None:
        self._writer = writer
        self._earlier = earlier
        self._plans = PlanRegistry(writer, () if earlier is None else stored_plans(earlier), moving)
        self._history = SampleHistory()
        self._basis = FrozenBasis()
        self._rows_of: tuple[TensorInfo, ...] | None = None

    def register(self, plan: ModelPlan, samples: npt.NDArray[np.float32]) -> int:
        """See `PlanRegistry.number`."""
        return self._plans.number(plan, samples)

    def publish(self, frame: Frame) -> dict[str, float]:
        """Commit a frame; returns the scalars that follow from it. OSError if the store cannot be written."""
        frame.transfers.finish()
        number = self.register(frame.plan, frame.samples)
        self._recall_start(frame.plan)
        moves = self._history.compare(frame.plan, frame.samples)
        unknown = np.full((len(frame.plan.tensors), len(KEY_STATISTIC_KEYS)), np.nan)
        scalars = read_scalars(frame.scalars)
        snapshot = Snapshot(
            iteration=frame.iteration,
            plan=number,
            tier=frame.tier,
            time_unix_s=frame.time_unix_s,
            scalars=scalars,
            events=frame.events,
            gradient_states=GradientStates(),
            values=_narrow(frame.samples[frame.plan.moving_values], np.float16),
            vectors=frame.samples[frame.plan.moving_vectors],
            statistics=_narrow(np.concatenate([frame.statistics, moves, unknown], axis=1), np.float32),
            histograms=frame.histograms,
        )
        derived = _add_gradients(snapshot, frame)
        self._add_embedding(snapshot, frame)
        self._writer.commit(snapshot)
        self._history.advance(frame.plan, frame.samples)
        if snapshot.embedding_rows is not None:
            self._rows_of = frame.plan.tensors
        return derived

    def _recall_start(self, plan: ModelPlan) -> None:
        """Distances from the start go on over a resumed run, to the precision of its stored samples."""
        earlier, self._earlier = self._earlier, None
        if earlier is not None and len(earlier.iterations):
            first = earlier[int(earlier.iterations[0])]
            values, vectors = first.array("values"), first.array("vectors")
            if values is not None and vectors is not None:
                frozen = earlier.frozen(first.plan.number)
                parts = (values, frozen.values, vectors, frozen.vectors)
                samples = np.concatenate([part.astype(np.float32) for part in parts])
                self._history.start_from(first.plan, samples, plan)

    def _add_embedding(self, snapshot: Snapshot, frame: Frame) -> None:
        """Rows where they are due: always if they are small, else at the first, forced and last snapshots."""
        rows, embedding = frame.embedding_rows, frame.plan.embedding
        if rows is None or embedding is None:
            return
        is_first = self._rows_of is not frame.plan.tensors
        if embedding.every_snapshot or frame.keeps_rows or is_first:
            snapshot.embedding_rows = _narrow(rows, np.float16)
        if embedding.every_snapshot:
            return
        if snapshot.embedding_rows is not None:
            self._basis.renew(rows, lambda axes: self._store_basis(frame.iteration, axes))
        scores = self._basis.scores(rows)
        if scores is not None:
            snapshot.embedding_scores = _narrow(scores, np.float16)
            snapshot.basis = self._basis.number

    def _store_basis(self, iteration: int, axes: PrincipalAxes) -> int:
        return self._writer.add_basis(iteration, axes.components, axes.mean, axes.explained)


def _add_gradients(snapshot: Snapshot, frame: Frame) -> dict[str, float]:
    """Gradient statistics, states and the events of skipped steps; returns the norm if it was not given."""
    gradients = frame.gradients
    if gradients is None:
        return {}
    gradients.transfers.finish()
    states = dict(gradients.states)
    for flag, rows in gradients.found_inf:
        if float(flag) != 0:
            states.update({row: "skipped" for row in rows if row in states})
    snapshot.gradient_states = _summary(frame.plan, states, gradients.reasons)
    if gradients.statistics is None:
        return {}
    snapshot.gradient_statistics = _narrow(gradients.statistics, np.float32)
    skipped = [row for row, state in states.items() if state == "skipped"]
    if gradients.statistics[skipped][:, _NOT_FINITE].any():
        text = "gradients held inf or NaN, and the optimizer made no step"
        snapshot.events.append(Event(frame.iteration, "skipped_step", text))
    if "gradient_norm" in snapshot.scalars or not set(states.values()) <= _AS_USED:
        return {}
    derived = {"gradient_norm": _norm_of(gradients.statistics[list(states)])}
    snapshot.scalars.update(derived)
    return derived


def _norm_of(statistics: npt.NDArray[np.float64]) -> float:
    """Norm over all gradients, (rows, 14), as torch has it: not finite if one element is not."""
    if statistics[:, _N_NAN].any():
        return math.nan
    if statistics[:, _N_INF].any():
        return math.inf
    return float(np.linalg.norm(statistics[:, _L2_NORM]))


def _summary(plan: ModelPlan, states: dict[int, GradientState], reasons: list[str]) -> GradientStates:
    """The most common state, and the tensors that differ. A tied name has the state of its owner."""
    rows = {tensor.name: tensor.index for tensor in plan.tensors}
    every: list[str] = [
        states.get(rows[tensor.tied_to or tensor.name], "unavailable") for tensor in plan.tensors
    ]
    default = Counter(every).most_common(1)[0][0] if every else "unavailable"
    exceptions = {index: state for index, state in enumerate(every) if state != default}
    return GradientStates(default, exceptions, "; ".join(reasons))


def _narrow(x: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The one narrowing conversion; what is beyond the range becomes inf, and the statistics count it."""
    with np.errstate(over="ignore"):
        return x.astype(dtype)
