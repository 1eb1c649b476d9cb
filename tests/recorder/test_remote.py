"""Training that is recorded straight to an object store."""

from __future__ import annotations

import uuid

import pytest
import torch
from torch import nn

import paramviz
from paramviz.store import verify_run


@pytest.fixture
def address() -> str:
    return f"memory://{uuid.uuid4().hex}/run"


def test_a_model_is_recorded_to_an_address_and_the_run_is_resumed(address):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for start in (0, 3):
        with paramviz.Recorder(address, model, optimizer, resume=True) as recorder:
            assert recorder.run_path == address
            for iteration in range(start, start + 3):
                optimizer.zero_grad()
                model(torch.ones(2, 4)).sum().backward()
                optimizer.step()
                recorder.step(iteration, loss=float(iteration))
    run = paramviz.open_run(address)
    assert run.status == "finished"
    assert run.iterations.tolist() == list(range(6))
    assert run.scalar_series("loss")[1].tolist() == list(map(float, range(6)))
    assert run[5].values("weight").tolist() == model.weight.detach().flatten().tolist()
    assert verify_run(address).problems == ()


def test_a_run_in_a_store_is_not_overwritten(address):
    model = nn.Linear(2, 2)
    paramviz.Recorder(address, model).close()
    with pytest.raises(paramviz.RunExistsError):
        paramviz.Recorder(address, model)
