"""Training in several processes: one of them records, and training waits for none of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import distributed, nn

from paramviz.quantities import DEFAULT, chosen
from paramviz.recorder.arguments import as_list
from paramviz.recorder.failsafe import Complaints
from paramviz.recorder.frames import WAITING_BYTES, Frame, FramePool
from paramviz.recorder.gradients import GradientReader
from paramviz.recorder.model_plan import Selection
from paramviz.recorder.recorder import Recorder, foresight
from paramviz.recorder.report import RecordingReport
from paramviz.recorder.scalars import Scalar
from paramviz.recorder.sharded.answering import AnsweringThread
from paramviz.recorder.sharded.exchange import call, meeting_key, meeting_place
from paramviz.recorder.sharded.joining import SharePlanKeeper, is_shared_with_first
from paramviz.recorder.singular import SingularValues
from paramviz.recorder.timetable import KeyTurns, Timetable
from paramviz.sampling import SampleBudgets
from paramviz.schedule import Schedule, make_schedule
from paramviz.schema import Event
from paramviz.statistics import warm_up


class SilentRecorder(Recorder):
    """What `Recorder` is in every process but the first: it does nothing, and costs nothing."""

    def __init__(self, path: str | os.PathLike[str], *given: Any, **settings: Any) -> None:
        self._path = address_of(path)

    @property
    def run_path(self) -> Path | str:
        return self._path

    @property
    def report(self) -> RecordingReport:
        """Zeros: what is recorded, the first process counts."""
        return RecordingReport(0, 0, 0, 0, 0, 0, 0.0)

    def step(self, *given: Any, **settings: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def __exit__(self, *exception: Any) -> None:
        """Nothing."""


class ShareRecorder(Recorder):
    """What `Recorder` is where a part of a sharded model lies, in every process but the first.

    It takes the same snapshots, and tells the first process of its part when that asks. It
    writes nothing, and nothing that it does is a collective.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: nn.Module,
        optimizer: object | Iterable[object] | None = None,
        *,
        schedule: str | int | Schedule = "adaptive",
        budgets: SampleBudgets | None = None,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
        roles: Mapping[str, str] | None = None,
        key_every: int = 8,
        quantities: Iterable[str] = DEFAULT,
        **of_the_run: Any,
    ) -> None:
        self._path, own_rank = address_of(path), rank()
        self._complaints = Complaints(f"{os.fspath(path)} (rank {own_rank})")
        self._quantities = wanted = chosen(quantities)
        self._plans = plans = SharePlanKeeper(model, Selection.of(budgets, include, exclude, roles), own_rank)
        self._timetable = Timetable(make_schedule(schedule), -1, -1, self._complaints)
        self._pool = FramePool(WAITING_BYTES)
        self._key_turns = KeyTurns(key_every)
        self._singular, self._prober = SingularValues(), None
        warm_up()
        self._gradients = GradientReader(
            as_list(optimizer),
            self._plans.look(),
            foresight(self._timetable, self._pool),
            self._complaints,
            self._quantities,
            self._key_turns.is_next,
        )
        self._answering = AnsweringThread(
            partial(call, meeting_place(), meeting_key(os.fspath(path)), own_rank),
            lambda frame: plans.told(frame, wanted).to_bytes(),
            self._pool,
            self._key_turns,
            self._complaints,
        )
        self._begin(self._answering)

    @property
    def run_path(self) -> Path | str:
        return self._path

    @property
    def report(self) -> RecordingReport:
        """What this process told of its part; bytes are counted by the first one."""
        cost_s = self._step_s + self._gradients.hooks_s
        told, lost = self._answering.committed, self._answering.lost_count
        return RecordingReport(told, lost, self._repeated_steps, 0, 0, 0, cost_s)

    def _take(
        self, scalars: dict[str, Scalar], number: int, events: list[Event], patience_s: float = 0.0
    ) -> Frame | None:
        return None if self._answering.is_over else super()._take(scalars, number, events, patience_s)


def class_here(asked: type[Recorder], model: object) -> type[Recorder]:
    """What a recorder is in this process."""
    if rank() == 0:
        return asked
    has_share = isinstance(model, nn.Module) and is_shared_with_first(model)
    return ShareRecorder if has_share else SilentRecorder


def address_of(path: str | os.PathLike[str]) -> Path | str:
    """Where a run lies, as `Recorder.run_path` has it."""
    text = os.fspath(path)
    return text if "://" in text else Path(text)


def rank() -> int:
    """The number of this process among those that train together; 0 if it is alone.

    A launcher says it before the processes have found each other.
    """
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    text = os.environ.get("RANK", "")
    return int(text) if text.isdecimal() and os.environ.get("WORLD_SIZE", "1") != "1" else 0
