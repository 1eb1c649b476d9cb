"""From a frame to a snapshot: everything that need not happen on the training thread."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.quantities import Quantities
from paramviz.recorder import further
from paramviz.recorder.embedding import FrozenBasis, narrowed_in_place
from paramviz.recorder.frames import Frame
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.plan_registry import PlanRegistry, stored_plans
from paramviz.recorder.principal import PrincipalAxes, Rows
from paramviz.recorder.probe_registry import ProbeRegistry
from paramviz.recorder.scalars import read_scalars
from paramviz.recorder.updates import SampleHistory
from paramviz.schema import (
    GRADIENT_KEYS,
    MOMENT_KEYS,
    EmbeddingPlan,
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

SKIPPED = "gradients held inf or NaN, and the optimizer made no step"
"""What the event of a skipped step says."""


class Assembler:
    """Turns frames into snapshots and publishes them. Used by the writer thread only.

    `earlier` is the run as an earlier session left it: its first snapshot stays the start.
    The names of frozen tensors that change all the same are added to `moving`.
    """

    def __init__(
        self, writer: RunWriter, earlier: Run | None, moving: set[str], quantities: Quantities
    ) -> None:
        self._writer = writer
        self._earlier = earlier
        self._quantities = quantities
        past = () if earlier is None else stored_plans(earlier)
        self._plans = PlanRegistry(writer, past, moving, quantities)
        self._probes = ProbeRegistry(writer, earlier)
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
        scalars = read_scalars(frame.scalars)
        snapshot = Snapshot(
            iteration=frame.iteration,
            plan=number,
            tier=frame.tier,
            time_unix_s=frame.time_unix_s,
            scalars=scalars,
            events=frame.events,
            gradient_states=GradientStates(),
        )
        if "values" in self._quantities:
            snapshot.values = _narrow(frame.samples[frame.plan.moving_values], np.float16)
            snapshot.vectors = frame.samples[frame.plan.moving_vectors]
        if "statistics" in self._quantities:
            table = np.concatenate([frame.statistics, moves, _key_statistics(frame)], axis=1)
            snapshot.statistics = _narrow(table, np.float32)
        if "histograms" in self._quantities:
            snapshot.histograms = frame.histograms
        derived = _add_gradients(snapshot, frame)
        self._add_further(snapshot, frame)
        # The sums of a large model take as much memory as its embedding does, which comes next.
        frame.give_up_sums()
        self._add_embedding(snapshot, frame)
        # Made before the commit: what fails after it would be told as a gap where there is none.
        known = self._history.with_published(frame.plan, frame.samples)
        self._writer.commit(snapshot)
        self._history.advance(known)
        if snapshot.embedding_rows is not None:
            self._rows_of = frame.plan.tensors
        return derived

    def close(self) -> None:
        """No more frames come."""

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
        """What is told of the rows, and the rows themselves where they are due."""
        rows, embedding = frame.embedding_rows, frame.plan.embedding
        if rows is None or embedding is None:
            return
        if frame.tier == "key":
            snapshot.more |= further.embedding(embedding, rows, self._quantities)
        if "embedding" in self._quantities:
            self._add_rows(snapshot, frame, embedding, rows)

    def _add_rows(self, snapshot: Snapshot, frame: Frame, embedding: EmbeddingPlan, rows: Rows) -> None:
        """Rows: always if they are small, else at the first, forced and last snapshots; scores between."""
        is_first = self._rows_of is not frame.plan.tensors
        keeps_rows = embedding.every_snapshot or frame.keeps_rows or is_first
        if not embedding.every_snapshot:
            if keeps_rows:
                self._basis.renew(rows, lambda axes: self._store_basis(frame.iteration, axes))
            scores = self._basis.scores(rows)
            if scores is not None:
                snapshot.embedding_scores = _narrow(scores, np.float16)
                snapshot.basis = self._basis.number
        if keeps_rows:
            snapshot.embedding_rows = narrowed_in_place(rows)

    def _add_further(self, snapshot: Snapshot, frame: Frame) -> None:
        """What docs/FORMAT.md calls further quantities, where they are due and wanted."""
        plan, wanted = frame.plan, self._quantities
        if "head_norms" in wanted:
            snapshot.more |= further.head_norms(plan, frame.grids)
        if frame.tier != "key":
            return
        gradients = frame.gradients
        if "cells" in wanted:
            snapshot.more |= further.cells(plan, frame.grids)
        if "norms" in wanted:
            snapshot.more |= further.norms(plan, frame.grids, {} if gradients is None else gradients.grids)
        if gradients is not None and gradients.samples is not None:
            snapshot.more |= further.scaled_samples(plan, gradients.samples, "gradient")
        update = self._history.update(plan, frame.samples) if "update_values" in wanted else None
        if update is not None:
            snapshot.more |= further.scaled_samples(plan, update, "update")
        if frame.matrices:
            snapshot.more |= further.spectra(plan, frame.matrices)
        if frame.probed is not None:
            snapshot.probe = self._probes.number(frame.probed.probe)
            snapshot.more |= frame.probed.arrays

    def _store_basis(self, iteration: int, axes: PrincipalAxes) -> int:
        return self._writer.add_basis(iteration, axes.components, axes.mean, axes.explained)


def _key_statistics(frame: Frame) -> npt.NDArray[np.float64]:
    """(tensors, 5) in the order of `KEY_STATISTIC_KEYS`; NaN but in key snapshots."""
    l2 = frame.statistics[:, MOMENT_KEYS.index("l2_norm")]
    with np.errstate(divide="ignore", invalid="ignore"):
        stable_rank = np.square(l2 / frame.sigma_max)
    return np.column_stack([frame.moments, frame.sigma_max, stable_rank])


def _add_gradients(snapshot: Snapshot, frame: Frame) -> dict[str, float]:
    """Gradient statistics, states and the events of skipped steps; returns the norm if it was not given."""
    gradients = frame.gradients
    if gradients is None:
        return {}
    gradients.transfers.finish()
    states = dict(gradients.states)
    is_told = False
    for flag, rows in gradients.found_inf:
        if float(flag) != 0:
            states.update({row: "skipped" for row in rows if row in states})
            is_told = True
    snapshot.gradient_states = _summary(frame.plan, states, gradients.reasons)
    statistics = gradients.statistics if gradients.is_measured else None
    skipped = [row for row, state in states.items() if state == "skipped"]
    if is_told or (statistics is not None and statistics[skipped][:, _NOT_FINITE].any()):
        snapshot.events.append(Event(frame.iteration, "skipped_step", SKIPPED))
    if statistics is None:
        return {}
    snapshot.gradient_statistics = _narrow(statistics, np.float32)
    if "gradient_norm" in snapshot.scalars or not set(states.values()) <= _AS_USED:
        return {}
    derived = {"gradient_norm": _norm_of(statistics[list(states)])}
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
