"""The statistics of a run of elements in plain numpy: for machines without numba, and for extreme float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paramviz.schema import HISTOGRAM_BINS, HISTOGRAM_LOWEST_EXPONENT, SPARSITY_THRESHOLD
from paramviz.statistics import tally as t

_CHUNK = 1 << 15
"""Elements per pass: large enough to hide numpy's cost per call, small enough for a second-level cache."""


def accumulate(
    x_N: npt.NDArray[np.floating], tally: t.Tally, bins: npt.NDArray[np.int64] | None, exponent: int = 0
) -> None:
    """Adds elements to a tally and, unless it is None, to a histogram, both in place.

    x_N: (N,) float32 or float64. bins: (64,) int64. The power sums are taken of
    x * 2**-exponent; everything else of x itself.
    """
    # Powers of extreme float64 overflow; the caller sees it in the extremes and comes back with an exponent.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, x_N.size, _CHUNK):
            _accumulate_chunk(x_N[start : start + _CHUNK].astype(np.float64), tally, bins, exponent)


def _accumulate_chunk(
    x: npt.NDArray[np.float64], tally: t.Tally, bins: npt.NDArray[np.int64] | None, exponent: int
) -> None:
    finite = np.isfinite(x)
    if not finite.all():
        n_nan = np.count_nonzero(np.isnan(x))
        tally[t.N_NAN] += n_nan
        tally[t.N_INF] += x.size - np.count_nonzero(finite) - n_nan
        x = x[finite]
    if x.size == 0:
        return

    magnitude = np.abs(x)
    tally[t.MIN] = min(tally[t.MIN], x.min())
    tally[t.MAX] = max(tally[t.MAX], x.max())
    tally[t.N_SPARSE] += np.count_nonzero(magnitude < SPARSITY_THRESHOLD)
    tally[t.N_OVERFLOW] += np.count_nonzero(magnitude >= t.OVERFLOW)
    tally[t.N_UNDERFLOW] += np.count_nonzero((magnitude <= t.UNDERFLOW) & (x != 0))
    if bins is not None:
        bins += np.bincount(_bin_indices(x, magnitude), minlength=HISTOGRAM_BINS)

    if exponent:
        x = np.ldexp(x, -exponent)
    about = x.sum() / x.size
    d = x - about
    d2 = d * d
    # The mean of the distances is what rounding left of zero; the sums move to the true mean.
    n, e = x.size, d.sum() / x.size
    s2, s3, s4 = d2.sum(), (d2 * d).sum(), (d2 * d2).sum()
    m2 = s2 - n * e * e
    m3 = s3 - 3 * e * s2 + 2 * n * e * e * e
    m4 = s4 - 4 * e * s3 + 6 * e * e * s2 - 3 * n * e * e * e * e
    t.merge(tally, n, about + e, m2, m3, m4)


def _bin_indices(x: npt.NDArray[np.float64], magnitude: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bin of each finite element, as `schema.histogram_edges` has them."""
    half = HISTOGRAM_BINS // 2
    exponents = np.frexp(magnitude)[1] - HISTOGRAM_LOWEST_EXPONENT
    distance = np.where(magnitude > 0, np.clip(exponents, 0, half - 1), 0)
    return np.where(x < 0, half - 1 - distance, half + distance).astype(np.int64)
