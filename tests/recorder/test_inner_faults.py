"""A fault at any internal call costs what it touched, and never reaches training."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

import paramviz
from paramviz.recorder import (
    embedding,
    embedding_view,
    further,
    gradient_capture,
    grids,
    host_batch,
    moments,
    singular,
)
from paramviz.recorder import gather as gather_module
from paramviz.recorder import gradients as gradients_module
from paramviz.recorder.clip_watch import ClipWatch
from paramviz.recorder.gradient_capture import Capture
from paramviz.recorder.gradients import GradientReader
from paramviz.recorder.plan_registry import PlanRegistry
from paramviz.recorder.transfers import Transfers
from paramviz.recorder.updates import SampleHistory
from paramviz.store import verify_run
from tests.recorder.models import gpt, next_token_loss
from tests.recorder.waiting import wait_for

INNER_FAULTS = [
    (further, "cells"),
    (further, "norms"),
    (further, "head_norms"),
    (further, "scaled_samples"),
    (further, "spectra"),
    (further, "embedding"),
    (further, "all_values"),
    (embedding_view, "sketch"),
    (embedding_view, "variance"),
    (embedding_view, "nearest"),
    (gather_module, "addresses_of"),
    (host_batch.HostBatch, "measure"),
    (host_batch.HostBatch, "take"),
    (host_batch.HostBatch, "sums"),
    (gradient_capture, "addresses_of"),
    (gradients_module, "read_moments"),
    (moments, "moments_many"),
    (grids.Grids, "take_heads"),
    (singular.SingularValues, "measure"),
    (singular, "gram_many"),
    (singular.Triangles, "write_largest"),
    (embedding.FrozenBasis, "renew"),
    (PlanRegistry, "number"),
    (SampleHistory, "compare"),
    (SampleHistory, "update"),
    (SampleHistory, "with_published"),
    (Transfers, "start"),
    (Transfers, "finish"),
    (GradientReader, "scalars"),
    (GradientReader, "bind"),
    (Capture, "take_all"),
    (Capture, "finish"),
    (ClipWatch, "_note"),
]

FAULTS_OF_ONE_TENSOR = [
    (singular, "_grams"),
    (gather_module, "measure"),
    (gather_module, "sample_here"),
    (gradient_capture, "plain_gradient"),
    (gradient_capture, "sum_matrices"),
    (moments, "_measure"),
    (grids.Grids, "take"),
]
"""Of tensors that are not plain float32 of the host, which are taken one by one."""


def trained(path, monkeypatch, fault: tuple[object, str] | None = None) -> list[torch.Tensor]:
    """The weights after six iterations, of which the fault hits the third and the fourth."""
    torch.manual_seed(5)
    # Large enough for sampled tensors and scores of the embedding.
    model = gpt(vocabulary=4200, n_layer=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    now = -1
    if fault is not None:
        owner, name = fault
        original = getattr(owner, name)

        def faulty(*args, **kwargs):
            if now in (2, 3):
                raise RuntimeError("a fault of the test")
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, faulty)
    recorder = None
    if path is not None:
        recorder = paramviz.Recorder(path, model, optimizer, key_every=1, quantities=paramviz.QUANTITIES)
    for iteration in range(6):
        now = iteration
        optimizer.zero_grad()
        next_token_loss(model, iteration).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if recorder is not None:
            recorder.step(iteration, loss=float(iteration), event="checkpoint")
            done = iteration + 1
            wait_for(lambda done=done: handled(recorder) >= done)
    if recorder is not None:
        recorder.close()
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.fixture(scope="module")
def plain_weights() -> list[torch.Tensor]:
    """What training makes of the model when nothing is recorded."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        return trained(None, monkeypatch)


def handled(recorder: paramviz.Recorder) -> int:
    """Iterations that are written or known to be lost."""
    return recorder.report.snapshots + recorder.report.lost


@pytest.mark.parametrize(
    "fault",
    INNER_FAULTS + FAULTS_OF_ONE_TENSOR,
    ids=[f"{o.__name__}.{n}" for o, n in INNER_FAULTS + FAULTS_OF_ONE_TENSOR],
)
def test_a_fault_at_any_internal_call_costs_what_it_touched_and_nothing_else(
    tmp_path, monkeypatch, caplog, fault, plain_weights
):
    """One warning of a kind; missing snapshots are told as a gap; training is the same to the bit."""
    if fault in FAULTS_OF_ONE_TENSOR:
        monkeypatch.setattr(host_batch, "PLAIN", frozenset())
    with caplog.at_level(logging.WARNING):
        weights = trained(tmp_path / "run", monkeypatch, fault)
    # What snapshots and the optimizer's hooks both call is warned of by both.
    is_shared = (
        fault in ((gather_module, "measure"), (gather_module, "sample_here"))
        or fault[0] is host_batch.HostBatch
    )
    assert len(caplog.records) == (2 if is_shared else 1)
    assert all("a fault of the test" in record.message for record in caplog.records)
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert {0, 1, 4, 5} <= set(run.iterations.tolist())
    lost = {2, 3} - set(run.iterations.tolist())
    gaps = [event.text for event in run.events if event.kind == "gap"]
    assert bool(gaps) == bool(lost)
    if fault[0] in (gradient_capture, Capture) and fault[1] != "finish":
        assert not lost
        assert run[2].gradient_states.default == "unavailable"
        assert "reading them failed" in run[2].gradient_states.reason
        assert run[2].gradient_statistics("transformer.ln_f.weight") is None
    assert run[4].gradient_states.default == "used"
    assert verify_run(tmp_path / "run").problems == ()
    for found, expected in zip(weights, plain_weights, strict=True):
        assert torch.equal(found, expected)
