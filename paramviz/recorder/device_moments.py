"""Optimizers' moments on a device, of many parameters at once: launches do not grow with their number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.device_layout import Layout, Layouts, flat_chunks, part_matrices
from paramviz.recorder.device_statistics import accumulation_dtype
from paramviz.recorder.device_upload import column
from paramviz.recorder.transfers import Transfers

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Moments(NamedTuple):
    """What an optimizer remembers of one parameter; its settings are numbers here, or tensors there."""

    row: int
    first: torch.Tensor
    second: torch.Tensor
    step: Any
    betas: Sequence[Any]
    epsilon: Any


def read_on_devices(found: Sequence[Moments], out: Floats, layouts: Layouts, transfers: Transfers) -> None:
    """`moment1_norm`, `moment2_rms`, `epsilon_share` into rows of out, (tensors, 3), as they arrive."""
    alike: dict[tuple[object, ...], list[Moments]] = {}
    for one in found:
        alike.setdefault((one.first.device, one.first.dtype, one.second.dtype), []).append(one)
    for members in alike.values():
        _read(members, out, layouts, transfers)


def _read(found: Sequence[Moments], out: Floats, layouts: Layouts, transfers: Transfers) -> None:
    device = found[0].first.device
    wide = accumulation_dtype(device)
    sizes = [one.first.numel() for one in found]
    layout = layouts.of(Layout, sizes, [None] * len(sizes))
    table_3B, _ = layout.on(device)
    # An optimizer that counts no steps corrects nothing.
    counts = column([1.0 if one.step is None else one.step for one in found], device, wide)
    rates = [
        column([0.0 if one.step is None else one.betas[k] for one in found], device, wide) for k in (0, 1)
    ]
    unbiased1, unbiased2 = (_above_zero(1 - rate**counts) for rate in rates)
    epsilon = column([one.epsilon for one in found], device, wide)
    sums = []
    firsts = flat_chunks([one.first for one in found], layout)
    seconds = flat_chunks([one.second for one in found], layout)
    for (chunk, m_N), (_, v_N) in zip(firsts, seconds, strict=True):
        of_first, of_second = part_matrices(m_N, chunk, table_3B), part_matrices(v_N, chunk, table_3B)
        for (rows, m_BK, is_element_BK), (_, v_BK, _) in zip(of_first, of_second, strict=True):
            owner_B = table_3B[2, rows.begin : rows.end]
            m = torch.where(is_element_BK, m_BK, 0).to(wide)
            v = torch.where(is_element_BK, v_BK, 0).to(wide)
            small = (v / unbiased2[owner_B, None]).sqrt() < epsilon[owner_B, None]
            parts = (m.square().sum(1), v.sum(1), (small & is_element_BK).sum(1).to(wide))
            sums.append(torch.stack(parts, 1))
    # Behind the sums of the parts what the sums of each tensor are corrected by, and nothing beside it.
    corrections = torch.stack([unbiased1, unbiased2, torch.zeros_like(unbiased1)], 1)
    rows_of = [one.row for one in found]
    transfers.add_and(
        torch.cat([*sums, corrections]), partial(_put_together, rows_of, sizes, layout.owner, out)
    )


def _above_zero(share: torch.Tensor) -> torch.Tensor:
    """Before the first step there is nothing to correct."""
    return torch.where(share > 0, share, 1.0)


def _put_together(
    rows: Sequence[int],
    sizes: Sequence[int],
    owner: Integers,
    out: Floats,
    arrived: Floats,
) -> None:
    sums_B3, corrections = arrived[: len(owner)], arrived[len(owner) :]
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(rows)))
    squares, total, small = np.add.reduceat(sums_B3[order], starts, axis=0).T
    unbiased1, unbiased2 = corrections.T[:2]
    n = np.maximum(1, np.array(sizes))
    with np.errstate(invalid="ignore", over="ignore"):
        out[rows] = np.column_stack([np.sqrt(squares) / unbiased1, np.sqrt(total / unbiased2 / n), small / n])
