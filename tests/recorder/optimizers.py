"""Optimizers that are not as torch's own are."""

from __future__ import annotations

import torch


class Overwriting(torch.optim.Optimizer):
    """Like some implementations of Muon: turns each gradient, in place, into the update that it makes."""

    def __init__(self, parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(0.5).sign_()
                    parameter.sub_(parameter.grad, alpha=group["lr"])


class Descent:
    """An optimizer of somebody's own, without hooks."""

    def __init__(self, parameters) -> None:
        self.parameters = list(parameters)

    @torch.no_grad()
    def step(self) -> None:
        for parameter in self.parameters:
            parameter -= 0.01 * parameter.grad


class Wrapper(torch.optim.Optimizer):
    """An optimizer around another one, as Accelerate and others make them: without hooks of its own."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def step(self, closure=None):
        self.optimizer.step(closure)
