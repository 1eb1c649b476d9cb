"""Many tensors, and tensors that are large beside what recording them may take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.quantities import DEFAULT
from paramviz.recorder import host_batch
from paramviz.recorder.frames import FramePool
from paramviz.recorder.gather import gather
from paramviz.recorder.host_batch import HostBatch
from paramviz.recorder.model_plan import Selection
from paramviz.recorder.plan_keeper import PlanKeeper
from paramviz.recorder.singular import SingularValues
from paramviz.sampling import SampleBudgets

FULL_SIZE = os.environ.get("PARAMVIZ_TORTURE") == "1"


class Expert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(12, 24), nn.Linear(24, 12)


def experts(n: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"experts": nn.ModuleList(Expert() for _ in range(n))})


def gathered(plan, budget_bytes=1 << 22):
    frame = FramePool(budget_bytes).take(plan)
    frame.tier = "key"
    gather(frame, frozenset(DEFAULT), SingularValues())
    frame.transfers.start()
    frame.transfers.finish()
    return frame


def test_thousands_of_tensors_are_read_in_as_many_calls_as_a_few(monkeypatch):
    calls = []
    for name in ("measure", "take", "sums"):
        original = getattr(HostBatch, name)
        monkeypatch.setattr(
            HostBatch, name, lambda *args, o=original, n=name, **kw: calls.append(n) or o(*args, **kw)
        )
    monkeypatch.setattr("paramviz.recorder.gather.measure_here", lambda *args: calls.append("one"))
    for n in (2, 500):
        calls.clear()
        gathered(PlanKeeper(experts(n), Selection(SampleBudgets())).plan)
        assert calls == ["measure", "take", "sums"]


def calls_of_ours(function):
    """How many functions of ours a call of `function` goes through, on this thread."""
    n = 0

    def count(frame, event, argument):
        nonlocal n
        n += event == "call" and "/paramviz/" in frame.f_code.co_filename

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return n


def test_a_core_snapshot_makes_as_many_calls_for_thousands_of_tensors_as_for_a_few(tmp_path):
    """Hooks of the optimizer included: nothing on the training thread goes tensor by tensor."""
    counts = []
    for n in (2, 700):
        model = experts(n)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with paramviz.Recorder(tmp_path / str(n), model, optimizer, schedule=1) as recorder:
            for iteration in range(3):
                for parameter in model.parameters():
                    parameter.grad = torch.ones_like(parameter)
                counts.append(calls_of_ours(optimizer.step))
                counts.append(calls_of_ours(lambda i=iteration: recorder.step(i)))
    few, many = counts[4:6], counts[10:12]
    # Whether a frame is free at once depends on the writer's thread, and takes a call or two.
    assert np.abs(np.subtract(few, many)).max() < 20
    run = paramviz.open_run(tmp_path / "700")
    assert run[2].record.tier == "core"
    assert run[2].gradient_statistics("experts.699.up.weight")["mean"] == 1.0


@pytest.mark.parametrize("middle", [4096, 40])
def test_in_one_call_or_one_by_one_the_numbers_are_the_same(monkeypatch, middle):
    """Small tensors are kept whole under the larger budget, and are cut into cells under the smaller one."""
    model = experts(20)
    with torch.no_grad():
        next(model.parameters())[0, :3] = torch.tensor([torch.nan, torch.inf, -0.0])
    budgets = SampleBudgets(outer=middle, middle=middle, outer_vectors=5, middle_vectors=5)
    plan = PlanKeeper(model, Selection(budgets)).plan
    batched = gathered(plan)
    monkeypatch.setattr(host_batch, "PLAIN", frozenset())
    single = gathered(plan)
    np.testing.assert_array_equal(batched.samples, single.samples)
    np.testing.assert_array_equal(batched.histograms, single.histograms)
    np.testing.assert_allclose(batched.statistics, single.statistics, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(batched.sigma_max, single.sigma_max, rtol=1e-9)
    assert set(batched.grids.tensors) == set(single.grids.tensors) != set()
    for row, sums in single.grids.tensors.items():
        for part in ("mean", "rms", "largest", "row_norms", "column_norms"):
            ours = getattr(batched.grids.tensors[row], part)
            # Of many matrices they are float32.
            rtol = 0 if part == "largest" else 1e-6
            np.testing.assert_allclose(ours, getattr(sums, part), rtol=rtol, atol=1e-12, err_msg=part)


def test_a_tensor_that_is_not_plain_is_never_read_at_its_address():
    plain = torch.zeros(6)
    others = [
        None,
        torch.zeros(6, dtype=torch.float64),
        torch.zeros(6, dtype=torch.bfloat16),
        torch.zeros(12)[::2],
        torch.zeros(2, 3).T,
        torch.zeros(6, device="meta"),
        torch.zeros(5),
        torch._neg_view(torch.zeros(6)),
        torch.zeros(6).to_sparse(),
    ]
    addresses = host_batch.addresses_of([plain, *others], np.full(1 + len(others), 6))
    assert addresses.tolist() == [plain.data_ptr()] + [0] * len(others)


def test_a_gradient_of_another_size_than_its_parameter_is_measured_by_itself(tmp_path):
    """A parameter may grow between two snapshots: what the plan says of its size is no longer true."""
    layer = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    with paramviz.Recorder(tmp_path / "run", layer, optimizer, schedule=1) as recorder:
        for iteration, width in enumerate((4, 400)):
            if width != 4:
                layer.weight.data = torch.ones(width, 4)
                layer.bias.data = torch.ones(width)
            optimizer.zero_grad()
            layer(torch.ones(1, 4)).sum().backward()
            optimizer.step()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert run[1].statistics("weight")["absmax"] <= 1.0
    assert run.tensors[0].shape == (400, 4) or run[1].plan.tensors[0].shape == (400, 4)


GIANT = """
import sys, time
import torch
from torch import nn
import paramviz
from paramviz.statistics import warm_up

def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

path, rows, layers, dtype = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), getattr(torch, sys.argv[4])
torch.set_num_threads(1)
small = nn.Sequential(nn.Embedding(900, 300), nn.Linear(256, 256)).to(dtype)
large = nn.Sequential(nn.Embedding(rows, 1600), *(nn.Linear(1024, 4096) for _ in range(layers))).to(dtype)
for number, model in enumerate((small, large)):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for parameter in model.parameters():
        parameter.grad = parameter.detach()  # real in shape, without memory of its own
    before = kilobytes("VmRSS:")
    with open("/proc/self/clear_refs", "w") as marks:
        marks.write("5")
    with paramviz.Recorder(f"{path}/{number}", model, optimizer, schedule=1) as recorder:
        for iteration in range(3):
            optimizer.step()
            recorder.step(iteration, event="checkpoint" if iteration == 2 else None)
print(kilobytes("VmHWM:") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc to see the peak")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_snapshot_takes_little_memory_beside_the_model(tmp_path, dtype):
    """Both tiers, gradients too, and what follows from the rows of a wide embedding. Libraries and
    compiled loops are there already. A whole copy of the embedding in float32 would be 256 MB (960 MB at
    full size), and the eigenvectors of a matrix as wide as it is another 100 MB."""
    rows, layers = (150_000, 350) if FULL_SIZE else (40_000, 4)
    peak_kb = subprocess.run(
        [sys.executable, "-c", GIANT, str(tmp_path), str(rows), str(layers), dtype],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert int(peak_kb) < (200_000 if FULL_SIZE else 110_000)
