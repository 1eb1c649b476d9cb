"""Results on their way from a device to arrays of the host, without the training thread waiting for them.

All results of a device cross in one copy: into pinned memory, on a stream of its own, which
waits for the work that makes them. Training's stream waits for nothing. Both buffers come
from torch's caching allocators, which give a block out again only when the copy has passed;
how many are in use is bounded by the frames of the `FramePool`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]
_Wanted = tuple[torch.Tensor, Callable[[Array], None]]

_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)

_streams: dict[torch.device, torch.cuda.Stream] = {}
"""Of each device the one that copies run on."""


class Transfers:
    """Collects device tensors and where they belong; one copy for each device brings them over.

    `add` and `start` belong to the training thread, `finish` to the thread that
    needs the numbers. The host arrays hold nothing of use before `finish`.
    """

    def __init__(self) -> None:
        self._wanted: dict[torch.device, list[_Wanted]] = {}
        self._under_way: list[_Copy] = []
        self._later: list[Callable[[], None]] = []

    def add(self, tensor: torch.Tensor, destination: Array) -> None:
        """tensor: any shape, as many elements as `destination`, which takes them in row-major order."""
        self.add_and(tensor, partial(_fill, destination))

    def add_and(self, tensor: torch.Tensor, then: Callable[[Array], None]) -> None:
        """What `finish` is to do with a tensor, as an array of its shape, once that is here."""
        if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
            tensor = tensor.float()
        self._wanted.setdefault(tensor.device, []).append((tensor, then))

    def and_later(self, work: Callable[[], None]) -> None:
        """What `finish` is to do with numbers that are here already."""
        self._later.append(work)

    def start(self) -> None:
        """Queue the copies behind the work that makes the tensors."""
        for wanted in self._wanted.values():
            self._under_way.append(_Copy(wanted))
        self._wanted = {}

    def finish(self) -> None:
        """Wait for the copies and fill the destinations; float16 and float32 alike keep inf and NaN."""
        under_way, self._under_way = self._under_way, []
        for copy in under_way:
            copy.finish()
        later, self._later = self._later, []
        for work in later:
            work()


class Arriving:
    """A number on its way from a device. `float` of it waits for it, so that is the writer thread's."""

    def __init__(self, transfers: Transfers, tensor: torch.Tensor) -> None:
        """tensor: one element."""
        self._value = np.empty(1)
        self._transfers = transfers
        transfers.add(tensor, self._value)

    def __float__(self) -> float:
        self._transfers.finish()
        return float(self._value[0])


def sent(tensors: Iterable[torch.Tensor]) -> list[Arriving]:
    """Numbers under way; their tensors may be overwritten from here on."""
    transfers = Transfers()
    arriving = [Arriving(transfers, tensor.detach()) for tensor in tensors]
    if arriving:
        transfers.start()
    return arriving


def _fill(destination: Array, values: Array) -> None:
    with np.errstate(over="ignore"):
        destination[...] = values.reshape(destination.shape)


class _Copy:
    """The results of one device as bytes, those of wide dtypes first: so all of them are aligned."""

    def __init__(self, wanted: list[_Wanted]) -> None:
        wanted = sorted(wanted, key=lambda one: -one[0].element_size())
        self._wanted = [(_dtype(tensor), tuple(tensor.shape), then) for tensor, then in wanted]
        flat = torch.cat([tensor.reshape(-1).view(torch.uint8) for tensor, _ in wanted])
        self._host, self._done = _copy_to_host(flat)

    def finish(self) -> None:
        if self._done is not None:
            self._done.synchronize()
        flat, begin = self._host.numpy(), 0
        for dtype, shape, then in self._wanted:
            end = begin + dtype.itemsize * math.prod(shape)
            then(flat[begin:end].view(dtype).reshape(shape))
            begin = end


def _copy_to_host(flat: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """A copy, and what happens when it is there; None if it is."""
    if flat.device.type != "cuda":
        return flat.cpu(), None
    side = _streams.get(flat.device)
    if side is None:
        side = _streams[flat.device] = torch.cuda.Stream(flat.device)
    side.wait_stream(torch.cuda.current_stream(flat.device))
    with torch.cuda.stream(side):
        host = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
        host.copy_(flat, non_blocking=True)
        flat.record_stream(side)
        done = torch.cuda.Event(blocking=True)
        done.record(side)
    return host, done


def _dtype(tensor: torch.Tensor) -> np.dtype[Any]:
    """What numpy calls a dtype."""
    return np.dtype(str(tensor.dtype).removeprefix("torch."))
