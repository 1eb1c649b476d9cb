"""Many arrays in one call, named by their addresses: what thousands of small tensors need.

Every address is that of contiguous float32 in native byte order which the caller keeps
alive. Results are those of `measure` and `sum_grid`, to rounding: of cells, rows and columns to float32's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paramviz.statistics.engines import current_engine
from paramviz.statistics.grid import GridSums, whole_axis

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def measure_many(
    addresses: Integers,
    sizes: Integers,
    rows: Integers,
    statistics_out: Floats,
    histograms_out: npt.NDArray[np.uint32] | None,
) -> None:
    """Statistics, and histograms unless None, of arrays into their rows of tables.

    addresses, sizes, rows: (n,). statistics_out: (tensors, 14) float64; histograms_out: (tensors, 64).
    """
    current_engine().measure_many(addresses, sizes, rows, statistics_out, histograms_out)


def take_many(
    addresses: Integers,
    begins: Integers,
    ends: Integers,
    positions: Integers,
    out: npt.NDArray[np.float32],
) -> None:
    """Samples of arrays: of each those at `positions[begin:end]`, into `out[begin:end]`.

    addresses, begins, ends: (n,); the positions of each array ascend.
    """
    current_engine().take_many(addresses, begins, ends, positions, out)


def moments_many(
    firsts: Integers, seconds: Integers, sizes: Integers, rows: Integers, settings: Floats, out: Floats
) -> None:
    """`moment1_norm`, `moment2_rms`, `epsilon_share` of pairs of moments into rows of out, (tensors, 3).

    firsts, seconds: (n,) addresses of both moments; settings: (n, 3) what both are
    divided by to correct their bias, and epsilon.
    """
    current_engine().moments_many(firsts, seconds, sizes, rows, settings, out)


def gram_many(addresses: Integers, shapes: Integers, offsets: Integers, out: Floats) -> None:
    """Of each matrix the smaller of XᵀX and XXᵀ, its lower triangle row by row from its offset into out.

    addresses, offsets: (n,); shapes: (n, 2); out: float64.
    """
    current_engine().gram_many(addresses, shapes, offsets, out)


@dataclass(frozen=True, slots=True, eq=False)
class ManyGrids:
    """Where the sums of many matrices lie in flat arrays.

    shapes: (n, 2); edges: those of all matrices; edge_ends: (n, 3) where a matrix's row
    edges begin, its column edges begin, and both end; offsets: (n, 3) of its cells, rows and
    columns; lengths: of all cells, rows and columns.
    """

    shapes: Integers
    edges: Integers
    edge_ends: Integers
    offsets: Integers
    lengths: tuple[int, int, int]

    @classmethod
    def of(
        cls, shapes: Sequence[tuple[int, int]], edges: Sequence[tuple[Integers, Integers] | None]
    ) -> ManyGrids:
        """edges: as in `sum_grid`; None for one cell."""
        every = [
            pair or (whole_axis(shape[0]), whole_axis(shape[1]))
            for shape, pair in zip(shapes, edges, strict=True)
        ]
        counts = np.array([[len(rows), len(columns)] for rows, columns in every], np.int64).reshape(-1, 2)
        extents = np.array(shapes, np.int64).reshape(-1, 2)
        sizes = np.column_stack([(counts - 1).prod(axis=1), extents])
        ends, middles = counts.sum(axis=1).cumsum(), counts[:, 0]
        starts = ends - counts.sum(axis=1)
        rows_of, columns_of = sizes.sum(axis=0).tolist()[1:]
        return cls(
            shapes=extents,
            edges=np.concatenate([np.zeros(0, np.int64), *(edge for pair in every for edge in pair)]),
            edge_ends=np.column_stack([starts, starts + middles, ends]),
            offsets=sizes.cumsum(axis=0) - sizes,
            lengths=(int(sizes[:, 0].sum()), rows_of, columns_of),
        )


class ManySums:
    """The sums of many matrices, in flat arrays.

    Summed in float64, and kept as what float32 holds at any scale: means and roots of means. The cells, rows
    and columns of a large model are millions. counts: (cells,) finite elements; cells: (3, cells)
    mean, rms and largest magnitude.
    """

    def __init__(self, layout: ManyGrids) -> None:
        self._layout = layout
        n_cells, n_rows, n_columns = layout.lengths
        self.counts, self.cells = np.zeros(n_cells, np.uint32), np.zeros((3, n_cells), np.float32)
        self.row_rms, self.column_rms = np.zeros(n_rows, np.float32), np.zeros(n_columns, np.float32)

    def add(self, addresses: Integers, which: Integers) -> None:
        """Sum up the matrices that `which` names, (n,), at these addresses."""
        layout = self._layout
        current_engine().sum_many(
            addresses,
            layout.shapes[which],
            layout.edges,
            layout.edge_ends[which],
            layout.offsets[which],
            self.counts,
            self.cells,
            self.row_rms,
            self.column_rms,
        )

    def __getitem__(self, matrix: int) -> GridSums:
        """A matrix's own."""
        layout = self._layout
        rows, columns = layout.shapes[matrix].tolist()
        start, middle, end = layout.edge_ends[matrix].tolist()
        grid = (middle - start - 1, end - middle - 1)
        in_cells, in_rows, in_columns = layout.offsets[matrix].tolist()
        span = slice(in_cells, in_cells + grid[0] * grid[1])
        n, mean, rms, largest = (
            part[span].astype(np.float64).reshape(grid) for part in (self.counts, *self.cells)
        )
        return GridSums(
            n,
            n * mean,
            n * np.square(rms),
            largest,
            columns * np.square(self.row_rms[in_rows : in_rows + rows], dtype=np.float64),
            rows * np.square(self.column_rms[in_columns : in_columns + columns], dtype=np.float64),
        )
