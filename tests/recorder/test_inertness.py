"""Recording leaves training as it is: the same bits, the same random state, nothing left on the model."""

from __future__ import annotations

import copy
import io
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import paramviz
from tests.recorder.models import GPT, gpt, next_token_loss, train_step


class NoisyGPT(GPT):
    """A GPT with dropout, whose training depends on the random state."""

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(super().forward(tokens_BT), 0.1, self.training)


def trained(path=None, steps: int = 200):
    """Weights, optimizer state and random states after training, recorded with everything or not."""
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    model = NoisyGPT(vocabulary=150, n_layer=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    recorder = None
    if path is not None:
        recorder = paramviz.Recorder(
            path, model, optimizer, schedule=1, key_every=4, quantities=paramviz.QUANTITIES
        )
    for iteration in range(steps):
        optimizer.zero_grad(set_to_none=True)
        loss = next_token_loss(model, iteration)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if recorder is not None:
            recorder.step(iteration, loss=loss, event="validation" if iteration % 40 == 7 else None)
    if recorder is not None:
        recorder.close()
        assert recorder.report.snapshots == steps
    return (
        model.state_dict(),
        optimizer.state_dict()["state"],
        torch.get_rng_state(),
        np.random.rand(),
        random.random(),
    )


def test_two_hundred_steps_are_bit_identical_with_and_without_recording(tmp_path):
    plain, recorded = trained(), trained(tmp_path / "run")
    for name, weight in plain[0].items():
        assert torch.equal(weight, recorded[0][name]), name
    for index, state in plain[1].items():
        for key, value in state.items():
            assert torch.equal(value, recorded[1][index][key]), (index, key)
    assert torch.equal(plain[2], recorded[2])
    assert plain[3:] == recorded[3:]


def test_model_and_optimizer_are_copied_and_saved_while_they_are_recorded(tmp_path):
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        train_step(model, optimizer, 0)
        recorder.step(0)
        twin = copy.deepcopy(model)
        pickle.loads(pickle.dumps(model))
        torch.save(model, io.BytesIO())
        torch.save(optimizer.state_dict(), io.BytesIO())
        copied = pickle.loads(pickle.dumps(optimizer))
        assert not copied._optimizer_step_pre_hooks
        copy.deepcopy(optimizer)
        assert vars(model).keys() == vars(gpt()).keys()
    assert torch.equal(twin.lm_head.weight, model.lm_head.weight)


def test_a_compiled_model_is_recorded_under_its_own_names(tmp_path):
    """The eager backend traces as the others do, and needs no compiler."""
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    optimizer = torch.optim.AdamW(compiled.parameters())
    with paramviz.Recorder(tmp_path / "run", compiled, optimizer) as recorder:
        compiled(torch.randn(3, 4)).sum().backward()
        optimizer.step()
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert [tensor.name for tensor in run.tensors] == list(model.state_dict())
    assert run[0].gradient_states.default == "used"


def whole_step(model, optimizer):
    """Everything but zeroing, as `torch.compile` of a whole step takes it."""

    def step(x):
        model(x).square().sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()

    return step


def clipped_step(model, optimizer):
    def step(x):
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()

    return lambda x: (model(x).square().sum().backward(), torch.compile(step, backend="eager")(x))


COMPILED = {
    "the optimizer's step": lambda model, optimizer: (
        lambda x: (model(x).square().sum().backward(), torch.compile(optimizer.step, backend="eager")())
    ),
    "clipping and the optimizer's step": clipped_step,
    "the whole step": lambda *both: torch.compile(whole_step(*both), backend="eager"),
    "the model": lambda model, optimizer: whole_step(torch.compile(model, backend="eager"), optimizer),
}


def compiled_training(path, make) -> tuple[object, ...]:
    """Graph breaks, graphs and weights of a compiled training, and the run if `path` is given."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(7)
    model = nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    step = make(model, optimizer)
    recorder = None if path is None else paramviz.Recorder(path, model, optimizer)
    for iteration in range(4):
        optimizer.zero_grad()
        step(torch.randn(3, 4))
        if recorder is not None:
            recorder.step(iteration)
    if recorder is not None:
        recorder.close()
    counters = torch._dynamo.utils.counters
    breaks = sum(counters["graph_break"].values())
    return breaks, counters["stats"]["unique_graphs"], model.weight.detach().tolist()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
@pytest.mark.parametrize("what", COMPILED)
def test_what_is_compiled_has_as_many_graphs_and_breaks_as_without_recording(tmp_path, what):
    plain = compiled_training(None, COMPILED[what])
    assert compiled_training(tmp_path / "run", COMPILED[what]) == plain
    run = paramviz.open_run(tmp_path / "run")
    states = [run[i].gradient_states for i in range(4)]
    if what == "the model":
        assert [state.default for state in states] == ["used"] * 4
        assert "gradient_norm_before_clipping" in run.scalar_names
    else:
        assert [state.default for state in states] == ["scaled-unknown"] * 4
        assert "compiled" in states[3].reason


class Numbers(Dataset):
    """Each item tells which process made it, after asking the recorder to record there."""

    def __init__(self, recorder: paramviz.Recorder, optimizer: torch.optim.Optimizer) -> None:
        self.recorder = recorder
        self.optimizer = optimizer

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        self.optimizer.step()
        self.recorder.step(100 + index, loss=1.0)
        self.recorder.close()
        return os.getpid()


def test_a_forked_child_records_nothing_and_ends_nothing(tmp_path):
    """As in the workers of a DataLoader, which inherit the recorder."""
    model = gpt()
    optimizer = torch.optim.AdamW(model.parameters())
    with paramviz.Recorder(tmp_path / "run", model, optimizer) as recorder:
        train_step(model, optimizer, 0)
        recorder.step(0)
        loader = DataLoader(Numbers(recorder, optimizer), num_workers=2, multiprocessing_context="fork")
        assert os.getpid() not in set(torch.cat(list(loader)).tolist())
        assert paramviz.open_run(tmp_path / "run").status == "recording"
        train_step(model, optimizer, 1)
        recorder.step(1)
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 1]
    assert run.status == "finished"
    assert "loss" not in run.scalar_names


def run_script(tmp_path, body: str) -> subprocess.CompletedProcess[str]:
    script = (
        "import torch, paramviz, sys\n"
        "torch.set_num_threads(1)\n"
        "model = torch.nn.Linear(5, 5)\n"
        f"path = {str(tmp_path / 'run')!r}\n" + body
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": "."},
    )


def test_a_program_that_ends_without_closing_leaves_a_finished_run(tmp_path):
    done = run_script(
        tmp_path,
        "recorder = paramviz.Recorder(path, model)\nfor i in range(20):\n    recorder.step(i, loss=i)\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == list(range(20))
    assert run.status == "finished"


def test_a_program_that_dies_of_an_exception_leaves_a_crashed_run(tmp_path):
    done = run_script(
        tmp_path,
        "recorder = paramviz.Recorder(path, model)\n"
        "for i in range(20):\n    recorder.step(i)\n"
        "raise ValueError(1)\n",
    )
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    run = paramviz.open_run(tmp_path / "run")
    assert run.iterations.tolist() == list(range(20))
    assert run.status == "crashed"


def test_an_exception_that_passes_through_marks_the_run_as_crashed(tmp_path):
    model = nn.Linear(2, 2)

    def train() -> None:
        with paramviz.Recorder(tmp_path / "run", model, schedule=10) as recorder:
            for iteration in range(4):
                recorder.step(iteration)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train()
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "crashed"
    assert run.iterations.tolist() == [0]
    assert [(e.iteration, e.kind, e.text) for e in run.events] == [
        (3, "crash", "RuntimeError: out of memory")
    ]


def test_an_exit_that_means_done_ends_the_run_as_finished(tmp_path):
    done = run_script(
        tmp_path, "with paramviz.Recorder(path, model) as recorder:\n    recorder.step(0)\n    sys.exit(0)\n"
    )
    assert done.returncode == 0, done.stderr
    assert paramviz.open_run(tmp_path / "run").status == "finished"


def test_a_recorder_that_is_forgotten_ends_its_run(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def record() -> None:
        recorder = paramviz.Recorder(tmp_path / "run", model, optimizer)
        recorder.step(0)

    record()
    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.iterations.tolist() == [0]
    assert not optimizer._optimizer_step_pre_hooks
