"""What a module's output tells of its units: how large they are, how many are dead or saturated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from paramviz.recorder.device_statistics import accumulation_dtype
from paramviz.schema import SPARSITY_THRESHOLD

_PART_ELEMENTS = 1 << 22
_NEAR = 0.01
"""Within this share of its range an activation function with bounds counts as saturated."""


class OutputTotals:
    """The outputs of one module in one forward, however often it ran; everything stays on the device."""

    def __init__(self, module: nn.Module) -> None:
        self._bounds = bounds(module)
        self._has_channels = isinstance(module, _ConvNd | _BatchNorm)
        self._n = 0
        self._squares: list[torch.Tensor] = []
        self._largest: list[torch.Tensor] = []
        self._n_zeros: list[torch.Tensor] = []
        self._n_saturated: list[torch.Tensor] = []
        self._alive: list[torch.Tensor] = []
        self._moving: list[torch.Tensor] = []

    def add(self, output: torch.Tensor) -> None:
        """output: any shape, floats. Taken in parts, so that little memory is needed beside it."""
        self._n += output.numel()
        wide = accumulation_dtype(output.device)
        for part, unit_axis in self._parts(output):
            x = part if part.dtype in (torch.float32, torch.float64) else part.float()
            others = [axis for axis in range(x.ndim) if axis != unit_axis]
            magnitude = x.abs()
            small = magnitude < SPARSITY_THRESHOLD
            self._squares.append(magnitude.square().sum(dtype=wide))
            self._largest.append(magnitude.amax())
            self._n_zeros.append(small.sum())
            self._alive.append((~small).any(others) if others else ~small)
            if self._bounds is not None:
                low, high = self._bounds
                margin = _NEAR * (high - low)
                saturated = (x <= low + margin) | (x >= high - margin)
                self._n_saturated.append(saturated.sum())
                self._moving.append((~saturated).any(others) if others else ~saturated)

    def row(self) -> torch.Tensor:
        """(6,) float32 in the order of `ACTIVATION_KEYS`."""
        n = max(1, self._n)
        rms = torch.sqrt(_sum(self._squares) / n)
        unknown = torch.full_like(rms, math.nan)
        columns = [
            rms,
            torch.stack(self._largest).amax(),
            _sum(self._n_zeros) / n,
            _share_without(self._alive),
        ]
        columns += (
            [unknown, unknown]
            if self._bounds is None
            else [_sum(self._n_saturated) / n, _share_without(self._moving)]
        )
        return torch.stack([column.to(torch.float32) for column in columns])

    def _parts(self, output: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
        """(part, axis of its units): channels of a feature map, else the last axis."""
        if output.ndim >= 4 or (self._has_channels and output.ndim == 3):
            per_sample = max(1, output.numel() // len(output))
            yield from ((part, 1) for part in output.split(max(1, _PART_ELEMENTS // per_sample)))
            return
        rows = output.reshape(-1, output.shape[-1]) if output.ndim else output.reshape(1, 1)
        yield from ((part, 1) for part in rows.split(max(1, _PART_ELEMENTS // rows.shape[1])))


def bounds(module: nn.Module) -> tuple[float, float] | None:
    """Between which two numbers an activation function stays; None if it has no such bounds."""
    match module:
        case nn.Sigmoid() | nn.Hardsigmoid():
            return 0.0, 1.0
        case nn.Tanh() | nn.Softsign():
            return -1.0, 1.0
        case nn.Hardtanh():
            return float(module.min_val), float(module.max_val)
    return None


def first_floats(output: Any) -> torch.Tensor | None:
    """The first tensor of floats with elements in what a module takes or gives; None if there is none."""
    match output:
        case torch.Tensor():
            usable = output.is_floating_point() and output.numel() > 0 and output.layout == torch.strided
            return output.detach() if usable and not output.is_nested else None
        case dict():
            return first_floats(tuple(output.values()))
        case tuple() | list():
            found = (first_floats(item) for item in output)
            return next((tensor for tensor in found if tensor is not None), None)
    return None


def rms_of(x: torch.Tensor) -> torch.Tensor:
    """0-d root mean square, summed in wide numbers."""
    norm: torch.Tensor = torch.linalg.vector_norm(x, dtype=accumulation_dtype(x.device))
    return norm / math.sqrt(x.numel())


def _sum(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(parts).sum(0)


def _share_without(parts: list[torch.Tensor]) -> torch.Tensor:
    """Share of units that no part has; NaN if the parts have different numbers of units."""
    if len({len(part) for part in parts}) > 1:
        return torch.full((), math.nan, device=parts[0].device)
    return 1 - torch.stack(parts).any(0).to(torch.float32).mean()
