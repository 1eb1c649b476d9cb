"""Recording what a Hugging Face `Trainer` trains.

>>> from paramviz.integrations.huggingface import ParamvizCallback
>>> Trainer(model, arguments, train_dataset=data, callbacks=[ParamvizCallback("runs/baseline")]).train()
"""

from __future__ import annotations

import os
from typing import Any

from paramviz.integrations.backward import DifferentiatedLoss
from paramviz.integrations.missing import missing
from paramviz.recorder import Recorder

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    raise missing("transformers", "huggingface", error) from error


class ParamvizCallback(TrainerCallback):  # type: ignore[misc]
    """Records each step under the Trainer's own number, `global_step`: 1 after the first.

    options: those of `paramviz.Recorder`, by name; `config` is the Trainer's arguments unless it
    is given. Evaluations and checkpoints are snapshots with their events; what the Trainer
    logs is kept as scalars, its `grad_norm` as the norm before clipping. Of several processes the
    first one records. Raises what `Recorder` raises when the training begins, and nothing later.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        self._path = path
        self._options = options
        self._loss = DifferentiatedLoss()
        self._recorder: Recorder | None = None
        self._has_loss = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        options = {"config": args.to_dict(), **self._options}
        self._recorder = Recorder(self._path, kwargs["model"], kwargs.get("optimizer"), **options)
        self._loss.attach()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._recorder is not None:
            loss = self._loss.take()
            self._has_loss = loss is not None
            self._recorder.step(state.global_step, loss=loss)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._recorder is None or not logs:
            return
        scalars = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        mean_loss, norm = scalars.pop("loss", None), scalars.pop("grad_norm", None)
        scalars.pop("learning_rate", None)  # the next step's; each step's own is recorded
        self._recorder.step(
            state.global_step,
            loss=None if self._has_loss else mean_loss,
            gradient_norm_before_clipping=norm,
            metrics=scalars,
        )

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        if self._recorder is not None:
            loss = (metrics or {}).get("eval_loss")
            self._recorder.step(state.global_step, validation_loss=loss, event="validation")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._recorder is not None:
            text = f"checkpoint-{state.global_step}"
            self._recorder.step(state.global_step, event="checkpoint", text=text)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.__exit__(None, None, None)
            self._loss.detach()
