"""The path for tensors on other devices, checked here on the CPU against the path for the CPU.

Nothing in it depends on the device but the copy at its end, which needs a GPU to be tested.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from paramviz.quantities import QUANTITIES
from paramviz.recorder import device_statistics, views
from paramviz.recorder.device_statistics import histogram_on_device, measure_on_device
from paramviz.recorder.frames import FramePool
from paramviz.recorder.gather import gather, measure_tensor, plain_gradient
from paramviz.recorder.model_plan import Selection
from paramviz.recorder.plan_keeper import PlanKeeper
from paramviz.recorder.singular import SingularValues
from paramviz.recorder.transfers import Transfers
from paramviz.sampling import SampleBudgets
from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS
from paramviz.statistics import measure
from tests.recorder.models import gpt

ARRAYS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6),
    elements=st.floats(width=32)
    | st.sampled_from([0.0, -0.0, 1e-6, 2.0**-24, -(2.0**-24), 2.0**-25, 65504.0, 65520.0, -64.0]),
)


def expected(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    statistics, histogram = np.empty(len(MOMENT_KEYS)), np.zeros(HISTOGRAM_BINS, np.uint32)
    measure(x, statistics, histogram)
    return statistics, histogram


@given(ARRAYS)
def test_statistics_on_a_device_are_those_of_the_cpu(x):
    statistics, histogram = expected(x)
    found = measure_on_device(torch.from_numpy(x.copy())).numpy()
    finite = x[np.isfinite(x)].astype(np.float64)
    scale = np.abs(finite).max(initial=0.0)
    for key, a, b in zip(MOMENT_KEYS, found, statistics, strict=True):
        if key in ("skewness", "kurtosis") and (finite.size < 2 or np.ptp(finite) < 1e-5 * scale):
            continue  # of a spread that is all rounding, neither path can say the shape
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12 * scale if key == "mean" else 0, err_msg=key)
    np.testing.assert_array_equal(histogram_on_device(torch.from_numpy(x.copy())).numpy(), histogram)


def test_statistics_do_not_depend_on_where_chunks_end(monkeypatch):
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 3 + 1
    whole, bins = measure_on_device(x), histogram_on_device(x)
    monkeypatch.setattr(device_statistics, "CHUNK", 64)
    torch.testing.assert_close(measure_on_device(x), whole, rtol=1e-12, atol=1e-12)
    assert torch.equal(histogram_on_device(x), bins)


def test_a_frame_is_the_same_through_the_device_path(monkeypatch):
    model = nn.ModuleDict({"gpt": gpt(vocabulary=300), "norm": nn.BatchNorm1d(5)})
    model["gpt"].lm_head.weight.data[0, 0] = 1e30
    plan = PlanKeeper(model, Selection(SampleBudgets())).plan
    frames = [FramePool(1 << 20).take(plan) for _ in range(2)]
    for frame in frames:
        frame.tier, frame.keeps_rows = "key", True
    gather(frames[0], frozenset(QUANTITIES), SingularValues())
    monkeypatch.setattr(views, "is_on_host", lambda tensor: False)
    gather(frames[1], frozenset(QUANTITIES), SingularValues())
    for frame in frames:
        frame.transfers.start()
        frame.transfers.finish()
    np.testing.assert_array_equal(frames[0].samples, frames[1].samples)
    np.testing.assert_allclose(frames[0].statistics, frames[1].statistics, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(frames[0].histograms, frames[1].histograms)
    np.testing.assert_array_equal(frames[0].embedding_rows, frames[1].embedding_rows)
    np.testing.assert_allclose(frames[0].sigma_max, frames[1].sigma_max, rtol=1e-5)
    ours, theirs = (frame.grids for frame in frames)
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert ours.heads.keys() == theirs.heads.keys()
    assert len(ours.tensors) > 5
    for index, sums in ours.tensors.items():
        for part in ("mean", "rms", "largest", "row_norms", "column_norms"):
            expected, found = getattr(sums, part), getattr(theirs.tensors[index], part)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15, err_msg=part)
    for index, squares in ours.heads.items():
        np.testing.assert_allclose(theirs.heads[index], squares, rtol=1e-6)
    for index, matrix in frames[0].matrices.items():
        np.testing.assert_array_equal(frames[1].matrices[index], matrix)


@pytest.mark.parametrize("scale", [None, 65536.0])
def test_a_gradient_is_the_same_through_the_device_path(monkeypatch, scale):
    """Also one in float16 whose unscaled elements float16 could not hold."""
    gradient = (torch.randn(64, generator=torch.Generator().manual_seed(1)) * 1e-3).half()
    divisor = None if scale is None else torch.tensor(scale)
    rows = np.full((2, len(MOMENT_KEYS)), np.nan)
    transfers = Transfers()
    measure_tensor(plain_gradient(gradient, divisor), rows[0], None, transfers)
    monkeypatch.setattr(views, "is_on_host", lambda tensor: False)
    measure_tensor(plain_gradient(gradient, divisor), rows[1], None, transfers)
    transfers.start()
    transfers.finish()
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-9)
    assert rows[0][MOMENT_KEYS.index("absmax")] == gradient.abs().max().item() / (scale or 1.0)
