"""One optimizer, several, none, wrapped or foreign: what is read from them, and what is left on them."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

import paramviz
from tests.recorder.gradient_checks import assert_gradients, backward, gradients
from tests.recorder.models import gpt
from tests.recorder.optimizers import Descent, Wrapper


def test_each_of_several_optimizers_steps_its_own_parameters(tmp_path):
    """As in a GAN: one steps in every iteration, the other only in every second."""
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    optimizers = [torch.optim.AdamW(model[name].parameters(), lr=lr) for name, lr in (("a", 0.1), ("b", 0.2))]
    x = torch.randn(7, 4)
    with paramviz.Recorder(tmp_path / "run", model, optimizers) as recorder:
        for iteration in range(2):
            model.zero_grad()
            model["b"](model["a"](x)).square().mean().backward()
            used = gradients(model)
            for optimizer in optimizers[: 1 + iteration]:
                optimizer.step()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert_gradients(run, 1, used)
    assert run[0].gradient_states.of(run.tensor("a.weight").index) == "used"
    assert run[0].gradient_states.of(run.tensor("b.weight").index) == "skipped"
    assert "no step" in run[0].gradient_states.reason
    assert run[1].scalars["learning_rate"] == 0.1


def test_without_an_optimizer_gradients_are_what_stands_and_it_says_so(tmp_path):
    model = gpt()
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        backward(model)
        recorder.step(0)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 0, gradients(model), state="scaled-unknown")


def test_an_optimizer_without_hooks_is_warned_of_and_read_as_it_stands(tmp_path, caplog):
    model = gpt()
    optimizer = Descent(model.parameters())
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for iteration in range(2):
            backward(model, iteration)
            optimizer.step()
            recorder.step(iteration)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 1, gradients(model), state="scaled-unknown")
    assert sum("Descent" in record.message for record in caplog.records) == 1


def test_the_optimizer_within_a_wrapper_is_watched(tmp_path, caplog):
    model = gpt()
    optimizer = Wrapper(torch.optim.AdamW(model.parameters()))
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        used = gradients(model)
        optimizer.step()
        model.zero_grad()
        recorder.step(0)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 0, used)
    assert not caplog.records


def test_the_learning_rate_is_the_one_that_the_step_used(tmp_path):
    """Also if a scheduler has moved it on before step() is called, and if it is a tensor."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=torch.tensor(1.0))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for iteration in range(4):
            model(torch.randn(2, 2)).sum().backward()
            optimizer.step()
            scheduler.step()
            recorder.step(iteration, learning_rate=9.0 if iteration == 3 else None)
    run = paramviz.open_run(tmp_path / "run")
    assert run.scalars("learning_rate").tolist() == [1.0, 0.5, 0.25, 9.0]


def test_a_run_takes_its_hooks_with_it(tmp_path: Path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        optimizer.step()
        recorder.step(0)
        assert optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
