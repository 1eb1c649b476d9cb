"""Results on their way from a device to arrays of the host, without the training thread waiting for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class Transfers:
    """Collects device tensors and where they belong; one copy per device and dtype brings them over.

    `add` and `start` belong to the training thread, `finish` to the thread that
    needs the numbers. The host arrays hold nothing of use before `finish`.
    """

    def __init__(self) -> None:
        self._wanted: dict[tuple[torch.device, torch.dtype], list[tuple[torch.Tensor, npt.NDArray[Any]]]] = {}
        self._under_way: list[_Copy] = []
        self._afterwards: list[Callable[[], None]] = []

    def add(self, tensor: torch.Tensor, destination: npt.NDArray[Any]) -> None:
        """tensor: any shape, as many elements as `destination`, which takes them in row-major order."""
        self._wanted.setdefault((tensor.device, tensor.dtype), []).append((tensor.reshape(-1), destination))

    def add_and(self, tensor: torch.Tensor, then: Callable[[npt.NDArray[Any]], None]) -> None:
        """What `finish` is to do with a tensor, as an array of its shape, once that is here."""
        if tensor.device.type == "cpu":
            self._afterwards.append(partial(then, tensor.numpy()))
            return
        array = np.empty(tensor.shape)
        self.add(tensor, array)
        self._afterwards.append(partial(then, array))

    def start(self) -> None:
        """Queue the copies behind the work that makes the tensors."""
        for wanted in self._wanted.values():
            flat = torch.cat([tensor for tensor, _ in wanted])
            self._under_way.append(_Copy(flat, [destination for _, destination in wanted]))
        self._wanted = {}

    def finish(self) -> None:
        """Wait for the copies and fill the destinations; float16 and float32 alike keep inf and NaN."""
        for copy in self._under_way:
            copy.finish()
        for then in self._afterwards:
            then()
        self._under_way, self._afterwards = [], []


class _Copy:
    """One flat tensor, copied through pinned memory where the device has that."""

    def __init__(self, flat: torch.Tensor, destinations: list[npt.NDArray[Any]]) -> None:
        self._destinations = destinations
        self._done: torch.cuda.Event | None = None
        if flat.device.type == "cuda":
            self._host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
            self._host.copy_(flat, non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record(torch.cuda.current_stream(flat.device))
        else:
            self._host = flat.cpu()

    def finish(self) -> None:
        if self._done is not None:
            self._done.synchronize()
        flat = self._host.numpy()
        begin = 0
        for destination in self._destinations:
            end = begin + destination.size
            with np.errstate(over="ignore"):
                destination[...] = flat[begin:end].reshape(destination.shape)
            begin = end
