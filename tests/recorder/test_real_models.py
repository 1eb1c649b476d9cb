"""Models of real libraries, tiny and untrained: every tensor has its role, and heads their norms."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import paramviz
from paramviz.errors import UsageError
from paramviz.store import Run

SMALL = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def recorded(path: Any, model: nn.Module, **settings: Any) -> Run:
    with paramviz.Recorder(path, model, **settings) as recorder:
        recorder.step(0)
    return paramviz.open_run(path)


def hugging_face(name: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    gpt2 = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16}
    llama = {**SMALL, "intermediate_size": 48, "num_key_value_heads": 2}
    bert = {**SMALL, "intermediate_size": 48, "max_position_embeddings": 16}
    vit = {**bert, "image_size": 8, "patch_size": 4}
    t5 = {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    make = {
        "GPT-2": lambda t: t.GPT2LMHeadModel(t.GPT2Config(**gpt2)),
        "Llama": lambda t: t.LlamaForCausalLM(t.LlamaConfig(**llama)),
        "Mixtral": lambda t: t.MixtralForCausalLM(t.MixtralConfig(**llama, num_local_experts=3)),
        "BERT": lambda t: t.BertForMaskedLM(t.BertConfig(**bert)),
        "ViT": lambda t: t.ViTForImageClassification(t.ViTConfig(**vit)),
        "T5": lambda t: t.T5ForConditionalGeneration(t.T5Config(**t5)),
    }
    return make[name](transformers)


ROLES = {
    "GPT-2": {"attention_qkv": 2, "attention_projection": 2, "mlp_up": 2, "mlp_down": 2, "norm": 5},
    "Llama": {
        "token_embedding": 1,
        "attention_query": 2,
        "attention_key": 2,
        "attention_value": 2,
        "attention_projection": 2,
        "mlp_gate": 2,
        "mlp_up": 2,
        "mlp_down": 2,
        "norm": 5,
        "head": 1,
    },
    "Mixtral": {"router": 2, "expert": 4, "attention_query": 2, "norm": 5},
    "BERT": {"attention_query": 2, "attention_projection": 2, "mlp_up": 2, "mlp_down": 2},
    "ViT": {
        "attention_query": 2,
        "attention_projection": 2,
        "mlp_up": 2,
        "mlp_down": 2,
        "conv": 1,
        "head": 1,
    },
    "T5": {
        "attention_query": 6,
        "attention_projection": 6,
        "mlp_up": 4,
        "mlp_down": 4,
        "position_embedding": 2,
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ROLES)
def test_models_of_hugging_face_have_their_roles(tmp_path, name):
    run = recorded(tmp_path / "run", hugging_face(name))
    found = Counter(tensor.role for tensor in run.tensors)
    assert {role: found[role] for role in ROLES[name]} == ROLES[name]
    # What no rule knows is told apart from what was never thought of.
    strange = [t.name for t in run.tensors if t.role == "other" and not t.name.endswith(EXPECTED_OTHERS)]
    assert strange == []
    layered = {t.layer for t in run.tensors if t.block in ("attention", "mlp")}
    assert layered == {0, 1}


EXPECTED_OTHERS = ("token_type_embeddings.weight", "cls_token")


@pytest.mark.filterwarnings("ignore")
def test_heads_of_the_real_gpt2_have_the_norms_of_their_own_columns(tmp_path):
    """Its Conv1D keeps weights as (in, out)."""
    model = hugging_face("GPT-2")
    run = recorded(tmp_path / "run", model)
    for layer, block in enumerate(model.transformer.h):
        prefix = f"transformer.h.{layer}.attn"
        qkv = block.attn.c_attn.weight.detach().double().reshape(32, 3, 4, 8)
        expected = qkv.square().sum((0, 3)).sqrt()
        np.testing.assert_allclose(run[0].head_norms(f"{prefix}.c_attn.weight"), expected, rtol=1e-6)
        out = block.attn.c_proj.weight.detach().double().reshape(4, 8, 32)
        expected = out.square().sum((1, 2)).sqrt()
        np.testing.assert_allclose(run[0].head_norms(f"{prefix}.c_proj.weight"), expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_heads_of_separate_projections_have_norms_and_fewer_keys_have_fewer(tmp_path):
    model = hugging_face("Llama")
    run = recorded(tmp_path / "run", model)
    attention = model.model.layers[1].self_attn
    for name, heads in (("q_proj", 4), ("k_proj", 2), ("v_proj", 2)):
        weight = getattr(attention, name).weight.detach().double().reshape(heads, 8, 32)
        found = run[0].head_norms(f"model.layers.1.self_attn.{name}.weight")
        np.testing.assert_allclose(found, weight.square().sum((1, 2)).sqrt(), rtol=1e-6)
    out = attention.o_proj.weight.detach().double().reshape(32, 4, 8)
    found = run[0].head_norms("model.layers.1.self_attn.o_proj.weight")
    np.testing.assert_allclose(found, out.square().sum((0, 2)).sqrt(), rtol=1e-6)


def test_torchs_own_transformer_has_heads(tmp_path):
    torch.manual_seed(4)
    model = nn.TransformerEncoderLayer(32, 4, dim_feedforward=48, batch_first=True)
    run = recorded(tmp_path / "run", model)
    qkv = model.self_attn.in_proj_weight.detach().double().reshape(3, 4, 8, 32)
    np.testing.assert_allclose(
        run[0].head_norms("self_attn.in_proj_weight"), qkv.square().sum((2, 3)).sqrt(), rtol=1e-6
    )
    out = model.self_attn.out_proj.weight.detach().double().reshape(32, 4, 8)
    np.testing.assert_allclose(
        run[0].head_norms("self_attn.out_proj.weight"), out.square().sum((0, 2)).sqrt(), rtol=1e-6
    )


class Residual(nn.Module):
    """A block of a small ResNet."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))


class ResNet(nn.Module):
    """With torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 7, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Residual(4, 4), Residual(4, 4))
        self.layer2 = nn.Sequential(Residual(4, 8), Residual(8, 8))
        self.fc = nn.Linear(8, 5)


def test_a_resnet_has_convolutions_norms_and_a_head(tmp_path):
    run = recorded(tmp_path / "run", ResNet())
    roles = {tensor.name: tensor.role for tensor in run.tensors}
    assert roles["conv1.weight"] == roles["layer2.1.conv2.weight"] == "conv"
    assert roles["layer1.0.downsample.0.weight"] == "conv"
    assert roles["layer1.0.downsample.1.weight"] == roles["bn1.weight"] == "norm"
    assert roles["layer2.0.bn2.running_var"] == "buffer"
    assert roles["fc.weight"] == "head"
    assert "other" not in roles.values()


def test_roles_may_be_given_by_pattern(tmp_path):
    model = nn.ModuleDict({"mixer": nn.Linear(12, 12)})
    model.n_head = 3
    run = recorded(tmp_path / "run", model, roles={"mixer.w*": "attention_query"})
    assert run.tensor("mixer.weight").role == "attention_query"
    weight = model["mixer"].weight.detach().double().reshape(3, 4, 12)
    np.testing.assert_allclose(
        run[0].head_norms("mixer.weight"), weight.square().sum((1, 2)).sqrt(), rtol=1e-6
    )
    with pytest.raises(UsageError, match="no role"):
        paramviz.Recorder(tmp_path / "other", model, roles={"mixer.*": "mixer"})
    assert not (tmp_path / "other").exists()


def test_a_pattern_that_fits_nothing_is_told_and_the_others_count(tmp_path, caplog):
    model = nn.ModuleDict({"mixer": nn.Linear(12, 12), "gate": nn.Linear(12, 2)})
    roles = {"mixer.q*": "attention_query", "gate.weight": "router"}
    run = recorded(tmp_path / "run", model, roles=roles, exclude=["gate.bias", "head.*"])
    assert run.tensor("gate.weight").role == "router"
    (said,) = [record.getMessage() for record in caplog.records if "fits" in record.getMessage()]
    assert "roles 'mixer.q*'" in said
    assert "exclude 'head.*'" in said
    assert "gate" not in said.split("The names are")[0]
    assert "mixer.weight" in said
