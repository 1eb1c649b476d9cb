"""What the training thread hands over for one snapshot, in buffers that are used again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.scalars import Scalar
from paramviz.recorder.transfers import Transfers
from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS, Event, GradientState, Tier

FEWEST, MOST = 2, 256
"""Frames that a pool gives out at once, whatever their size."""


@dataclass(slots=True, eq=False)
class Gradients:
    """Gradient statistics of a snapshot and what is known of them.

    statistics: (tensors, 14) float64, NaN rows where there was no gradient; None
    if there was none at all. `states`: by row, where there was one. `found_inf`:
    flags that still lie on their devices, each with the rows whose step was skipped
    if it is not zero. Hooks spent `hook_s` on them on the training thread.
    """

    statistics: npt.NDArray[np.float64] | None
    states: dict[int, GradientState]
    reasons: list[str]
    found_inf: list[tuple[torch.Tensor, tuple[int, ...]]]
    transfers: Transfers
    hook_s: float


@dataclass(slots=True, eq=False)
class Frame:
    """One snapshot between the training thread and the writer thread.

    samples: (N + V,) float32, see `ModelPlan`; statistics: (tensors, 14) float64;
    histograms: (tensors, 64) uint32; embedding_rows: (K, width) float32. The
    buffers hold the numbers once `transfers` is finished.
    """

    plan: ModelPlan
    samples: npt.NDArray[np.float32]
    statistics: npt.NDArray[np.float64]
    histograms: npt.NDArray[np.uint32]
    embedding_rows: npt.NDArray[np.float32] | None
    iteration: int = 0
    tier: Tier = "core"
    keeps_rows: bool = False
    time_unix_s: float = 0.0
    scalars: dict[str, Scalar] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    gradients: Gradients | None = None
    transfers: Transfers = field(default_factory=Transfers)


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
        frame.scalars, frame.events, frame.gradients = {}, [], None
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
    )
