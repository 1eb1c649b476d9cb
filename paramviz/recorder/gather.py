"""From tensors to numbers: samples and statistics of the whole, taken where the tensor lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from paramviz.quantities import Quantities
from paramviz.recorder import views
from paramviz.recorder.device_statistics import histogram_on_device, measure_on_device
from paramviz.recorder.frames import Frame
from paramviz.recorder.grids import Grids
from paramviz.recorder.host_batch import addresses_of
from paramviz.recorder.model_plan import Indices, ModelPlan, Source
from paramviz.recorder.singular import SingularValues
from paramviz.recorder.transfers import Transfers
from paramviz.statistics import measure, measure_parts

COPIED_BYTES = 128 << 20
"""Of whole matrices that wait for their singular values."""


def gather(frame: Frame, quantities: Quantities, singular: SingularValues) -> None:
    """Fill a frame from the tensors of its plan. Nothing waits for a device."""
    plan, transfers = frame.plan, frame.transfers
    frame.grids = Grids()
    with torch.no_grad():
        addresses = addresses_of(plan.batch.tensors, plan.batch.sizes)
        summed = plan.batch.summed(quantities) & (frame.tier == "key")
        _gather_plain(frame, quantities, addresses, summed)
        for i in np.flatnonzero(addresses == 0):
            _gather_one(frame, quantities, plan.sources[i], bool(summed[i]))
        if "head_norms" in quantities:
            for index in plan.places.heads.places:
                frame.grids.take_heads(plan, plan.source_of[index], transfers)
        if frame.tier == "key" and "sigma_max" in quantities:
            singular.measure(plan, frame.sigma_max, transfers)
        if "singular_values" in quantities and frame.keeps_rows:
            _copy_matrices(frame)
        table = plan.embedding_tensor
        if table is not None and frame.embedding_rows is not None:
            _take_rows(table, plan.tokens, frame.embedding_rows, transfers)


def gather_frozen(plan: ModelPlan) -> npt.NDArray[np.float32]:
    """(N + V,) float32 with the samples of the tensors that do not change, and zeros for all others.

    Waits for the devices: a plan is made before training goes on.
    """
    samples, transfers = np.zeros(plan.n_samples, np.float32), Transfers()
    with torch.no_grad():
        for source in plan.frozen_sources:
            _take_samples(source, samples[source.begin : source.end], transfers)
    transfers.start()
    transfers.finish()
    return samples


def plain_gradient(gradient: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """A gradient as a dense tensor, divided by `scale` (0-d) if it is still scaled."""
    gradient = gradient.detach()
    if gradient.layout != torch.strided:
        gradient = gradient.to_dense()
    gradient = views.as_real(gradient)
    if scale is None:
        return gradient
    # In float32: what is tiny before the scale is taken out would be nothing in float16 after it.
    wide = gradient if gradient.dtype == torch.float64 else gradient.float()
    return wide / scale.to(wide.device, non_blocking=True)


def measure_tensor(
    tensor: torch.Tensor,
    statistics: npt.NDArray[np.float64],
    histogram: npt.NDArray[np.uint32] | None,
    transfers: Transfers,
) -> None:
    """Statistics into (14,) float64, and a histogram into (64,) unless it is None."""
    if not views.is_on_host(tensor):
        tensor = views.as_real(tensor.detach())
        transfers.add(measure_on_device(tensor), statistics)
        if histogram is not None:
            transfers.add(histogram_on_device(tensor), histogram)
    elif views.has_array(tensor):
        measure(views.host_view(tensor), statistics, histogram)
    else:
        measure_parts(views.parts(views.matrix_view(tensor)), statistics, histogram)


def sample_tensor(
    tensor: torch.Tensor, positions: Indices | None, out: npt.NDArray[np.float32], transfers: Transfers
) -> None:
    """Elements at flat positions (all if None) as float32; beyond its range they become inf."""
    if views.is_on_host(tensor) and views.has_array(tensor):
        views.samples_of(views.host_view(tensor), None if positions is None else positions.host, out)
        return
    flat = views.as_real(tensor.detach()).reshape(-1)
    if positions is not None:
        flat = _elements(flat, positions.on(flat.device))
    # Integers and bool by way of a float: torch lacks kernels for some of them on some devices.
    samples = views.wide_on_device(flat).to(torch.float32)
    if views.is_on_host(samples):
        out[...] = samples.numpy()
    else:
        transfers.add(samples, out)


def _elements(flat: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """(n,) elements at flat positions. Those of one byte by their bits: torch cannot index all of them."""
    if flat.element_size() == 1:
        return flat.view(torch.uint8)[positions].view(flat.dtype)
    return flat[positions]


def _gather_plain(
    frame: Frame, quantities: Quantities, addresses: npt.NDArray[np.int64], summed: npt.NDArray[np.bool_]
) -> None:
    """The tensors that have an address, in a few calls however many they are."""
    batch, which = frame.plan.batch, np.flatnonzero(addresses)
    if "statistics" in quantities or "histograms" in quantities:
        histograms = frame.histograms if "histograms" in quantities else None
        batch.measure(which, addresses[which], frame.statistics, histograms)
    batch.take(which, addresses[which], frame.samples)
    added = np.flatnonzero((addresses != 0) & summed)
    if len(added):
        frame.grids.plain = batch.sums(added, addresses[added], with_cells="cells" in quantities)


def _gather_one(frame: Frame, quantities: Quantities, source: Source, is_summed: bool) -> None:
    if "statistics" in quantities or "histograms" in quantities:
        histogram = frame.histograms[source.index] if "histograms" in quantities else None
        measure_tensor(source.tensor, frame.statistics[source.index], histogram, frame.transfers)
    _take_samples(source, frame.samples[source.begin : source.end], frame.transfers)
    if is_summed:
        frame.grids.take(source, frame.transfers)


def _take_samples(source: Source, out: npt.NDArray[np.float32], transfers: Transfers) -> None:
    sample_tensor(source.tensor, source.positions, out, transfers)


def _copy_matrices(frame: Frame) -> None:
    """Whole matrices for the writer thread, as many as fit into `COPIED_BYTES`, smaller ones first."""
    plan, left = frame.plan, COPIED_BYTES
    for index in sorted(plan.places.spectra.places, key=lambda i: plan.tensors[i].size):
        tensor = plan.tensors[index]
        left -= 4 * tensor.size
        if left < 0:
            return
        copy = np.empty(tensor.matrix_shape, np.float32)
        sample_tensor(plan.source_of[index].tensor, None, copy.reshape(-1), frame.transfers)
        frame.matrices[index] = copy


def _take_rows(
    table: torch.Tensor, tokens: Indices, rows: npt.NDArray[np.float32], transfers: Transfers
) -> None:
    """Rows of the token embedding at full width, (K, width) float32."""
    if not views.is_on_host(table) or not views.has_array(table):
        chosen = table.detach()[tokens.on(table.device)].to(torch.float32)
        if views.is_on_host(chosen):
            rows[...] = chosen.numpy()
        else:
            transfers.add(chosen, rows)
        return
    x = views.host_view(table)
    with np.errstate(over="ignore"):
        if len(rows) == len(x):
            rows[...] = x
        elif x.dtype == np.float32 and x.flags.c_contiguous:
            np.take(x, tokens.host, axis=0, out=rows, mode="clip")
        else:
            rows[...] = x[tokens.host]
