"""Where the part of a DTensor lies that one process holds: some rows times some columns of the whole.

Seen as a matrix (`shape[0]` times the rest) the part of any sharding is a submatrix. This
follows from the mesh and the placements, so that every process knows the parts of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn

Index = npt.NDArray[np.int64]
Edges = tuple[Index, Index]

_PLAIN = (nn.Parameter, torch.Tensor)

_Indices = range | Index
"""Indices along one dimension, ascending."""


class Axis:
    """The rows (or columns) of a whole matrix that belong to a part, ascending."""

    def __init__(self, indices: _Indices) -> None:
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def span(self) -> slice | Index:
        """What takes them out of an array of all rows."""
        own = self._indices
        return slice(own.start, own.stop) if isinstance(own, range) else own

    def among(self, chosen: Index) -> tuple[Index, Index]:
        """Which of some rows of the whole, ascending, are here, and where here. (n,) and (n,)."""
        where = self._first_at_or_behind(chosen)
        here = np.flatnonzero((where < len(self)) & (self._at(where) == chosen))
        return here, where[here]

    def cut(self, edges: Index) -> tuple[Index, Index]:
        """Which of the cells between edges of the whole are here, (n,), and the edges here, (n + 1,)."""
        here = self._first_at_or_behind(edges)
        cells = np.flatnonzero(np.diff(here))
        return cells, np.append(here[:-1][cells], len(self))

    def _first_at_or_behind(self, rows: Index) -> Index:
        own = self._indices
        if isinstance(own, range):
            return np.clip(rows, own.start, own.stop) - own.start
        return np.searchsorted(own, rows).astype(np.int64)

    def _at(self, where: Index) -> Index:
        own = self._indices
        if isinstance(own, range):
            return where + own.start
        return own[np.minimum(where, len(own) - 1)] if len(own) else where


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The elements of a tensor that one process answers for, as it holds them."""

    shape: tuple[int, ...]
    rows: Axis
    columns: Axis

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def is_spread(tensor: torch.Tensor) -> bool:
    """Whether it is a DTensor: one tensor of several processes."""
    return type(tensor) not in _PLAIN and hasattr(tensor, "device_mesh")


def placements_of(tensor: torch.Tensor) -> tuple[Any, ...] | None:
    """How a DTensor is spread; None for other tensors."""
    return tuple(tensor.placements) if is_spread(tensor) else None  # type: ignore[attr-defined]


def ranks_of(tensor: torch.Tensor) -> frozenset[int]:
    """The processes that a DTensor is spread over."""
    return frozenset(_coordinates(tensor.device_mesh))  # type: ignore[attr-defined]


def local_of(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a DTensor, in the same memory; any other tensor as it is."""
    if not is_spread(tensor):
        return tensor
    with torch.no_grad():
        local: torch.Tensor = tensor.to_local()  # type: ignore[attr-defined]
    # A collective that training has begun may be under way to it.
    wait = getattr(local, "wait", None)
    return local if wait is None else wait()


def is_whole(tensor: torch.Tensor) -> bool:
    """Whether this process holds all of a tensor."""
    return all(map(_is_whole, placements_of(tensor) or ()))


def is_alike(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether each process holds the same elements of both."""
    return placements_of(tensor) == placements_of(other)


def why_not_placed(tensor: torch.Tensor) -> str | None:
    """Why the parts of a DTensor cannot be told, in a sentence for the catalogue; None if they can."""
    for placement in placements_of(tensor) or ():
        if not (_is_strided(placement) or placement.is_shard() or placement.is_replicate()):
            return f"is a DTensor that is {placement} in each process, and only all of them know its elements"
    shape = tuple(tensor.shape)
    rank = distributed.get_rank()
    held = _held(shape, tensor.device_mesh, placements_of(tensor), rank)  # type: ignore[attr-defined]
    if held is None or tuple(map(len, held)) != tuple(local_of(tensor).shape):
        return f"is a DTensor that is {placements_of(tensor)}, in which order is not known"
    return None


def part_of(tensor: torch.Tensor, rank: int) -> Part | None:
    """What `rank` answers for; None if that is nothing.

    Of processes that hold the same the first one does; for a tensor that is no DTensor, rank 0. If
    it has no part itself, these are copies of a tensor that it has a part of, or it knows nothing of them.
    A complex tensor has a last axis of (real, imaginary).
    """
    shape = tuple(tensor.shape)
    if not is_spread(tensor):
        return _as_matrix(_whole(shape), shape, tensor.is_complex()) if rank == 0 else None
    mesh, placements = tensor.device_mesh, placements_of(tensor)  # type: ignore[attr-defined]
    places = _coordinates(mesh)
    place = places.get(rank)
    if (
        place is None
        or 0 not in places
        or any(at for at, kind in zip(place, placements or (), strict=True) if _is_whole(kind))
    ):
        return None
    held = _held(shape, mesh, placements, rank)
    return None if held is None else _as_matrix(held, shape, tensor.is_complex())


def _is_strided(placement: Any) -> bool:
    return hasattr(placement, "split_factor")


def _is_whole(placement: Any) -> bool:
    return not _is_strided(placement) and placement.is_replicate()


def _whole(shape: Sequence[int]) -> tuple[_Indices, ...]:
    return tuple(range(extent) for extent in shape)


@lru_cache(maxsize=64)
def _coordinates(mesh: Any) -> dict[int, tuple[int, ...]]:
    """Where in a mesh each rank is."""
    ranks = mesh.mesh.cpu().numpy()
    return {int(rank): place for place, rank in np.ndenumerate(ranks)}


@lru_cache(maxsize=4096)
def _held(shape: tuple[int, ...], mesh: Any, placements: Any, rank: int) -> tuple[_Indices, ...] | None:
    """The indices along each dimension that a rank holds; None if it is not in the mesh."""
    place = _coordinates(mesh).get(rank)
    if place is None:
        return None
    held = list(_whole(shape))
    for at, count, placement in zip(place, mesh.shape, placements, strict=True):
        if _is_whole(placement):
            continue
        if _is_strided(placement):
            # Cut by a dimension of the mesh that comes later, and each piece again by this one.
            pieces = _pieces(held[placement.dim], placement.split_factor)
            parts = [np.asarray(_pieces(piece, count)[at], np.int64) for piece in pieces]
            held[placement.dim] = _simplest(np.concatenate(parts))
        else:
            held[placement.dim] = _pieces(held[placement.dim], count)[at]
    return tuple(map(_simplest, held))


def _pieces(indices: _Indices, count: int) -> list[_Indices]:
    """As `torch.chunk` cuts, with empty ones at the end."""
    step = -(-len(indices) // count)
    return [indices[k * step : (k + 1) * step] for k in range(count)]


def _simplest(indices: _Indices) -> _Indices:
    if isinstance(indices, range) or not len(indices) or indices[-1] - indices[0] + 1 != len(indices):
        return indices
    return range(int(indices[0]), int(indices[-1]) + 1)


def _as_matrix(held: Sequence[_Indices], shape: Sequence[int], is_complex: bool) -> Part:
    if is_complex:
        held, shape = (*held, range(2)), (*shape, 2)
    # Seen as a matrix, a vector is one row.
    rows = held[0] if len(shape) > 1 else range(1)
    columns = _ravelled(held[1:], shape[1:]) if len(shape) > 1 else (*held, range(1))[0]
    return Part(tuple(map(len, held)), Axis(rows), Axis(columns))


def _ravelled(held: Sequence[_Indices], shape: Sequence[int]) -> _Indices:
    """Flat indices into the last dimensions, row-major."""
    first, inner = held[0], math.prod(shape[1:])
    is_whole = all(len(part) == extent for part, extent in zip(held[1:], shape[1:], strict=True))
    if isinstance(first, range) and is_whole:
        return range(first.start * inner, first.stop * inner)
    flat = np.asarray(first, np.int64)
    for part, extent in zip(held[1:], shape[1:], strict=True):
        flat = (flat[:, None] * extent + np.asarray(part, np.int64)).ravel()
    return _simplest(flat)
