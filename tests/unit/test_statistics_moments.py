"""Statistics of whole tensors, against exact rational arithmetic, on every engine."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paramviz.schema import MOMENT_KEYS, histogram_edges
from paramviz.statistics import measure
from paramviz.statistics.engines import NUMPY, current_engine

ENGINES = {NUMPY.name: NUMPY, current_engine().name: current_engine()}

COUNTS = ("n_nan", "n_inf", "n_overflow", "n_underflow")

FLOATS = [np.float16, np.float32, np.float64]
OTHERS = [np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_]


@pytest.fixture(params=sorted(ENGINES), autouse=True, scope="module")
def engine(request):
    """Every test of this file runs on each engine that works here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paramviz.statistics.moments.current_engine", lambda: ENGINES[request.param])
        yield request.param


def test_both_engines_are_under_test():
    """The development environment has numba: without it half of this file would test nothing."""
    assert sorted(ENGINES) == ["numba", "numpy"]


def statistics(x: np.ndarray) -> dict[str, float]:
    out = np.full(len(MOMENT_KEYS), -1.0)
    measure(x, out, None)
    return dict(zip(MOMENT_KEYS, out.tolist(), strict=True))


def histogram(x: np.ndarray) -> np.ndarray:
    counts = np.full(64, 99, dtype=np.uint32)
    measure(x, np.empty(len(MOMENT_KEYS)), counts)
    return counts


def root(x: Fraction) -> float:
    """Square root of a rational number of any size."""
    if x == 0:
        return 0.0
    shift = (x.denominator.bit_length() - x.numerator.bit_length() + 200) // 2
    scaled = x * Fraction(4) ** shift
    exact = Fraction(math.isqrt(scaled.numerator // scaled.denominator)) / Fraction(2) ** shift
    try:
        return float(exact)
    except OverflowError:
        return math.inf


def reference(x: np.ndarray) -> dict[str, float]:
    """The same by definition, in rational numbers; rounded once."""
    flat = x.reshape(-1)
    finite = [Fraction(v) for v in flat.tolist() if math.isfinite(v)]
    n = len(finite)
    n_nan = int(np.isnan(flat).sum()) if flat.dtype.kind == "f" else 0
    counts = {
        "n_nan": n_nan,
        "n_inf": flat.size - n - n_nan,
        "n_overflow": sum(abs(v) >= 65520 for v in finite),
        "n_underflow": sum(0 < abs(v) <= Fraction(1, 2**25) for v in finite),
    }
    if n == 0:
        return {key: math.nan if flat.size else 0.0 for key in MOMENT_KEYS} | counts
    mean = sum(finite) / n
    m2, m3, m4 = (sum((v - mean) ** k for v in finite) for k in (2, 3, 4))
    squares = sum(v * v for v in finite)
    sign = 1 if m3 >= 0 else -1
    return {
        "mean": float(mean),
        "std": root(m2 / (n - 1)) if n > 1 else 0.0,
        "min": float(min(finite)),
        "max": float(max(finite)),
        "rms": root(squares / n),
        "l2_norm": root(squares),
        "absmax": float(max(abs(v) for v in finite)),
        "sparsity": sum(v < Fraction(1e-6) for v in map(abs, finite)) / n,
        "skewness": sign * root(n * m3 * m3 / m2**3) if m2 else math.nan,
        "kurtosis": float(n * m4 / (m2 * m2)) - 3 if m2 else math.nan,
        **counts,
    }


def assert_close(found: dict[str, float], expected: dict[str, float]) -> None:
    """To 1e-11 of each number's own scale; extremes and counts exactly."""
    absmax = expected["absmax"]
    for key in MOMENT_KEYS:
        if key in ("min", "max", "absmax", "sparsity", *COUNTS):
            assert found[key] == expected[key] or (math.isnan(found[key]) and math.isnan(expected[key])), key
            continue
        scale = absmax if key == "mean" else abs(expected[key]) + (key in ("skewness", "kurtosis"))
        tolerance = max(1e-11 * scale, 1e-323) if math.isfinite(scale) else 0.0
        assert found[key] == pytest.approx(expected[key], rel=0, abs=tolerance, nan_ok=True), key


def arrays(dtype, **elements):
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return hnp.arrays(dtype, shapes, elements=hnp.from_dtype(np.dtype(dtype), **elements))


@given(st.sampled_from(FLOATS + OTHERS).flatmap(arrays))
@example(np.full(2, 1.27116101e308))
def test_every_statistic_is_right(x):
    """Any shape, 0-d and empty among them, with NaN, infinities, subnormals and extremes."""
    expected = reference(x)
    if expected["l2_norm"] > 1e308:
        return  # beyond float64: see test_an_l2_norm_beyond_float64_is_infinite_and_nothing_else_is
    assert_close(statistics(x), expected)


@given(arrays(np.float32, allow_nan=False, allow_infinity=False, min_value=-2, max_value=2))
def test_ordinary_weights_are_right(x):
    assert_close(statistics(x), reference(x))


@pytest.mark.parametrize("exponent", [-1000, -500, -200, 0, 200, 500, 1000])
def test_float64_of_any_size_keeps_its_digits(exponent):
    """Fourth powers of 1e200 are no float64 any more."""
    x = np.ldexp(np.random.default_rng(1).standard_normal(50), exponent)
    assert_close(statistics(x), reference(x))
    assert_close(statistics(x.astype(">f8")), reference(x))


def test_an_l2_norm_beyond_float64_is_infinite_and_nothing_else_is():
    found = statistics(np.array([1.7e308, -1.7e308, 1.7e308]))
    assert found["l2_norm"] == math.inf
    assert found["rms"] == pytest.approx(1.7e308)
    assert found["absmax"] == 1.7e308


@pytest.mark.parametrize("n", [4095, 4096, 4097, 8192, 20_000, 66_000])
@pytest.mark.parametrize("dtype", FLOATS)
def test_blocks_are_merged_without_loss(n, dtype):
    """A tensor of many blocks whose means differ, with NaN and infinities in some of them."""
    rng = np.random.default_rng(n)
    x = (rng.standard_gamma(2.0, n) * 0.02 + np.linspace(-1, 3, n)).astype(dtype)
    x[rng.integers(0, n, 9)] = np.nan
    x[rng.integers(0, n, 9)] = -np.inf
    wide = x[np.isfinite(x)].astype(np.longdouble)
    d = wide - wide.mean()
    found = statistics(x)
    assert found["mean"] == pytest.approx(float(wide.mean()), rel=1e-13)
    assert found["std"] == pytest.approx(float(np.sqrt((d**2).sum() / (wide.size - 1))), rel=1e-13)
    assert found["skewness"] == pytest.approx(float((d**3).mean() / (d**2).mean() ** 1.5), abs=1e-12)
    assert found["kurtosis"] == pytest.approx(float((d**4).mean() / (d**2).mean() ** 2 - 3), abs=1e-12)
    assert found["n_nan"] + found["n_inf"] == n - wide.size


def test_a_mean_far_above_the_spread_costs_no_digits():
    """1e6 with a spread of 0.5, in three blocks: sums of squares in float64 would keep four digits."""
    rng = np.random.default_rng(0)
    x = np.float32(1e6) + rng.integers(-8, 9, 12_288).astype(np.float32) / 16
    exact = (x.astype(np.float64) - 1e6).std(ddof=1)
    assert statistics(x)["std"] == pytest.approx(exact, rel=1e-10)


def test_a_first_block_far_from_all_others_costs_no_digits():
    x = np.concatenate([np.zeros(4096), np.random.default_rng(0).normal(1e8, 1.0, 8192)])
    assert statistics(x)["std"] == pytest.approx(x.std(ddof=1), rel=1e-13)


@pytest.mark.parametrize("value", [0.1, 1.0, -3e38, 1e-45])
def test_equal_elements_have_no_spread_and_no_shape(value):
    """Exactly: 10,000 times 0.1 sums to something else than 1,000."""
    found = statistics(np.full(10_000, value, dtype=np.float32))
    assert found["std"] == 0.0
    assert found["mean"] == found["min"] == found["max"] == float(np.float32(value))
    assert math.isnan(found["skewness"])
    assert math.isnan(found["kurtosis"])


def test_one_element_has_a_std_of_zero():
    assert statistics(np.float32(2.5).reshape(()))["std"] == 0.0


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3, 2)])
def test_no_elements_give_zeros(shape):
    assert set(statistics(np.empty(shape, dtype=np.float32)).values()) == {0.0}


@pytest.mark.parametrize("n", [3, 5000])
def test_nothing_finite_gives_nan_and_the_right_counts(n):
    x = np.full(n, np.nan, dtype=np.float32)
    x[0] = np.inf
    found = statistics(x)
    assert [found.pop(key) for key in COUNTS] == [n - 1, 1, 0, 0]
    assert all(math.isnan(value) for value in found.values())
    assert histogram(x).sum() == 0


def test_the_limits_of_float16_are_those_of_the_cast():
    limits = [65519.996, 65520.0, 2.0**-25, np.nextafter(np.float32(2**-25), np.float32(1)), 1e-45, 0.0]
    x = np.array(limits + [-v for v in limits], dtype=np.float32)
    with np.errstate(over="ignore", under="ignore"):
        cast = x.astype(np.float16)
    found = statistics(x)
    assert found["n_overflow"] == np.isinf(cast).sum() == 2
    assert found["n_underflow"] == ((cast == 0) & (x != 0)).sum() == 4


def test_sparsity_has_its_threshold_in_real_numbers():
    """The float32 nearest to 1e-6 is below it; the next one is not."""
    near = np.float32(1e-6)
    assert statistics(np.array([near, np.nextafter(near, np.float32(1)), -near, 0]))["sparsity"] == 0.75
    assert statistics(np.array([1e-6, np.nextafter(1e-6, 0)]))["sparsity"] == 0.5


@given(st.sampled_from(FLOATS).flatmap(arrays))
def test_the_histogram_counts_each_finite_element_in_its_bin(x):
    """By the edges' own definition: closed away from zero below it, closed towards zero above."""
    edges = histogram_edges()
    expected = np.zeros(64, dtype=np.int64)
    for value in x[np.isfinite(x)].astype(np.float64).reshape(-1):
        expected[np.searchsorted(edges, value, side="left" if value < 0 else "right") - 1] += 1
    assert np.array_equal(histogram(x), expected)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", FLOATS)
def test_powers_of_two_start_a_bin_on_their_outer_side(sign, dtype):
    lowest = -23 if dtype is np.float16 else -24  # within 2**-24 float16 has nothing but zero
    for exponent in range(lowest, 7):
        edge = dtype(sign * 2.0**exponent)
        counts = histogram(np.array([edge, np.nextafter(edge, dtype(0))], dtype=dtype))
        outer = 32 + exponent + 25 if sign > 0 else 31 - (exponent + 25)
        assert counts[outer] == counts[outer - sign] == 1


def test_zeros_of_either_sign_share_a_bin():
    for n in (3, 5000):
        counts = histogram(np.tile(np.array([0.0, -0.0, 1e-45, -1e-45], dtype=np.float32), n))
        assert (counts[32], counts[31], counts.sum()) == (3 * n, n, 4 * n)


def test_a_whole_histogram_of_many_blocks_is_numpys():
    x = np.random.default_rng(0).standard_normal(100_003).astype(np.float32)
    assert np.array_equal(histogram(x), np.histogram(x, histogram_edges())[0])


@pytest.mark.parametrize("dtype", [*FLOATS, np.int32])
@pytest.mark.parametrize(
    "view",
    [lambda x: x[:, ::2], lambda x: x.T, lambda x: x[::-1], lambda x: np.broadcast_to(x[0], x.shape)],
    ids=["strided", "transposed", "reversed", "broadcast"],
)
def test_strides_do_not_matter(view, dtype):
    x = view((np.random.default_rng(0).standard_normal((300, 500)) * 9).astype(dtype))
    assert statistics(x) == pytest.approx(statistics(np.ascontiguousarray(x)), rel=1e-12, abs=1e-14)
    assert np.array_equal(histogram(x), histogram(np.ascontiguousarray(x)))


def test_foreign_byte_order_and_read_only_memory_are_fine():
    x = np.arange(10, dtype=">f4")
    x.flags.writeable = False
    assert statistics(x)["mean"] == 4.5


def test_the_input_is_left_alone():
    x = np.array([1.0, np.nan, -np.inf, 1e300])
    before = x.tobytes()
    statistics(x)
    assert x.tobytes() == before


def test_a_row_of_a_float32_table_can_take_the_result():
    table = np.zeros((2, len(MOMENT_KEYS)), dtype=np.float32)
    measure(np.array([1e300, 1.0]), table[1], None)
    assert table[1, MOMENT_KEYS.index("max")] == np.inf
    assert table[1, MOMENT_KEYS.index("sparsity")] == 0


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="complex64"):
        statistics(np.ones(2, dtype=np.complex64))
