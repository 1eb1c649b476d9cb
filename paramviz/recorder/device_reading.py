"""Statistics, histograms, samples of many tensors on devices: launches do not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder import device_triton, views
from paramviz.recorder.device_layout import (
    Found,
    Layout,
    Layouts,
    Sampled,
    Wishes,
    elements,
    flat_chunks,
    part_matrices,
)
from paramviz.recorder.device_statistics import (
    BINS,
    accumulation_dtype,
    count_bins,
    divided,
    tally_rows,
)
from paramviz.recorder.transfers import Transfers
from paramviz.schema import HISTOGRAM_BINS
from paramviz.statistics.combining import statistics_of

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """A tensor on a device, and where its numbers go once they have arrived.

    statistics: (14,) float64; histogram: (64,) uint32; samples: (n,) float32, those at
    `positions` or all; beyond its range they become inf. None for what is not wanted.
    divisor: 0-d, what all elements are divided by before.
    """

    tensor: torch.Tensor
    statistics: Array | None = None
    histogram: Array | None = None
    samples: Array | None = None
    positions: Sampled | None = None
    divisor: torch.Tensor | None = None


class _Whole:
    """All positions of a tensor of this size; equal ones are one."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __hash__(self) -> int:
        return hash(self.size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Whole) and other.size == self.size

    @property
    def host(self) -> npt.NDArray[np.int64]:
        return np.arange(self.size)


def read_all(wanted: Iterable[Wanted], layouts: Layouts, transfers: Transfers) -> None:
    """Read tensors together that have device, dtype, divisor and wishes in common."""
    alike: dict[tuple[Any, ...], list[Wanted]] = {}
    for one in wanted:
        one = replace(one, tensor=views.as_real(one.tensor.detach()))
        wishes = Wishes(one.statistics is not None, one.histogram is not None, one.samples is not None)
        key = (wishes, one.tensor.device, one.tensor.dtype, id(one.divisor))
        alike.setdefault(key, []).append(one)
    for (wishes, *_), members in alike.items():
        _read(members, wishes, layouts, transfers)


def _read(wanted: Sequence[Wanted], wishes: Wishes, layouts: Layouts, transfers: Transfers) -> None:
    tensors = [one.tensor for one in wanted]
    sizes = [tensor.numel() for tensor in tensors]
    sampled = [_sampled(one) for one in wanted]
    divisor = wanted[0].divisor
    if divisor is not None:
        divisor = divisor.to(tensors[0].device, non_blocking=True)
    found = device_triton.read(tensors, sizes, sampled, wishes, divisor, layouts)
    if found is None:
        found = read_in_torch(tensors, layouts.of(Layout, sizes, sampled), wishes, divisor)
    if found.parts is not None:
        statistics = [one.statistics for one in wanted]
        transfers.add_and(found.parts, partial(_place_statistics, statistics, found.owner))
    if found.counts is not None:
        transfers.add_and(found.counts, partial(_place_histograms, [one.histogram for one in wanted]))
    if found.samples is not None:
        samples = [one.samples for one in wanted]
        transfers.add_and(found.samples, partial(_place_samples, samples, found.order))


def read_in_torch(
    tensors: Sequence[torch.Tensor], layout: Layout, wishes: Wishes, divisor: torch.Tensor | None = None
) -> Found:
    """Chunk by chunk, each element widened once; see `device_layout`."""
    device = tensors[0].device
    wide = accumulation_dtype(device)
    table_3B, sampled_S = layout.on(device)
    tallies, samples = [], []
    counts = torch.zeros(len(tensors) * BINS, dtype=torch.int64, device=device)
    for chunk, x_N in flat_chunks(tensors, layout):
        begin, end = chunk.samples
        if wishes.samples and begin < end:
            chosen = elements(x_N, sampled_S[begin:end])
            # Integers and bool by way of a float: torch lacks kernels for some of them on some devices.
            samples.append(divided(views.wide_on_device(chosen), divisor).to(torch.float32))
        if not (wishes.statistics or wishes.histogram):
            continue
        for rows, x_BK, is_element_BK in part_matrices(x_N, chunk, table_3B):
            v_BK = divided(x_BK, divisor).to(wide)
            if wishes.statistics:
                tallies.append(tally_rows(v_BK, is_element_BK))
            if wishes.histogram:
                count_bins(v_BK, is_element_BK, table_3B[2, rows.begin : rows.end], counts)
    return Found(
        owner=layout.owner,
        order=layout.order,
        parts=torch.cat(tallies) if wishes.statistics else None,
        counts=counts.reshape(-1, BINS)[:, :HISTOGRAM_BINS] if wishes.histogram else None,
        samples=torch.cat(samples) if samples else None,
    )


def _sampled(one: Wanted) -> Sampled | None:
    if one.samples is None:
        return None
    return _Whole(one.tensor.numel()) if one.positions is None else one.positions


def _place_statistics(places: Sequence[Array | None], owner: Array, parts_BT: Array) -> None:
    for place, row in zip(places, statistics_of(parts_BT, owner, len(places)), strict=True):
        assert place is not None
        place[...] = row


def _place_histograms(places: Sequence[Array | None], counts: Array) -> None:
    """A bin of more than 2**32 - 1 elements stops there."""
    for place, row in zip(places, np.minimum(counts, np.iinfo(np.uint32).max), strict=True):
        assert place is not None
        place[...] = row


def _place_samples(places: Sequence[Array | None], order: Array, samples_S: Array) -> None:
    in_order = np.empty_like(samples_S)
    in_order[order] = samples_S
    begin = 0
    for place in places:
        assert place is not None
        place[...] = in_order[begin : begin + place.size].reshape(place.shape)
        begin += place.size
