"""Samples against the past as compiled loops. Importing this module needs numba.

The numpy twin is `numpy_updates`; both give the same numbers to rounding.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from paramviz.statistics.compiled import compiled

_Samples = npt.NDArray[np.float32]


def compare(
    now_N: _Samples, before_N: _Samples | None, start_N: _Samples | None, previous_update_N: _Samples | None
) -> npt.NDArray[np.float64]:
    """(7,) float64 in the order of `schema.UPDATE_KEYS`, of the samples themselves. Inputs: (N,)."""
    out = np.full(7, math.nan)
    if before_N is not None:
        _against_before(now_N, before_N, out)
        if previous_update_N is not None:
            out[2] = _update_cosine(now_N, before_N, previous_update_N)
    if start_N is not None:
        _against_start(now_N, start_N, out)
    return out


@compiled
def _against_before(now: _Samples, before: _Samples, out: npt.NDArray[np.float64]) -> None:
    n, n_same, now2, before2, _, change2 = _sums(now, before)
    if n == 0:
        return
    out[0] = math.sqrt(change2)
    out[4] = n_same / n
    if before2 > 0.0:
        out[1] = math.sqrt(change2 / before2)
        if now2 > 0.0:
            apart2, along2 = _unit_sums(now, before, 1.0 / math.sqrt(now2), 1.0 / math.sqrt(before2))
            out[3] = 2.0 * math.atan2(math.sqrt(apart2), math.sqrt(along2))


@compiled
def _against_start(now: _Samples, start: _Samples, out: npt.NDArray[np.float64]) -> None:
    n, _, now2, start2, dot, change2 = _sums(now, start)
    if n == 0:
        return
    out[5] = math.sqrt(change2)
    if now2 > 0.0 and start2 > 0.0:
        out[6] = min(1.0, max(-1.0, dot / (math.sqrt(now2) * math.sqrt(start2))))


@compiled
def _sums(a: _Samples, b: _Samples) -> tuple[int, int, float, float, float, float]:
    """(pairs, equal pairs, a², b², a·b, (a - b)²) over the pairs of finite elements."""
    n = n_same = 0
    a2 = b2 = dot = change2 = 0.0
    for i in range(a.size):
        finite = math.isfinite(a[i]) and math.isfinite(b[i])
        # A value is chosen, not a way: a branch would keep the loop from being vectorised.
        x = np.float64(a[i]) if finite else 0.0
        y = np.float64(b[i]) if finite else 0.0
        n += finite
        n_same += finite & (x == y)
        a2 += x * x
        b2 += y * y
        dot += x * y
        change2 += (x - y) * (x - y)
    return n, n_same, a2, b2, dot, change2


@compiled
def _unit_sums(a: _Samples, b: _Samples, per_a: float, per_b: float) -> tuple[float, float]:
    """(|u - v|², |u + v|²) of the unit vectors u = a * per_a and v = b * per_b."""
    apart2 = along2 = 0.0
    for i in range(a.size):
        finite = math.isfinite(a[i]) and math.isfinite(b[i])
        u = np.float64(a[i]) * per_a if finite else 0.0
        v = np.float64(b[i]) * per_b if finite else 0.0
        apart2 += (u - v) * (u - v)
        along2 += (u + v) * (u + v)
    return apart2, along2


@compiled
def _update_cosine(now: _Samples, before: _Samples, previous: _Samples) -> float:
    """Cosine between now - before and the update before that; NaN if either is zero."""
    update2 = previous2 = dot = 0.0
    for i in range(now.size):
        finite = math.isfinite(now[i]) and math.isfinite(before[i]) and math.isfinite(previous[i])
        x = np.float64(now[i]) - np.float64(before[i]) if finite else 0.0
        y = np.float64(previous[i]) if finite else 0.0
        update2 += x * x
        previous2 += y * y
        dot += x * y
    if update2 == 0.0 or previous2 == 0.0:
        return math.nan
    return min(1.0, max(-1.0, dot / (math.sqrt(update2) * math.sqrt(previous2))))
