"""Statistics of whole tensors from those of their parts, in numpy, a few calls for all of them.

Parts come from devices, which leave the sums of each (`recorder.device_statistics`), or from other
processes, which send finished statistics: with the number of elements these say as much as
the power sums that they were made of, and are turned back into them.
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


_COUNTS = {
    t.N_NAN: MOMENT_KEYS.index("n_nan"),
    t.N_INF: MOMENT_KEYS.index("n_inf"),
    t.N_OVERFLOW: MOMENT_KEYS.index("n_overflow"),
    t.N_UNDERFLOW: MOMENT_KEYS.index("n_underflow"),
}
_OF = {key: k for k, key in enumerate(MOMENT_KEYS)}


def combine(parts: list[tuple[Integers, Integers, Floats]], statistics_out: Floats) -> None:
    """Statistics of whole tensors into their rows of (tensors, 14); rows of which there is no part stay.

    parts: of each holder of parts the rows of its tensors, (n,), each once, how many elements
    it has of each, (n,), and their statistics, (n, 14).
    """
    if not parts:
        return
    rows, sizes, statistics = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    touched, tensor = np.unique(rows, return_inverse=True)
    statistics_out[touched] = statistics_of(_parts(statistics, sizes), tensor, len(touched))


def statistics_of(parts_BT: Floats, tensor_B: Integers, n: int) -> Floats:
    """(n, 14) in the order of `MOMENT_KEYS`. Every tensor, 0 to n - 1, has a part.

    parts_BT: (B, 13); tensor_B: (B,) of which tensor each is. Power sums about each part's
    mean are moved to the mean of all (Pébay 2008, see ``tally`), as in a second pass.
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


def _parts(statistics: Floats, sizes: Integers) -> Floats:
    """(n, 13) the sums that finished statistics, (n, 14), came from, as `statistics_of` takes them."""
    result = np.zeros((len(statistics), COLUMNS))
    for count, column in _COUNTS.items():
        result[:, count] = statistics[:, column]
    n = sizes - result[:, t.N_NAN] - result[:, t.N_INF]
    some = n > 0
    known = np.where(some[:, None], statistics, 0.0)
    exponent = exponent_of(known[:, _OF["absmax"]])
    std = np.ldexp(known[:, _OF["std"]], -exponent)
    m2 = std * std * np.maximum(n - 1, 0)
    # Of what does not vary there are neither: 0, not NaN.
    skewness, kurtosis = (np.where(m2 > 0, known[:, _OF[key]], 0.0) for key in ("skewness", "kurtosis"))
    result[:, t.N] = n
    result[:, t.MEAN] = np.ldexp(known[:, _OF["mean"]], -exponent)
    result[:, t.M2] = m2
    result[:, t.M3] = skewness * m2**1.5 / np.sqrt(np.maximum(n, 1))
    result[:, t.M4] = np.where(m2 > 0, (kurtosis + 3.0) * m2 * m2 / np.maximum(n, 1), 0.0)
    result[:, t.MIN] = np.where(some, known[:, _OF["min"]], np.inf)
    result[:, t.MAX] = np.where(some, known[:, _OF["max"]], -np.inf)
    result[:, t.N_SPARSE] = np.round(known[:, _OF["sparsity"]] * n)
    result[:, EXPONENT] = exponent
    return result
