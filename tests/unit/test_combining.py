"""Statistics of parts, combined, are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from paramviz.schema import MOMENT_KEYS
from paramviz.statistics import combine, measure

ELEMENTS = st.one_of(
    st.floats(-4, 4, width=32),
    st.floats(999, 1001, width=32),
    st.sampled_from([0.0, -0.0, 1e-7, 1e-30, 7e4, 1e38, np.inf, -np.inf, np.nan]),
)


def measured(x) -> np.ndarray:
    result = np.empty(len(MOMENT_KEYS))
    measure(x, result, None)
    return result


def combined(parts) -> np.ndarray:
    table = np.full((2, len(MOMENT_KEYS)), 5.0)
    rows = np.array([1])
    combine([(rows, np.array([part.size]), measured(part)[None]) for part in parts], table)
    assert (table[0] == 5).all(), "of a tensor of which there is no part nothing is said"
    return table[1]


@given(
    st.lists(
        of_numpy.arrays(np.float32, st.integers(0, 40), elements=st.floats(-4, 4, width=32)), min_size=1
    ),
)
def test_parts_of_usual_numbers_give_the_statistics_of_the_whole(parts):
    whole = np.concatenate(parts)
    ours, theirs = combined(parts), measured(whole)
    shape = [MOMENT_KEYS.index(key) for key in ("skewness", "kurtosis")]
    if theirs[MOMENT_KEYS.index("std")] < 1e-3 * theirs[MOMENT_KEYS.index("absmax")]:
        # Of what hardly varies its shape is rounding.
        ours[shape] = theirs[shape] = 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


@given(st.lists(of_numpy.arrays(np.float32, st.integers(0, 12), elements=ELEMENTS), min_size=1))
def test_counts_and_extremes_of_any_numbers_are_exact(parts):
    ours, theirs = combined(parts), measured(np.concatenate(parts))
    for key in ("min", "max", "absmax", "n_nan", "n_inf", "n_overflow", "n_underflow", "sparsity"):
        k = MOMENT_KEYS.index(key)
        np.testing.assert_equal(ours[k], theirs[k], err_msg=key)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1.0, 1e30, 1e150])
def test_numbers_of_any_size_keep_their_shape(scale):
    x = np.random.default_rng(0).standard_normal(1000) ** 3 * scale
    ours, theirs = combined([x[:1], x[1:400], x[400:400], x[400:]]), measured(x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_equal_numbers_have_no_variance_and_no_shape():
    ours = combined([np.full(3, 0.1, np.float32), np.full(4, 0.1, np.float32)])
    np.testing.assert_equal(ours, measured(np.full(7, 0.1, np.float32)))
