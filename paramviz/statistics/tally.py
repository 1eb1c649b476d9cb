"""What an engine adds up over a tensor, block by block, and the statistics that follow from it.

Central power sums are merged pairwise (Chan, Golub, LeVeque 1979; Pébay 2008,
"Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
statistical moments"), in float64: a mean far from zero costs no digits of the variance.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from paramviz.schema import FLOAT16_TINY, MOMENT_KEYS

Tally = npt.NDArray[np.float64]
"""(12,) float64, in the order of the indices below. Counts are exact up to 2**53."""

(N, MEAN, M2, M3, M4, MIN, MAX, N_NAN, N_INF, N_SPARSE, N_OVERFLOW, N_UNDERFLOW) = range(12)
"""N counts finite elements; M2 to M4 are sums of powers of the distance to MEAN."""

OVERFLOW = 65520.0
"""Half a step above the largest finite float16: from here on a value rounds to inf."""

UNDERFLOW = FLOAT16_TINY

BLOCK = 2048
"""Elements that are read twice while they are in the first-level cache (8 KiB of float32)."""


_OF_POWER_SUMS = tuple(MOMENT_KEYS.index(key) for key in ("mean", "std", "rms", "l2_norm"))


def empty_tally() -> Tally:
    """The tally of no elements."""
    tally = np.zeros(12)
    tally[MIN], tally[MAX] = math.inf, -math.inf
    return tally


def merge_about(tally: Tally, n: float, about: float, s1: float, s2: float, s3: float, s4: float) -> None:
    """Adds n >= 1 more finite elements to a tally, in place; also compiled, by the numba engine.

    s1 to s4 are sums of powers of their distance to `about`, a number near their mean:
    the closer, the less is lost when the sums are moved to the mean itself.
    """
    e = s1 / n
    mean = about + e
    m2 = s2 - n * e * e
    m3 = s3 - 3.0 * e * s2 + 2.0 * n * e * e * e
    m4 = s4 - 4.0 * e * s3 + 6.0 * e * e * s2 - 3.0 * n * e * e * e * e

    n_a, n_b = tally[N], float(n)
    total = n_a + n_b
    delta = mean - tally[MEAN]
    step = delta / total
    between = delta * step * n_a * n_b
    m2_a, m3_a = tally[M2], tally[M3]
    tally[M4] += (
        m4
        + between * step * step * (n_a * n_a - n_a * n_b + n_b * n_b)
        + 6.0 * step * step * (n_a * n_a * m2 + n_b * n_b * m2_a)
        + 4.0 * step * (n_a * m3 - n_b * m3_a)
    )
    tally[M3] += m3 + between * step * (n_a - n_b) + 3.0 * step * (n_a * m2 - n_b * m2_a)
    tally[M2] += m2 + between
    tally[MEAN] = mean if n_a == 0.0 else tally[MEAN] + step * n_b
    tally[N] = total


def finish(tally: Tally, exponent: int, statistics_out: npt.NDArray[np.floating]) -> None:
    """Writes the statistics that a tally stands for, in the order of `MOMENT_KEYS`.

    `exponent`: the power sums are of elements times 2**-exponent. Formulas:
    docs/FORMAT.md, "Statistics".
    """
    values = np.empty(len(MOMENT_KEYS))
    finish_plain(tally, math.ldexp(float(tally[MIN]), -exponent), values)
    if exponent:
        for key in _OF_POWER_SUMS:
            values[key] = _scaled(float(values[key]), exponent)
    with np.errstate(over="ignore"):  # a table of float32 takes float64's extremes as inf
        statistics_out[: len(MOMENT_KEYS)] = values


def finish_plain(tally: Tally, equal: float, out: npt.NDArray[np.float64]) -> None:
    """The statistics in the unit of the power sums, into (14,); also compiled, by the numba engine.

    equal: the smallest element in that unit, which is the mean if all are equal.
    """
    n, low, high = tally[N], tally[MIN], tally[MAX]
    out[10], out[11], out[12], out[13] = tally[N_NAN], tally[N_INF], tally[N_OVERFLOW], tally[N_UNDERFLOW]
    if n == 0:
        out[:10] = math.nan if tally[N_NAN] + tally[N_INF] > 0 else 0.0
        return
    mean, m2 = tally[MEAN], tally[M2]
    if low == high:
        # All equal: what rounding left in the power sums is no variance.
        mean, m2 = equal, 0.0
    mean_square = mean * mean + m2 / n
    out[0] = mean
    out[1] = math.sqrt(m2 / (n - 1)) if n > 1 else 0.0
    out[2] = low + 0.0  # a zero without its sign
    out[3] = high + 0.0
    out[4] = math.sqrt(mean_square)
    out[5] = math.sqrt(n * mean_square)
    out[6] = max(abs(low), abs(high))
    out[7] = tally[N_SPARSE] / n
    out[8] = math.sqrt(n) * tally[M3] / m2**1.5 if m2 > 0 else math.nan
    out[9] = n * tally[M4] / (m2 * m2) - 3.0 if m2 > 0 else math.nan


def _scaled(value: float, exponent: int) -> float:
    try:
        return math.ldexp(value, exponent)
    except OverflowError:  # only an l2_norm can leave float64
        return math.inf
