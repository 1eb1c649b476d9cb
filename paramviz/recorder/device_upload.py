"""Small tables of the host on their way to a device, without waiting for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def upload(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """A copy of an array on a device, queued behind the work that is there already.

    Through pinned memory to a CUDA device: a copy from pageable memory may wait. torch
    keeps the pinned block until the copy is made, and uses it again.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.clone() if device.type == "cpu" else moved(tensor, device)


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The same for a tensor; one that is there already is itself."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")


class Indices:
    """Indices into a tensor, (n,) int64: here, and on each device that has asked for them."""

    def __init__(self, host: npt.NDArray[np.int64]) -> None:
        self.host = host
        self._copies: dict[torch.device, torch.Tensor] = {}

    def on(self, device: torch.device) -> torch.Tensor:
        if device not in self._copies:
            self._copies[device] = upload(self.host, device)
        return self._copies[device]


def column(values: list[Any], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """(n,) numbers on a device, of which some lie there already as tensors of one element."""
    there = [i for i, value in enumerate(values) if isinstance(value, torch.Tensor) and _is_away(value)]
    away = set(there)
    numbers = np.array([0.0 if i in away else float(value) for i, value in enumerate(values)])
    result = upload(numbers, device).to(dtype)
    if there:
        parts = [values[i].detach().reshape(1).to(device, non_blocking=True) for i in there]
        index = upload(np.array(there, np.int64), device)
        result = result.index_copy(0, index, torch.cat(parts).to(dtype))
    return result


def _is_away(tensor: torch.Tensor) -> bool:
    return tensor.device.type != "cpu"
