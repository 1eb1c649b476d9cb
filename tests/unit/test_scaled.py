"""Scaled float16 keeps eleven bits of what is within 2**-29 of a tensor's largest element."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from paramviz.scaled import from_scaled, scale_exponent, to_scaled

any_floats = arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32))


@given(any_floats)
def test_what_is_large_enough_keeps_eleven_bits(x):
    half, exponent = to_scaled(x)
    back = from_scaled(half, exponent)
    assert half.dtype == np.float16
    assert back.dtype == np.float32
    finite = np.isfinite(x)
    absmax = np.abs(x[finite]).max(initial=0)
    large = finite & (np.abs(x.astype(np.float64)) >= absmax * 2.0**-28)
    error = np.abs(back[large].astype(np.float64) - x[large])
    # Beyond float32 itself there is only its own rounding.
    assert (error <= np.abs(x[large]) * 2.0**-11 + 2.0**-149).all()
    assert np.isfinite(back[finite]).all()


@given(any_floats)
def test_nan_infinities_and_the_signs_of_zeros_stay(x):
    back = from_scaled(*to_scaled(x))
    np.testing.assert_array_equal(np.isnan(x), np.isnan(back))
    np.testing.assert_array_equal(x[np.isinf(x)], back[np.isinf(x)])
    zero = x == 0
    np.testing.assert_array_equal(np.signbit(x[zero]), np.signbit(back[zero]))


def test_gradients_that_plain_float16_loses_survive():
    gradient = np.array([3e-9, -2e-10, 1e-8], np.float32)
    assert (gradient.astype(np.float16) == 0).all()
    np.testing.assert_allclose(from_scaled(*to_scaled(gradient)), gradient, rtol=2**-11)


def test_nothing_and_only_zeros_have_the_exponent_zero():
    assert scale_exponent(np.zeros(0, np.float32)) == 0
    assert scale_exponent(np.array([0.0, -0.0, np.nan, np.inf], np.float32)) == 0
