"""Samples against the past, against exact references, on every engine."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paramviz.schema import UPDATE_KEYS
from paramviz.statistics import compare_samples
from paramviz.statistics.engines import NUMPY, current_engine

ENGINES = {NUMPY.name: NUMPY, current_engine().name: current_engine()}


@pytest.fixture(params=sorted(ENGINES), autouse=True, scope="module")
def engine(request):
    """Every test of this file runs on each engine that works here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paramviz.statistics.updates.current_engine", lambda: ENGINES[request.param])
        yield request.param


def changes(now, before=None, start=None, previous_update=None, **options) -> dict[str, float]:
    found = compare_samples(now, before, start, previous_update, **options)
    return dict(zip(UPDATE_KEYS, found.tolist(), strict=True))


def norm(x: np.ndarray) -> np.longdouble:
    return np.sqrt((x * x).sum())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = norm(a) * norm(b)
    return float((a * b).sum() / lengths) if lengths > 0 else math.nan


def finite(*samples: np.ndarray) -> list[np.ndarray]:
    keep = np.logical_and.reduce([np.isfinite(x) for x in samples])
    return [x[keep].astype(np.longdouble) for x in samples]


def reference(now, before, start, previous) -> dict[str, float]:
    """The formulas of docs/FORMAT.md in extended precision."""
    a, b = finite(now, before)
    found = dict.fromkeys(UPDATE_KEYS, math.nan)
    if a.size:
        found["update_norm"] = float(norm(a - b))
        found["unchanged_share"] = float((a == b).mean())
        if norm(b) > 0:
            found["update_ratio"] = float(norm(a - b) / norm(b))
            if norm(a) > 0:
                u, v = a / norm(a), b / norm(b)
                found["angular_update"] = float(2 * np.arctan2(norm(u - v), norm(u + v)))
    a, b, p = finite(now, before, previous)
    found["update_cosine"] = cosine(a - b, p)
    a, s = finite(now, start)
    if a.size:
        found["distance_from_start"] = float(norm(a - s))
        found["cosine_to_start"] = cosine(a, s)
    return found


@st.composite
def four_samples(draw, dtype):
    n = draw(st.integers(1, 12))
    elements = hnp.from_dtype(np.dtype(dtype))
    return [draw(hnp.arrays(dtype, n, elements=elements)) for _ in range(4)]


@given(st.sampled_from([np.float16, np.float32]).flatmap(four_samples))
def test_every_change_is_right(samples):
    """NaN, infinities, subnormals and the largest numbers among the samples."""
    now, before, start, previous = samples
    expected = reference(now, before, start, previous)
    found = changes(now, before, start, previous)
    for key in UPDATE_KEYS:
        assert found[key] == pytest.approx(expected[key], rel=1e-12, abs=1e-14, nan_ok=True), key


@given(
    hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-1, 1, width=32)),
    st.floats(1e-7, 0.5),
)
def test_against_itself_scaled(before, factor):
    """A known answer: now = before * (1 + factor) keeps the direction."""
    before = before.astype(np.float64)
    found = changes(before * (1.0 + factor), before)
    if before.any():
        assert found["update_ratio"] == pytest.approx(factor, rel=1e-6)
        assert found["angular_update"] == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("angle", [1e-12, 1e-8, 1e-4, 1.0, 3.0, math.pi])
def test_small_angles_keep_their_digits(angle):
    """The arc cosine of a float64 cosine calls everything below 1e-8 zero."""
    now = np.array([math.cos(angle), math.sin(angle)])
    assert changes(now, np.array([1.0, 0.0]))["angular_update"] == pytest.approx(angle, rel=1e-9)


def test_small_angles_keep_their_digits_in_float32():
    before = np.ones(4096, dtype=np.float32)
    now = before.copy()
    now[7] = np.nextafter(np.float32(1), np.float32(2))
    step = 2.0**-23
    assert changes(now, before)["angular_update"] == pytest.approx(step / 64, rel=1e-3)


def test_an_update_in_the_same_direction_has_a_cosine_of_one():
    a, b, c = (np.arange(1, 6, dtype=np.float32) * k for k in (1, 3, 4))
    assert changes(c, b, None, b - a)["update_cosine"] == pytest.approx(1.0)
    assert changes(a, b, None, b - a)["update_cosine"] == pytest.approx(-1.0)


def test_cosines_never_leave_their_range():
    x = np.full(1000, 0.1, dtype=np.float32)
    found = changes(x * 3, x, x, x)
    assert -1 <= found["cosine_to_start"] <= 1
    assert -1 <= found["update_cosine"] <= 1


def test_unchanged_samples_are_counted():
    now, before = np.array([1, 2, np.nan, 4, -0.0]), np.array([1, 3, np.nan, 4, 0.0])
    assert changes(now, before)["unchanged_share"] == 0.75


def test_what_has_no_past_is_nan():
    x = np.ones(3, dtype=np.float32)
    assert all(math.isnan(value) for value in changes(x).values())
    only_start = {key for key, value in changes(x, start=x).items() if not math.isnan(value)}
    assert only_start == {"distance_from_start", "cosine_to_start"}
    only_before = {key for key, value in changes(x, x).items() if not math.isnan(value)}
    assert only_before == {"update_norm", "update_ratio", "angular_update", "unchanged_share"}


def test_a_tensor_that_was_zero_has_no_ratio_and_no_angle():
    found = changes(np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.float32))
    assert found["update_norm"] == pytest.approx(math.sqrt(3))
    assert math.isnan(found["update_ratio"])
    assert math.isnan(found["angular_update"])


@pytest.mark.parametrize("n", [0, 4])
def test_nothing_to_compare_is_nan(n):
    """No samples, or none that is finite on both sides."""
    now, before = np.full(n, np.nan, dtype=np.float32), np.ones(n, dtype=np.float32)
    assert all(math.isnan(value) for value in changes(now, before, before, before).values())


@pytest.mark.parametrize("scale", [1e-300, 1e200, 1e300])
def test_float64_of_any_size_keeps_its_digits(scale):
    now, before = np.array([3.0, 4.0]) * scale, np.array([3.0, 0.0]) * scale
    found = changes(now, before, before)
    assert found["update_norm"] == pytest.approx(4 * scale, rel=1e-14, abs=0)
    assert found["update_ratio"] == pytest.approx(4 / 3)
    assert found["cosine_to_start"] == pytest.approx(0.6)


def test_norms_are_scaled_to_the_whole_tensor_and_nothing_else_is():
    rng = np.random.default_rng(0)
    now, before, start, previous = rng.standard_normal((4, 64)).astype(np.float32)
    samples, whole = changes(now, before, start, previous), changes(now, before, start, previous, size=6400)
    for key in UPDATE_KEYS:
        factor = 10 if key in ("update_norm", "distance_from_start") else 1
        assert whole[key] == pytest.approx(samples[key] * factor)


def test_the_estimate_of_the_whole_norm_is_right_on_average():
    """Over 300 random samples of a tensor, the squared estimates average to the squared norm."""
    rng = np.random.default_rng(0)
    move = rng.standard_normal(1000) ** 3
    estimates = []
    for _ in range(300):
        kept = rng.choice(1000, 100, replace=False)
        estimates.append(changes(move[kept], np.zeros(100), size=1000)["update_norm"] ** 2)
    assert np.mean(estimates) == pytest.approx((move**2).sum(), rel=0.1)


def test_shapes_and_dtypes_may_differ_if_sizes_agree():
    now, before = np.arange(6, dtype=np.int64).reshape(2, 3), np.zeros(6, dtype=np.float16)
    assert changes(now, before)["update_norm"] == pytest.approx(math.sqrt(55))


def test_samples_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\[3, 4\]"):
        compare_samples(np.ones(3), np.ones(4), None, None)
