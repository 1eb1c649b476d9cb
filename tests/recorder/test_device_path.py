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
from paramviz.recorder import device_layout, views
from paramviz.recorder.device_layout import Layouts
from paramviz.recorder.device_reading import Wanted, read_all
from paramviz.recorder.frames import Frame, FramePool
from paramviz.recorder.gather import gather, plain_gradient, read
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


def read_there(tensors: list[torch.Tensor], **settings: object) -> list[Wanted]:
    """Statistics, histograms and all samples of tensors, as a device would give them."""
    wanted = [
        Wanted(
            tensor,
            np.empty(len(MOMENT_KEYS)),
            np.empty(HISTOGRAM_BINS, np.uint32),
            np.empty(tensor.numel(), np.float32),
            **settings,
        )
        for tensor in tensors
    ]
    transfers = Transfers()
    read_all(wanted, Layouts(), transfers)
    transfers.start()
    transfers.finish()
    return wanted


def assert_is_that_of_the_host(found: Wanted, x: np.ndarray) -> None:
    statistics, histogram = expected(x)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found.samples, x.reshape(-1).astype(np.float32))
    np.testing.assert_array_equal(found.histogram, histogram)
    finite = x[np.isfinite(x)].astype(np.float64)
    scale = np.abs(finite).max(initial=0.0)
    for key, a, b in zip(MOMENT_KEYS, found.statistics, statistics, strict=True):
        if key in ("skewness", "kurtosis") and (finite.size < 2 or np.ptp(finite / (scale or 1)) < 1e-5):
            continue  # of a spread that is all rounding, neither path can say the shape
        slack = {"mean": 1e-12 * scale, "skewness": 1e-9, "kurtosis": 1e-9}.get(key, 0)
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=slack, err_msg=key)


@given(st.lists(ARRAYS, min_size=1, max_size=5))
def test_statistics_on_a_device_are_those_of_the_cpu(arrays):
    for found, x in zip(read_there([torch.from_numpy(x.copy()) for x in arrays]), arrays, strict=True):
        assert_is_that_of_the_host(found, x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_statistics_on_a_device_hold_at_any_scale(dtype, scale):
    rng = np.random.default_rng(3)
    with np.errstate(over="ignore", under="ignore"):
        arrays = [(rng.standard_normal(n) * scale + scale).astype(dtype) for n in (1, 511, 4097, 70_000)]
    for found, x in zip(read_there([torch.from_numpy(x) for x in arrays]), arrays, strict=True):
        assert_is_that_of_the_host(found, x)


def test_statistics_in_bfloat16_are_those_of_the_same_numbers_in_float32():
    x = torch.randn(3000, generator=torch.Generator().manual_seed(4)).bfloat16()
    (found,) = read_there([x])
    assert_is_that_of_the_host(found, x.float().numpy())


def test_statistics_do_not_depend_on_where_chunks_end(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(n, generator=generator) * 3 + 1 for n in (1000, 3, 0, 600, 601, 5000)]
    whole = read_there(tensors)
    monkeypatch.setattr(device_layout, "CHUNK", 640)
    for one, other in zip(read_there(tensors), whole, strict=True):
        np.testing.assert_allclose(one.statistics, other.statistics, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(one.histogram, other.histogram)
        np.testing.assert_array_equal(one.samples, other.samples)


def a_model() -> nn.Module:
    """With heads, cells, an embedding, buffers, integers, and a number that float16 cannot hold."""
    torch.manual_seed(2)
    model = nn.ModuleDict({"gpt": gpt(vocabulary=300), "norm": nn.BatchNorm1d(5)})
    model["gpt"].lm_head.weight.data[0, 0] = 1e30
    return model


def key_frame(model: nn.Module) -> Frame:
    """A snapshot with everything in it, arrived."""
    plan = PlanKeeper(model, Selection(SampleBudgets())).plan
    frame = FramePool(1 << 20).take(plan)
    frame.tier, frame.keeps_rows = "key", True
    gather(frame, frozenset(QUANTITIES), SingularValues())
    frame.transfers.start()
    frame.transfers.finish()
    return frame


def assert_frames_are_alike(here: Frame, there: Frame) -> None:
    np.testing.assert_array_equal(here.samples, there.samples)
    np.testing.assert_allclose(here.statistics, there.statistics, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(here.histograms, there.histograms)
    np.testing.assert_array_equal(here.embedding_rows, there.embedding_rows)
    np.testing.assert_allclose(here.sigma_max, there.sigma_max, rtol=1e-5)
    ours, theirs = here.grids, there.grids
    assert ours.tensors.keys() == theirs.tensors.keys()
    assert ours.heads.keys() == theirs.heads.keys()
    assert len(ours.tensors) > 5
    for index, sums in ours.tensors.items():
        for part in ("mean", "rms", "largest", "row_norms", "column_norms"):
            expected, found = getattr(sums, part), getattr(theirs.tensors[index], part)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15, err_msg=part)
    for index, squares in ours.heads.items():
        np.testing.assert_allclose(theirs.heads[index], squares, rtol=1e-6)
    for index, matrix in here.matrices.items():
        np.testing.assert_array_equal(there.matrices[index], matrix)


def test_a_frame_is_the_same_through_the_device_path(monkeypatch):
    here = key_frame(a_model())
    monkeypatch.setattr(views, "is_on_host", lambda tensor: False)
    assert_frames_are_alike(here, key_frame(a_model()))


def test_large_matrices_keep_a_close_sigma_through_the_device_path(monkeypatch):
    """Also those that vectors follow from one key snapshot to the next."""
    monkeypatch.setattr(views, "is_on_host", lambda tensor: False)
    torch.manual_seed(3)
    model = nn.ModuleList(nn.Linear(150, rows, bias=False) for rows in (200, 200, 130, 400))
    plan = PlanKeeper(model, Selection(SampleBudgets())).plan
    true = [float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2)) for layer in model]
    singular, nowhere = SingularValues(), np.zeros(len(model), np.int64)
    for _ in range(3):
        found, transfers = np.full(len(model), np.nan), Transfers()
        singular.measure(plan, nowhere, found, transfers)
        transfers.start()
        transfers.finish()
        assert (found <= np.array(true) * (1 + 1e-5)).all()
        assert (found >= np.array(true) * 0.97).all()
        with torch.no_grad():
            model[1].weight[0, 0] = np.nan
        found, transfers = np.full(len(model), np.nan), Transfers()
        singular.measure(plan, nowhere, found, transfers)
        transfers.start()
        transfers.finish()
        assert np.isnan(found).tolist() == [False, True, False, False]
        with torch.no_grad():
            model[1].weight[0, 0] = 0.0
        true[1] = float(torch.linalg.matrix_norm(model[1].weight.detach().double(), 2))


@pytest.mark.parametrize("scale", [None, 65536.0])
def test_a_gradient_is_the_same_through_the_device_path(monkeypatch, scale):
    """Also one in float16 whose unscaled elements float16 could not hold."""
    gradient = (torch.randn(64, generator=torch.Generator().manual_seed(1)) * 1e-3).half()
    divisor = None if scale is None else torch.tensor(scale)
    rows = np.full((2, len(MOMENT_KEYS)), np.nan)
    samples = np.full((2, 64), np.nan, np.float32)
    read([Wanted(plain_gradient(gradient, divisor), rows[0], samples=samples[0])], Layouts(), Transfers())
    monkeypatch.setattr(views, "is_on_host", lambda tensor: False)
    transfers = Transfers()
    read([Wanted(gradient, rows[1], samples=samples[1], divisor=divisor)], Layouts(), transfers)
    transfers.start()
    transfers.finish()
    np.testing.assert_array_equal(samples[0], samples[1])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-9)
    assert rows[0][MOMENT_KEYS.index("absmax")] == gradient.abs().max().item() / (scale or 1.0)
