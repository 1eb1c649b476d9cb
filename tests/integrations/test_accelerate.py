"""The helper in a real loop of Hugging Face Accelerate."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import paramviz
from paramviz.integrations.accelerate import AccelerateRecorder
from tests.integrations.small_training import examples, network

pytestmark = pytest.mark.filterwarnings("ignore:::(?!paramviz)")


@pytest.fixture
def accelerator():
    """Accelerate keeps its state for the whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True, gradient_accumulation_steps=2)
    AcceleratorState._reset_state(reset_partial_state=True)


def train(accelerator, path, fails_at=-1, lr=0.1):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    loader = DataLoader(TensorDataset(*examples(24)), batch_size=4)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    with AccelerateRecorder(path, accelerator, model, optimizer, schedule=1) as recorder:
        for number, (x, y) in enumerate(loader):
            if number == fails_at:
                raise RuntimeError("a defect in the script")
            with accelerator.accumulate(model):
                accelerator.backward(F.mse_loss(model(x), y))
                optimizer.step()
                optimizer.zero_grad()
            recorder.step()
    return model


def test_a_loop_is_recorded_once_for_each_step_of_the_optimizer(accelerator, tmp_path):
    model = train(accelerator, tmp_path / "run")
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1, 2]
    assert run[1].gradient_states.default == "used"
    assert run.scalars("learning_rate").tolist() == [0.1] * 3
    bias = accelerator.unwrap_model(model)[2].bias
    assert run[2].values("2.bias").tolist() == bias.tolist()


def test_the_loss_is_the_mean_of_the_accumulated_batches(accelerator, tmp_path):
    train(accelerator, tmp_path / "run", lr=0.0)
    x, y = examples(24)
    with torch.no_grad():
        expected = [F.mse_loss(network()(x[i : i + 8]), y[i : i + 8]).item() for i in (0, 8, 16)]
    assert paramviz.open_run(tmp_path / "run").scalars("loss").tolist() == pytest.approx(expected)


def test_an_exception_leaves_a_crashed_run(accelerator, tmp_path):
    with pytest.raises(RuntimeError, match="a defect"):
        train(accelerator, tmp_path / "run", fails_at=4)
    run = paramviz.open_run(tmp_path / "run")
    assert (run.status, run.iterations.tolist()) == ("crashed", [0, 1])
