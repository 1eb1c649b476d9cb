"""The norm before clipping is known although nobody passes it, and nothing is left behind."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_ as imported_early

import paramviz
from paramviz.recorder import clip_watch
from tests.recorder.gradient_checks import assert_gradients, backward, gradients
from tests.recorder.models import gpt

NORM = "gradient_norm_before_clipping"


def inner() -> list[object]:
    """What torch's functions call to do the work."""
    outer = (nn.utils.clip_grad_norm_, nn.utils.get_total_norm, nn.utils.clip_grads_with_norm_)
    return [function.__closure__[0].cell_contents for function in outer]


def norm_of(model: nn.Module, order: float = 2.0) -> float:
    flat = torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])
    return torch.linalg.vector_norm(flat, order).item()


def is_known(path: Path) -> bool:
    return NORM in paramviz.open_run(path).scalar_names


@pytest.mark.parametrize(
    "clip",
    [imported_early, lambda *args: nn.utils.clip_grad_norm_(*args)],
    ids=["imported early", "by its path"],
)
@pytest.mark.parametrize("foreach", [True, False])
def test_the_norm_before_clipping_is_noted_in_every_iteration(tmp_path, clip, foreach):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    norms = []
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=2) as recorder:
        for iteration in range(4):
            backward(model, iteration)
            norms.append(norm_of(model))
            returned = clip(model.parameters(), 0.1, 2.0, False, foreach)
            used = gradients(model)
            optimizer.step()
            recorder.step(iteration)
            assert returned.item() == pytest.approx(norms[-1])
    run = paramviz.open_run(tmp_path / "run")
    assert run.scalar_series(NORM)[0].tolist() == [0, 1, 2, 3]
    assert run.scalar_series(NORM)[1] == pytest.approx(norms)
    assert_gradients(run, 3, used)
    assert run.scalar_series("gradient_norm")[1] == pytest.approx([0.1] * 3, rel=1e-4)


def test_a_norm_that_is_taken_first_and_clipped_by_then_is_noted(tmp_path):
    """As trainings of several processes do, which make the norm whole in between."""
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    parameters, norms = list(model.parameters()), []
    with paramviz.Recorder(tmp_path / "run", model, optimizer, schedule=1) as recorder:
        for iteration in range(3):
            backward(model, iteration)
            norms.append(norm_of(model))
            total = nn.utils.get_total_norm([p.grad for p in parameters]) * 1.0
            nn.utils.clip_grads_with_norm_(parameters, 0.1, total)
            optimizer.step()
            recorder.step(iteration)
    assert paramviz.open_run(tmp_path / "run").scalars(NORM) == pytest.approx(norms)


def test_clipping_by_a_norm_of_unknown_or_other_kind_tells_nothing(tmp_path):
    model = gpt()
    parameters = list(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, schedule=1) as recorder:
        for iteration, order in enumerate((torch.inf, 1.0, None)):
            backward(model, iteration)
            gradients_of = [p.grad for p in parameters]
            total = torch.tensor(2.0) if order is None else nn.utils.get_total_norm(gradients_of, order)
            nn.utils.clip_grads_with_norm_(parameters, 0.1, total)
            recorder.step(iteration)
    assert not is_known(tmp_path / "run")


def test_the_norm_that_is_given_counts(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        recorder.step(0, gradient_norm_before_clipping=5.0)
    assert paramviz.open_run(tmp_path / "run").scalars(NORM).tolist() == [5.0]


def test_clipping_of_another_model_or_by_another_norm_tells_nothing(tmp_path):
    model, other = gpt(), gpt(1)
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        backward(other)
        nn.utils.clip_grad_norm_(other.parameters(), 0.1)
        nn.utils.clip_grad_norm_([*model.parameters(), *other.parameters()], 0.1)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1, norm_type=torch.inf)
        optimizer.step()
        recorder.step(0)
    assert not is_known(tmp_path / "run")


def test_parts_that_are_clipped_apart_have_one_norm(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    parameters = list(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        norm = norm_of(model)
        for part in (parameters[:3], iter(parameters[3:7]), (p for p in parameters[7:-1]), parameters[-1]):
            nn.utils.clip_grad_norm_(part, 0.01)
        optimizer.step()
        recorder.step(0)
    assert paramviz.open_run(tmp_path / "run").scalars(NORM) == pytest.approx([norm])


def test_gradients_that_are_clipped_twice_have_the_norm_before_the_first_time(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        backward(model)
        norm = norm_of(model)
        for most in (0.5, 0.1):
            nn.utils.clip_grad_norm_(model.parameters(), most)
        optimizer.step()
        recorder.step(0)
    assert paramviz.open_run(tmp_path / "run").scalars(NORM) == pytest.approx([norm])


def test_of_two_steps_in_an_iteration_the_second_counts(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        for seed in range(2):
            backward(model, seed)
            norm = norm_of(model)
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
        recorder.step(0)
    assert paramviz.open_run(tmp_path / "run").scalars(NORM) == pytest.approx([norm])


@pytest.mark.parametrize("fused", [True, False], ids=["unscales inside its step", "unscaled before"])
def test_under_a_scaler_the_norm_is_that_of_the_gradients_that_were_clipped(tmp_path, fused):
    model = nn.Linear(6, 4)
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        scaler.scale(model(torch.randn(9, 6)).square().mean()).backward()
        norm = norm_of(model) / 1024
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        used = gradients(model)
        scaler.step(optimizer)
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.scalars(NORM) == pytest.approx([norm])
    assert_gradients(run, 0, used)


def test_clipping_inside_a_closure_is_seen(tmp_path):
    """As Lightning does it."""
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    norms = []

    def closure():
        backward(model, 5)
        norms.append(norm_of(model))
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)

    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        optimizer.step(closure)
        used = gradients(model)
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.scalars(NORM) == pytest.approx(norms)
    assert_gradients(run, 0, used)


def test_clipping_in_a_users_own_hook_is_seen(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    norms = []

    def clip(*_):
        norms.append(norm_of(model))
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)

    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        optimizer.register_step_pre_hook(clip)
        for iteration in range(2):
            backward(model, iteration)
            optimizer.step()
            recorder.step(iteration)
    assert paramviz.open_run(tmp_path / "run").scalars(NORM) == pytest.approx(norms)


def test_the_last_recorder_that_ends_leaves_torch_as_it_was(tmp_path):
    model, other = gpt(), gpt(1)
    untouched = inner()
    first = paramviz.Recorder(tmp_path / "first", model)
    second = paramviz.Recorder(tmp_path / "second", other)
    assert all(now is not then for now, then in zip(inner(), untouched, strict=True))
    first.close()
    backward(other)
    nn.utils.clip_grad_norm_(other.parameters(), 0.1)
    second.step(0)
    second.close()
    assert inner() == untouched
    assert is_known(tmp_path / "second")
    assert not is_known(tmp_path / "first")


def test_what_torch_raises_and_warns_of_is_torchs_own(tmp_path):
    model = nn.Linear(2, 2)
    with paramviz.Recorder(tmp_path / "run", model):
        with pytest.warns(UserWarning, match="empty generator"):
            nn.utils.clip_grad_norm_((p for p in ()), 1.0)
        assert nn.utils.clip_grad_norm_([], max_norm=1.0) == 0
        with pytest.raises(TypeError):
            nn.utils.clip_grad_norm_(model.parameters())
        model.weight.grad = torch.full((2, 2), torch.nan)
        with pytest.raises(RuntimeError, match="non-finite"):
            nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)


def test_a_fault_while_clipping_is_noted_never_reaches_training(tmp_path, monkeypatch, caplog):
    model = gpt()

    def faulty(*_):
        raise RuntimeError("a fault of the test")

    monkeypatch.setattr(clip_watch.ClipWatch, "_note", faulty)
    with caplog.at_level(logging.WARNING), paramviz.Recorder(tmp_path / "run", model) as recorder:
        for iteration in range(2):
            backward(model)
            norm = norm_of(model)
            assert nn.utils.clip_grad_norm_(model.parameters(), 0.1).item() == pytest.approx(norm)
            recorder.step(iteration)
    assert len(caplog.records) == 1
    assert not is_known(tmp_path / "run")


def test_where_torch_is_built_otherwise_the_norm_is_not_known(tmp_path, monkeypatch):
    def plain(parameters, max_norm):
        return torch.tensor(1.0)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", plain)
    model = gpt()
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        backward(model)
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        recorder.step(0)
    assert not is_known(tmp_path / "run")
