"""The sums of `paramviz.statistics.grid` on another device, in torch, without a synchronisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.device_statistics import CHUNK, accumulation_dtype

Edges = npt.NDArray[np.int64]


def device_grid(x_RC: torch.Tensor, row_edges: Edges, column_edges: Edges) -> tuple[torch.Tensor, ...]:
    """(n, total, squares, absmax) of the cells, (R, C) each, then the squares of rows and of columns."""
    wide = accumulation_dtype(x_RC.device)
    rows, columns = x_RC.shape
    cells = (len(row_edges) - 1, len(column_edges) - 1)
    row_cell = _cell_of(row_edges, x_RC.device)
    column_cell = _cell_of(column_edges, x_RC.device)
    n, total, squares, absmax = torch.zeros((4, *cells), dtype=wide, device=x_RC.device)
    row_squares = torch.zeros(rows, dtype=wide, device=x_RC.device)
    column_squares = torch.zeros(columns, dtype=wide, device=x_RC.device)
    step = max(1, CHUNK // max(1, columns))
    for begin in range(0, rows, step):
        v = x_RC[begin : begin + step].to(wide)
        finite = torch.isfinite(v)
        v = torch.where(finite, v, torch.zeros_like(v))
        square, cell = v * v, row_cell[begin : begin + step]
        row_squares[begin : begin + step] = square.sum(1)
        column_squares += square.sum(0)
        for sums, of in ((n, finite.to(wide)), (total, v), (squares, square)):
            narrow = torch.zeros((len(v), cells[1]), dtype=wide, device=v.device).index_add_(
                1, column_cell, of
            )
            sums.index_add_(0, cell, narrow)
        narrow = torch.zeros((len(v), cells[1]), dtype=wide, device=v.device)
        narrow.scatter_reduce_(1, column_cell.expand(len(v), -1), v.abs(), "amax")
        absmax.scatter_reduce_(0, cell[:, None].expand(-1, cells[1]), narrow, "amax")
    return n, total, squares, absmax, row_squares, column_squares


def device_groups(x_RC: torch.Tensor, row_groups: int, column_groups: int) -> torch.Tensor:
    """(row_groups, column_groups) sums of squares of the finite elements of equal parts."""
    rows, columns = x_RC.shape
    x_RC = x_RC.to(accumulation_dtype(x_RC.device))
    v = torch.where(torch.isfinite(x_RC), x_RC, torch.zeros_like(x_RC))
    parts = v.reshape(row_groups, rows // row_groups, column_groups, columns // column_groups)
    return parts.square().sum((1, 3))


def _cell_of(edges: Edges, device: torch.device) -> torch.Tensor:
    return torch.tensor(np.repeat(np.arange(len(edges) - 1), np.diff(edges)), device=device)
