"""Statistics of a whole from those of its parts: finished statistics are turned back into what was summed.

The statistics of a part and its number of elements say as much as the power sums they were made
of. Sums are merged as `tally` merges those of blocks (Pébay 2008), for many tensors at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paramviz.schema import MOMENT_KEYS
from paramviz.statistics.tally import (
    M2,
    M3,
    M4,
    MAX,
    MEAN,
    MIN,
    N_INF,
    N_NAN,
    N_OVERFLOW,
    N_SPARSE,
    N_UNDERFLOW,
    N,
    empty_tally,
    finish,
)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_COUNTS = {
    N_NAN: MOMENT_KEYS.index("n_nan"),
    N_INF: MOMENT_KEYS.index("n_inf"),
    N_OVERFLOW: MOMENT_KEYS.index("n_overflow"),
    N_UNDERFLOW: MOMENT_KEYS.index("n_underflow"),
}
_OF = {key: k for k, key in enumerate(MOMENT_KEYS)}


def combine(parts: list[tuple[Integers, Integers, Floats]], statistics_out: Floats) -> None:
    """Statistics of whole tensors into their rows of (tensors, 14); rows of which there is no part stay.

    parts: of each holder of parts the rows of its tensors, (n,), each once, how many elements
    it has of each, (n,), and their statistics, (n, 14).
    """
    exponents = _exponents(parts, len(statistics_out))
    tallies = np.tile(empty_tally(), (len(statistics_out), 1))
    touched = np.zeros(len(statistics_out), bool)
    for rows, sizes, statistics in parts:
        tallies[rows] = _merged(tallies[rows], _tallies(statistics, sizes, exponents[rows]))
        touched[rows] = True
    for row in np.flatnonzero(touched).tolist():
        finish(tallies[row], int(exponents[row]), statistics_out[row])


def _exponents(parts: list[tuple[Integers, Integers, Floats]], n_tensors: int) -> npt.NDArray[np.int32]:
    """(tensors,) powers of two that bring the largest element of each near 1: no power sum leaves float64."""
    largest = np.zeros(n_tensors)
    for rows, _, statistics in parts:
        # Of what has no finite element it is NaN.
        largest[rows] = np.fmax(largest[rows], statistics[:, _OF["absmax"]])
    return np.frexp(largest)[1].astype(np.int32)


def _tallies(statistics: Floats, sizes: Integers, exponents: npt.NDArray[np.int32]) -> Floats:
    """(n, 12) sums of elements times 2**-exponent, that finished statistics came from."""
    result = np.zeros((len(statistics), len(empty_tally())))
    for count, column in _COUNTS.items():
        result[:, count] = statistics[:, column]
    n = sizes - result[:, N_NAN] - result[:, N_INF]
    some = n > 0
    known = np.where(some[:, None], statistics, 0.0)
    std = np.ldexp(known[:, _OF["std"]], -exponents)
    m2 = std * std * np.maximum(n - 1, 0)
    # Of what does not vary there are neither: 0, not NaN.
    skewness, kurtosis = (np.where(m2 > 0, known[:, _OF[key]], 0.0) for key in ("skewness", "kurtosis"))
    result[:, N] = n
    result[:, MEAN] = np.ldexp(known[:, _OF["mean"]], -exponents)
    result[:, M2] = m2
    result[:, M3] = skewness * m2**1.5 / np.sqrt(np.maximum(n, 1))
    result[:, M4] = np.where(m2 > 0, (kurtosis + 3.0) * m2 * m2 / np.maximum(n, 1), 0.0)
    result[:, MIN] = np.where(some, known[:, _OF["min"]], np.inf)
    result[:, MAX] = np.where(some, known[:, _OF["max"]], -np.inf)
    result[:, N_SPARSE] = np.round(known[:, _OF["sparsity"]] * n)
    return result


def _merged(a: Floats, b: Floats) -> Floats:
    """(n, 12) tallies of both, in one unit."""
    result = a + b
    n_a, n_b = a[:, N], b[:, N]
    n = np.maximum(n_a + n_b, 1)
    delta = b[:, MEAN] - a[:, MEAN]
    step = delta / n
    between = delta * step * n_a * n_b
    result[:, MEAN] = np.where(n_a > 0, a[:, MEAN] + step * n_b, b[:, MEAN])
    result[:, M2] += between
    result[:, M3] += between * step * (n_a - n_b) + 3.0 * step * (n_a * b[:, M2] - n_b * a[:, M2])
    result[:, M4] += (
        between * step * step * (n_a * n_a - n_a * n_b + n_b * n_b)
        + 6.0 * step * step * (n_a * n_a * b[:, M2] + n_b * n_b * a[:, M2])
        + 4.0 * step * (n_a * b[:, M3] - n_b * a[:, M3])
    )
    result[:, MIN] = np.minimum(a[:, MIN], b[:, MIN])
    result[:, MAX] = np.maximum(a[:, MAX], b[:, MAX])
    return result
