"""What Adam and its family remember of the gradients: norms of their moments, and where epsilon rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder import views
from paramviz.recorder.device_layout import CHUNK, Layouts
from paramviz.recorder.device_moments import Moments, read_on_devices
from paramviz.recorder.device_statistics import accumulation_dtype
from paramviz.recorder.gradient_capture import Member
from paramviz.recorder.host_batch import addresses_of
from paramviz.recorder.sharded.placement import is_alike
from paramviz.recorder.transfers import Transfers
from paramviz.statistics import moments_many, take_many

FIRST, SECOND = ("exp_avg",), ("max_exp_avg_sq", "exp_avg_sq")
"""What optimizers call their moments; of two, the first that is there is what the step divides by."""

Floats = npt.NDArray[np.float64]
State = Mapping[Any, Any]

_NO_STATE: State = {}


def read_moments(
    optimizer: torch.optim.Optimizer,
    members: Sequence[Member],
    out: Floats,
    layouts: Layouts,
    transfers: Transfers,
) -> None:
    """`moment1_norm`, `moment2_rms`, `epsilon_share` of each parameter into its row of out, (tensors, 3).

    Corrected for their bias by the optimizer's own betas and step. Rows of parameters
    without such moments are left alone.
    """
    groups = optimizer.param_groups
    numbers = {id(parameter): k for k, group in enumerate(groups) for parameter in group["params"]}
    group_of = np.array([numbers[id(parameter)] for _, parameter in members], np.int64)
    states = [optimizer.state.get(parameter, _NO_STATE) for _, parameter in members]
    is_plain = _read_plain(states, group_of, [_rates(group) for group in groups], members, out)
    others = (
        _moments(members[i], states[i], groups[group_of[i]]) for i in np.flatnonzero(~is_plain).tolist()
    )
    away = []
    with torch.no_grad():
        for moments in others:
            if moments is None:
                continue
            if views.is_on_host(moments.first):
                out[moments.row] = _measure(*moments[1:]).numpy()
            else:
                away.append(moments)
        read_on_devices(away, out, layouts, transfers)


def _read_plain(
    states: Sequence[State],
    group_of: npt.NDArray[np.int64],
    rates: Sequence[tuple[float, float, float]],
    members: Sequence[Member],
    out: Floats,
) -> npt.NDArray[np.bool_]:
    """Those whose moments and settings lie here as they mostly do, in a few calls; (n,) which these were."""
    firsts = [_newest(state, FIRST) for state in states]
    seconds = [_newest(state, SECOND) for state in states]
    sizes = np.array([0 if first is None else first.numel() for first in firsts], np.int64)
    at_first, at_second = addresses_of(firsts, sizes), addresses_of(seconds, sizes)
    betas_and_epsilon = np.array(rates).reshape(-1, 3)[group_of]
    corrections = _corrections(betas_and_epsilon[:, :2], _counts([state.get("step", 0) for state in states]))
    settings = np.column_stack([corrections, betas_and_epsilon[:, 2]])
    is_plain: npt.NDArray[np.bool_] = (at_first != 0) & (at_second != 0) & np.isfinite(settings).all(axis=1)
    rows = np.array([row for row, _ in members], np.int64)
    which = np.flatnonzero(is_plain)
    moments_many(at_first[which], at_second[which], sizes[which], rows[which], settings[which], out)
    return is_plain


def _newest(state: State, names: tuple[str, ...]) -> torch.Tensor | None:
    return next((tensor for name in names if (tensor := state.get(name)) is not None), None)


def _rates(group: State) -> tuple[float, float, float]:
    """Both betas and epsilon; NaN for what is not there, or is a tensor that might lie elsewhere."""
    rates = [*(group.get("betas") or ()), group.get("eps")]
    if len(rates) != 3 or any(isinstance(rate, torch.Tensor) or rate is None for rate in rates):
        return (math.nan, math.nan, math.nan)
    return (float(rates[0]), float(rates[1]), float(rates[2]))


def _counts(steps: Sequence[Any]) -> Floats:
    """(n,) how many steps were made; 0 if they are not counted, NaN for a count that lies elsewhere."""
    addresses = addresses_of(steps, np.ones(len(steps), np.int64))
    which = np.flatnonzero(addresses)
    read, n = np.empty(len(which), np.float32), np.arange(len(which))
    take_many(addresses[which], n, n + 1, np.zeros(len(which), np.int64), read)
    counts = np.full(len(steps), np.nan)
    counts[which] = read
    for i in np.flatnonzero(addresses == 0).tolist():
        if steps[i] is None or isinstance(steps[i], int | float):
            counts[i] = steps[i] or 0
    return counts


def _corrections(betas: Floats, counts: Floats) -> Floats:
    """(n, 2) what both moments are divided by. betas: (n, 2); before the first step nothing is corrected."""
    unbiased = 1.0 - betas ** counts[:, None]
    return np.where(unbiased <= 0, 1.0, unbiased)


def _moments(member: Member, state: State, group: State) -> Moments | None:
    """What is remembered of a parameter; None if the optimizer has no such moments, or they lie in the
    processes otherwise than it does."""
    first, second = _named(state, FIRST), _named(state, SECOND)
    betas, epsilon = group.get("betas"), group.get("eps")
    if first is None or second is None or betas is None or len(betas) != 2 or epsilon is None:
        return None
    row, parameter = member
    if not (is_alike(first, parameter) and is_alike(second, parameter)):
        return None
    first, second = (views.as_real(moment.detach()) for moment in (first, second))
    return Moments(row, first, second, state.get("step"), betas, epsilon)


def _measure(
    first: torch.Tensor, second: torch.Tensor, step: Any, betas: Sequence[Any], epsilon: Any
) -> torch.Tensor:
    """(3,) of moments of the host that are not plain float32."""
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
            return tensor
    return None
