"""What recording a model on a device launches: not more for more tensors, nothing that waits, one copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from paramviz.quantities import CORE, QUANTITIES
from paramviz.recorder.device_layout import CHUNK
from paramviz.recorder.frames import FramePool
from paramviz.recorder.gather import gather
from paramviz.recorder.gradient_capture import Capture
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.moments import read_moments
from paramviz.recorder.singular import EXACT, SingularValues
from paramviz.recorder.transfers import sent
from tests.recorder.device_model import Copies, Dispatched, on_a_device
from tests.recorder.models import gpt

FEW, MANY = 4, 20
"""Layers of 12 tensors each: so few have every kind of tensor, of outer and of middle layers."""


class Wide(nn.Module):
    """Matrices too wide for their whole space, so that vectors follow their leading ones."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(EXACT + 8, EXACT + 16) for _ in range(n))


def snapshots(plan: ModelPlan, tier: str, copies: Copies, n: int = 3) -> list[list[str]]:
    """What each of `n` snapshots in a row launches."""
    frame = FramePool(1 << 20).take(plan)
    frame.tier, frame.keeps_rows = tier, tier == "key"
    singular, launches = SingularValues(), []
    quantities = frozenset(QUANTITIES) if tier == "key" else frozenset(CORE)
    for number in range(n):
        with Dispatched() as dispatched:
            gather(frame, quantities, singular)
            frame.transfers.start()
        assert len(copies.n_bytes) == number + 1
        launches.append(dispatched.launches)
    return launches


@pytest.mark.parametrize("tier", ["core", "key"])
def test_a_snapshot_of_many_tensors_launches_as_much_as_one_of_few(monkeypatch, tier):
    """And crosses in one copy. The first snapshot brings tables along, the others are alike."""
    copies = Copies(monkeypatch)
    few = snapshots(on_a_device(gpt(n_layer=FEW)), tier, copies)
    copies.n_bytes.clear()
    many = snapshots(on_a_device(gpt(n_layer=MANY)), tier, copies)
    assert few == many
    assert len(few[1]) == len(few[2]) <= len(few[0])
    assert len(few[2]) < {"core": 250, "key": 600}[tier]


def test_vectors_that_follow_many_matrices_launch_as_much_as_those_of_few(monkeypatch):
    copies = Copies(monkeypatch)
    few = snapshots(on_a_device(Wide(FEW)), "key", copies)
    copies.n_bytes.clear()
    assert snapshots(on_a_device(Wide(MANY)), "key", copies) == few


def test_tensors_of_many_sizes_launch_no_more_than_those_of_few(monkeypatch):
    copies = Copies(monkeypatch)

    def vectors(n: int) -> nn.Module:
        return nn.ParameterList(nn.Parameter(torch.zeros(5000 + 17 * i)) for i in range(n))

    few = snapshots(on_a_device(vectors(10)), "core", copies)
    copies.n_bytes.clear()
    assert snapshots(on_a_device(vectors(200)), "core", copies) == few


def test_large_tensors_launch_for_each_chunk(monkeypatch):
    copies = Copies(monkeypatch)
    small = snapshots(on_a_device(nn.Linear(64, 64)), "core", copies)[2]
    copies.n_bytes.clear()
    large = snapshots(on_a_device(nn.Linear(4 * CHUNK // 64, 64, bias=False)), "core", copies)[2]
    assert len(large) <= 4 * len(small)


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_gradients_of_many_tensors_launch_as_much_as_those_of_few(monkeypatch, scale):
    copies = Copies(monkeypatch)
    counts = []
    for n_layer in (FEW, MANY):
        plan = on_a_device(gpt(n_layer=n_layer))
        capture = Capture.of(plan, frozenset(QUANTITIES), True)
        divisor = None if scale is None else torch.full((), scale, device="meta")
        members = [(source.index, source.tensor) for source in plan.sources]
        with Dispatched() as dispatched:
            capture.take_all(members, "used", divisor)
            capture.finish(0.0)
        assert len(capture.states) == len(plan.sources)
        counts.append(dispatched.launches)
    assert counts[0] == counts[1]
    assert len(copies.n_bytes) == 2


@pytest.mark.parametrize("capturable", [False, True])
def test_moments_of_many_tensors_launch_as_much_as_those_of_few(monkeypatch, capturable):
    """Also if the optimizer counts its steps on the device."""
    Copies(monkeypatch)
    counts = []
    for n_layer in (FEW, MANY):
        plan = on_a_device(gpt(n_layer=n_layer))
        optimizer = torch.optim.Adam([source.tensor for source in plan.sources], lr=1e-3)
        for source in plan.sources:
            zeros = torch.zeros_like(source.tensor)
            step = torch.ones((), device="meta" if capturable else "cpu")
            optimizer.state[source.tensor] = {"exp_avg": zeros, "exp_avg_sq": zeros, "step": step}
        frame = FramePool(1 << 20).take(plan)
        with Dispatched() as dispatched:
            members = [(source.index, source.tensor) for source in plan.sources]
            read_moments(optimizer, members, frame.moments, plan.layouts, frame.transfers)
            frame.transfers.start()
        counts.append(dispatched.launches)
    assert counts[0] == counts[1]


def test_numbers_on_a_device_are_sent_together(monkeypatch):
    copies = Copies(monkeypatch)
    with Dispatched():
        arriving = sent([torch.zeros((), device="meta"), torch.zeros(1, device="meta").half()])
    assert copies.n_bytes == [4 + 2]
    assert [float(number) for number in arriving] == [0.0, 0.0]


def test_sent_numbers_are_those_of_the_moment():
    number = torch.tensor(2.5)
    (arriving,) = sent([number])
    number.fill_(7.0)
    assert float(arriving) == float(arriving) == np.float64(2.5)
