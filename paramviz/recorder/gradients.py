"""Gradients as the optimizers used them.

An optimizer's step runs before `Recorder.step` says which iteration it was. So
the gradients are measured in the step when the next iteration is due, and
otherwise only noted: a snapshot that nobody could foresee then knows whether
what still stands in `.grad` is what was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch.optim import Optimizer

from paramviz.quantities import DEFAULT, Quantities
from paramviz.recorder.clip_watch import ClipWatch
from paramviz.recorder.failsafe import Complaints
from paramviz.recorder.frames import Gradients
from paramviz.recorder.gradient_capture import Capture, Member
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.moments import read_moments
from paramviz.recorder.optimizer_watch import OptimizerWatch, StepNote, complain_of_gradients
from paramviz.recorder.scalars import Scalar
from paramviz.recorder.transfers import Transfers

_CHANGED = "gradients were changed or zeroed between the optimizer's step and step()"
_UNSEEN = "parameters are new, and had not been seen when the optimizer made its step"
_COMPILED = "the optimizer's step is compiled, and no hook sees into it: gradients as they stood at step()"
_UNREAD = "reading them failed; the log says how"
_NO_STEP = "the optimizer made no step since the step() before"
_UNHOOKED = "no optimizer with step hooks was given: gradients as they stood at step()"
_ABSENT = "no optimizer was given, and no gradients stood when step() was called"
_NOTHING = "no gradients stood when step() was called, and the snapshot was not foreseen"


class GradientReader:
    """Reads the gradients of one model, stepped by any number of optimizers.

    `due` predicts whether the next iteration will be recorded, `key_is_next` whether that
    will be a key snapshot. Optimizers that
    neither are nor wrap a `torch.optim.Optimizer` have no hooks, and their gradients are read as
    they stand. `hooks_s` is what all hooks have cost.
    """

    def __init__(
        self,
        optimizers: Iterable[object],
        plan: ModelPlan,
        due: Callable[[], bool],
        complaints: Complaints,
        quantities: Quantities = frozenset(DEFAULT),
        key_is_next: Callable[[], bool] = lambda: False,
    ) -> None:
        self._plan = plan
        self._due = due
        self._complaints = complaints
        self._quantities = quantities
        self._key_is_next = key_is_next
        self._capture: Capture | None = None
        self._watches: list[OptimizerWatch] = []
        self._unhooked = False
        self.hooks_s = 0.0
        for optimizer in optimizers:
            hooked = _hooked(optimizer)
            if hooked is not None:
                self._watches.append(OptimizerWatch(hooked, self._wanted, complaints))
            else:
                self._unhooked = True
                complaints.once(
                    f"optimizer {type(optimizer).__name__}",
                    f"{type(optimizer).__name__} is no torch.optim.Optimizer and has no step hooks: "
                    "gradients are recorded as they stand when step() is called",
                )
        self._clips = ClipWatch(plan.members, complaints)
        self.bind(plan)

    def bind(self, plan: ModelPlan) -> None:
        """From now on snapshots are of `plan`. What was measured for another one is dropped."""
        if self._capture is not None and self._capture.plan is not plan:
            self._capture = None
            for watch in self._watches:
                watch.captured = False
        self._plan = plan
        self._clips.members = plan.members
        for watch in self._watches:
            watch.bind(plan)

    def scalars(self) -> dict[str, Scalar]:
        """What can be told without being given: the learning rate of the first group of the first
        optimizer, and the norm of the gradients that were clipped, before they were."""
        told = {
            "learning_rate": self._watches[0].learning_rate if self._watches else None,
            "gradient_norm_before_clipping": self._clips.norm,
        }
        return {name: value for name, value in told.items() if value is not None}

    def collect(self) -> Gradients:
        """The gradients of the snapshot that is being taken: measured in the steps, or as they stand."""
        try:
            capture = self._capture or self._new_capture()
            for watch in self._watches:
                if not watch.captured:
                    _read_standing(watch, capture)
            if self._unhooked or not self._watches:
                self._read_unhooked(capture)
        except Exception as error:
            # The parameters themselves are worth a snapshot without gradients.
            complain_of_gradients(self._complaints, error)
            capture = self._new_capture()
            capture.because(_UNREAD)
        return capture.finish(sum(watch.seconds for watch in self._watches))

    def found_inf(self) -> list[Scalar]:
        """Numbers of which one is not 0 if the newest step was skipped since gradients were not finite.

        Optimizers that unscale inside their steps are told so. Of the others none made a step, and the
        norm before clipping, where there was one, says why.
        """
        notes = (watch.note for watch in self._watches if watch.stepped)
        flags: list[Scalar] = [n.found_inf for n in notes if n is not None and n.found_inf is not None]
        norm = self._clips.norm
        is_skipped = self._watches and not self._unhooked and not any(w.stepped for w in self._watches)
        # NaN if the norm is not finite.
        return [*flags, norm * 0] if norm is not None and is_skipped else flags

    def read_moments(self, out: npt.NDArray[np.float64], transfers: Transfers) -> None:
        """What the optimizers remember of the gradients of each parameter, into (tensors, 3)."""
        for watch in self._watches:
            read_moments(watch.optimizer, watch.members, out, self._plan.layouts, transfers)

    def begin(self) -> None:
        """An iteration has ended: what its steps left is done with."""
        self._capture = None
        for watch in self._watches:
            self.hooks_s += watch.seconds
            watch.begin()
        self._clips.begin()

    def remove(self) -> None:
        """Take all hooks off the optimizers, and off torch's clipping."""
        self._clips.remove()
        for watch in self._watches:
            watch.remove()

    def _wanted(self) -> Capture | None:
        if self._capture is None and self._due():
            self._capture = self._new_capture()
        return self._capture

    def _new_capture(self) -> Capture:
        return Capture.of(self._plan, self._quantities, self._key_is_next())

    def _read_unhooked(self, capture: Capture) -> None:
        """Gradients of parameters that no watched optimizer steps, as they stand."""
        watched = {id(parameter) for watch in self._watches for _, parameter in watch.members}
        members = [
            (source.index, source.tensor)
            for source in self._plan.sources
            if id(source.tensor) not in watched and source.tensor.grad is not None
        ]
        if members:
            capture.take_all(members, "scaled-unknown")
            capture.because(_UNHOOKED)
        if not self._watches and not capture.states:
            capture.because(_ABSENT)


def _hooked(optimizer: object) -> Optimizer | None:
    """The optimizer that has the step hooks: itself, or the one that it wraps."""
    while optimizer is not None:
        if isinstance(optimizer, Optimizer) and hasattr(optimizer, "_optimizer_step_pre_hooks"):
            return optimizer
        optimizer = getattr(optimizer, "optimizer", None)
    return None


def _read_standing(watch: OptimizerWatch, capture: Capture) -> None:
    """What can still be told from `.grad` if the optimizer's step was not measured."""
    note = watch.note
    standing: list[Member] = []
    others: list[Member] = []
    for member in watch.members:
        _, parameter = member
        if parameter.grad is None:
            continue
        if note is not None and note.used.stands(parameter):
            standing.append(member)
        elif watch.is_compiled or not watch.stepped:
            others.append(member)
        else:
            capture.because(_why_gone(note, parameter))
    if others:
        capture.take_all(others, "scaled-unknown" if watch.is_compiled else "skipped")
        capture.because(_COMPILED if watch.is_compiled else _NO_STEP)
    if note is not None and standing:
        capture.take_all(standing, note.state)
        watch.tell(capture, note)
    elif not capture.states and not capture.reasons:
        capture.because(_NOTHING)


def _why_gone(note: StepNote | None, parameter: torch.Tensor) -> str:
    """Why what the step used no longer stands in `.grad`, or cannot be told to."""
    if note is None:
        return _UNREAD
    return _CHANGED if parameter in note.used else _UNSEEN
