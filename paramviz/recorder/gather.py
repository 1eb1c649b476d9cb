"""From tensors to numbers: samples and statistics of the whole, taken where the tensor lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.device_statistics import accumulation_dtype, histogram_on_device, measure_on_device
from paramviz.recorder.frames import Frame
from paramviz.recorder.model_plan import Indices, ModelPlan, Source
from paramviz.recorder.transfers import Transfers
from paramviz.statistics import measure

_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)


def gather(frame: Frame) -> None:
    """Fill a frame from the tensors of its plan. Nothing waits for a device."""
    with torch.no_grad():
        for source in frame.plan.sources:
            samples = frame.samples[source.begin : source.end]
            statistics, histogram = frame.statistics[source.index], frame.histograms[source.index]
            if is_on_host(source.tensor):
                x = host_view(source.tensor)
                measure(x, statistics, histogram)
                _take_samples(x, source.positions, samples)
            else:
                _gather_from_device(source, frame.transfers, samples, statistics, histogram)
        table = frame.plan.embedding_tensor
        if table is not None and frame.embedding_rows is not None:
            _take_rows(table, frame.plan.tokens, frame.embedding_rows, frame.transfers)
    frame.transfers.start()


def gather_frozen(plan: ModelPlan) -> npt.NDArray[np.float32]:
    """(N + V,) float32 with the samples of the tensors that do not change, and zeros for all others.

    Waits for the devices: a plan is made before training goes on.
    """
    samples, transfers = np.zeros(plan.n_samples, np.float32), Transfers()
    with torch.no_grad():
        for source in plan.frozen_sources:
            destination = samples[source.begin : source.end]
            if is_on_host(source.tensor):
                _take_samples(host_view(source.tensor), source.positions, destination)
            else:
                transfers.add(_device_samples(source, _wide(source.tensor.detach())), destination)
    transfers.start()
    transfers.finish()
    return samples


def measure_gradient(
    gradient: torch.Tensor,
    scale: torch.Tensor | None,
    statistics: npt.NDArray[np.float64],
    transfers: Transfers,
) -> None:
    """Statistics of a gradient, divided by `scale` (0-d) if it is still scaled, into (14,) float64."""
    with torch.no_grad():
        gradient = gradient.detach()
        if gradient.layout != torch.strided:
            gradient = gradient.to_dense()
        if scale is not None:
            # In float32: what is tiny before the scale is taken out would be nothing in float16 after it.
            wide = gradient if gradient.dtype == torch.float64 else gradient.float()
            gradient = wide / scale.to(wide.device, non_blocking=True)
        if is_on_host(gradient):
            measure(host_view(gradient), statistics, None)
        else:
            transfers.add(measure_on_device(gradient), statistics)


def is_on_host(tensor: torch.Tensor) -> bool:
    """Whether numpy can see the tensor's own memory."""
    return tensor.device.type == "cpu"


def host_view(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A tensor of the CPU as an array: its own memory, or float32 where numpy lacks the dtype."""
    tensor = tensor.detach()
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()
    return tensor.numpy()


def _take_samples(x: npt.NDArray[Any], positions: Indices | None, samples: npt.NDArray[np.float32]) -> None:
    """Elements of x at flat positions (all if None) as float32; beyond its range they become inf."""
    with np.errstate(over="ignore"):
        if positions is None:
            samples[...] = x.reshape(-1)
        elif not x.flags.c_contiguous:
            samples[...] = x[np.unravel_index(positions.host, x.shape)]
        elif x.dtype == np.float32:
            # Positions are in range by construction: "clip" lets numpy write straight into the buffer.
            np.take(x.reshape(-1), positions.host, out=samples, mode="clip")
        else:
            samples[...] = x.reshape(-1)[positions.host]


def _take_rows(
    table: torch.Tensor, tokens: Indices, rows: npt.NDArray[np.float32], transfers: Transfers
) -> None:
    """Rows of the token embedding at full width, (K, width) float32."""
    if not is_on_host(table):
        transfers.add(table.detach()[tokens.on(table.device)].to(torch.float32), rows)
        return
    x = host_view(table)
    with np.errstate(over="ignore"):
        if len(rows) == len(x):
            rows[...] = x
        elif x.dtype == np.float32 and x.flags.c_contiguous:
            np.take(x, tokens.host, axis=0, out=rows, mode="clip")
        else:
            rows[...] = x[tokens.host]


def _gather_from_device(
    source: Source,
    transfers: Transfers,
    samples: npt.NDArray[np.float32],
    statistics: npt.NDArray[np.float64],
    histogram: npt.NDArray[np.uint32],
) -> None:
    tensor = _wide(source.tensor.detach())
    transfers.add(_device_samples(source, tensor), samples)
    transfers.add(measure_on_device(tensor), statistics)
    transfers.add(histogram_on_device(tensor), histogram)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype in _NUMPY_FLOATS:
        return tensor
    # Integers and bool too: torch lacks kernels for some of them on some devices.
    return tensor.to(torch.float32 if tensor.is_floating_point() else accumulation_dtype(tensor.device))


def _device_samples(source: Source, tensor: torch.Tensor) -> torch.Tensor:
    """(samples,) float32 of `tensor`, which is that of the source, made wide."""
    flat = tensor.reshape(-1)
    if source.positions is not None:
        flat = flat[source.positions.on(flat.device)]
    return flat.to(torch.float32)
