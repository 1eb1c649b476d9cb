"""The callback in a real Lightning Trainer."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import paramviz
from paramviz.integrations.lightning import ParamvizCallback
from tests.integrations.small_training import examples, network

pytestmark = pytest.mark.filterwarnings("ignore:::(?!paramviz)")


class Regression(pl.LightningModule):
    """A perceptron that fits the examples."""

    def __init__(self, lr: float = 0.05, fails_at: int = -1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = network()

    def training_step(self, batch, batch_idx):
        if batch_idx == self.hparams["fails_at"]:
            raise RuntimeError("a defect in the script")
        x, y = batch
        loss = F.mse_loss(self.net(x), y)
        self.log("train_error", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", F.mse_loss(self.net(x), y))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])


def fit(module, callbacks, folder, **arguments):
    loader = DataLoader(TensorDataset(*examples(32)), batch_size=4)
    trainer = pl.Trainer(
        **{
            "accelerator": "cpu",
            "max_epochs": 2,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": folder,
            "callbacks": callbacks,
            **arguments,
        }
    )
    trainer.fit(module, loader, loader)
    return trainer


def test_a_module_is_recorded_step_by_step(tmp_path):
    module = Regression()
    fit(module, [ParamvizCallback(tmp_path / "run", schedule=1)], tmp_path, gradient_clip_val=0.5)
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.iterations.tolist() == list(range(1, 17))
    assert run[5].gradient_states.default == "used"
    np.testing.assert_array_equal(run[16].values("net.0.bias"), module.net[0].bias.detach().numpy())
    assert run.description["config"] == {"lr": 0.05, "fails_at": -1}
    validations = [event.iteration for event in run.events if event.kind == "validation"]
    assert validations == [8, 16]
    assert np.isfinite(run.scalar_series("validation_loss")[1]).all()
    np.testing.assert_allclose(run.scalars("loss"), run.scalars("train_error"), rtol=1e-6)


def test_accumulated_batches_are_one_iteration_with_their_mean_loss(tmp_path):
    fit(
        Regression(lr=0.0),
        [ParamvizCallback(tmp_path / "run")],
        tmp_path,
        accumulate_grad_batches=4,
        max_epochs=1,
    )
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [1, 2]
    x, y = examples(32)
    with torch.no_grad():
        whole = F.mse_loss(network()(x), y).item()
    assert run.scalars("loss").mean() == pytest.approx(whole, rel=1e-5)


def test_a_recorded_fit_is_the_same_fit(tmp_path):
    plain, recorded = Regression(), Regression()
    fit(plain, [], tmp_path)
    fit(recorded, [ParamvizCallback(tmp_path / "run")], tmp_path)
    for one, other in zip(plain.parameters(), recorded.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_exception_leaves_a_crashed_run(tmp_path):
    with pytest.raises(RuntimeError, match="a defect in the script"):
        fit(Regression(fails_at=3), [ParamvizCallback(tmp_path / "run")], tmp_path)
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "crashed"
    assert run.iterations.tolist() == [1, 2, 3]
    assert "a defect in the script" in run.events[-1].text
