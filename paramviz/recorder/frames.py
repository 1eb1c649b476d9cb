"""What the training thread hands over for one snapshot, in buffers that are used again."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.recorder.grids import Grids
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.probe import Probed
from paramviz.recorder.transfers import Arriving, Transfers
from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS, Event, GradientState, Tier
from paramviz.statistics import GridSums

WAITING_BYTES = 64 << 20
"""Snapshots of so many bytes may wait for the disk before the next one is dropped."""

FEWEST, MOST = 2, 256
"""Frames that a pool gives out at once, whatever their size."""


@dataclass(slots=True, eq=False)
class Gradients:
    """What a snapshot knows of its gradients.

    statistics: (tensors, 14) float64, NaN rows where there was no gradient; None
    if there was none at all, only NaN unless `is_measured`. samples: (N + V,)
    float32, NaN likewise. `grids`: sums over whole gradients by row, in key snapshots
    that were foreseen. `states`: by row, where there was one. `found_inf`: flags that
    are on their way from their devices, each with the rows whose step was skipped if it is not
    zero. Hooks spent `hook_s` on them on the training thread.
    """

    statistics: npt.NDArray[np.float64] | None
    is_measured: bool
    samples: npt.NDArray[np.float32] | None
    grids: Mapping[int, GridSums]
    states: dict[int, GradientState]
    reasons: list[str]
    found_inf: list[tuple[float | Arriving, tuple[int, ...]]]
    transfers: Transfers
    hook_s: float


@dataclass(slots=True, eq=False)
class Frame:
    """One snapshot between the training thread and the writer thread.

    samples: (N + V,) float32, see `ModelPlan`; statistics: (tensors, 14) float64;
    histograms: (tensors, 64) uint32; embedding_rows: (K, width) float32; moments:
    (tensors, 3) and sigma_max: (tensors,) float64, NaN where they are not due; matrices:
    copies of whole tensors by row, of which all singular values are wanted; turn: how many
    snapshots were taken before. The
    buffers hold the numbers once `transfers` is finished.
    """

    plan: ModelPlan
    samples: npt.NDArray[np.float32]
    statistics: npt.NDArray[np.float64]
    histograms: npt.NDArray[np.uint32]
    embedding_rows: npt.NDArray[np.float32] | None
    moments: npt.NDArray[np.float64]
    sigma_max: npt.NDArray[np.float64]
    grids: Grids = field(default_factory=Grids)
    matrices: dict[int, npt.NDArray[np.float32]] = field(default_factory=dict)
    iteration: int = 0
    tier: Tier = "core"
    turn: int = 0
    keeps_rows: bool = False
    time_unix_s: float = 0.0
    scalars: dict[str, float | Arriving] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    gradients: Gradients | None = None
    transfers: Transfers = field(default_factory=Transfers)
    probed: Probed | None = None

    def give_up_sums(self) -> None:
        """The sums of weights and gradients are done with, and their memory is wanted."""
        self.grids = Grids()
        if self.gradients is not None:
            self.gradients.grids = {}


class FramePool:
    """Frames of the plan in use, as many as fit into `memory_bytes`. Taking one waits only if asked to."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._most = FEWEST
        self._free: list[Frame] = []
        self._out = 0
        self._changed = threading.Condition()

    def has_free(self) -> bool:
        return self._out < self._most

    def take(self, plan: ModelPlan, timeout_s: float = 0.0) -> Frame | None:
        """A frame for `plan`; None if all are still with the writer thread after `timeout_s`."""
        with self._changed:
            self._most = min(MOST, max(FEWEST, self._memory_bytes // max(1, _frame_bytes(plan))))
            if not self._changed.wait_for(self.has_free, timeout_s):
                return None
            self._out += 1
            self._free = [frame for frame in self._free if frame.plan.tensors is plan.tensors]
            frame = self._free.pop() if self._free else None
        if frame is None:
            return _new_frame(plan)
        frame.plan = plan
        return frame

    def give_back(self, frame: Frame) -> None:
        frame.probed, frame.transfers = None, Transfers()
        frame.scalars, frame.events, frame.gradients, frame.grids, frame.matrices = {}, [], None, Grids(), {}
        frame.moments[...] = frame.sigma_max[...] = np.nan
        with self._changed:
            self._out -= 1
            self._free.append(frame)
            self._changed.notify()


def _frame_bytes(plan: ModelPlan) -> int:
    rows = 0 if plan.embedding is None else len(plan.embedding.tokens) * plan.embedding.width
    tables = len(plan.tensors) * (2 * 8 * len(MOMENT_KEYS) + 4 * HISTOGRAM_BINS)
    return 4 * (plan.n_samples + rows) + tables


def _new_frame(plan: ModelPlan) -> Frame:
    """Rows of tensors that are not recorded are never written: NaN, and empty histograms."""
    n = len(plan.tensors)
    rows: npt.NDArray[Any] | None = None
    if plan.embedding is not None:
        rows = np.empty((len(plan.embedding.tokens), plan.embedding.width), np.float32)
    return Frame(
        plan=plan,
        samples=np.empty(plan.n_samples, np.float32),
        statistics=np.full((n, len(MOMENT_KEYS)), np.nan),
        histograms=np.zeros((n, HISTOGRAM_BINS), np.uint32),
        embedding_rows=rows,
        moments=np.full((n, 3), np.nan),
        sigma_max=np.full(n, np.nan),
    )
