"""What a snapshot tells beyond samples and statistics, one tensor at a time.

Most of it is in key snapshots only, and each can be switched off: then asking for it
raises NotRecordedError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from paramviz.errors import NotRecordedError
from paramviz.places import Indices, Packing, normed_columns, normed_rows
from paramviz.scaled import from_scaled
from paramviz.schema import TensorInfo, histogram_edges
from paramviz.store import layout

if TYPE_CHECKING:
    from paramviz.store.snapshot import StoredSnapshot

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]
Of = Literal["values", "gradient"]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A whole tensor seen as a matrix, summed up over R x C cells; each holds one sample of the grid.

    mean, rms, absmax: (R, C) float32. Cell (r, c) is made of the rows row_edges[r] to
    row_edges[r + 1] and the columns column_edges[c] to column_edges[c + 1], which it has
    no more.
    """

    mean: Floats
    rms: Floats
    absmax: Floats
    row_edges: npt.NDArray[np.int64]
    column_edges: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Norms:
    """Norms of rows or columns of a tensor seen as a matrix: norms (n,) float32 of those at indices (n,)."""

    indices: npt.NDArray[np.int64]
    norms: Floats


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingView:
    """What a key snapshot says of the recorded rows of the token embedding.

    sketch: (K, 128) float32, the rows times the plan's orthogonal basis; variance: the
    exact total variance of the rows; neighbours: (Q, 10) token numbers, the nearest of the
    recorded ones to each of the plan's `neighbour_tokens` at full width, and distances
    (Q, 10) float32. -1 and NaN where there are fewer.
    """

    sketch: Floats
    variance: float
    neighbours: npt.NDArray[np.int32]
    distances: Floats


class Quantities:
    """The accessors of one snapshot; `StoredSnapshot` answers with them."""

    def __init__(self, snapshot: StoredSnapshot) -> None:
        self._snapshot = snapshot
        self._plan = snapshot.plan
        self._places = snapshot.places

    def samples(self, tensor: TensorInfo, of: Literal["gradient", "update"]) -> Floats:
        """(samples,) of the gradient or of the update, at the positions of the values."""
        frozen = tensor.samples > 0 and tensor.index not in self._places.moving.places
        if frozen:
            raise NotRecordedError(
                f"{self._snapshot}: {tensor.name} does not change, so it has no {of} samples.",
                path=self._snapshot.path,
            )
        exponents = self._snapshot.cached(f"{of}_exponents")
        part = self._part(f"{of}_values", self._places.moving, tensor)
        return from_scaled(part, int(exponents[tensor.index])).reshape(-1)

    def cells(self, tensor: TensorInfo) -> Cells:
        if tensor.samples == tensor.size:
            return self._whole(tensor)
        n_rows = tensor.grid[0]
        place = self._places.cells.places[tensor.index]
        exponents = self._snapshot.cached("cell_exponents")[place.entry]
        mean, rms, absmax = (
            from_scaled(self._part(key, self._places.cells, tensor), int(exponent))
            for key, exponent in zip(layout.CELL_ARRAYS, exponents, strict=True)
        )
        edges = self._plan.cell_edges[self._places.edges.places[tensor.index].span]
        return Cells(mean, rms, absmax, edges[: n_rows + 1], edges[n_rows + 1 :])

    def row_norms(self, tensor: TensorInfo, of: Of) -> Norms:
        norms = self._norms(tensor, of, 0)
        return Norms(
            _or_all(normed_rows(tensor, self._plan.embedding, self._sampled(tensor)[0]), norms), norms
        )

    def column_norms(self, tensor: TensorInfo, of: Of) -> Norms:
        norms = self._norms(tensor, of, 1)
        return Norms(_or_all(normed_columns(tensor, self._sampled(tensor)[1]), norms), norms)

    def row_norm_histogram(
        self, tensor: TensorInfo
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
        """(counts (64,), edges (65,)) of the norms of all rows, where there are too many to keep each."""
        place = self._places.long.places.get(tensor.index)
        if place is None:
            raise self._has_none(tensor, "histogram of its rows' norms: each has a norm of its own")
        return self._snapshot.cached("row_norm_histograms")[place.entry], histogram_edges()

    def head_norms(self, tensor: TensorInfo) -> Floats:
        """(heads,) or, of a fused Q, K, V, (3, heads)."""
        place = self._places.heads.places.get(tensor.index)
        if place is None:
            raise self._has_none(tensor, "heads")
        norms: Floats = self._snapshot.cached("head_norms")[place.span].reshape(place.shape)
        return norms

    def singular_values(self, tensor: TensorInfo) -> Floats:
        """(min(rows, columns),) descending; NaN where they were not computed."""
        if tensor.index not in self._places.spectra.places:
            raise self._has_none(tensor, "singular values: it is no matrix")
        return self._part("spectrum", self._places.spectra, tensor).astype(np.float32)

    def embedding(self) -> EmbeddingView:
        table = self._snapshot.table
        return EmbeddingView(
            table("embedding_sketch").astype(np.float32),
            float(table("embedding_variance")[0]),
            table("embedding_neighbours"),
            table("embedding_distances"),
        )

    def _norms(self, tensor: TensorInfo, of: Of, axis: int) -> Floats:
        packing = (self._places.rows, self._places.columns)[axis]
        place = packing.places.get(tensor.index)
        if place is None:
            raise self._has_none(tensor, "rows and columns")
        which = axis + (2 if of == "gradient" else 0)
        exponent = int(self._snapshot.cached("norm_exponents")[place.entry, which])
        return from_scaled(self._part(layout.NORM_ARRAYS[which], packing, tensor), exponent)

    def _part(self, key: str, packing: Packing, tensor: TensorInfo) -> Array:
        place = packing.places[tensor.index]
        return self._snapshot.rows_of(key, place.offset, place.size).reshape(place.shape)

    def _sampled(self, tensor: TensorInfo) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(R,) rows and (C,) columns of the samples."""
        positions = self._plan.positions if tensor.array == "values" else self._plan.vector_positions
        own = positions[tensor.offset : tensor.offset + tensor.samples].reshape(tensor.grid)
        columns = tensor.matrix_shape[1]
        return own[:, 0] // columns, own[0] % columns

    def _whole(self, tensor: TensorInfo) -> Cells:
        """Of a tensor that is kept whole each sample is a cell."""
        values = self._snapshot.values(tensor.name).astype(np.float32).reshape(tensor.grid)
        magnitude = np.abs(values)
        edges = [np.arange(n + 1, dtype=np.int64) for n in tensor.grid]
        return Cells(values, magnitude, magnitude, *edges)

    def _has_none(self, tensor: TensorInfo, what: str) -> NotRecordedError:
        return NotRecordedError(
            f"{self._snapshot}: {tensor.name} ({tensor.role}, {tensor.shape}) has no {what}.",
            path=self._snapshot.path,
        )


def _or_all(indices: Indices | None, norms: Floats) -> Indices:
    return np.arange(len(norms), dtype=np.int64) if indices is None else indices
