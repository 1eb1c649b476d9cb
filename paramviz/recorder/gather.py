"""From tensors to numbers: samples and statistics of the whole, taken where the tensor lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.quantities import Quantities
from paramviz.recorder import views
from paramviz.recorder.device_layout import Layouts, Sampled, elements
from paramviz.recorder.device_reading import Wanted, read_all
from paramviz.recorder.device_statistics import divided
from paramviz.recorder.device_upload import Indices
from paramviz.recorder.frames import Frame
from paramviz.recorder.grids import Grids
from paramviz.recorder.host_batch import addresses_of
from paramviz.recorder.model_plan import ModelPlan, Source
from paramviz.recorder.sharded.placement import local_of
from paramviz.recorder.singular import SingularValues
from paramviz.recorder.transfers import Transfers
from paramviz.schema import MOMENT_KEYS
from paramviz.statistics import measure, measure_parts

COPIED_BYTES = 128 << 20
"""Of whole matrices that wait for their singular values."""

_OF_WHOLE = frozenset({"sigma_max", "singular_values"})
"""What cannot be told of a part."""


def gather(frame: Frame, quantities: Quantities, singular: SingularValues) -> None:
    """Fill a frame from the tensors of its plan. Nothing waits for a device."""
    plan, transfers = frame.plan, frame.transfers
    frame.grids = Grids()
    if plan.whole is not None:
        quantities -= _OF_WHOLE
    with torch.no_grad():
        addresses = addresses_of(plan.batch.tensors, plan.batch.sizes)
        if frame.tier == "key" and "sigma_max" in quantities:
            # First: what it takes meanwhile is given back before the sums take as much.
            singular.measure(plan, addresses, frame.sigma_max, transfers)
        summed = plan.batch.summed(quantities) & (frame.tier == "key")
        _gather_plain(frame, quantities, addresses, summed)
        others = np.flatnonzero(addresses == 0)
        _gather_others(frame, quantities, [plan.sources[i] for i in others])
        frame.grids.take([plan.sources[i] for i in others if summed[i]], transfers)
        if "head_norms" in quantities:
            frame.grids.take_heads(plan, transfers)
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
    wanted = (
        Wanted(source.tensor, samples=samples[source.begin : source.end], positions=source.positions)
        for source in plan.frozen_sources
    )
    with torch.no_grad():
        read(wanted, plan.layouts, transfers)
    transfers.start()
    transfers.finish()
    return samples


def plain_gradient(gradient: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """A gradient as a dense tensor, divided by `scale` (0-d) if it is still scaled."""
    gradient = local_of(gradient.detach())
    if gradient.layout != torch.strided:
        gradient = gradient.to_dense()
    gradient = views.as_real(gradient)
    if scale is None:
        return gradient
    return divided(gradient, scale.to(gradient.device, non_blocking=True))


def read(wanted: Iterable[Wanted], layouts: Layouts, transfers: Transfers) -> None:
    """Statistics and samples of tensors: of those here one by one, of those on a device together."""
    elsewhere = []
    for one in wanted:
        if views.is_on_host(one.tensor):
            measure_here(one.tensor, one.statistics, one.histogram)
            sample_here(one.tensor, one.samples, one.positions)
        else:
            elsewhere.append(one)
    read_all(elsewhere, layouts, transfers)


def measure_here(
    tensor: torch.Tensor, statistics: npt.NDArray[Any] | None, histogram: npt.NDArray[Any] | None
) -> None:
    """Statistics into (14,) float64 and a histogram into (64,), of a tensor of the host."""
    if statistics is None and histogram is None:
        return
    statistics = np.empty(len(MOMENT_KEYS)) if statistics is None else statistics
    if views.has_array(tensor):
        measure(views.host_view(tensor), statistics, histogram)
    else:
        measure_parts(views.parts(views.matrix_view(tensor)), statistics, histogram)


def sample_here(
    tensor: torch.Tensor, samples: npt.NDArray[np.float32] | None, positions: Sampled | None
) -> None:
    """Elements at flat positions (all if None) as float32; beyond its range they become inf."""
    if samples is None:
        return
    at = None if positions is None else positions.host
    if views.has_array(tensor):
        views.samples_of(views.host_view(tensor), at, samples)
        return
    flat = views.as_real(tensor.detach()).reshape(-1)
    if at is not None:
        flat = elements(flat, torch.from_numpy(at))
    samples[...] = views.wide_on_device(flat).to(torch.float32).numpy()


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


def _gather_others(frame: Frame, quantities: Quantities, sources: Sequence[Source]) -> None:
    """Those that are not plain float32 of the host."""
    statistics, histograms = "statistics" in quantities, "histograms" in quantities
    wanted = (
        Wanted(
            source.tensor,
            frame.statistics[source.index] if statistics or histograms else None,
            frame.histograms[source.index] if histograms else None,
            frame.samples[source.begin : source.end],
            source.positions,
        )
        for source in sources
    )
    read(wanted, frame.plan.layouts, frame.transfers)


def _copy_matrices(frame: Frame) -> None:
    """Whole matrices for the writer thread, as many as fit into `COPIED_BYTES`, smaller ones first."""
    plan, left, wanted = frame.plan, COPIED_BYTES, []
    for index in sorted(plan.places.spectra.places, key=lambda i: plan.tensors[i].size):
        tensor = plan.tensors[index]
        left -= 4 * tensor.size
        if left < 0:
            break
        frame.matrices[index] = copy = np.empty(tensor.matrix_shape, np.float32)
        wanted.append(Wanted(plan.source_of[index].tensor, samples=copy.reshape(-1)))
    read(wanted, plan.layouts, frame.transfers)


def _take_rows(
    table: torch.Tensor, tokens: Indices, rows: npt.NDArray[np.float32], transfers: Transfers
) -> None:
    """Rows of the token embedding at full width, (K, width) float32."""
    table = local_of(table)
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
