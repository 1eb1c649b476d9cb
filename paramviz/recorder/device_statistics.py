"""The statistics of `paramviz.statistics` on another device, in torch, without a synchronisation.

The same definitions (docs/FORMAT.md, "Statistics"): NaN and inf are left out of
moments and counted; std with n - 1; excess kurtosis. Rows of parts are reduced here, to
be put together by `combining`.
"""

from __future__ import annotations

import torch

from paramviz.schema import FLOAT16_TINY, HISTOGRAM_BINS, HISTOGRAM_LOWEST_EXPONENT, SPARSITY_THRESHOLD
from paramviz.statistics.combining import PLAIN_EXPONENT
from paramviz.statistics.tally import OVERFLOW

BINS = HISTOGRAM_BINS + 1
"""One bin more takes what belongs in none: NaN, inf, and what is no element."""


def accumulation_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device that has nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


def divided(x: torch.Tensor, divisor: torch.Tensor | None) -> torch.Tensor:
    """In float32: what is tiny before the scale is taken out would be nothing in float16 after it."""
    if divisor is None:
        return x
    wide = x if x.dtype == torch.float64 else x.float()
    return wide / divisor


def tally_rows(v_BK: torch.Tensor, is_element_BK: torch.Tensor) -> torch.Tensor:
    """(B, 13) the columns of `combining` for each row. v_BK: in the accumulation dtype."""
    infinite = v_BK.isinf() & is_element_BK
    nan = v_BK.isnan() & is_element_BK
    finite = torch.isfinite(v_BK) & is_element_BK
    v = torch.where(finite, v_BK, 0.0)
    magnitude = v.abs()
    n = finite.sum(1).to(v.dtype)
    exponent = _left_out(magnitude.amax(1))
    scaled = _scaled(v, -exponent)
    mean = scaled.sum(1) / n.clamp(min=1)
    d = torch.where(finite, scaled - mean[:, None], 0.0)
    d2 = d * d
    columns = [
        n,
        mean,
        d2.sum(1),
        (d2 * d).sum(1),
        (d2 * d2).sum(1),
        torch.where(finite, v, torch.inf).amin(1),
        torch.where(finite, v, -torch.inf).amax(1),
        nan.sum(1),
        infinite.sum(1),
        ((magnitude < SPARSITY_THRESHOLD) & finite).sum(1),
        (magnitude >= OVERFLOW).sum(1),
        ((magnitude <= FLOAT16_TINY) & (magnitude > 0)).sum(1),
        exponent,
    ]
    return torch.stack([column.to(v.dtype) for column in columns], 1)


def count_bins(
    v_BK: torch.Tensor, is_element_BK: torch.Tensor, tensor_B: torch.Tensor, counts: torch.Tensor
) -> None:
    """Add rows to the histograms of their tensors: counts, (tensors * BINS,) int64, bins of
    `schema.histogram_edges`."""
    half = HISTOGRAM_BINS // 2
    exponent = torch.frexp(v_BK.abs())[1] - HISTOGRAM_LOWEST_EXPONENT
    distance = torch.where(v_BK == 0, 0, exponent.clamp(0, half - 1))
    bins = torch.where(v_BK < 0, half - 1 - distance, half + distance)
    bins = torch.where(torch.isfinite(v_BK) & is_element_BK, bins, HISTOGRAM_BINS)
    index = (tensor_B[:, None] * BINS + bins).reshape(-1)
    counts.scatter_add_(0, index, torch.ones_like(index))


def _left_out(absmax_B: torch.Tensor) -> torch.Tensor:
    """See `combining.exponent_of`."""
    exponent = torch.frexp(absmax_B)[1]
    return torch.where(exponent.abs() > PLAIN_EXPONENT, exponent, 0)


def _scaled(v_BK: torch.Tensor, exponent_B: torch.Tensor) -> torch.Tensor:
    """v * 2**exponent, in two steps: a power of two beyond float64 may lead back into it."""
    half = exponent_B // 2
    first, second = (torch.exp2(power.to(v_BK.dtype))[:, None] for power in (half, exponent_B - half))
    return v_BK * first * second
