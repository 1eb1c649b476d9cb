"""The statistics of `paramviz.statistics` on another device, in torch, without a synchronisation.

The same definitions (docs/FORMAT.md, "Statistics"): NaN and inf are left out of
moments and counted; std with n - 1; excess kurtosis.
"""

from __future__ import annotations

import torch

from paramviz.schema import FLOAT16_TINY, HISTOGRAM_BINS, HISTOGRAM_LOWEST_EXPONENT, SPARSITY_THRESHOLD
from paramviz.statistics.tally import OVERFLOW

CHUNK = 1 << 22
"""Elements widened at a time: bounds the memory on the device to a few hundred megabytes."""


def accumulation_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device that has nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


def measure_on_device(x: torch.Tensor) -> torch.Tensor:
    """Statistics of every element, (14,) in the order of `MOMENT_KEYS`, on x's device."""
    wide = accumulation_dtype(x.device)
    chunks = x.detach().reshape(-1).split(CHUNK)
    zero = torch.zeros((), dtype=wide, device=x.device)
    n = n_nan = n_inf = n_sparse = n_overflow = n_underflow = total = zero
    low, high = zero + torch.inf, zero - torch.inf
    for chunk in chunks:
        v = chunk.to(wide)
        finite = torch.isfinite(v)
        magnitude = v.abs()
        n = n + finite.sum()
        n_nan = n_nan + v.isnan().sum()
        n_inf = n_inf + v.isinf().sum()
        n_sparse = n_sparse + (magnitude < SPARSITY_THRESHOLD).sum()
        n_overflow = n_overflow + (finite & (magnitude >= OVERFLOW)).sum()
        n_underflow = n_underflow + ((magnitude <= FLOAT16_TINY) & (magnitude > 0)).sum()
        total = total + torch.where(finite, v, zero).sum()
        if chunk.numel():
            low = torch.minimum(low, torch.where(finite, v, zero + torch.inf).min())
            high = torch.maximum(high, torch.where(finite, v, zero - torch.inf).max())
    # All equal: what rounding leaves of the distances is no variance.
    mean = torch.where(low == high, low, total / n)
    m2 = m3 = m4 = zero
    for chunk in chunks:
        v = chunk.to(wide)
        d = torch.where(torch.isfinite(v), v - mean, zero)
        d2 = d * d
        m2, m3, m4 = m2 + d2.sum(), m3 + (d2 * d).sum(), m4 + (d2 * d2).sum()
    mean_square = mean * mean + m2 / n
    varies = m2 > 0
    moments = torch.stack(
        [
            mean,
            torch.where(n > 1, (m2 / (n - 1)).sqrt(), zero),
            low,
            high,
            mean_square.sqrt(),
            (n * mean_square).sqrt(),
            torch.maximum(-low, high),
            n_sparse / n,
            torch.where(varies, n.sqrt() * m3 / m2**1.5, zero + torch.nan),
            torch.where(varies, n * m4 / (m2 * m2) - 3, zero + torch.nan),
        ]
    )
    nothing = torch.where(n_nan + n_inf > 0, zero + torch.nan, zero)
    counts = torch.stack([n_nan, n_inf, n_overflow, n_underflow])
    return torch.cat([torch.where(n > 0, moments, nothing), counts])


def histogram_on_device(x: torch.Tensor) -> torch.Tensor:
    """Counts in the bins of `schema.histogram_edges`, (64,) int64, on x's device."""
    half = HISTOGRAM_BINS // 2
    # One bin more takes what belongs in none: NaN and inf.
    counts = torch.zeros(HISTOGRAM_BINS + 1, dtype=torch.int64, device=x.device)
    for chunk in x.detach().reshape(-1).split(CHUNK):
        v = chunk.to(accumulation_dtype(x.device))
        exponent = torch.frexp(v.abs())[1] - HISTOGRAM_LOWEST_EXPONENT
        distance = torch.where(v == 0, 0, exponent.clamp(0, half - 1))
        bins = torch.where(v < 0, half - 1 - distance, half + distance)
        bins = torch.where(torch.isfinite(v), bins, HISTOGRAM_BINS).to(torch.int64)
        counts.scatter_add_(0, bins, torch.ones_like(bins))
    return counts[:HISTOGRAM_BINS]
