"""Whole tensors summed up on the training thread: cells, norms of rows, columns and heads.

Raw sums of squares leave the training thread; roots, scaling and packing are the writer
thread's. On another device the sums are made there and come over with the samples.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder import views
from paramviz.recorder.device_grid import device_grid, device_groups
from paramviz.recorder.model_plan import ModelPlan, Source
from paramviz.recorder.transfers import Transfers
from paramviz.statistics import GridSums, group_parts, group_squares, sum_grid, sum_parts, whole_axis

Floats = npt.NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Grids:
    """Sums of one snapshot's tensors by their row: grids of whole tensors, squares of heads (R, C)."""

    plain: Mapping[int, GridSums] = field(default_factory=dict)
    others: dict[int, GridSums] = field(default_factory=dict)
    heads: dict[int, Floats] = field(default_factory=dict)

    @property
    def tensors(self) -> Mapping[int, GridSums]:
        """Of all tensors: those that were summed up in one call, and the others."""
        return ChainMap(self.others, self.plain)  # type: ignore[arg-type]  # nothing is written to it

    def take(self, source: Source, transfers: Transfers) -> None:
        """Sum up a tensor; of what lies elsewhere the sums are there when `transfers` is finished."""
        self.others[source.index] = sum_matrix(source.tensor, source.edges, transfers)

    def take_heads(self, plan: ModelPlan, source: Source, transfers: Transfers) -> None:
        """Squares of the equal parts of an attention weight, along its stored axes."""
        tensor = plan.tensors[source.index]
        groups = stored_groups(tensor.row_groups, tensor.column_groups, transposed=tensor.transposed)
        x = views.matrix_view(source.tensor)
        if views.is_on_host(source.tensor) and views.has_array(source.tensor):
            self.heads[source.index] = group_squares(views.host_view(x), *groups)
        elif views.is_on_host(source.tensor):
            self.heads[source.index] = group_parts(tuple(x.shape), views.parts(x), *groups)
        else:
            squares = np.zeros(groups)
            transfers.add(device_groups(x, *groups), squares)
            self.heads[source.index] = squares


def sum_matrix(
    tensor: torch.Tensor,
    edges: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None,
    transfers: Transfers,
) -> GridSums:
    """The sums of a tensor seen as a matrix, over the cells between `edges`, or as one cell."""
    x = views.matrix_view(tensor)
    shape = tuple(x.shape)
    row_edges, column_edges = edges or (whole_axis(shape[0]), whole_axis(shape[1]))
    if views.is_on_host(tensor) and views.has_array(tensor):
        return sum_grid(views.host_view(x), row_edges, column_edges)
    if views.is_on_host(tensor):
        return sum_parts(shape, views.parts(x), row_edges, column_edges)
    sums = GridSums.zeros(shape, row_edges, column_edges)
    destinations = (sums.n, sums.total, sums.squares, sums.absmax, sums.row_squares, sums.column_squares)
    for part, destination in zip(device_grid(x, row_edges, column_edges), destinations, strict=True):
        transfers.add(part, destination)
    return sums


def stored_groups(row_groups: int, column_groups: int, *, transposed: bool) -> tuple[int, int]:
    """Groups along the stored axes; the catalogue counts them along the canonical (out, in)."""
    return (column_groups, row_groups) if transposed else (row_groups, column_groups)
