"""The callback in a real Hugging Face Trainer, with a small GPT-2."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

import paramviz
from paramviz.errors import RunExistsError
from paramviz.integrations.huggingface import ParamvizCallback

pytestmark = pytest.mark.filterwarnings("ignore:::(?!paramviz)")


def sentences(n):
    """n examples of a learnable sequence, as a Trainer takes them."""
    tokens = (torch.arange(n)[:, None] + 3 * torch.arange(10)) % 29
    return [{"input_ids": row, "labels": row} for row in tokens]


def trainer(folder, callbacks, **arguments):
    set_seed(0)
    config = GPT2Config(vocab_size=29, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    return Trainer(
        GPT2LMHeadModel(config),
        TrainingArguments(
            **{
                "output_dir": str(folder),
                "per_device_train_batch_size": 4,
                "max_steps": 6,
                "logging_steps": 2,
                "save_strategy": "no",
                "report_to": [],
                "use_cpu": True,
                "disable_tqdm": True,
                **arguments,
            }
        ),
        train_dataset=sentences(32),
        eval_dataset=sentences(4),
        callbacks=callbacks,
    )


def test_a_trainer_is_recorded_step_by_step(tmp_path):
    callback = ParamvizCallback(tmp_path / "run", schedule=1)
    training = trainer(
        tmp_path / "out",
        [callback],
        gradient_accumulation_steps=2,
        eval_strategy="steps",
        eval_steps=3,
        save_strategy="steps",
        save_steps=4,
    )
    training.train()

    run = paramviz.open_run(tmp_path / "run")
    assert run.status == "finished"
    assert run.iterations.tolist() == [1, 2, 3, 4, 5, 6]
    kinds = [(event.iteration, event.kind) for event in run.events]
    assert {(3, "validation"), (6, "validation"), (4, "checkpoint")} <= set(kinds)
    assert run.events[-1].kind == "final"
    assert [run[i].gradient_states.default for i in (1, 6)] == ["used", "used"]
    weight = training.model.transformer.h[1].attn.c_attn.weight.detach()
    name = "transformer.h.1.attn.c_attn.weight"
    np.testing.assert_array_equal(run[6].values(name), weight.reshape(-1)[run.positions(name)].half().numpy())
    assert run.description["config"]["per_device_train_batch_size"] == 4


def test_the_loss_is_the_trainers_own_in_every_step(tmp_path):
    """What the Trainer logs each second step is the mean of the two."""
    training = trainer(tmp_path / "out", [ParamvizCallback(tmp_path / "run")], gradient_accumulation_steps=2)
    training.train()
    run = paramviz.open_run(tmp_path / "run")
    iterations, losses = run.scalar_series("loss")
    assert iterations.tolist() == [1, 2, 3, 4, 5, 6]
    logged = {entry["step"]: entry for entry in training.state.log_history if "loss" in entry}
    for step in (2, 4, 6):
        mean = losses[step - 2 : step].mean()
        assert math.isclose(mean, logged[step]["loss"], abs_tol=1e-3)
    norms = dict(zip(*run.scalar_series("gradient_norm_before_clipping"), strict=True))
    assert math.isclose(norms[6], logged[6]["grad_norm"], rel_tol=1e-4)


def test_a_recorded_training_is_the_same_training(tmp_path):
    trainings = [
        trainer(tmp_path / "out", callbacks) for callbacks in ([], [ParamvizCallback(tmp_path / "run")])
    ]
    weights = []
    for training in trainings:
        set_seed(1)
        training.train()
        weights.append([parameter.detach().clone() for parameter in training.model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def test_a_run_in_the_way_is_told_before_the_first_step(tmp_path):
    trainer(tmp_path / "out", [ParamvizCallback(tmp_path / "run")], max_steps=1).train()
    with pytest.raises(RunExistsError):
        trainer(tmp_path / "out", [ParamvizCallback(tmp_path / "run")], max_steps=1).train()
