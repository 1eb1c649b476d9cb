"""The hooks around one optimizer's step: what it used, and whether that is measured.

Before the step, `.grad` is what the step will use, whatever it does to it; divided
by `grad_scale`, which GradScaler sets on an optimizer that unscales inside its
step. Where that is too early, because a closure computes the gradients in the step
or a hook behind ours may change them, they are read after it.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter
from typing import Any

import torch
from torch.optim import LBFGS, Optimizer, Rprop

from paramviz.recorder.failsafe import Complaints, describe
from paramviz.recorder.gradient_capture import Capture, Member
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.scalars import Scalar, take_scalars
from paramviz.recorder.sharded.placement import local_of
from paramviz.schema import GradientState

_gradient_of, _version_of = attrgetter("grad"), attrgetter("_version")

Hook = Callable[[Optimizer, tuple[Any, ...], dict[str, Any]], None]


class UsedGradients:
    """The gradients that a step used, and which version of each; they may die meanwhile.

    Noted at every step, whether a snapshot will ask or not, so of many parameters in a few calls.
    """

    def __init__(self, parameters: Sequence[torch.Tensor] = ()) -> None:
        gradients = list(map(_gradient_of, parameters))
        there = [gradient is not None for gradient in gradients]
        self._ids = list(map(id, compress(parameters, there)))
        present: list[torch.Tensor] = list(compress(gradients, there))
        self._gradients = [weakref.ref(gradient) for gradient in present]
        self._versions = list(map(_version_of, present))
        self._place_of: dict[int, int] | None = None

    def stands(self, parameter: torch.Tensor) -> bool:
        """True if `.grad` is the very gradient that the step used, and nobody has touched it since."""
        gradient, place = parameter.grad, self._places.get(id(parameter))
        if gradient is None or place is None:
            return False
        return self._gradients[place]() is gradient and bool(self._versions[place] == gradient._version)

    def __contains__(self, parameter: torch.Tensor) -> bool:
        return id(parameter) in self._places

    @property
    def _places(self) -> dict[int, int]:
        if self._place_of is None:
            self._place_of = {of: place for place, of in enumerate(self._ids)}
        return self._place_of


@dataclass(slots=True)
class StepNote:
    """An optimizer's newest step."""

    used: UsedGradients
    state: GradientState = "used"
    found_inf: torch.Tensor | None = None
    reads_after: bool = False


@dataclass(slots=True, eq=False)
class OptimizerWatch:
    """`wanted` answers with the capture that the next step's gradients belong in, None if they are not due.

    `stepped` and `captured` are of the time since `begin`, `seconds` too. Of a step
    that torch.compile has compiled, nothing is known but that it was made.
    """

    optimizer: Optimizer
    wanted: Callable[[], Capture | None]
    complaints: Complaints
    note: StepNote | None = None
    stepped: bool = False
    captured: bool = False
    is_compiled: bool = False
    seconds: float = 0.0
    _learning_rate: Scalar | None = None
    _plan: ModelPlan | None = None
    _members: list[Member] = field(default_factory=list)
    _n_parameters: int = -1
    _hooks: tuple[Hook, Hook] = field(init=False)
    _handles: list[Any] = field(default_factory=list)
    _pid: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        before, after = self._hooks = self._guarded(self._before_step), self._guarded(self._after_step)
        self._handles = [
            self.optimizer.register_step_pre_hook(before),
            self.optimizer.register_step_post_hook(after),
        ]

    def bind(self, plan: ModelPlan) -> None:
        """From now on rows are those of `plan`."""
        if plan is not self._plan:
            self._plan, self._n_parameters = plan, -1

    def begin(self) -> None:
        """A new iteration begins. Our first hook goes behind those that were registered since.

        Only then: other hooks, and a step that torch.compile has compiled must be compiled again.
        """
        self.stepped = self.captured = False
        self.seconds = 0.0
        if not self._is_last():
            self._handles[0].remove()
            self._handles[0] = self.optimizer.register_step_pre_hook(self._hooks[0])

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    @property
    def members(self) -> list[Member]:
        """The optimizer's parameters that the plan records; it may have been given more since."""
        n = sum(len(group["params"]) for group in self.optimizer.param_groups)
        if n != self._n_parameters and self._plan is not None:
            rows = self._plan.index_of
            self._n_parameters = n
            self._members = [
                (rows[id(parameter)], parameter)
                for group in self.optimizer.param_groups
                for parameter in group["params"]
                if id(parameter) in rows
            ]
        return self._members

    @property
    def learning_rate(self) -> Scalar | None:
        """Of the first group: as the newest step used it, before a scheduler changed it."""
        is_noted = self._learning_rate is not None and not self.is_compiled
        return self._learning_rate if is_noted else self._read_learning_rate()

    def _read_learning_rate(self) -> Scalar | None:
        rate = self.optimizer.param_groups[0].get("lr")
        return take_scalars({"lr": rate}, self.complaints.once).get("lr")

    def _before_step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        has_closure = kwargs.get("closure") is not None or (len(args) > 1 and args[1] is not None)
        found_inf = getattr(self.optimizer, "found_inf", None)
        self._learning_rate = self._read_learning_rate()
        self.is_compiled = False
        self.note = StepNote(
            used=self._gradients_now(),
            state=self._state_after(has_closure) if has_closure or not self._is_last() else "used",
            found_inf=local_of(found_inf.detach()).clone() if isinstance(found_inf, torch.Tensor) else None,
            reads_after=has_closure or not self._is_last(),
        )
        if not self.note.reads_after:
            self._measure(self.note, getattr(self.optimizer, "grad_scale", None))

    def _after_step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.stepped = True
        if self.note is not None and self.note.reads_after:
            self.note.used = self._gradients_now()
            self._measure(self.note, None)

    def _measure(self, note: StepNote, scale: torch.Tensor | None) -> None:
        capture = self.wanted()
        if capture is None:
            return
        capture.take_all(self.members, note.state, scale)
        self.tell(capture, note)
        self.captured = True

    def tell(self, capture: Capture, note: StepNote) -> None:
        """What `capture` must know of the step besides the numbers."""
        if note.found_inf is not None:
            capture.found_inf.append((note.found_inf, tuple(index for index, _ in self.members)))
        if note.state == "last-evaluation":
            capture.because("gradients are those of the last evaluation of the optimizer's closure")
        if note.state == "scaled-unknown":
            capture.because("a hook behind paramviz's may have changed the gradients")

    def _gradients_now(self) -> UsedGradients:
        return UsedGradients([parameter for _, parameter in self.members])

    def _is_last(self) -> bool:
        """Whether no hook that could still change the gradients runs after ours."""
        newest: int = next(reversed(self.optimizer._optimizer_step_pre_hooks))
        return bool(newest == self._handles[0].id)

    def _state_after(self, has_closure: bool) -> GradientState:
        """What can be said of gradients that are read after the step.

        torch's own optimizers evaluate a closure once and leave gradients as they
        used them (unscaled, if they unscale), but for LBFGS and Rprop.
        """
        ours = type(self.optimizer).__module__.startswith("torch.optim.")
        if ours and not isinstance(self.optimizer, LBFGS | Rprop):
            return "used"
        return "last-evaluation" if has_closure else "scaled-unknown"

    def _guarded(self, hook: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> Hook:
        """A hook that never raises, and does nothing in a forked child."""

        def guarded(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if torch.compiler.is_compiling():
                # Traced: the compiled step will do these assignments, and nothing else of ours.
                self.is_compiled, self.stepped, self.note = True, True, None
                return
            if os.getpid() != self._pid:
                return
            started = time.perf_counter()
            try:
                hook(args, kwargs)
            except Exception as error:
                self.note = None
                complain_of_gradients(self.complaints, error)
            self.seconds += time.perf_counter() - started

        return guarded


def complain_of_gradients(complaints: Complaints, error: Exception) -> None:
    """Say that gradients are missing, once, whoever failed to read them."""
    text = f"some gradients could not be read ({describe(error)}) and are missing"
    complaints.once("gradients", text, error)
