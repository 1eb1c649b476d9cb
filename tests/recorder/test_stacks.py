"""Experts of one layer are told as one stacked tensor, in whichever way a model keeps them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.schema import TensorInfo
from paramviz.stacks import stacks_of


class Layer(nn.Module):
    def __init__(self, experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(8, experts)
        self.experts = nn.ModuleList(nn.ModuleDict({"w1": nn.Linear(8, 16)}) for _ in range(experts))


def test_separate_experts_are_slices_of_a_stack_and_keep_their_own_statistics(tmp_path):
    model = nn.ModuleDict({"layers": nn.ModuleList(Layer(12) for _ in range(2))})
    with torch.no_grad():
        model["layers"][1].experts[11]["w1"].weight.zero_()
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    stacks = {stack.name: stack for stack in run.stacks}
    assert set(stacks) == {f"layers.{i}.experts.*.w1.{leaf}" for i in range(2) for leaf in ("weight", "bias")}
    stack = stacks["layers.1.experts.*.w1.weight"]
    assert stack.shape == (12, 16, 8)
    assert stack.layer == 1
    assert stack.tensors == tuple(f"layers.1.experts.{e}.w1.weight" for e in range(12))
    rms = [run[0].statistics(name)["rms"] for name in stack.tensors]
    assert rms[11] == 0
    assert min(rms[:11]) > 0


def test_experts_in_one_parameter_are_a_stack_whose_samples_are_spread_over_all(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.MixtralConfig(
        vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=4, num_experts_per_tok=2,
    )  # fmt: skip
    model = transformers.MixtralForCausalLM(config)
    with paramviz.Recorder(tmp_path / "run", model) as recorder:
        recorder.step(0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.stacks
    for stack in run.stacks:
        assert stack.shape[0] == 4
        for name in stack.tensors:
            tensor = run.tensor(name)
            if len(stack.tensors) == 1 and tensor.samples:
                expert = run.positions(name) // (tensor.size // 4)
                assert (np.bincount(expert, minlength=4) > 0).all()
                assert len(set(np.bincount(expert).tolist())) == 1


def test_what_differs_in_shape_or_stands_alone_is_no_stack():
    def tensor(index: int, name: str, *shape: int, role: str = "expert") -> TensorInfo:
        return TensorInfo(index, name, shape, "float32", role, 0, "mlp")

    assert stacks_of([tensor(0, "experts.0.w", 4, 4), tensor(1, "experts.1.w", 4, 5)]) == ()
    assert stacks_of([tensor(0, "h.0.w", 4, 4, role="mlp_up"), tensor(1, "h.1.w", 4, 4, role="mlp_up")]) == ()
    (stack,) = stacks_of([tensor(i, f"experts.{n}.w", 4, 4) for i, n in enumerate((10, 2, 0))])
    assert stack.tensors == ("experts.0.w", "experts.2.w", "experts.10.w")
