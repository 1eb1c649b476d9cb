"""A tiny real training, and what a test asks of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import paramviz
from tests.recorder.waiting import wait_for


class Training:
    """A regression that a seed decides wholly: 177 parameters, momentum, one loss per step."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2, bias=False))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)

    def step(self, iteration: int) -> float:
        """Forward, backward, update; the loss before it."""
        x_BI = torch.randn(16, 8, generator=torch.Generator().manual_seed(iteration))
        self.optimizer.zero_grad()
        loss = (self.model(x_BI) - x_BI[:, :2].sin()).square().mean()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def state(self) -> bytes:
        """The bits of all parameters."""
        return b"".join(p.detach().numpy().tobytes() for p in self.model.parameters())


@dataclass(frozen=True)
class Trained:
    """How a recorded training went."""

    losses: list[float]
    state: bytes
    report: paramviz.recorder.RecordingReport


def bare(iterations: int) -> tuple[list[float], bytes]:
    """Losses and last state of the same training when nobody records it."""
    training = Training()
    losses = [training.step(iteration) for iteration in range(iterations)]
    return losses, training.state()


def train(
    path: Path,
    iterations: int,
    before_step: Callable[[int], object] = lambda iteration: None,
    *,
    wait: bool = True,
    **settings: Any,
) -> Trained:
    """Train and record every iteration.

    `before_step` may break the disk or mend it; it is called once more behind the last step. wait: let
    the writer thread finish with each step before the next, so that what breaks breaks where
    the test says.
    """
    training, losses = Training(), []
    settings.setdefault("schedule", 1)
    with paramviz.Recorder(path, training.model, training.optimizer, **settings) as recorder:
        for iteration, done in zip(range(iterations), itertools.count(1)):
            before_step(iteration)
            losses.append(training.step(iteration))
            recorder.step(iteration, loss=losses[-1])
            if wait:
                wait_until_handled(recorder, done)
        before_step(iterations)
    return Trained(losses, training.state(), recorder.report)


def wait_until_handled(recorder: paramviz.Recorder, steps: int) -> None:
    """Until the writer thread is done with so many steps, each with a snapshot: two hand-overs per step."""
    wait_for(lambda: recorder._thread._handled >= 2 * steps)
