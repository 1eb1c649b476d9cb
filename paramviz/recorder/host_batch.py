"""All tensors of a plan that lie in the host's memory as plain float32, read in one call.

A model of experts has thousands of small tensors; a call for each would cost the training
thread more than reading them. What is not plain takes its own way, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from operator import attrgetter
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from paramviz.places import Places
from paramviz.quantities import Quantities
from paramviz.recorder.glance import PLAIN
from paramviz.recorder.sharded.placement import local_of
from paramviz.schema import TensorInfo
from paramviz.statistics import GridSums, ManyGrids, ManySums, measure_many, take_many

Integers = npt.NDArray[np.int64]

_HERE = (torch.strided, torch.float32, True)
_where = attrgetter("layout", "dtype", "is_cpu")


class Sourced(Protocol):
    """What a batch needs to know of a recorded tensor; see `model_plan.Source`."""

    @property
    def index(self) -> int: ...
    @property
    def tensor(self) -> torch.Tensor: ...
    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def edges(self) -> tuple[Integers, Integers] | None: ...


class HostBatch:
    """Where the tensors of a plan, (n,) in its order, have their rows, samples and sums.

    positions: (N + V,) flat indices of all samples. shapes: (n, 2) of the tensors as matrices.
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
        self.shapes = self._norms.shapes
        self.tensors = [s.tensor for s in sources]
        self._place_of_row = np.full(len(tensors), -1, np.int64)
        self._place_of_row[self.rows] = np.arange(len(sources))

    def places_of(self, rows: Integers) -> Integers:
        """Which of the tensors have these rows of the tables; -1 for rows that nothing is recorded of."""
        return self._place_of_row[rows]

    def sizes_at(self, places: Integers) -> Integers:
        """Elements of the tensors at these places; -1, which no tensor has, for a place of -1."""
        return np.append(self.sizes, -1)[places]

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


def addresses_of(tensors: Sequence[torch.Tensor | None], sizes: Integers) -> Integers:
    """(n,) where each begins; 0 for what is not plain contiguous float32 of that many elements here.

    sizes: (n,). Each question is put to all tensors in one call.
    """
    result = np.zeros(len(tensors), np.int64)
    some = [i for i, tensor in enumerate(tensors) if type(tensor) in PLAIN]
    if len(some) < len(tensors):
        tensors = [None if tensor is None else local_of(tensor) for tensor in tensors]
        some = [i for i, tensor in enumerate(tensors) if type(tensor) in PLAIN]
    # What is not strided, or not here, has no address to be asked for.
    are_here = map(_HERE.__eq__, map(_where, [tensors[i] for i in some]))
    where = np.array(list(compress(some, are_here)), np.int64)
    here = [tensors[i] for i in where.tolist()]
    n_elements = np.fromiter(map(torch.Tensor.numel, here), np.int64, len(here))
    is_contiguous = np.fromiter(map(torch.Tensor.is_contiguous, here), bool, len(here))
    is_negated = np.fromiter(map(torch.Tensor.is_neg, here), bool, len(here))
    addresses = np.fromiter(map(torch.Tensor.data_ptr, here), np.int64, len(here))
    result[where] = np.where(is_contiguous & ~is_negated & (n_elements == sizes[where]), addresses, 0)
    return result
