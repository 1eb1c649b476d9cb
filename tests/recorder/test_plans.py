"""Which tensors are recorded, which are left out and why, and what happens when the model changes."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.errors import UsageError
from paramviz.recorder.model_plan import Selection
from paramviz.recorder.plan_keeper import PlanKeeper
from paramviz.sampling import SampleBudgets
from paramviz.store import Run
from tests.recorder.models import gpt
from tests.recorder.waiting import wait_for


def holder(**tensors: torch.Tensor) -> nn.Module:
    """A module that owns these parameters, and two ordinary ones around them."""
    module = nn.Module()
    module.first = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    for name, tensor in tensors.items():
        if isinstance(tensor, nn.Parameter):
            module.register_parameter(name, tensor)
        else:
            module.register_buffer(name, tensor)
    module.last = nn.Parameter(torch.full((4,), 7.0))
    return module


def record(path, model: nn.Module, **settings: object) -> Run:
    with paramviz.Recorder(path, model, **settings) as recorder:
        recorder.step(0)
    return paramviz.open_run(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.zeros(3, device="meta"), "meta"),
        (lambda: torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "float4"),
        (lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged), "nested"),
        (lambda: nn.parameter.UninitializedParameter(), "lazy"),
        (lambda: nn.parameter.UninitializedBuffer(), "lazy"),
    ],
    ids=["sparse", "meta", "float4", "nested", "lazy parameter", "lazy buffer"],
)
def test_a_tensor_that_cannot_be_recorded_is_left_out_with_its_reason(tmp_path, make, reason):
    run = record(tmp_path / "run", holder(odd=make()))
    odd = run.tensor("odd")
    assert reason in odd.skipped
    assert odd.samples == 0
    with pytest.raises(paramviz.NotRecordedError, match=reason):
        run[0].values("odd")
    assert run[0].values("first").tolist() == [0, 1, 2, 3, 4, 5]
    assert run[0].values("last").tolist() == [7, 7, 7, 7]


def test_a_lazy_module_is_recorded_from_the_moment_that_it_has_a_shape(tmp_path):
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
        model(torch.randn(1, 5))
        recorder.step(1)
    run = paramviz.open_run(tmp_path / "run")
    assert run[0].plan.tensors[0].skipped is not None
    assert run.tensor("0.weight").shape == (3, 5)
    expected = model[0].weight.detach().numpy().ravel()
    np.testing.assert_array_equal(run[1].values("0.weight"), expected)


def test_a_model_that_grows_gets_a_new_plan_and_keeps_its_past(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4, bias=False))
    nn.init.zeros_(model[0].weight)
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(4):
            if iteration == 2:
                model.append(nn.Linear(4, 6, bias=False))
            with torch.no_grad():
                model[0].weight.add_(1)
            recorder.step(iteration)
            done = iteration + 1
            # With all frames back, those of the old plan are there to be taken by mistake.
            wait_for(lambda done=done: recorder.report.snapshots == done)
    run = paramviz.open_run(tmp_path / "run")
    assert [run[i].plan.number for i in range(4)] == [0, 0, 1, 1]
    assert [t.name for t in run[1].plan.tensors] == ["0.weight"]
    assert [t.name for t in run[3].plan.tensors] == ["0.weight", "1.weight"]
    assert run[2].statistics("0.weight")["update_norm"] == pytest.approx(4)
    assert run[3].statistics("0.weight")["distance_from_start"] == pytest.approx(12)
    assert np.isnan(run[2].statistics("1.weight")["update_norm"])
    assert run[3].statistics("1.weight")["update_norm"] == 0


def test_freezing_and_thawing_comes_back_to_the_plan_that_was(tmp_path):
    model = nn.Linear(3, 3)
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(6):
            model.weight.requires_grad_(iteration % 2 == 0)
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert [run[i].plan.number for i in range(6)] == [0, 1] * 3
    assert [run[i].plan.tensors[0].frozen for i in range(6)] == [False, True] * 3
    assert len(run.plans) == 2


def test_a_parameter_that_is_replaced_is_read_where_it_is_now(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        recorder.step(0)
        model.weight = nn.Parameter(torch.full((2, 3), 5.0))
        optimizer.add_param_group({"params": [model.weight]})
        for iteration in (1, 2):
            optimizer.zero_grad()
            model(torch.ones(1, 3)).sum().backward()
            optimizer.step()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.plans) == 1
    np.testing.assert_allclose(run[1].values("weight"), 4.9)
    np.testing.assert_allclose(run[2].values("weight"), 4.8, rtol=1e-6)
    # The optimizer's first step with it came before the recorder could see it.
    assert run[1].gradient_statistics("weight") is None
    assert "new" in run[1].gradient_states.reason
    assert run[1].gradient_statistics("bias")["mean"] == 1.0
    assert run[2].gradient_statistics("weight")["mean"] == 1.0


def test_patterns_choose_what_is_recorded(tmp_path):
    run = record(tmp_path / "run", gpt(), include=["transformer.*"], exclude=["*.mlp.*", "*.wpe.*"])
    left_out = {t.name: t.skipped for t in run.tensors if t.skipped is not None}
    assert "'*.mlp.*'" in left_out["transformer.h.0.mlp.c_fc.weight"]
    assert "'*.wpe.*'" in left_out["transformer.wpe.weight"]
    assert run.tensor("lm_head.weight").name == "transformer.wte.weight"
    assert run.tensor("transformer.h.0.attn.c_attn.weight").samples > 0
    row = run[0].array("statistics")[run.tensor("transformer.wpe.weight").index]
    assert np.isnan(row).all()


def test_the_first_recorded_name_of_a_tied_tensor_owns_it(tmp_path):
    run = record(tmp_path / "run", gpt(), exclude=["transformer.wte.*"])
    assert run.tensor("lm_head.weight").tied_to is None
    assert run.tensor("lm_head.weight").samples > 0


def test_two_parameters_of_one_storage_are_tied_and_a_part_of_it_is_not(tmp_path):
    shared = torch.randn(4, 4)
    model = holder(a=nn.Parameter(shared), b=nn.Parameter(shared), part=nn.Parameter(shared[1:]))
    run = record(tmp_path / "run", model)
    assert next(t for t in run.tensors if t.name == "b").tied_to == "a"
    assert run.tensor("part").tied_to is None


def test_budgets_are_the_users(tmp_path):
    budgets = paramviz.SampleBudgets(middle=100, outer=200, patterns=(("*.wpe.*", 0), ("*.wte.*", 64)))
    run = record(tmp_path / "run", gpt(n_layer=3), budgets=budgets)
    assert "budget of 0" in run.tensor("transformer.wpe.weight").skipped
    assert run.tensor("transformer.wte.weight").samples <= 64
    assert 50 < run.tensor("transformer.h.1.mlp.c_fc.weight").samples <= 100
    assert 100 < run.tensor("transformer.h.2.mlp.c_fc.weight").samples <= 200


def test_a_budget_in_bytes_bounds_a_snapshots_samples(tmp_path):
    run = record(tmp_path / "run", gpt(), budgets=paramviz.SampleBudgets(total_bytes=6_000))
    snapshot = run[0]
    assert 2_000 < snapshot.array("values").nbytes + snapshot.array("vectors").nbytes <= 6_000


def test_buffers_that_the_model_does_not_save_are_left_out(tmp_path):
    model = holder(kept=torch.ones(3))
    model.register_buffer("mask", torch.ones(8, 8), persistent=False)
    run = record(tmp_path / "run", model)
    assert [t.name for t in run.tensors] == ["first", "last", "kept"]


def test_a_model_without_parameters_makes_a_run_of_scalars(tmp_path):
    with paramviz.Recorder(tmp_path / "run", nn.ReLU()) as recorder:
        recorder.step(0, loss=1.5)
    run = paramviz.open_run(tmp_path / "run")
    assert run.tensors == ()
    assert run.scalars("loss").tolist() == [1.5]


def test_names_that_wrappers_would_make_equal_stay_apart(tmp_path):
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(2))
    model.module = nn.Module()
    model.module.weight = nn.Parameter(torch.ones(2))
    run = record(tmp_path / "run", model)
    assert [t.name for t in run.tensors] == ["weight", "module.weight"]
    assert run[0].values("module.weight").tolist() == [1, 1]


@pytest.mark.parametrize("is_enabled", [True, False])
def test_garbage_is_collected_after_a_plan_was_made_as_it_was_before(is_enabled):
    """Also where making it fails."""
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        PlanKeeper(nn.Linear(2, 2), Selection(SampleBudgets()))
        assert gc.isenabled() == is_enabled
        with pytest.raises(UsageError):
            PlanKeeper(nn.Linear(2, 2), Selection(SampleBudgets(total_bytes=1)))
        assert gc.isenabled() == is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()
