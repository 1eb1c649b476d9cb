"""A training that knows nothing of paramviz is found, and recorded as if it had called it."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional as F

import paramviz
from paramviz.integrations.script import ScriptOptions, ScriptRecording, read_arguments
from tests.integrations.small_training import examples, network


@pytest.fixture
def recording(tmp_path):
    """A function that begins to watch; what it said and the run that it made, once it is over."""
    begun = []

    class Watched:
        def __init__(self, **options):
            self.lines = []
            options = {"out": str(tmp_path / "run"), "schedule": 1, **options}
            self._script = ScriptRecording(ScriptOptions(**options), self.lines.append)
            begun.append(self)
            self.is_over = False

        def end(self, error=None):
            self.is_over = True
            self._script.end(error)
            return paramviz.open_run(tmp_path / "run")

        def end_with_nothing(self):
            self.is_over = True
            self._script.end(None)
            assert not (tmp_path / "run").exists()
            return " ".join(self.lines)

    yield Watched
    for watched in begun:
        if not watched.is_over:
            watched.end()


def step(model, optimizer, batch=0):
    optimizer.zero_grad()
    x, y = examples(32)
    loss = F.mse_loss(model(x[batch::4]), y[batch::4])
    loss.backward()
    optimizer.step()
    return loss.item()


def test_model_optimizer_loss_and_rate_are_found(recording):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    watched = recording()
    losses, rates = [], []
    for i in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(step(model, optimizer, i))
        scheduler.step()
    run = watched.end()
    assert watched.lines[0].startswith("recording Sequential (74 parameters, SGD) to ")
    assert run.iterations.tolist() == [0, 1, 2, 3]
    assert run.scalars("loss").tolist() == losses
    assert run.scalars("learning_rate").tolist() == rates
    assert {run[i].gradient_states.default for i in range(4)} == {"used"}
    assert run[3].values("2.bias").tolist() == model[2].bias.tolist()


def test_nothing_is_left_on_the_model_its_optimizer_and_torch(recording):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    functions = torch.autograd.backward, GradScaler.scale, GradScaler.step
    attributes, hooks = set(vars(model)), len(optimizer._optimizer_step_pre_hooks)
    watched = recording()
    step(model, optimizer)
    assert set(vars(model)) == attributes
    assert pickle.loads(pickle.dumps(model))[0].weight.equal(model[0].weight)
    copy.deepcopy((model, optimizer))
    watched.end()
    assert functions == (torch.autograd.backward, GradScaler.scale, GradScaler.step)
    assert len(optimizer._optimizer_step_pre_hooks) == hooks
    assert not optimizer._optimizer_step_post_hooks


def test_a_watched_training_is_the_same_training(recording):
    def train():
        model = nn.Sequential(network(), nn.Dropout(0.5))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        for i in range(12):
            step(model, optimizer, i % 4)
        return [*model.parameters(), torch.get_rng_state()]

    plain = train()
    recording()
    assert all(torch.equal(one, other) for one, other in zip(plain, train(), strict=True))


def test_accumulated_losses_add_up(recording):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    watched = recording()
    x, y = examples(32)
    for x_part, y_part in zip(x.chunk(4), y.chunk(4), strict=True):
        (F.mse_loss(model(x_part), y_part) / 4).backward()
    optimizer.step()
    run = watched.end()
    assert run.scalars("loss")[0] == pytest.approx(F.mse_loss(model(x), y).item(), rel=1e-6)


def test_a_loss_is_recorded_as_it_was_before_the_scaler(recording):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = GradScaler("cpu", init_scale=1024.0)
    watched = recording()
    x, y = examples(32)
    loss = F.mse_loss(model(x), y)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    run = watched.end()
    assert run.scalars("loss").tolist() == [loss.item()]


def test_a_step_that_the_scaler_skips_is_an_iteration_too(recording):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = GradScaler("cpu", init_scale=2.0)
    watched = recording()
    x, y = examples(32)
    for i in range(4):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y) * (float("inf") if i in (0, 2) else 1.0)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    run = watched.end()
    assert run.iterations.tolist() == [0, 1, 2, 3]
    assert np.isinf(run.scalars("loss")).tolist() == [True, False, True, False]
    states = [run[i].gradient_states.default for i in range(4)]
    assert states == ["skipped", "used", "skipped", "used"]


def test_of_a_closure_that_is_evaluated_again_the_last_loss_counts(recording):
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    watched = recording()
    x, y = examples(32)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        seen.append(loss.item())
        return loss

    optimizer.step(closure)
    n_first = len(seen)
    optimizer.step(closure)
    run = watched.end()
    assert run.scalars("loss").tolist() == [seen[n_first - 1], seen[-1]]


def test_two_optimizers_of_one_model_make_one_iteration(recording):
    model = network()
    weights = torch.optim.SGD([model[0].weight, model[2].weight], lr=0.1)
    biases = torch.optim.Adam([model[0].bias, model[2].bias], lr=0.1)
    watched = recording()
    x, y = examples(32)
    losses = []
    for _ in range(3):
        loss = F.mse_loss(model(x), y)
        loss.backward()
        losses.append(loss.item())
        for optimizer in (weights, biases):
            optimizer.step()
            optimizer.zero_grad()
    run = watched.end()
    assert "SGD, Adam" in watched.lines[0]
    assert run.iterations.tolist() == [0, 1, 2]
    assert run.scalars("loss").tolist() == losses
    assert {run[i].gradient_states.default for i in range(3)} == {"used"}


def test_an_optimizer_that_makes_no_steps_holds_nobody_up(recording):
    model = network()
    idle = torch.optim.SGD([model[2].bias], lr=0.1)
    optimizer = torch.optim.SGD([model[0].weight, model[0].bias, model[2].weight], lr=0.1)
    watched = recording()
    for i in range(4):
        step(model, optimizer, i)
    run = watched.end()
    assert run.iterations.tolist() == [0, 1, 2, 3]
    assert idle.param_groups


def test_an_optimizer_that_was_replaced_is_not_asked(recording):
    model = network()
    before = torch.optim.SGD(model.parameters(), lr=0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = recording()
    step(model, optimizer)
    run = watched.end()
    assert run[0].gradient_states.default == "used"
    assert run.scalars("learning_rate").tolist() == [0.1]
    assert before.param_groups


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network(1)

    def forward(self, x):
        return self.net(x)


class Maker(Critic):
    pass


def adversaries():
    maker, critic = Maker(), Critic()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in (critic, maker)]
    x, y = examples(32)
    losses = {}
    for _ in range(3):
        for model, optimizer, weight in ((critic, optimizers[0], 1.0), (maker, optimizers[1], 2.0)):
            optimizer.zero_grad()
            loss = weight * F.mse_loss(model(x), y)
            loss.backward()
            losses.setdefault(type(model).__name__, []).append(loss.item())
            optimizer.step()
    return losses


@pytest.mark.parametrize(("asked", "expected"), [(None, "Critic"), ("Maker", "Maker")])
def test_of_several_models_the_first_that_is_trained_or_the_one_asked_for(recording, asked, expected):
    watched = recording(model=asked)
    losses = adversaries()
    run = watched.end()
    assert run.description["model"] == expected
    assert run.scalars("loss").tolist() == losses[expected]


def test_a_copy_for_averages_is_not_taken_for_the_model(recording):
    model = Critic()
    average = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = recording()
    step(model, optimizer)
    run = watched.end()
    assert run[0].values("net.2.bias").tolist() == model.net[2].bias.tolist()
    assert run[0].values("net.2.bias").tolist() != average.net[2].bias.tolist()


def test_models_that_nothing_holds_together_are_recorded_together(recording):
    encoder, decoder = Critic(), Maker()
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)
    watched = recording()
    x, y = examples(32)
    (F.mse_loss(encoder(x), y) + F.mse_loss(decoder(x), y)).backward()
    optimizer.step()
    run = watched.end()
    names = {tensor.name for tensor in run.tensors}
    assert {"Critic.net.0.weight", "Maker.net.0.weight"} <= names
    assert run[0].gradient_states.default == "used"


def test_the_whole_model_is_recorded_where_only_its_head_is_trained(recording):
    model = network()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    watched = recording()
    step(model, optimizer)
    run = watched.end()
    assert [tensor.name for tensor in run.tensors] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_parameters_without_a_module_are_told_of(recording):
    weight = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adagrad([weight], lr=0.1)
    watched = recording()
    weight.sum().backward()
    optimizer.step()
    told = watched.end_with_nothing()
    assert re.search(r"looked for a torch\.nn\.Module that holds a parameter of Adagrad, among [\d,]+", told)


def test_a_model_of_a_class_that_never_came_is_told_of(recording):
    model = network()
    watched = recording(model="Nowhere")
    step(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert "module of the class Nowhere" in watched.end_with_nothing()


def test_without_a_step_it_says_what_was_looked_for(recording):
    watched = recording()
    network()(examples(4)[0]).sum().backward()
    told = watched.end_with_nothing()
    assert "looked for a step of a torch.optim.Optimizer" in told
    assert "torchrun" in told


def test_what_cannot_be_recorded_does_not_stop_the_training(recording, tmp_path):
    """Here the place is taken in the meantime."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = recording()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    before = model[0].weight.clone()
    for i in range(3):
        step(model, optimizer, i)
    assert not torch.equal(before, model[0].weight)
    watched.is_over = True
    watched._script.end(None)
    assert len(watched.lines) == 1
    assert "The script runs on" in watched.lines[0]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_an_error_in_the_script_is_in_the_run(recording):
    model = network()
    watched = recording()
    step(model, torch.optim.SGD(model.parameters(), lr=0.1))
    run = watched.end(ValueError("a defect"))
    assert run.status == "crashed"
    assert "a defect" in run.events[-1].text


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_step_is_left_alone(recording):
    """No hook sees into it; nothing is recorded, and nothing breaks."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = recording()
    compiled = torch.compile(optimizer.step, backend="eager")
    for _ in range(2):
        F.mse_loss(model(examples(4)[0]), examples(4)[1]).backward()
        compiled()
    assert "looked for a step" in watched.end_with_nothing()


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (["--lr=3e-4", "--name=a=b"], {"lr": 3e-4, "name": "a=b"}),
        (["--lr", "-1", "--verbose", "-n", "5"], {"lr": -1, "verbose": True, "n": 5}),
        (["config/small.py", "--compile=False"], {"compile": False, "arguments": ["config/small.py"]}),
        (["model.width=12", "+data=wiki"], {"model.width": 12, "arguments": ["+data=wiki"]}),
        (["--betas=(0.9, 0.95)", "--path=/x:y"], {"betas": (0.9, 0.95), "path": "/x:y"}),
        ([], {}),
    ],
)
def test_arguments_are_read_as_a_configuration(arguments, config):
    assert read_arguments(arguments) == config
