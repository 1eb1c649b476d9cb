"""What the suites about gradients and optimizers share."""

from __future__ import annotations

import torch
from torch import nn

from paramviz.store import Run
from tests.recorder.models import next_token_loss
from tests.recorder.references import assert_moments


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_gradients(
    run: Run, iteration: int, expected: dict[str, torch.Tensor], state: str = "used"
) -> None:
    snapshot = run[iteration]
    for name, gradient in expected.items():
        assert snapshot.gradient_states.of(run.tensor(name).index) == state
        assert_moments(snapshot.gradient_statistics(name), gradient.to_dense())


def backward(model: nn.Module, seed: int = 0) -> None:
    model.zero_grad(set_to_none=True)
    next_token_loss(model, seed).backward()
