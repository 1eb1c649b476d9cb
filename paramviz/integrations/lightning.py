"""Recording what a Lightning `Trainer` trains.

>>> from paramviz.integrations.lightning import ParamvizCallback
>>> Trainer(callbacks=[ParamvizCallback("runs/baseline")]).fit(module, loader)
"""

from __future__ import annotations

import os
from typing import Any

from paramviz.integrations.backward import DifferentiatedLoss
from paramviz.integrations.missing import missing
from paramviz.recorder import Recorder

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    if error.name != "lightning":
        raise missing("lightning", "lightning", error) from error
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError:
        raise missing("lightning", "lightning", error) from error


class ParamvizCallback(Callback):  # type: ignore[misc]
    """Records each optimizer step under the Trainer's own number, `global_step`: 1 after the first.

    options: those of `paramviz.Recorder`, by name; `config` is the module's `hparams` unless it is
    given. Validations and checkpoints are snapshots with their events; what the module logs is
    kept as scalars, `val_loss` as the validation loss. Of several processes the first one records.
    Raises what `Recorder` raises when the training begins, and nothing later.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        self._path = path
        self._options = options
        self._loss = DifferentiatedLoss()
        self._recorder: Recorder | None = None
        self._step = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        options = {"config": dict(pl_module.hparams), **self._options}
        self._recorder = Recorder(self._path, pl_module, trainer.optimizers, **options)
        self._step = trainer.global_step
        self._loss.attach()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._recorder is None or trainer.global_step == self._step:
            return  # gradients are accumulated, and the step is still to come
        self._step = trainer.global_step
        self._recorder.step(self._step, loss=self._loss.take(), metrics=dict(trainer.logged_metrics))

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if self._recorder is None or trainer.sanity_checking:
            return
        loss = trainer.callback_metrics.get("val_loss")
        self._recorder.step(trainer.global_step, validation_loss=loss, event="validation")

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        if self._recorder is not None:
            self._recorder.step(trainer.global_step, event="checkpoint")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._end(None)

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._end(exception)

    def _end(self, error: BaseException | None) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.__exit__(None if error is None else type(error), error, None)
            self._loss.detach()
