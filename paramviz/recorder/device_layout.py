"""How many tensors of one device and dtype are read together: in chunks, and these in parts.

A chunk is what is widened at a time: some small tensors behind each other, or a piece of a
large one. Parts of one length form a matrix whose rows are reduced at once, so that what is
launched for a chunk does not depend on how many tensors are in it. The parts of a tensor
are put together where the numbers arrive (`combining`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.device_upload import upload

Integers = npt.NDArray[np.int64]
Kind = TypeVar("Kind")

CHUNK = 1 << 22
"""Elements widened at a time: bounds the memory on the device to a few hundred megabytes."""

LENGTHS = (1 << 16, 1 << 12, 1 << 9)
"""Elements of a part. A tensor is cut into the longest that it fills, its rest goes into a last short one."""

KEPT = 64
"""Layouts that are kept with their tables; a model needs a few."""


class Wishes(NamedTuple):
    """What is to be read of some tensors."""

    statistics: bool
    histogram: bool
    samples: bool


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was read, on the device; None for what was not wished.

    parts: (B, 13), the columns of `combining`, of which `owner` (B,) are the tensors;
    counts: (tensors, 64); samples: (S,) float32, and `order` (S,) which sample each is, if
    those of all tensors stand behind each other.
    """

    owner: Integers
    order: Integers
    parts: torch.Tensor | None
    counts: torch.Tensor | None
    samples: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Parts of one length in a chunk: rows [begin, end) of the tables."""

    length: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pieces (tensor, begin, end) behind each other, their parts, and samples [begin, end) of the layout."""

    pieces: tuple[tuple[int, int, int], ...]
    rows: tuple[Rows, ...]
    samples: tuple[int, int]


class Layout:
    """Chunks, parts and samples of tensors of these sizes.

    parts: (B, 3) of each part where it begins in its chunk, how many elements it has, and
    of which tensor they are, `owner` (B,). sampled: (S,) which elements of their chunk are
    samples; `order` (S,) says which sample each is, if those of all tensors stand behind
    each other.
    """

    def __init__(self, sizes: Sequence[int], positions: Sequence[Integers | None]) -> None:
        """positions: of the samples of each tensor, ascending; None for none."""
        chunks, parts, sampled, order = [], [], [], []
        starts = np.cumsum([0, *(0 if at is None else len(at) for at in positions)])
        n_parts = n_samples = 0
        for pieces in _pieces(sizes):
            rows, of_chunk = _rows(pieces, n_parts)
            n_parts += len(of_chunk)
            parts.append(of_chunk)
            before, base = n_samples, 0
            for tensor, begin, end in pieces:
                at = positions[tensor]
                if at is not None:
                    first, last = np.searchsorted(at, [begin, end])
                    sampled.append(at[first:last] - begin + base)
                    order.append(np.arange(first, last) + starts[tensor])
                    n_samples += int(last - first)
                base += end - begin
            chunks.append(Chunk(pieces, rows, (before, n_samples)))
        nothing = np.zeros(0, np.int64)
        self.n_tensors = len(sizes)
        self.chunks = tuple(chunks)
        self.parts = np.concatenate([np.zeros((0, 3), np.int64), *parts])
        self.owner = self.parts[:, 2]
        self.sampled = np.concatenate([nothing, *sampled])
        self.order = np.concatenate([nothing, *order])
        self._copies: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """`parts` as (3, B) and `sampled` on a device; they are brought there once."""
        if device not in self._copies:
            self._copies[device] = upload(self.parts.T, device), upload(self.sampled, device)
        return self._copies[device]


class Sampled(Protocol):
    """Positions of samples, (n,) int64 ascending, known by the object that holds them."""

    @property
    def host(self) -> Integers: ...


class Layouts:
    """The layouts in use, by what they were made of."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}

    def of(
        self,
        kind: Callable[[Sequence[int], Sequence[Integers | None]], Kind],
        sizes: Sequence[int],
        positions: Sequence[Sampled | None],
    ) -> Kind:
        """The layout of a kind, made once. positions: objects that stand for the same ones for ever."""
        key = (kind, tuple(sizes), tuple(positions))
        layout: Kind | None = self._known.pop(key, None)
        if layout is None:
            layout = kind(sizes, [None if at is None else at.host for at in positions])
            while len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
        self._known[key] = layout  # the last used last
        return layout


def flat_chunks(tensors: Sequence[torch.Tensor], layout: Layout) -> Iterator[tuple[Chunk, torch.Tensor]]:
    """Each chunk with its elements, (n,), in the tensors' dtype."""
    flat = [tensor.reshape(-1) for tensor in tensors]
    for chunk in layout.chunks:
        if len(chunk.pieces) == 1:
            tensor, begin, end = chunk.pieces[0]
            yield chunk, flat[tensor][begin:end]
        else:
            yield chunk, _joined([flat[tensor][begin:end] for tensor, begin, end in chunk.pieces])


def part_matrices(
    x_N: torch.Tensor, chunk: Chunk, table_3B: torch.Tensor
) -> Iterator[tuple[Rows, torch.Tensor, torch.Tensor]]:
    """Of each length of parts: (rows, length) elements, and whether they are some.

    What is none is an element all the same, of whatever part.
    """
    for rows in chunk.rows:
        begin_B1, length_B1 = table_3B[:2, rows.begin : rows.end, None]
        lane_K = torch.arange(rows.length, device=x_N.device)
        if x_N.numel():
            index_BK = (begin_B1 + lane_K).clamp(max=x_N.numel() - 1)
            x_BK = elements(x_N, index_BK.reshape(-1)).reshape(index_BK.shape)
        else:
            x_BK = torch.zeros((rows.end - rows.begin, rows.length), device=x_N.device)
        yield rows, x_BK, lane_K < length_B1


def elements(flat_N: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(n,) elements at flat positions. Those of one byte by their bits: torch cannot index all of them."""
    if flat_N.element_size() == 1:
        return flat_N.view(torch.uint8)[index].view(flat_N.dtype)
    return flat_N[index]


def stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """(N, …) tensors of one shape and dtype; of one alone no copy is made."""
    if len(tensors) == 1:
        return tensors[0][None]
    if tensors[0].element_size() == 1:
        return torch.stack([x.view(torch.uint8) for x in tensors]).view(tensors[0].dtype)
    return torch.stack(list(tensors))


def batches(count: int, size: int, most: int = CHUNK) -> Iterator[slice]:
    """So many of `count` tensors of one size at a time as have `most` elements together, at least one."""
    step = max(1, most // max(1, size))
    yield from (slice(begin, begin + step) for begin in range(0, count, step))


def _joined(flat: Sequence[torch.Tensor]) -> torch.Tensor:
    dtype = flat[0].dtype
    if flat[0].element_size() == 1:
        return torch.cat([x.view(torch.uint8) for x in flat]).view(dtype)
    return torch.cat(list(flat))


def _pieces(sizes: Sequence[int]) -> Iterator[tuple[tuple[int, int, int], ...]]:
    """What each chunk consists of, (tensor, begin, end)."""
    waiting: list[tuple[int, int, int]] = []
    filled = 0
    for tensor, size in enumerate(sizes):
        if size >= CHUNK:
            for begin in range(0, size, CHUNK):
                yield ((tensor, begin, min(size, begin + CHUNK)),)
            continue
        if filled + size > CHUNK:
            yield tuple(waiting)
            waiting, filled = [], 0
        waiting.append((tensor, 0, size))
        filled += size
    if waiting:
        yield tuple(waiting)


def _rows(pieces: Sequence[tuple[int, int, int]], first: int) -> tuple[tuple[Rows, ...], Integers]:
    """The parts of a chunk by their length, which begin at row `first` of the tables, and these, (B, 3)."""
    by_length: dict[int, list[tuple[int, int, int]]] = {length: [] for length in LENGTHS}
    base = 0
    for tensor, begin, end in pieces:
        at, stop = base, base + end - begin
        for length in LENGTHS:
            while stop - at >= length:
                by_length[length].append((at, length, tensor))
                at += length
        if at < stop or begin == end:
            by_length[LENGTHS[-1]].append((at, stop - at, tensor))
        base = stop
    rows, parts = [], []
    for length, some in by_length.items():
        if some:
            rows.append(Rows(length, first, first + len(some)))
            first += len(some)
            parts.extend(some)
    return tuple(rows), np.array(parts, np.int64).reshape(-1, 3)
