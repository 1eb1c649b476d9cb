"""Small and large numbers as float16, each tensor with a power of two of its own.

In plain float16 most gradients of a language model are subnormal or zero, and so are many
updates. Scaled so that the largest magnitude is just below 2**15, a tensor keeps 11 bits of
each element down to 2**-29 of its largest one.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

_TOP = 15
"""The largest magnitude of a tensor is stored as at least 2**14 and below 2**15."""

_LARGEST = float(np.finfo(np.float32).max)


def to_scaled(x: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.float16], int]:
    """(float16 of x / 2**exponent, exponent); NaN and infinities stay what they are.

    x: any shape, float32 or float64.
    """
    exponent = scale_exponent(x)
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(x, -exponent).astype(np.float16), exponent


def from_scaled(x: npt.NDArray[np.float16], exponent: int) -> npt.NDArray[np.float32]:
    """Inverse of `to_scaled`, to the 11 bits of a float16: float32 of the same shape."""
    wide = np.ldexp(x.astype(np.float64), exponent)
    # What was rounded up to 2**128 was a finite number just below it.
    finite = np.isfinite(wide)
    wide[finite] = wide[finite].clip(-_LARGEST, _LARGEST)
    with np.errstate(under="ignore"):
        return wide.astype(np.float32)


def scale_exponent(x: npt.NDArray[np.floating]) -> int:
    """The power of two for x, 0 if it has no finite element but zeros."""
    magnitude = np.abs(x)
    absmax = float(np.max(magnitude, initial=0.0, where=np.isfinite(magnitude)))
    return math.frexp(absmax)[1] - _TOP if absmax > 0 else 0
