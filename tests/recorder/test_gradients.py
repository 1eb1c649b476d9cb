"""Gradients are recorded as the optimizer used them, or it is said why they cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import paramviz
from tests.recorder.gradient_checks import assert_gradients, backward, gradients
from tests.recorder.models import Recurrent, gpt, next_token_loss
from tests.recorder.optimizers import Overwriting


def test_accumulated_and_clipped_gradients_are_recorded_as_they_were_used(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    used, norms = [], []
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for iteration in range(4):
            for micro_batch in range(3):
                (next_token_loss(model, 10 * iteration + micro_batch) / 3).backward()
            before = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            used.append(gradients(model))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            recorder.step(iteration, gradient_norm_before_clipping=before)
            norms.append(before.item())
    run = paramviz.open_run(tmp_path / "run")
    for iteration in range(4):
        assert_gradients(run, iteration, used[iteration])
    head = next(tensor for tensor in run.tensors if tensor.tied_to is not None)
    assert run[0].gradient_states.of(head.index) == "used"
    assert run.scalars("gradient_norm") == pytest.approx([0.1] * 4, rel=1e-4)
    assert run.scalars("gradient_norm_before_clipping") == pytest.approx(norms)


def test_the_gradient_norm_is_that_of_all_gradients_unless_it_is_given(tmp_path):
    model = gpt()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        optimizer.step()
        recorder.step(0)
        expected = torch.linalg.vector_norm(
            torch.cat([p.grad.flatten() for p in model.parameters()]).double()
        )
        backward(model)
        optimizer.step()
        recorder.step(1, gradient_norm=7.5)
    run = paramviz.open_run(tmp_path / "run")
    assert run.scalars("gradient_norm") == pytest.approx([expected.item(), 7.5])


def test_an_unforeseen_snapshot_takes_the_gradients_that_still_stand(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=100) as recorder:
        for iteration in range(3):
            backward(model, iteration)
            optimizer.step()
            recorder.step(iteration)
        backward(model, 3)
        used = gradients(model)
        optimizer.step()
        recorder.step(3, event="checkpoint")
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 3]
    assert_gradients(run, 3, used)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_an_unforeseen_snapshot_never_takes_zeroed_gradients(tmp_path, set_to_none):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=100) as recorder:
        recorder.step(0)
        backward(model)
        optimizer.step()
        optimizer.zero_grad(set_to_none=set_to_none)
        recorder.step(1, event="validation")
    snapshot = paramviz.open_run(tmp_path / "run")[1]
    assert snapshot.gradient_states.default == "unavailable"
    assert snapshot.gradient_states.reason
    assert snapshot.gradient_statistics("transformer.ln_f.weight") is None


def test_an_iteration_that_was_skipped_over_has_the_gradients_of_its_step(tmp_path):
    """The prediction is that iterations follow each other; the capture is right if they do not."""
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        used = gradients(model)
        optimizer.step()
        optimizer.zero_grad()
        recorder.step(40)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 40, used)


def test_an_optimizer_that_overwrites_its_gradients_is_read_before_its_step(tmp_path):
    model = gpt()
    optimizer = Overwriting(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=lambda i: i < 2) as recorder:
        for iteration in range(2):
            backward(model, iteration)
            used = gradients(model)
            optimizer.step()
            recorder.step(iteration)
        backward(model, 2)
        optimizer.step()
        recorder.step(2, event="checkpoint")
    run = paramviz.open_run(tmp_path / "run")
    assert_gradients(run, 1, used)
    assert run[2].gradient_states.default == "unavailable"


def test_a_users_own_hook_is_seen_whenever_it_was_registered(tmp_path):
    """One that clips before the optimizer's step, registered after the recorder and then again later."""
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    used = {}

    def halve(optimizer, args, kwargs):
        for parameter in model.parameters():
            parameter.grad.mul_(0.5)

    def keep(optimizer, args, kwargs):
        used[len(used)] = gradients(model)

    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        optimizer.register_step_pre_hook(halve)
        optimizer.register_step_post_hook(keep)
        for iteration in range(3):
            if iteration == 2:
                optimizer.register_step_pre_hook(halve)
            backward(model, iteration)
            optimizer.step()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    for iteration in range(3):
        assert_gradients(run, iteration, used[iteration])


def test_a_hook_behind_ours_with_a_foreign_optimizer_is_uncertain_once(tmp_path):
    """In the next iteration ours is behind it."""
    model = gpt()
    optimizer = Overwriting(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        optimizer.register_step_pre_hook(lambda *_: None)
        for iteration in range(2):
            backward(model, iteration)
            used = gradients(model)
            optimizer.step()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert run[0].gradient_states.default == "scaled-unknown"
    assert "hook" in run[0].gradient_states.reason
    assert_gradients(run, 1, used)


def test_a_closure_is_read_after_the_step_that_evaluates_it(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())

    def closure():
        backward(model, 5)
        return next_token_loss(model, 5)

    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        optimizer.step(closure)
        used = gradients(model)
        optimizer.zero_grad()
        recorder.step(0)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 0, used)


def test_lbfgs_has_the_gradients_of_its_last_evaluation(tmp_path):
    model = nn.Linear(5, 3)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    x, y = torch.randn(8, 5), torch.randn(8, 3)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        optimizer.step(closure)
        recorder.step(0)
        last = gradients(model)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 0, last, state="last-evaluation")


@pytest.mark.parametrize("fused", [True, False], ids=["unscales inside its step", "unscaled before"])
def test_scaled_gradients_are_recorded_unscaled_and_skipped_steps_as_such(tmp_path, fused):
    model = nn.Linear(6, 4)
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    x = torch.randn(9, 6)
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for iteration in range(3):
            optimizer.zero_grad()
            loss = model(x).square().mean() * (torch.inf if iteration == 1 else 1.0)
            scaler.scale(loss).backward()
            if iteration == 2:
                used = {name: gradient / scaler.get_scale() for name, gradient in gradients(model).items()}
            scaler.step(optimizer)
            scaler.update()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert_gradients(run, 2, used)
    assert run[1].gradient_states.default == "skipped"
    assert run[1].gradient_statistics("weight")["n_inf"] + run[1].gradient_statistics("weight")["n_nan"] > 0
    assert [event.iteration for event in run.events if event.kind == "skipped_step"] == [1]
    assert run.scalar_series("gradient_norm")[0].tolist() == [0, 2]


@pytest.mark.parametrize("quantities", [None, ["values"]], ids=["everything", "values only"])
def test_a_step_that_a_fused_optimizer_skipped_is_an_event_without_a_snapshot_too(tmp_path, quantities):
    model = nn.Linear(6, 4)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    settings = {} if quantities is None else {"quantities": quantities}
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=3, **settings) as recorder:
        for iteration in range(7):
            optimizer.zero_grad()
            loss = model(torch.randn(9, 6)).square().mean()
            scaler.scale(loss * (torch.inf if iteration in (2, 3, 5) else 1.0)).backward()
            scaler.step(optimizer)
            scaler.update()
            recorder.step(iteration)
            recorder.step(iteration, metrics={"again": 1.0})
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 3, 6]
    assert [event.iteration for event in run.events if event.kind == "skipped_step"] == [2, 3, 5]


def test_a_skipped_step_whose_gradients_were_clipped_is_an_event_without_a_snapshot_too(tmp_path):
    """An optimizer that does not unscale by itself is never told; the norm before clipping tells."""
    model = nn.Linear(6, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=3) as recorder:
        for iteration in range(7):
            optimizer.zero_grad()
            loss = model(torch.randn(9, 6)).square().mean()
            scaler.scale(loss * (torch.inf if iteration in (2, 3, 5) else 1.0)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            recorder.step(iteration)
    run = paramviz.open_run(tmp_path / "run")
    assert [event.iteration for event in run.events if event.kind == "skipped_step"] == [2, 3, 5]
    assert not torch.tensor(run.scalar_series("gradient_norm_before_clipping")[1][[2, 3, 5]]).isfinite().any()


def test_muon_and_the_adam_beside_it_are_read_as_they_used_their_gradients(tmp_path):
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))
    optimizers = [
        torch.optim.Muon([p for p in model.parameters() if p.ndim == 2]),
        torch.optim.AdamW([p for p in model.parameters() if p.ndim == 1]),
    ]
    with paramviz.Recorder(tmp_path / "run", model, optimizers, key_every=1) as recorder:
        for iteration in range(3):
            model.zero_grad()
            model(torch.randn(5, 6)).square().mean().backward()
            used = gradients(model)
            for optimizer in optimizers:
                optimizer.step()
            recorder.step(iteration)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 2, used)


def test_an_unforeseen_snapshot_after_a_fused_unscaling_step_is_unscaled(tmp_path):
    model = nn.Linear(6, 4)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=100) as recorder:
        recorder.step(0)
        scaler.scale(model(torch.randn(9, 6)).square().mean()).backward()
        used = {name: gradient / 1024 for name, gradient in gradients(model).items()}
        scaler.step(optimizer)
        scaler.update()
        recorder.step(1, event="checkpoint")
    assert_gradients(paramviz.open_run(tmp_path / "run"), 1, used)


def test_frozen_and_unused_parameters_have_no_gradient(tmp_path):
    model = nn.ModuleDict({"used": nn.Linear(4, 4), "frozen": nn.Linear(4, 4), "unused": nn.Linear(4, 4)})
    model["frozen"].requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        model["used"](model["frozen"](torch.randn(3, 4))).sum().backward()
        used = gradients(model)
        optimizer.step()
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert_gradients(run, 0, used)
    for name in ("frozen.weight", "unused.bias"):
        assert run[0].gradient_states.of(run.tensor(name).index) == "unavailable"
        assert run[0].gradient_statistics(name) is None
    assert run.tensor("frozen.weight").frozen
    assert not run.tensor("unused.weight").frozen


def test_sparse_gradients_count_as_the_dense_ones_that_they_stand_for(tmp_path):
    model = Recurrent()
    model.embedding.sparse = True
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        model(torch.tensor([[1, 2, 2, 3]])).square().sum().backward()
        assert model.embedding.weight.grad.is_sparse
        used = gradients(model)
        optimizer.step()
        recorder.step(0)
    assert_gradients(paramviz.open_run(tmp_path / "run"), 0, used)
