"""What Adam and its family remember of the gradients: norms of their moments, and where epsilon rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder import views
from paramviz.recorder.device_statistics import CHUNK, accumulation_dtype
from paramviz.recorder.gradient_capture import Member
from paramviz.recorder.host_batch import addresses_of
from paramviz.recorder.transfers import Transfers
from paramviz.statistics import moments_many

FIRST, SECOND = ("exp_avg",), ("max_exp_avg_sq", "exp_avg_sq")
"""What optimizers call their moments; of two, the first that is there is what the step divides by."""


def read_moments(
    optimizer: torch.optim.Optimizer,
    members: Iterable[Member],
    out: npt.NDArray[np.float64],
    transfers: Transfers,
) -> None:
    """`moment1_norm`, `moment2_rms`, `epsilon_share` of each parameter into its row of out, (tensors, 3).

    Corrected for their bias by the optimizer's own betas and step. Rows of parameters
    without such moments are left alone.
    """
    settings = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    found: list[_Moments] = []
    for row, parameter in members:
        state, group = optimizer.state.get(parameter, {}), settings[id(parameter)]
        first, second = _named(state, FIRST), _named(state, SECOND)
        betas, epsilon = group.get("betas"), group.get("eps")
        if first is None or second is None or betas is None or len(betas) != 2 or epsilon is None:
            continue
        found.append(_Moments(row, first, second, state.get("step"), betas, epsilon))
    sizes = [moments.first.numel() for moments in found]
    firsts = addresses_of((moments.first for moments in found), sizes)
    seconds = addresses_of((moments.second for moments in found), sizes)
    plain = [i for i in np.flatnonzero((firsts != 0) & (seconds != 0)) if found[i].is_on_host()]
    with torch.no_grad():
        for i in sorted(set(range(len(found))).difference(plain)):
            measured = _measure(*found[i][1:])
            if views.is_on_host(measured):
                out[found[i].row] = measured.numpy()
            else:
                transfers.add(measured, out[found[i].row])
    if plain:
        rows = np.array([found[i].row for i in plain], np.int64)
        corrections = np.array([found[i].settings() for i in plain])
        moments_many(firsts[plain], seconds[plain], np.array(sizes)[plain], rows, corrections, out)


class _Moments(NamedTuple):
    """What an optimizer remembers of one parameter."""

    row: int
    first: torch.Tensor
    second: torch.Tensor
    step: Any
    betas: Sequence[Any]
    epsilon: Any

    def is_on_host(self) -> bool:
        """Whether all settings can be read without waiting for a device."""
        return all(
            not isinstance(value, torch.Tensor) or value.device.type == "cpu"
            for value in (self.step, *self.betas, self.epsilon)
        )

    def settings(self) -> tuple[float, float, float]:
        """What corrects the bias of both moments, and epsilon."""
        count = None if self.step is None else float(self.step)
        unbiased = [1.0 if count is None else 1.0 - float(beta) ** count for beta in self.betas]
        # Before the first step there is nothing to correct.
        first, second = (share if share > 0 else 1.0 for share in unbiased)
        return first, second, float(self.epsilon)


def _measure(
    first: torch.Tensor, second: torch.Tensor, step: Any, betas: Sequence[Any], epsilon: Any
) -> torch.Tensor:
    """(3,) on the moments' device."""
    wide = accumulation_dtype(first.device)
    zero = torch.zeros((), dtype=wide, device=first.device)
    unbiased1, unbiased2 = (_correction(beta, step, zero) for beta in betas)
    squares, total, small = zero, zero, zero
    for m, v in zip(first.reshape(-1).split(CHUNK), second.reshape(-1).split(CHUNK), strict=True):
        m, v = m.to(wide), v.to(wide)
        squares = squares + (m * m).sum()
        total = total + v.sum()
        small = small + ((v / unbiased2).sqrt() < epsilon).sum()
    n = max(1, first.numel())
    return torch.stack([squares.sqrt() / unbiased1, (total / unbiased2 / n).sqrt(), small / n])


def _correction(beta: Any, step: Any, zero: torch.Tensor) -> torch.Tensor:
    """1 - beta**step; 1 for an optimizer that counts no steps."""
    if step is None:
        return zero + 1
    count = step.to(zero.device, zero.dtype, non_blocking=True) if isinstance(step, torch.Tensor) else step
    rate = beta.to(zero.device, zero.dtype) if isinstance(beta, torch.Tensor) else zero + beta
    corrected = 1 - rate**count
    # Before the first step there is nothing to correct.
    return torch.where(corrected > 0, corrected, zero + 1)


def _named(state: Mapping[Any, Any], names: tuple[str, ...]) -> torch.Tensor | None:
    for name in names:
        tensor = state.get(name)
        if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
            return views.as_real(tensor.detach())
    return None
