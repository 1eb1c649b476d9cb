"""Triton's kernels: run by its interpreter on tensors of the CPU, and compiled for GPUs that are not here.

Triton comes with torch's builds for GPUs. Elsewhere these tests are left out unless it is installed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from paramviz.recorder import device_triton
from paramviz.recorder.device_layout import Layouts, Wishes
from paramviz.recorder.device_reading import Wanted, read_all
from paramviz.recorder.transfers import Transfers
from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS
from paramviz.statistics import measure

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed; torch's builds for GPUs bring it",
)

TARGETS = (75, 80, 86, 90)
"""Compute capabilities, Turing to Hopper."""


class Positions:
    def __init__(self, host: np.ndarray) -> None:
        self.host = host


@pytest.fixture
def interpreted(monkeypatch) -> None:
    """The path of a GPU, on the CPU. Triton's interpreter takes over its language for good in a process."""
    if torch.cuda.is_available():
        pytest.skip("the kernels run on the GPU that is here, see test_on_a_gpu")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    known = device_triton._Kernels()
    assert known.get() is not None
    monkeypatch.setattr(device_triton, "_kernels", known)
    monkeypatch.setattr(device_triton, "_is_for_kernels", lambda tensor: tensor.dtype in device_triton.DTYPES)


def tensors(smallest: float = 1e-38) -> list[np.ndarray]:
    """Of many sizes, scales and oddities."""
    rng = np.random.default_rng(6)
    arrays = [rng.standard_normal(n) for n in (0, 1, 2, 511, 513, 66_000)]
    arrays += [rng.standard_normal(900) * scale for scale in (smallest, 1e-12, 1e12, 1e30)]
    arrays += [1e6 + rng.standard_normal(3000), np.full(700, 0.1), np.zeros((20, 30)), np.full(600, np.nan)]
    late = np.full(1500, np.nan)
    late[1100:] = 1e7 + rng.standard_normal(400)
    edges = [
        0.0,
        -0.0,
        1e-6,
        2.0**-24,
        2.0**-25,
        -(2.0**-25),
        65504.0,
        65520.0,
        -64.0,
        np.inf,
        -np.inf,
        np.nan,
    ]
    return [*arrays, late, np.array(edges)]


def check(arrays: list[torch.Tensor], divisor: float | None = None) -> None:
    rng = np.random.default_rng(7)
    wanted = [
        Wanted(
            tensor,
            np.empty(len(MOMENT_KEYS)),
            np.empty(HISTOGRAM_BINS, np.uint32),
            np.empty(min(40, tensor.numel()), np.float32),
            Positions(np.sort(rng.choice(tensor.numel(), min(40, tensor.numel()), replace=False))),
            None if divisor is None else torch.tensor(divisor),
        )
        for tensor in arrays
    ]
    transfers = Transfers()
    read_all(wanted, Layouts(), transfers)
    transfers.start()
    transfers.finish()
    for one in wanted:
        x = one.tensor.cpu()
        x = x.numpy() if x.dtype is torch.float64 else x.float().numpy() / np.float32(divisor or 1)
        statistics, histogram = np.empty(len(MOMENT_KEYS)), np.empty(HISTOGRAM_BINS, np.uint32)
        measure(x, statistics, histogram)
        np.testing.assert_array_equal(one.histogram, histogram)
        np.testing.assert_array_equal(one.samples, x.reshape(-1)[one.positions.host].astype(np.float32))
        finite = x[np.isfinite(x)].astype(np.float64)
        scale = np.abs(finite).max(initial=0.0)
        slack = {"mean": 1e-12 * scale, "skewness": 1e-7, "kurtosis": 1e-7}
        for key, a, b in zip(MOMENT_KEYS, one.statistics, statistics, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=slack.get(key, 0), err_msg=f"{key} of {x}")


@needs_triton
@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_kernels_find_what_the_host_finds(dtype):
    # The interpreter takes bfloat16's denormals for zeros, as no GPU does.
    smallest = 1e-34 if dtype is torch.bfloat16 else 1e-38
    check([torch.from_numpy(x).to(dtype) for x in tensors(smallest)])
    assert device_triton._kernels.get() is not None


@needs_triton
@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_kernels_divide_by_a_scale(dtype):
    check([torch.from_numpy(x).to(dtype) for x in tensors()[:6]], divisor=1024.0)
    assert device_triton._kernels.get() is not None


@needs_triton
@pytest.mark.usefixtures("interpreted")
def test_the_kernels_read_tensors_that_are_not_contiguous():
    x = torch.randn(40, 30, generator=torch.Generator().manual_seed(8))
    check([x.T, x[::2], x[:, 3]])


@needs_triton
@pytest.mark.usefixtures("interpreted")
def test_what_is_not_wished_is_not_read():
    found = device_triton.read([torch.ones(5)], [5], [None], Wishes(True, False, False), None, Layouts())
    assert found is not None
    assert found.parts is not None
    assert found.counts is found.samples is None


@needs_triton
@pytest.mark.parametrize("capability", TARGETS)
def test_the_kernels_compile_for_gpus(tmp_path, capability):
    """To machine code, by the compiler that Triton brings along; no GPU is needed for that."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_INTERPRET": "0"}
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run(
        [sys.executable, str(script), str(capability)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # Two kernels, three dtypes, with a scale and without.
    sizes = [int(line) for line in done.stdout.split()]
    assert len(sizes) == 12
    assert min(sizes) > 1000


class Broken:
    """A module of kernels that cannot be compiled, as where there is no C compiler."""

    class tl:
        float32 = None

    class _Kernel:
        def __getitem__(self, grid: tuple[int, ...]) -> object:
            raise RuntimeError("Failed to find C compiler.")

    tally_spans = take_samples = _Kernel()


def test_where_the_kernels_cannot_be_compiled_torch_reads_and_it_is_said_once(monkeypatch, caplog):
    known = device_triton._Kernels()
    known._module = Broken
    monkeypatch.setattr(device_triton, "_kernels", known)
    monkeypatch.setattr(device_triton, "_is_for_kernels", lambda tensor: True)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            check([torch.arange(700.0)])
    assert len(caplog.records) == 1
    assert "C compiler" in caplog.text
