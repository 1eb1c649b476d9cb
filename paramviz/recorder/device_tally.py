"""From the sums of the parts of many tensors to their statistics, in numpy, a few calls for all of them.

The writer thread's share of what `device_statistics` begins on a device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paramviz.schema import MOMENT_KEYS
from paramviz.statistics import tally as t

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

EXPONENT = len(t.empty_tally())
COLUMNS = EXPONENT + 1
"""A part has the columns of a tally, and the exponent of the power of two that its power sums leave out."""

PLAIN_EXPONENT = 200
"""Between 2**-200 and 2**200 the fourth powers of elements and their sums are normal float64."""


def statistics_of(parts_BT: Floats, tensor_B: Integers, n: int) -> Floats:
    """(n, 14) in the order of `MOMENT_KEYS`. Every tensor, 0 to n - 1, has a part.

    parts_BT: (B, 13); tensor_B: (B,) of which tensor each is. Power sums about each part's
    mean are moved to the mean of all (Pébay 2008, see `statistics.tally`), as in a second pass.
    """
    order = np.argsort(tensor_B, kind="stable")
    parts, owner = parts_BT[order].T, tensor_B[order]
    starts = np.searchsorted(owner, np.arange(n))
    low, high = np.minimum.reduceat(parts[t.MIN], starts), np.maximum.reduceat(parts[t.MAX], starts)
    sums = (t.N, t.N_NAN, t.N_INF, t.N_SPARSE, t.N_OVERFLOW, t.N_UNDERFLOW)
    count, n_nan, n_inf, n_sparse, n_overflow, n_underflow = (
        np.add.reduceat(parts[column], starts) for column in sums
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        exponent = exponent_of(np.maximum(-low, high))
        mean, m2, m3, m4 = _about_the_mean(parts, owner, starts, exponent, count)
        equal = low == high
        mean = np.where(equal, np.ldexp(low, -exponent), mean)
        m2 = np.where(equal, 0.0, m2)
        mean_square = mean * mean + m2 / count
        varies = m2 > 0
        moments = [
            np.ldexp(mean, exponent),
            np.ldexp(np.where(count > 1, np.sqrt(m2 / (count - 1)), 0.0), exponent),
            low + 0.0,  # a zero without its sign
            high + 0.0,
            np.ldexp(np.sqrt(mean_square), exponent),
            np.ldexp(np.sqrt(count * mean_square), exponent),
            np.maximum(np.abs(low), np.abs(high)),
            n_sparse / count,
            np.where(varies, np.sqrt(count) * m3 / m2**1.5, np.nan),
            np.where(varies, count * m4 / (m2 * m2) - 3.0, np.nan),
        ]
    nothing = np.where(n_nan + n_inf > 0, np.nan, 0.0)
    result = np.empty((n, len(MOMENT_KEYS)))
    for key, values in enumerate(moments):
        result[:, key] = np.where(count > 0, values, nothing)
    result[:, len(moments) :] = np.column_stack([n_nan, n_inf, n_overflow, n_underflow])
    return result


def exponent_of(absmax: Floats) -> Integers:
    """The power of two to leave out of power sums of elements up to absmax; 0 unless they are extreme."""
    exponent = np.frexp(np.where(np.isfinite(absmax), absmax, 0.0))[1].astype(np.int64)
    return np.where(np.abs(exponent) > PLAIN_EXPONENT, exponent, 0)


def _about_the_mean(
    parts: Floats, owner: Integers, starts: Integers, exponent: Integers, count: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean and power sums of whole tensors, in units of 2**exponent."""
    shift = (parts[EXPONENT] - exponent[owner]).astype(np.int64)
    k = parts[t.N]
    part_mean, p2, p3, p4 = (
        np.ldexp(parts[column], power * shift)
        for power, column in enumerate((t.MEAN, t.M2, t.M3, t.M4), start=1)
    )
    mean = np.add.reduceat(k * part_mean, starts) / count
    d = np.where(k > 0, part_mean - mean[owner], 0.0)
    d2 = d * d
    m2 = np.add.reduceat(p2 + k * d2, starts)
    m3 = np.add.reduceat(p3 + 3.0 * d * p2 + k * d2 * d, starts)
    m4 = np.add.reduceat(p4 + 4.0 * d * p3 + 6.0 * d2 * p2 + k * d2 * d2, starts)
    return mean, m2, m3, m4
