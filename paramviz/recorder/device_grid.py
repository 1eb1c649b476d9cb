"""The sums of `paramviz.statistics.grid` on another device, in torch, without a synchronisation.

Of several matrices of one shape at once, so what is launched depends on how many shapes a
model has, and not on how many tensors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.device_layout import CHUNK
from paramviz.recorder.device_statistics import accumulation_dtype, divided
from paramviz.recorder.device_upload import upload

Edges = npt.NDArray[np.int64]


def device_grid(
    x_NRC: torch.Tensor, row_edges: Edges, column_edges: Edges, divisor: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """(n, total, squares, absmax) of the cells, (N, R, C) each, then the squares of rows and of columns.

    divisor: 0-d, what all elements are divided by before.
    """
    device, wide = x_NRC.device, accumulation_dtype(x_NRC.device)
    n_matrices, rows, columns = x_NRC.shape
    cells = (n_matrices, len(row_edges) - 1, len(column_edges) - 1)
    row_cell, column_cell = _cell_of(row_edges, device), _cell_of(column_edges, device)
    n, total, squares, absmax = torch.zeros((4, *cells), dtype=wide, device=device)
    row_squares = torch.zeros((n_matrices, rows), dtype=wide, device=device)
    column_squares = torch.zeros((n_matrices, columns), dtype=wide, device=device)
    step = max(1, CHUNK // max(1, n_matrices * columns))
    for begin in range(0, rows, step):
        v = divided(x_NRC[:, begin : begin + step], divisor).to(wide)
        finite = torch.isfinite(v)
        v = torch.where(finite, v, 0.0)
        square, cell = v * v, row_cell[begin : begin + step]
        row_squares[:, begin : begin + step] = square.sum(2)
        column_squares += square.sum(1)
        narrow_shape = (n_matrices, v.shape[1], cells[2])
        for sums, of in ((n, finite.to(wide)), (total, v), (squares, square)):
            narrow = torch.zeros(narrow_shape, dtype=wide, device=device).index_add_(2, column_cell, of)
            sums.index_add_(1, cell, narrow)
        narrow = torch.zeros(narrow_shape, dtype=wide, device=device)
        narrow.scatter_reduce_(2, column_cell.expand(v.shape), v.abs(), "amax")
        absmax.scatter_reduce_(1, cell[:, None].expand(narrow_shape), narrow, "amax")
    return n, total, squares, absmax, row_squares, column_squares


def device_groups(x_NRC: torch.Tensor, row_groups: int, column_groups: int) -> torch.Tensor:
    """(N, row_groups, column_groups) sums of squares of the finite elements of equal parts."""
    n, rows, columns = x_NRC.shape
    x_NRC = x_NRC.to(accumulation_dtype(x_NRC.device))
    v = torch.where(torch.isfinite(x_NRC), x_NRC, 0.0)
    parts = v.reshape(n, row_groups, rows // row_groups, column_groups, columns // column_groups)
    return parts.square().sum((2, 4))


def _cell_of(edges: Edges, device: torch.device) -> torch.Tensor:
    return upload(np.repeat(np.arange(len(edges) - 1), np.diff(edges)), device)
