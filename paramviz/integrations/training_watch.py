"""Recording a training that knows nothing of it, from the steps of its optimizers."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch.amp.grad_scaler import GradScaler
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from paramviz.integrations.backward import DifferentiatedLoss, wrap
from paramviz.integrations.live_modules import Training, count_living_modules, find_training
from paramviz.integrations.script import ELSEWHERE, ScriptOptions
from paramviz.recorder import Recorder


class TrainingWatch:
    """Begins to record when the first optimizer makes its first step.

    An iteration is over when all optimizers of the model have made their step, as far as they
    did in the iteration before; a step that a GradScaler leaves out counts. Nothing is left on
    model or optimizers, and nothing here raises into the training.
    """

    def __init__(self, options: ScriptOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._pid = os.getpid()
        self._loss = DifferentiatedLoss()
        self._recorder: Recorder | None = None
        self._training: Training | None = None
        self._iteration = options.first_iteration
        self._stepped: set[int] = set()
        self._expected: set[int] = set()
        self._n_steps = 0
        self._n_modules = 0
        self._strangers: dict[int, str] = {}
        self._decided = False
        self._loss.attach()
        self._handles = [
            register_optimizer_step_pre_hook(self._hook(self._before)),
            register_optimizer_step_post_hook(self._hook(self._after)),
        ]
        self._undo: list[Callable[[], None]] = []
        wrap(GradScaler, "step", self._watching_scaler, self._undo)

    def end(self, error: BaseException | None) -> None:
        """The script is over. error: what ended it, if anything did."""
        if os.getpid() != self._pid:
            return
        for handle in self._handles:
            handle.remove()
        for put_back in self._undo:
            put_back()
        recorder = self._recorder
        if recorder is not None:
            if self._stepped:
                self._end_iteration()  # one whose last optimizer did not come any more
            recorder.__exit__(None if error is None else type(error), error, None)
            self._say(_summary(recorder))
        elif not self._decided:
            self._say(self._what_was_looked_for())
        self._loss.detach()

    def _before(self, optimizer: Optimizer) -> None:
        if self._recorder is None:
            self._begin(optimizer)
        if self._is_ours(optimizer):
            if id(optimizer) in self._stepped:
                self._expected = set(self._stepped)
                self._end_iteration()
            self._loss.keeps_last_only = isinstance(optimizer, LBFGS)

    def _after(self, optimizer: Optimizer) -> None:
        self._n_steps += 1
        self._loss.keeps_last_only = False
        if not self._is_ours(optimizer):
            self._loss.forget()
            return
        self._stepped.add(id(optimizer))
        if self._expected <= self._stepped:
            self._end_iteration()

    def _end_iteration(self) -> None:
        self._stepped.clear()
        if self._recorder is not None:
            self._recorder.step(self._iteration, loss=self._loss.take())
            self._iteration += 1

    def _is_ours(self, optimizer: Optimizer) -> bool:
        training = self._training
        return training is not None and any(optimizer is ours for ours in training.optimizers)

    def _begin(self, optimizer: Optimizer) -> None:
        if id(optimizer) in self._strangers or self._decided:
            return
        training = find_training(optimizer, self._options.model)
        if training is None:
            self._strangers[id(optimizer)] = type(optimizer).__name__
            self._n_modules = count_living_modules()
            return
        self._decided = True
        self._recorder = Recorder(
            self._options.out,
            training.model,
            training.optimizers,
            schedule=self._options.schedule,
            config=self._options.config,
            resume=self._options.resume,
            name=self._options.name,
            include=self._options.include,
            exclude=self._options.exclude,
        )
        self._training = training
        self._expected = {id(ours) for ours in training.optimizers}
        self._say(_beginning(training, self._recorder))

    def _guarded(self, hook: Callable[[Optimizer], None], optimizer: Optimizer) -> None:
        if torch.compiler.is_compiling() or os.getpid() != self._pid:
            return
        try:
            hook(optimizer)
        except Exception as error:
            self._decided = True
            self._say(f"nothing more is recorded ({type(error).__name__}: {error}). The script runs on.")
            self._recorder, recorder = None, self._recorder
            if recorder is not None:
                recorder.__exit__(type(error), error, None)

    def _hook(self, hook: Callable[[Optimizer], None]) -> Callable[[Optimizer, Any, Any], None]:
        return lambda optimizer, args, kwargs: self._guarded(hook, optimizer)

    def _watching_scaler(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`GradScaler.step` does not call the optimizer's step if gradients overflowed, so no hook runs."""

        @functools.wraps(original)
        def step(scaler: GradScaler, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            n_steps = self._n_steps
            self._guarded(self._before, optimizer)
            result = original(scaler, optimizer, *args, **kwargs)
            if self._n_steps == n_steps:
                self._guarded(self._after, optimizer)
            return result

        return step

    def _what_was_looked_for(self) -> str:
        if not self._strangers:
            return (
                "nothing is recorded: looked for a step of a torch.optim.Optimizer, and saw none (a step in "
                f"a compiled function shows itself to nobody). {ELSEWHERE}"
            )
        name = self._options.model
        which = "torch.nn.Module" if name is None else f"module of the class {name}"
        return (
            f"nothing is recorded: looked for a {which} that holds a parameter of "
            f"{' or '.join(dict.fromkeys(self._strangers.values()))}, among {self._n_modules:,} modules."
        )


def _beginning(training: Training, recorder: Recorder) -> str:
    n = sum(parameter.numel() for parameter in training.model.parameters())
    steppers = ", ".join(type(optimizer).__name__ for optimizer in training.optimizers)
    left_out = f"; {training.n_strangers} of its parameters are in no module" if training.n_strangers else ""
    return (
        f"recording {type(training.model).__name__} ({n:,} parameters, {steppers}{left_out}) "
        f"to {recorder.run_path}"
    )


def _summary(recorder: Recorder) -> str:
    n = recorder.report.snapshots
    return f"{n:,} snapshot{'' if n == 1 else 's'} in {recorder.run_path}"
