"""Statistics of key snapshots against float64 references, whatever the numbers are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paramviz.recorder import singular
from paramviz.recorder.device_layout import Layouts
from paramviz.recorder.moments import read_moments
from paramviz.recorder.singular import SingularValues, all_values
from paramviz.recorder.transfers import Transfers

SCALES = st.sampled_from([1e-30, 1e-12, 1e-3, 1.0, 1e6, 1e15, 1e30])
ANY = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    elements=st.floats(width=32) | st.sampled_from([0.0, 1e-45, -1e-40, 3e38, np.nan, np.inf]),
)


@st.composite
def matrices(draw, most: int = 40):
    """(rows, columns) float32 of a size, a rank and a scale, with zero rows now and then."""
    rows, columns = draw(st.integers(1, most)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rank = draw(st.integers(0, min(rows, columns)))
    x = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))
    x[rng.random(rows) < draw(st.sampled_from([0.0, 0.5]))] = 0
    return (x * draw(SCALES)).astype(np.float32)


def true_sigma(x: np.ndarray) -> float:
    return float(np.linalg.norm(x.astype(np.float64).reshape(x.shape[0], -1), 2))


@given(matrices())
def test_sigma_max_of_a_small_matrix_is_exact(x):
    found = float(SingularValues().largest("x", torch.from_numpy(x)))
    assert found == pytest.approx(true_sigma(x), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1.0, 1e18, 1e30])
@pytest.mark.parametrize("shape", [(150, 400), (400, 150), (130, 12, 20)])
def test_sigma_max_of_a_large_matrix_is_close_below_at_any_scale(shape, scale):
    x = (np.random.default_rng(1).standard_normal(shape) * scale).astype(np.float32)
    values, true = SingularValues(), true_sigma(x)
    for _ in range(2):
        assert 0.97 * true <= float(values.largest("x", torch.from_numpy(x))) <= true * (1 + 1e-5)


def test_a_matrix_that_is_zero_but_for_its_end_has_its_sigma(monkeypatch):
    """It is read in parts, of which the first say nothing."""
    monkeypatch.setattr(singular, "CHUNK", 130 * 10)
    x = np.zeros((200, 130), np.float32)
    x[150:] = np.random.default_rng(2).standard_normal((50, 130)) * 1e25
    assert float(SingularValues().largest("x", torch.from_numpy(x))) == pytest.approx(true_sigma(x), rel=0.03)
    zero = torch.zeros(200, 130)
    assert float(SingularValues().largest("x", zero)) == 0.0


@pytest.mark.parametrize("shape", [(20, 30), (200, 300)])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_matrix_that_is_not_finite_has_no_sigma(shape, odd):
    x = torch.ones(shape)
    x[-1, 2] = odd
    assert np.isnan(float(SingularValues().largest("x", x)))
    assert np.isnan(all_values(x.numpy())).all()


@given(matrices())
def test_all_singular_values_are_those_of_a_decomposition(x):
    expected = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(all_values(x), expected, rtol=1e-5, atol=2e-7 * expected[0])


def measured(first: torch.Tensor, second: torch.Tensor, **settings: object) -> np.ndarray:
    """(3,) of one parameter with these moments after `step` steps."""
    parameter = torch.nn.Parameter(torch.zeros_like(first))
    optimizer = torch.optim.Adam([parameter], betas=settings.get("betas", (0.9, 0.999)), eps=1e-8)
    state = {"exp_avg": first, "exp_avg_sq": second}
    if "step" in settings:
        state["step"] = settings["step"]
    optimizer.state[parameter] = state
    out, transfers = np.full((1, 3), np.nan), Transfers()
    read_moments(optimizer, [(0, parameter)], out, Layouts(), transfers)
    return out[0]


@given(ANY, st.integers(0, 10_000), st.booleans())
def test_moments_are_those_of_their_definition(x, step, is_tensor):
    first, second = x.astype(np.float64), np.square(x.astype(np.float64))
    with np.errstate(all="ignore"):
        correction = (1 - 0.9**step, 1 - 0.999**step) if step else (1.0, 1.0)
        m, v = first / correction[0], second.astype(np.float32).astype(np.float64) / correction[1]
        norm, rms = np.sqrt(np.square(m).sum()), np.sqrt(v.sum() / max(1, v.size))
        share = (np.sqrt(v) < 1e-8).sum() / max(1, v.size)
    with np.errstate(over="ignore"):
        squares = torch.from_numpy(np.asarray(second.astype(np.float32)))
    found = measured(
        torch.from_numpy(np.asarray(x)), squares, step=torch.tensor(float(step)) if is_tensor else step
    )
    np.testing.assert_allclose(found, [norm, rms, share], rtol=1e-9)


def test_moments_without_steps_or_with_betas_as_tensors():
    x = torch.tensor([3.0, 4.0])
    plain = measured(x, x.square())
    assert plain == pytest.approx([5.0, np.sqrt(12.5), 0.0])
    betas = (torch.tensor(0.9), torch.tensor(0.999))
    found = measured(x, x.square(), step=1, betas=betas)
    assert found == pytest.approx([50.0, np.sqrt(12500.0), 0.0], rel=1e-4)
