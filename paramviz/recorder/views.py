"""Tensors as the recorder looks at them: memory of the host as arrays, others in dtypes that have kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.device_statistics import accumulation_dtype
from paramviz.recorder.sharded.placement import local_of

PART = 1 << 18
"""Elements made float32 at a time: they stay in the second-level cache."""

NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)


def is_on_host(tensor: torch.Tensor) -> bool:
    """Whether numpy can see the tensor's own memory."""
    return tensor.device.type == "cpu"


def as_real(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of real numbers: a complex one gets a last axis of (real, imaginary), in the same memory
    unless it is a conjugate; a quantised one becomes the float32 that it stands for. Of a DTensor it is
    the part here."""
    tensor = local_of(tensor)
    if tensor.is_complex():
        return torch.view_as_real(tensor.resolve_conj())
    return tensor.dequantize() if tensor.is_quantized else tensor


def host_view(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A tensor of the CPU as an array: its own memory, or float32 where numpy lacks the dtype."""
    tensor = as_real(tensor.detach())
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in NUMPY_FLOATS:
        tensor = tensor.float()
    return tensor.numpy()


def has_array(tensor: torch.Tensor) -> bool:
    """Whether numpy knows the dtype of a tensor of the CPU; what it does not know is read in `parts`."""
    return not tensor.is_floating_point() or tensor.dtype in NUMPY_FLOATS


def parts(matrix_RC: torch.Tensor) -> Iterator[npt.NDArray[np.float32]]:
    """Some rows of a matrix of the CPU at a time, as float32: a copy of it all might be gigabytes.

    Each part lies where the one before it lay.
    """
    rows, columns = matrix_RC.shape
    step = max(1, PART // max(1, columns))
    room = torch.empty(min(step, rows), columns)
    for begin in range(0, rows, step):
        part = matrix_RC[begin : begin + step]
        yield room[: len(part)].copy_(part).numpy()


def matrix_view(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as `shape[0]` rows times the rest; a vector is one row."""
    x = as_real(tensor.detach())
    return x.reshape(1, -1) if x.ndim <= 1 else x.reshape(x.shape[0], -1)


def wide_on_device(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of another device in a float dtype that all of torch's kernels take."""
    tensor = as_real(tensor)
    if tensor.dtype in NUMPY_FLOATS:
        return tensor
    # Integers and bool too: torch lacks kernels for some of them on some devices.
    return tensor.to(torch.float32 if tensor.is_floating_point() else accumulation_dtype(tensor.device))


def samples_of(
    x: npt.NDArray[Any], positions: npt.NDArray[np.int64] | None, out: npt.NDArray[np.float32]
) -> None:
    """Elements of x at flat positions (all if None) as float32; beyond its range they become inf."""
    with np.errstate(over="ignore"):
        if positions is None:
            out[...] = x.reshape(-1)
        elif not x.flags.c_contiguous:
            out[...] = x[np.unravel_index(positions, x.shape)]
        elif x.dtype == np.float32:
            # Positions are in range by construction: "clip" lets numpy write straight into the buffer.
            np.take(x.reshape(-1), positions, out=out, mode="clip")
        else:
            out[...] = x.reshape(-1)[positions]
