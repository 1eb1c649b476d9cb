"""The past that a snapshot is compared with: the samples of the snapshot before, and of the first."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from paramviz.recorder.model_plan import ModelPlan
from paramviz.schema import UPDATE_KEYS, TensorInfo
from paramviz.statistics import compare_samples

Samples = npt.NDArray[np.float32]


class Layout(Protocol):
    """What a plan of this session and a plan of the store have in common."""

    @property
    def tensors(self) -> tuple[TensorInfo, ...]: ...
    @property
    def positions(self) -> npt.NDArray[np.int64]: ...
    @property
    def vector_positions(self) -> npt.NDArray[np.int64]: ...


class _Past:
    """All samples of an earlier snapshot, (N + V,) float32, and the rows of the tensors that it knows."""

    def __init__(self, samples: Samples, known: frozenset[int]) -> None:
        self.samples = samples
        self.known = known

    def of(self, row: int, span: slice) -> Samples | None:
        return self.samples[span] if row in self.known else None


Known = tuple[_Past, _Past, _Past]
"""The first snapshot, the previous one, and the update that led to it."""


class SampleHistory:
    """The samples of the first and the previous snapshot, and the update that led to the previous one.

    A tensor that a new plan samples at other positions, or that is new, starts afresh.
    """

    def __init__(self) -> None:
        self._plan: ModelPlan | None = None
        self._start = self._before = self._update = _Past(np.zeros(0, np.float32), frozenset())

    def start_from(self, past: Layout, samples: Samples, plan: ModelPlan) -> None:
        """Take the first snapshot of an earlier session as the start. samples: (N + V,)."""
        self._move_to(plan)
        everything = _Past(samples, frozenset(tensor.index for tensor in past.tensors if tensor.samples))
        self._start = _carried(past, everything, plan)

    def compare(self, plan: ModelPlan, now: Samples) -> npt.NDArray[np.float64]:
        """(tensors, 7) float64 in the order of `UPDATE_KEYS`, NaN where it is not known. now: (N + V,)."""
        self._move_to(plan)
        result = np.full((len(plan.tensors), len(UPDATE_KEYS)), np.nan)
        for source in plan.sources:
            row, span = source.index, slice(source.begin, source.end)
            if span.start < span.stop:
                past = (self._before.of(row, span), self._start.of(row, span), self._update.of(row, span))
                result[row] = compare_samples(now[span], *past, size=plan.tensors[row].size)
        return result

    def update(self, plan: ModelPlan, now: Samples) -> Samples | None:
        """(N + V,) float32, how far each sample moved; NaN where it is not known, None if it is nowhere."""
        self._move_to(plan)
        if not self._before.known:
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            moved = now - self._before.samples
        for source in plan.sources:
            if source.index not in self._before.known:
                moved[source.begin : source.end] = np.nan
        return moved

    def with_published(self, plan: ModelPlan, now: Samples) -> Known:
        """What is known once `now` is published, for `advance`. It is copied."""
        self._move_to(plan)
        with np.errstate(invalid="ignore", over="ignore"):
            update = _Past(now - self._before.samples, self._before.known)
        rows = frozenset(source.index for source in plan.sources)
        start = self._start
        if start.known != rows:
            samples = start.samples.copy()
            for source in plan.sources:
                if source.index not in start.known:
                    samples[source.begin : source.end] = now[source.begin : source.end]
            start = _Past(samples, rows)
        return start, _Past(now.copy(), rows), update

    def advance(self, known: Known) -> None:
        """It was published: the next snapshot is compared with it. Nothing here can fail."""
        self._start, self._before, self._update = known

    def _move_to(self, plan: ModelPlan) -> None:
        """Keep what a new plan samples at the same positions of a tensor of the same name."""
        old, self._plan = self._plan, plan
        if old is None:
            self._start, self._before, self._update = _nothing(plan), _nothing(plan), _nothing(plan)
        elif old.tensors is not plan.tensors:
            self._start, self._before, self._update = (
                _carried(old, past, plan) for past in (self._start, self._before, self._update)
            )


def _nothing(plan: ModelPlan) -> _Past:
    return _Past(np.zeros(plan.n_samples, np.float32), frozenset())


def _carried(old: Layout, past: _Past, plan: ModelPlan) -> _Past:
    """What a new plan knows of the past: where it samples the same elements of a tensor of that name."""
    theirs = {tensor.name: tensor for tensor in old.tensors if tensor.index in past.known}
    result = _nothing(plan)
    known = set()
    for source in plan.sources:
        tensor = plan.tensors[source.index]
        other = theirs.get(tensor.name)
        if other is None or other.shape != tensor.shape:
            continue
        if np.array_equal(_positions(old, other), _positions(plan, tensor)):
            begin = other.offset + (len(old.positions) if other.array == "vectors" else 0)
            result.samples[source.begin : source.end] = past.samples[begin : begin + other.samples]
            known.add(source.index)
    return _Past(result.samples, frozenset(known))


def _positions(layout: Layout, tensor: TensorInfo) -> npt.NDArray[np.int64]:
    positions = layout.positions if tensor.array == "values" else layout.vector_positions
    return positions[tensor.offset : tensor.offset + tensor.samples]
