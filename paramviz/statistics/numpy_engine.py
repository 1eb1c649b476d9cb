"""The statistics of a run of elements in plain numpy: for machines without numba, and for extreme float64."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from paramviz.schema import HISTOGRAM_BINS, HISTOGRAM_LOWEST_EXPONENT, SPARSITY_THRESHOLD
from paramviz.statistics import tally as t

_CHUNK = 4 * t.BLOCK
"""Elements per pass: a compromise between numpy's cost per call and the caches; too few for a BLAS thread."""

_MANTISSA_BITS, _BIAS = 52, 1023
_SIGN_AND_EXPONENT = 1 << 12
"""Values of the bits above the mantissa of a float64."""


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
    low, high = float(x.min()), float(x.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        x = _keep_finite(x, tally)
        if x.size == 0:
            return
        low, high = float(x.min()), float(x.max())
    tally[t.MIN] = min(tally[t.MIN], low)
    tally[t.MAX] = max(tally[t.MAX], high)

    magnitude = np.abs(x)
    if max(-low, high) >= t.OVERFLOW:
        tally[t.N_OVERFLOW] += np.count_nonzero(magnitude >= t.OVERFLOW)
    if magnitude.min() < SPARSITY_THRESHOLD:
        tally[t.N_SPARSE] += np.count_nonzero(magnitude < SPARSITY_THRESHOLD)
        tally[t.N_UNDERFLOW] += np.count_nonzero((magnitude <= t.UNDERFLOW) & (magnitude > 0))
    if bins is not None:
        bins += _histogram(x)

    if exponent:
        x = np.ldexp(x, -exponent)
    n = x.size
    about = x.sum() / n
    d = x - about
    d2 = d * d
    t.merge_about(tally, n, float(about), float(d.sum()), float(d @ d), float(d2 @ d), float(d2 @ d2))


def _keep_finite(x: npt.NDArray[np.float64], tally: t.Tally) -> npt.NDArray[np.float64]:
    """The finite elements; counts the others."""
    finite = np.isfinite(x)
    n_nan = np.count_nonzero(np.isnan(x))
    tally[t.N_NAN] += n_nan
    tally[t.N_INF] += x.size - np.count_nonzero(finite) - n_nan
    return x[finite]


def _histogram(x: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Counts of finite elements in the bins of `schema.histogram_edges`. (64,) int64."""
    half = HISTOGRAM_BINS // 2
    # Adding zero takes the sign off a negative zero, whose bin is that of zero.
    keys = ((x + 0.0).view(np.uint64) >> np.uint64(_MANTISSA_BITS)).astype(np.int64)
    counts = np.bincount(keys, minlength=_SIGN_AND_EXPONENT).reshape(2, -1)
    innermost = _BIAS - 1 + HISTOGRAM_LOWEST_EXPONENT
    inner = counts[:, : innermost + 1].sum(axis=1)
    middle = counts[:, innermost + 1 : innermost + half - 1]
    outer = counts[:, innermost + half - 1 :].sum(axis=1)
    positive, negative = np.column_stack([inner, middle, outer])
    return np.concatenate([negative[::-1], positive])
