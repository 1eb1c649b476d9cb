"""Recording a training loop that uses Hugging Face Accelerate.

>>> from paramviz.integrations.accelerate import AccelerateRecorder
>>> model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
>>> with AccelerateRecorder("runs/baseline", accelerator, model, optimizer) as recorder:
...     for batch in loader:
...         with accelerator.accumulate(model):
...             train_step(batch)            # accelerator.backward, optimizer.step, zero_grad
...         recorder.step()
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from paramviz.integrations.backward import DifferentiatedLoss
from paramviz.integrations.missing import missing
from paramviz.recorder import Recorder

try:
    from accelerate import Accelerator
except ModuleNotFoundError as error:
    raise missing("accelerate", "accelerate", error) from error


class AccelerateRecorder:
    """A `paramviz.Recorder` that counts by itself, and records in the main process only.

    model, optimizer: as `accelerator.prepare` gave them. first_iteration: the number of the
    first step. options: those of `paramviz.Recorder`, by name. Raises what that raises.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        accelerator: Accelerator,
        model: Any,
        optimizer: Any = None,
        *,
        first_iteration: int = 0,
        **options: Any,
    ) -> None:
        self._accelerator = accelerator
        self._loss = DifferentiatedLoss()
        self._next = first_iteration
        self.recorder: Recorder | None = None
        """The recorder itself; None in processes that are not the main one."""
        if accelerator.is_main_process:
            self.recorder = Recorder(path, accelerator.unwrap_model(model), optimizer, **options)
            self._loss.attach()

    def step(self, **known: Any) -> None:
        """After each batch; while gradients are accumulated it does nothing. known: see `Recorder.step`.

        The loss is what `accelerator.backward` was called on, unless it is given.
        """
        if self.recorder is not None and self._accelerator.sync_gradients:
            loss = self._loss.take()
            self.recorder.step(self._next, **{"loss": loss, **known})
            self._next += 1

    def close(self) -> None:
        """Record the final state and end the run; see `Recorder.close`."""
        self._loss.detach()
        if self.recorder is not None:
            self.recorder.close()

    def __enter__(self) -> AccelerateRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loss.detach()
        if self.recorder is not None:
            self.recorder.__exit__(kind, error, traceback)
