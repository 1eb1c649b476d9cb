"""Many arrays by their addresses, against the same arrays one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS
from paramviz.statistics import (
    ManyGrids,
    ManySums,
    gram_many,
    many,
    measure,
    measure_many,
    moments_many,
    numba_many,
    sum_grid,
    take_many,
)
from paramviz.statistics.engines import NUMPY, current_engine

MATRICES = st.lists(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 7), st.integers(0, 90)),
        elements=st.floats(width=32) | st.sampled_from([0.0, -0.0, 1e-7, 65520.0]),
        fill=st.just(np.float32(0.5)),
    ),
    max_size=6,
)


@pytest.fixture(params=[current_engine(), NUMPY], ids=lambda engine: engine.name, autouse=True)
def engine(request, monkeypatch):
    monkeypatch.setattr(many, "current_engine", lambda: request.param)


def addresses(arrays):
    return np.array([x.ctypes.data for x in arrays], np.int64)


def test_the_compiled_loops_are_what_is_tested_here():
    assert current_engine().measure_many is numba_many.measure_many


@given(MATRICES)
def test_statistics_and_histograms_are_those_of_each_array(arrays):
    sizes = np.array([x.size for x in arrays], np.int64)
    rows = np.arange(len(arrays), dtype=np.int64)[::-1].copy()
    found = np.empty((len(arrays), len(MOMENT_KEYS)))
    bins = np.zeros((len(arrays), HISTOGRAM_BINS), np.uint32)
    measure_many(addresses(arrays), sizes, rows, found, bins)
    only = np.empty_like(found)
    measure_many(addresses(arrays), sizes, rows, only, None)
    np.testing.assert_array_equal(only, found)
    for row, x in zip(rows, arrays, strict=True):
        expected, histogram = np.empty(len(MOMENT_KEYS)), np.zeros(HISTOGRAM_BINS, np.uint32)
        measure(x, expected, histogram)
        scale = np.nanmax(np.abs(expected[:7]), initial=0.0)
        np.testing.assert_allclose(found[row][:8], expected[:8], rtol=1e-9, atol=1e-12 * scale)
        np.testing.assert_array_equal(found[row][10:], expected[10:])
        np.testing.assert_array_equal(bins[row], histogram)


@pytest.mark.parametrize("size", [2048, 2049, 5000])
def test_a_histogram_is_the_sum_of_those_of_its_pieces(size):
    """Few elements are counted straight into the bins, many over a table."""
    x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    x[::7] = -0.0
    pieces = [x, *np.array_split(x, 9)]
    found = np.empty((len(pieces), len(MOMENT_KEYS)))
    bins = np.zeros((len(pieces), HISTOGRAM_BINS), np.uint32)
    sizes = np.array([piece.size for piece in pieces])
    measure_many(addresses(pieces), sizes, np.arange(len(pieces)), found, bins)
    np.testing.assert_array_equal(bins[0], bins[1:].sum(axis=0))
    zeros = np.count_nonzero(x == 0)
    assert bins[0].sum() == size
    assert bins[0, HISTOGRAM_BINS // 2] >= zeros > 0


@given(MATRICES, st.randoms(use_true_random=False))
def test_samples_are_the_elements_at_the_positions(arrays, random):
    chosen = [sorted(random.sample(range(x.size), random.randint(0, x.size))) for x in arrays]
    ends = np.cumsum([len(c) for c in chosen], dtype=np.int64)
    begins = ends - np.array([len(c) for c in chosen], np.int64)
    positions = np.array([p for c in chosen for p in c], np.int64)
    out = np.empty(len(positions), np.float32)
    take_many(addresses(arrays), begins, ends, positions, out)
    expected = [x.reshape(-1)[c] for x, c in zip(arrays, chosen, strict=True)]
    np.testing.assert_array_equal(out, np.concatenate([np.zeros(0, np.float32), *expected]))


@given(MATRICES)
def test_sums_are_those_of_each_matrix(arrays):
    arrays = [x for x in arrays if x.size]
    edges = [
        None if i % 3 == 0 else (np.array([0, len(x)]), np.unique([0, x.shape[1] // 2, x.shape[1]]))
        for i, x in enumerate(arrays)
    ]
    which = np.arange(len(arrays))[::2].copy()
    sums = ManySums(ManyGrids.of([x.shape for x in arrays], edges))
    sums.add(addresses(arrays)[which], which)
    for i in which:
        expected = sum_grid(arrays[i], *(edges[i] or ()))
        for part in ("n", "total", "squares", "absmax", "row_squares", "column_squares"):
            ours, theirs = getattr(sums[i], part), getattr(expected, part)
            rtol = 0 if part in ("n", "absmax") else 1e-6  # the others are kept as means and roots in float32
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-9 * np.max(expected.absmax))


@given(MATRICES, st.integers(0, 2**32))
def test_moments_are_those_of_their_formulas(arrays, seed):
    rng = np.random.default_rng(seed)
    firsts = [rng.standard_normal(x.size).astype(np.float32) for x in arrays]
    seconds = [np.square(1e-8 * rng.standard_normal(x.size)).astype(np.float32) for x in arrays]
    settings = np.array([[0.1 * (i + 1), 0.05, 1e-8] for i in range(len(arrays))]).reshape(-1, 3)
    sizes, rows = np.array([x.size for x in arrays], np.int64), np.arange(len(arrays))
    out = np.full((len(arrays), 3), np.nan)
    moments_many(addresses(firsts), addresses(seconds), sizes, rows, settings, out)
    for i, (m, v) in enumerate(zip(firsts, seconds, strict=True)):
        root = np.sqrt(v.astype(np.float64) / 0.05)
        assert out[i, 0] == pytest.approx(np.linalg.norm(m.astype(np.float64)) / settings[i, 0])
        assert out[i, 1] == pytest.approx(np.sqrt(np.mean(root**2)) if m.size else 0.0)
        assert out[i, 2] * max(1, m.size) == pytest.approx(np.count_nonzero(root < 1e-8), abs=1e-9)


@given(MATRICES)
def test_gram_matrices_are_the_products_of_the_smaller_side(arrays):
    sides = [min(x.shape) for x in arrays]
    lengths = np.array([side * (side + 1) // 2 for side in sides], np.int64)
    offsets, out = lengths.cumsum() - lengths, np.full(lengths.sum(), np.nan)
    gram_many(addresses(arrays), np.array([x.shape for x in arrays], np.int64).reshape(-1, 2), offsets, out)
    for x, side, begin, length in zip(arrays, sides, offsets, lengths, strict=True):
        wide = x.astype(np.float64)
        tall = wide if wide.shape[1] == side else wide.T
        with np.errstate(invalid="ignore"):
            expected = (tall.T @ tall)[np.tril_indices(side)]
        found, is_finite = out[begin : begin + length], np.isfinite(expected)
        largest = np.max(np.abs(expected[is_finite]), initial=0.0)
        np.testing.assert_allclose(found[is_finite], expected[is_finite], rtol=1e-12, atol=1e-12 * largest)
        assert not np.isfinite(found[~is_finite]).any()
