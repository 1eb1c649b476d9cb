"""A probe leaves no trace on the model and its training, whatever goes wrong in it."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.errors import NotRecordedError
from paramviz.recorder.parameters import walk
from tests.recorder.models import gpt, next_token_loss, train_step
from tests.recorder.probed_models import (
    Units,
    recorded_once,
)

TOKENS = torch.arange(26).reshape(2, 13) * 5 % 31


class NoisyModel(nn.Module):
    """All that a forward can disturb: dropout, running statistics, buffers that are written or replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 4))
        self.units = Units()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(4) * random.random() * np.random.rand()
        return self.units(self.body(x) + 0.01 * noise)


def trained(path, batch, steps: int = 20, autocast: bool = False):
    """Weights, buffers, gradients, optimizer states and random states after training."""
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(5)
    model = NoisyModel()
    model.units.eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    recorder = (
        None
        if path is None
        else paramviz.Recorder(path, model, optimizer, probe=batch, schedule=1, key_every=2)
    )
    with torch.autocast("cpu", enabled=autocast):
        for iteration in range(steps):
            optimizer.zero_grad()
            loss = model(torch.randn(16, 4, generator=generator)).float().square().mean()
            loss.backward()
            optimizer.step()
            if recorder is not None:
                recorder.step(iteration, loss=loss)
    if recorder is not None:
        recorder.close()
    states = [value for state in optimizer.state.values() for value in state.values()]
    return (
        [*model.state_dict().values(), *(p.grad for p in model.parameters()), *states, torch.get_rng_state()],
        (random.random(), np.random.rand(), [m.training for m in model.modules()]),
    )


@pytest.mark.parametrize("autocast", [False, True])
def test_training_is_bit_identical_with_and_without_a_probe(tmp_path, autocast):
    plain = trained(None, None, autocast=autocast)
    probed = trained(tmp_path / "run", torch.randn(9, 4), autocast=autocast)
    for expected, found in zip(plain[0], probed[0], strict=True):
        assert torch.equal(expected, found)
    assert plain[1] == probed[1]
    run = paramviz.open_run(tmp_path / "run")
    assert [i for i in run.iterations if run[i].probe is not None] == [
        i for i in run.iterations if run[i].tier == "key"
    ]
    assert run[0].activations("body.1")["rms"] > 0


def test_nothing_is_left_on_the_model(tmp_path):
    model = gpt()
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    recorded_once(tmp_path / "run", model, TOKENS)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks
    assert all(entry.tensor.grad is None for entry in walk(model))


def test_a_probe_that_raises_is_warned_of_once_and_training_goes_on(tmp_path, caplog):
    model = gpt()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrong = {"prompt": TOKENS}
    with (
        caplog.at_level(logging.WARNING),
        paramviz.Recorder(
            tmp_path / "run", model, optimizer, probe=wrong, schedule=1, key_every=2
        ) as recorder,
    ):
        for iteration in range(6):
            recorder.step(iteration, loss=train_step(model, optimizer, iteration))
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    assert "the probe failed" in caplog.text
    assert model.training
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.iterations) == 6
    assert "unexpected keyword argument 'prompt'" in run[0].probe.reason
    assert run.n_probes == 1
    with pytest.raises(NotRecordedError, match="the probe failed"):
        run[0].attention(0)


def test_a_forward_that_fails_half_way_has_changed_nothing(tmp_path):
    class Failing(Units):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            super().forward(x)
            raise RuntimeError("half way")

    model = Failing()
    snapshot = recorded_once(tmp_path / "run", model, torch.ones(3, 4))
    assert model.calls == 0
    assert torch.equal(model.last, torch.zeros(4))
    assert "half way" in snapshot.probe.reason
    assert model.training


def test_the_batch_is_a_copy(tmp_path):
    model, batch = Units(), torch.ones(3, 4)
    recorder = paramviz.Recorder(tmp_path / "run", model, probe=batch)
    batch.zero_()
    recorder.step(0)
    recorder.close()
    assert paramviz.open_run(tmp_path / "run")[0].activations("relu")["rms"] == 1


def test_a_compiled_model_is_probed_without_being_compiled_again(tmp_path):
    torch._dynamo.reset()
    model = gpt()
    compiled = torch.compile(model, backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with paramviz.Recorder(
        tmp_path / "run", compiled, optimizer, probe=TOKENS, schedule=1, key_every=1
    ) as recorder:
        train_step(compiled, optimizer, 0)
        frames = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert frames
        for iteration in range(3):
            recorder.step(iteration, loss=train_step(compiled, optimizer, iteration))
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == frames
    run = paramviz.open_run(tmp_path / "run")
    assert run[2].attention("transformer.h.1.attn").pattern.shape == (2, 13, 13)


def test_gradients_of_a_graph_that_is_alive_are_not_disturbed(tmp_path):
    model = gpt()
    loss = next_token_loss(model, 0)
    recorded_once(tmp_path / "run", model, TOKENS)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
