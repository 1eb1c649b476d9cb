"""A regression that the suites of the trainers share: small, learnable, and the same each time."""

from __future__ import annotations

import torch
from torch import nn


def network(seed: int = 0) -> nn.Sequential:
    """A two-layer perceptron with weights that only `seed` decides."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def examples(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 6) inputs and (n, 2) targets."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 6, generator=generator)
    return x, torch.stack([x[:, 0] - x[:, 1], x[:, 2] * x[:, 3]], dim=1)
