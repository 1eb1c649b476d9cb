"""Samples against the past in plain numpy: for machines without numba, and for float64 of any size."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_Vector = npt.NDArray[np.float64]
_Samples = npt.NDArray[np.floating]


def compare(
    now_N: _Samples, before_N: _Samples | None, start_N: _Samples | None, previous_update_N: _Samples | None
) -> npt.NDArray[np.float64]:
    """(7,) float64 in the order of `schema.UPDATE_KEYS`, of the samples themselves. Inputs: (N,)."""
    norm = ratio = cosine = angle = unchanged = distance = from_start = math.nan
    with np.errstate(over="ignore", invalid="ignore"):
        if before_N is not None:
            now, before = _finite(now_N, before_N)
            if now.size:
                norm = _norm(now - before)
                ratio = norm / _norm(before) if before.any() else math.nan
                angle = _angle(now, before)
                unchanged = np.count_nonzero(now == before) / now.size
            if previous_update_N is not None:
                now, before, previous = _finite(now_N, before_N, previous_update_N)
                cosine = _cosine(now - before, previous)
        if start_N is not None:
            now, start = _finite(now_N, start_N)
            if now.size:
                distance = _norm(now - start)
                from_start = _cosine(now, start)
    return np.array([norm, ratio, cosine, angle, unchanged, distance, from_start])


def _finite(*samples: _Samples) -> list[_Vector]:
    """The elements that are finite in all, as float64."""
    wide = [array.astype(np.float64) for array in samples]
    finite = np.logical_and.reduce([np.isfinite(array) for array in wide])
    return wide if finite.all() else [array[finite] for array in wide]


def _normal(x: _Vector) -> tuple[_Vector, int]:
    """x times 2**-exponent, with its largest magnitude in [0.5, 1) or all zeros, and that exponent."""
    exponent = math.frexp(float(np.abs(x).max(initial=0.0)))[1]
    return np.ldexp(x, -exponent), exponent


def _norm(x: _Vector) -> float:
    """Euclidean norm, without overflow or underflow on the way."""
    normal, exponent = _normal(x)
    try:
        return math.ldexp(math.sqrt(float(normal @ normal)), exponent)
    except OverflowError:
        return math.inf


def _unit(x: _Vector) -> _Vector | None:
    normal, _ = _normal(x)
    norm = math.sqrt(float(normal @ normal))
    return normal / norm if norm > 0 else None


def _cosine(a: _Vector, b: _Vector) -> float:
    """Cosine of the angle between two vectors; NaN if either is zero."""
    u, v = _unit(a), _unit(b)
    return math.nan if u is None or v is None else min(1.0, max(-1.0, float(u @ v)))


def _angle(a: _Vector, b: _Vector) -> float:
    """Angle between two vectors in radians, accurate near 0 and pi too; NaN if either is zero."""
    u, v = _unit(a), _unit(b)
    if u is None or v is None:
        return math.nan
    apart, along = u - v, u + v
    return 2.0 * math.atan2(math.sqrt(float(apart @ apart)), math.sqrt(float(along @ along)))
