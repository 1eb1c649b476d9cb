"""Whole tensors summed up on the training thread: cells, norms of rows, columns and heads.

Raw sums of squares leave the training thread; roots, scaling and packing are the writer
thread's. On another device the sums are made there and come over with the samples.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder import views
from paramviz.recorder.device_grid import device_grid, device_groups
from paramviz.recorder.device_layout import batches, stacked
from paramviz.recorder.model_plan import ModelPlan, Source
from paramviz.recorder.transfers import Transfers
from paramviz.statistics import GridSums, group_parts, group_squares, sum_grid, sum_parts, whole_axis

Floats = npt.NDArray[np.float64]
Edges = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


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

    def take(self, sources: Iterable[Source], transfers: Transfers) -> None:
        """Sum up tensors; of those that lie elsewhere the sums are there when `transfers` is finished."""
        summed = [Summed(source.index, source.tensor, source.edges) for source in sources]
        self.others.update(sum_matrices(summed, transfers))

    def take_heads(self, plan: ModelPlan, transfers: Transfers) -> None:
        """Squares of the equal parts of all attention weights, along their stored axes."""
        if plan.whole is not None:
            self._take_shares_of_heads(plan, transfers)
            return
        alike: dict[tuple[Any, ...], list[tuple[int, torch.Tensor]]] = {}
        for index in plan.places.heads.places:
            tensor, x = plan.tensors[index], views.matrix_view(plan.source_of[index].tensor)
            groups = stored_groups(tensor.row_groups, tensor.column_groups, transposed=tensor.transposed)
            if not views.is_on_host(x):
                alike.setdefault((groups, x.shape, x.dtype, x.device), []).append((index, x))
            elif views.has_array(x):
                self.heads[index] = group_squares(views.host_view(x), *groups)
            else:
                self.heads[index] = group_parts(tuple(x.shape), views.parts(x), *groups)
        for (groups, *_), members in alike.items():
            for batch in batches(len(members), members[0][1].numel()):
                some = members[batch]
                squares = device_groups(stacked([x for _, x in some]), *groups)
                transfers.add_and(squares, partial(self._place_heads, [index for index, _ in some]))

    def _take_shares_of_heads(self, plan: ModelPlan, transfers: Transfers) -> None:
        """Of each head what this process holds."""
        summed = [Summed(row, plan.source_of[row].tensor, edges) for row, edges in plan.head_edges.items()]
        self.heads.update({row: sums.squares for row, sums in sum_matrices(summed, transfers).items()})

    def _place_heads(self, indices: Sequence[int], squares: npt.NDArray[Any]) -> None:
        self.heads.update(zip(indices, squares.astype(np.float64), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Summed:
    """A tensor to be summed up over the cells between `edges`, or as one cell. divisor: see `Wanted`."""

    index: int
    tensor: torch.Tensor
    edges: Edges | None = None
    divisor: torch.Tensor | None = None


def sum_matrices(wanted: Iterable[Summed], transfers: Transfers) -> dict[int, GridSums]:
    """The sums of tensors seen as matrices, by row; of those on a device once `transfers` is finished."""
    result: dict[int, GridSums] = {}
    alike: dict[tuple[object, ...], list[tuple[Summed, torch.Tensor]]] = {}
    for one in wanted:
        x = views.matrix_view(one.tensor)
        row_edges, column_edges = _edges(one, x)
        if not views.is_on_host(x):
            cells = (row_edges.tobytes(), column_edges.tobytes())
            alike.setdefault((cells, x.shape, x.dtype, x.device, id(one.divisor)), []).append((one, x))
        elif views.has_array(x):
            result[one.index] = sum_grid(views.host_view(x), row_edges, column_edges)
        else:
            result[one.index] = sum_parts(tuple(x.shape), views.parts(x), row_edges, column_edges)
    for members in alike.values():
        for batch in batches(len(members), members[0][1].numel()):
            result.update(_sum_alike(members[batch], transfers))
    return result


def _sum_alike(members: Sequence[tuple[Summed, torch.Tensor]], transfers: Transfers) -> dict[int, GridSums]:
    """Those of matrices of one shape, with the same edges, on one device."""
    first, x = members[0]
    edges = _edges(first, x)
    divisor = None if first.divisor is None else first.divisor.to(x.device, non_blocking=True)
    sums = [GridSums.zeros(tuple(x.shape), *edges) for _ in members]
    parts = device_grid(stacked([x for _, x in members]), *edges, divisor)
    of_each = zip(
        *((s.n, s.total, s.squares, s.absmax, s.row_squares, s.column_squares) for s in sums), strict=True
    )
    for part, destinations in zip(parts, of_each, strict=True):
        transfers.add_and(part, partial(_place, destinations))
    return {one.index: of for (one, _), of in zip(members, sums, strict=True)}


def _edges(one: Summed, x: torch.Tensor) -> Edges:
    return one.edges or (whole_axis(x.shape[0]), whole_axis(x.shape[1]))


def _place(destinations: Sequence[Floats], numbers: npt.NDArray[Any]) -> None:
    for destination, of_one in zip(destinations, numbers, strict=True):
        destination[...] = of_one


def stored_groups(row_groups: int, column_groups: int, *, transposed: bool) -> tuple[int, int]:
    """Groups along the stored axes; the catalogue counts them along the canonical (out, in)."""
    return (column_groups, row_groups) if transposed else (row_groups, column_groups)
