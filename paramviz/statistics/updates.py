"""What changed since the last snapshot and since the first, from the samples of a tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import UPDATE_KEYS

_Vector = npt.NDArray[np.float64]


def compare_samples(
    now: npt.NDArray[Any],
    before: npt.NDArray[Any] | None,
    start: npt.NDArray[Any] | None,
    previous_update: npt.NDArray[Any] | None,
    *,
    size: int | None = None,
) -> npt.NDArray[np.float64]:
    """How the samples of one tensor moved. (7,) float64, in the order of `schema.UPDATE_KEYS`.

    now: the samples of this snapshot, any shape, real numbers. before, start: the
    same elements at the previous and at the first snapshot. previous_update: `before`
    minus the snapshot before that one. None where there is none: what needs it is NaN.
    `size` is the number of elements of the whole tensor; `update_norm` and
    `distance_from_start` then estimate the whole tensor's. Elements that are NaN or inf
    on either side of a comparison are left out of it. Formulas: docs/FORMAT.md, "Statistics".
    """
    share = now.size / size if size else 1.0
    now_N = _flat(now)
    norm = ratio = cosine = angle = unchanged = math.nan
    if before is not None and now_N.size:
        now_K, before_K = _finite(now_N, _flat(before))
        update = now_K - before_K
        norm = _norm(update) / math.sqrt(share)
        ratio = _ratio(_norm(update), _norm(before_K))
        angle = _angle(now_K, before_K)
        unchanged = float(np.count_nonzero(update == 0)) / update.size if update.size else math.nan
        if previous_update is not None:
            cosine = _cosine(*_finite(now_N - _flat(before), _flat(previous_update)))
    distance = from_start = math.nan
    if start is not None and now_N.size:
        now_K, start_K = _finite(now_N, _flat(start))
        distance = _norm(now_K - start_K) / math.sqrt(share)
        from_start = _cosine(now_K, start_K)
    result = dict(
        update_norm=norm,
        update_ratio=ratio,
        update_cosine=cosine,
        angular_update=angle,
        unchanged_share=unchanged,
        distance_from_start=distance,
        cosine_to_start=from_start,
    )
    return np.array([result[key] for key in UPDATE_KEYS])


def _flat(x: npt.NDArray[Any]) -> _Vector:
    return x.astype(np.float64).reshape(-1)


def _finite(a_N: _Vector, b_N: _Vector) -> tuple[_Vector, _Vector]:
    """The pairs in which both are finite."""
    finite = np.isfinite(a_N) & np.isfinite(b_N)
    return (a_N, b_N) if finite.all() else (a_N[finite], b_N[finite])


def _norm(x: _Vector) -> float:
    """Euclidean norm that neither overflows nor underflows on the way."""
    direction, exponent = _normal(x)
    return math.ldexp(math.sqrt(float(direction @ direction)), exponent)


def _normal(x: _Vector) -> tuple[_Vector, int]:
    """x times 2**-exponent, with a largest magnitude in [0.5, 1) (or all zeros), and that exponent."""
    absmax = float(np.abs(x).max(initial=0.0))
    exponent = math.frexp(absmax)[1]
    return np.ldexp(x, -exponent), exponent


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.nan


def _unit(x: _Vector) -> _Vector | None:
    direction, _ = _normal(x)
    norm = math.sqrt(float(direction @ direction))
    return direction / norm if norm > 0 else None


def _cosine(a: _Vector, b: _Vector) -> float:
    """Cosine of the angle between two vectors; NaN if either is zero."""
    u, v = _unit(a), _unit(b)
    return math.nan if u is None or v is None else min(1.0, max(-1.0, float(u @ v)))


def _angle(a: _Vector, b: _Vector) -> float:
    """Angle between two vectors in radians, exact to rounding also near 0 and pi; NaN if either is zero.

    2 atan2(|u - v|, |u + v|) of the unit vectors u, v: Kahan, "How futile are mindless
    assessments of roundoff in floating-point computation?", section 12.
    """
    u, v = _unit(a), _unit(b)
    if u is None or v is None:
        return math.nan
    difference, total = u - v, u + v
    return 2.0 * math.atan2(math.sqrt(float(difference @ difference)), math.sqrt(float(total @ total)))
