"""All tensors of a plan that lie in the host's memory as plain float32, read in one call.

A model of experts has thousands of small tensors; a call for each would cost the training
thread more than reading them. What is not plain takes its own way, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from paramviz.places import Places
from paramviz.quantities import Quantities
from paramviz.recorder import views
from paramviz.schema import TensorInfo
from paramviz.statistics import GridSums, ManyGrids, ManySums, measure_many, take_many

Integers = npt.NDArray[np.int64]

_PLAIN = (nn.Parameter, torch.Tensor)


class Sourced(Protocol):
    """What a batch needs to know of a recorded tensor; see `model_plan.Source`."""

    @property
    def index(self) -> int: ...
    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def edges(self) -> tuple[Integers, Integers] | None: ...


class HostBatch:
    """Where the tensors of a plan, (n,) in its order, have their rows, samples and sums.

    positions: (N + V,) flat indices of all samples.
    """

    def __init__(
        self, sources: Sequence[Sourced], tensors: Sequence[TensorInfo], places: Places, positions: Integers
    ) -> None:
        self.positions = positions
        self.rows = np.array([s.index for s in sources], np.int64)
        self.begins = np.array([s.begin for s in sources], np.int64)
        self.ends = np.array([s.end for s in sources], np.int64)
        self.sizes = np.array([tensors[s.index].size for s in sources], np.int64)
        self.has_cells = np.array([s.edges is not None for s in sources], bool)
        self.has_norms = np.array([s.index in places.rows.places for s in sources], bool)
        shapes = [tensors[s.index].matrix_shape for s in sources]
        self._cells = ManyGrids.of(shapes, [s.edges for s in sources])
        self._norms = ManyGrids.of(shapes, [None] * len(shapes))
        self.place_of = {s.index: i for i, s in enumerate(sources)}

    def sizes_at(self, places: Sequence[int]) -> list[int]:
        """Elements of the tensors at these places; -1, which no tensor has, for a place of -1."""
        sizes: list[int] = np.append(self.sizes, -1)[np.array(places, np.int64)].tolist()
        return sizes

    def summed(self, quantities: Quantities) -> npt.NDArray[np.bool_]:
        """(n,) which tensors are summed up in key snapshots."""
        result = np.zeros(len(self.rows), bool)
        if "cells" in quantities:
            result |= self.has_cells
        if "norms" in quantities:
            result |= self.has_norms
        return result

    def measure(
        self,
        which: Integers,
        addresses: Integers,
        statistics: npt.NDArray[np.float64],
        histograms: npt.NDArray[np.uint32] | None,
    ) -> None:
        """Statistics, and histograms unless None, of the tensors `which` at these addresses."""
        measure_many(addresses, self.sizes[which], self.rows[which], statistics, histograms)

    def take(self, which: Integers, addresses: Integers, samples: npt.NDArray[np.float32]) -> None:
        """Their samples into (N + V,) float32."""
        take_many(addresses, self.begins[which], self.ends[which], self.positions, samples)

    def sums(self, which: Integers, addresses: Integers, *, with_cells: bool) -> BatchSums:
        """Their sums, over their cells or as a whole."""
        sums = ManySums(self._cells if with_cells else self._norms)
        sums.add(addresses, which)
        return BatchSums(sums, {int(self.rows[i]): int(i) for i in which})


class BatchSums(Mapping[int, GridSums]):
    """Sums of many tensors by their row; each is made when it is asked for."""

    def __init__(self, sums: ManySums, place_of: Mapping[int, int]) -> None:
        self._sums = sums
        self._place_of = place_of

    def __getitem__(self, row: int) -> GridSums:
        return self._sums[self._place_of[row]]

    def __iter__(self) -> Iterator[int]:
        return iter(self._place_of)

    def __len__(self) -> int:
        return len(self._place_of)


def addresses_of(tensors: Iterable[torch.Tensor | None], sizes: Iterable[int]) -> Integers:
    """(n,) where each begins; 0 for what is not plain contiguous float32 of that many elements here."""
    return np.array([_address(tensor, size) for tensor, size in zip(tensors, sizes, strict=True)], np.int64)


def _address(tensor: torch.Tensor | None, size: int) -> int:
    if (
        tensor is not None
        and tensor.dtype is torch.float32
        and type(tensor) in _PLAIN
        and tensor.layout is torch.strided
        and views.is_on_host(tensor)
        and tensor.numel() == size
        and tensor.is_contiguous()
        and not tensor.is_neg()
    ):
        return tensor.data_ptr()
    return 0
