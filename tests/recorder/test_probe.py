"""A probe tells of attention and activations what a plain computation tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import paramviz
from paramviz.errors import NotRecordedError, UsageError
from paramviz.recorder import probe as probe_module
from paramviz.recorder import probe_attention
from tests.recorder.models import ConvNet, gpt
from tests.recorder.probed_models import (
    OneHead,
    Units,
    entropy,
    gpt_reference,
    recorded_once,
    slow_gpt,
    softmax,
    twin_of,
)

HALF = 2.0**-11
"""Relative error of a float16."""

TOKENS = torch.arange(26).reshape(2, 13) * 5 % 31


@pytest.mark.parametrize("make", [gpt, slow_gpt], ids=["fused", "written out"])
def test_attention_of_a_gpt_is_the_softmax_by_hand(tmp_path, make):
    model = make(3, n_layer=3, n_embd=48, n_head=4)
    for parameter in model.parameters():
        parameter.data.mul_(6)
    logits, patterns, stream = gpt_reference(model, TOKENS)
    snapshot = recorded_once(tmp_path / "run", model, TOKENS)
    assert [layer.name for layer in snapshot.probe.layers] == [f"transformer.h.{n}.attn" for n in range(3)]
    assert snapshot.probe.reason == ""
    for number in range(3):
        attention = snapshot.attention(number)
        assert attention.pattern.shape == (4, 13, 13)
        np.testing.assert_allclose(attention.pattern, patterns[number][0], rtol=2 * HALF, atol=1e-5)
        np.testing.assert_allclose(attention.entropy, entropy(patterns[number]), rtol=1e-4)
        np.testing.assert_allclose(attention.max_logit, logits[number].max((0, 2, 3)), rtol=1e-4)
    assert list(snapshot.residual_rms()) == ["transformer.h", *(f"transformer.h.{n}" for n in range(3))]
    np.testing.assert_allclose(list(snapshot.residual_rms().values()), stream, rtol=1e-5)
    assert snapshot.probe.tokens.tolist() == TOKENS[0].tolist()
    assert snapshot.probe.inputs == (("0", (2, 13)),)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_of_hugging_faces_gpt2(tmp_path, implementation):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=32, n_embd=24, n_layer=2, n_head=3, initializer_range=0.5
    )
    config._attn_implementation = implementation
    model = transformers.GPT2LMHeadModel(config)
    batch = {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS)}
    batch["attention_mask"][1, 9:] = 0
    twin = twin_of(model)
    twin.set_attn_implementation("eager")
    with torch.no_grad():
        expected = [p.numpy() for p in twin(**batch, output_attentions=True).attentions]
    snapshot = recorded_once(tmp_path / "run", model, batch)
    assert [layer.name for layer in snapshot.probe.layers] == [f"transformer.h.{n}.attn" for n in range(2)]
    for number, p in enumerate(expected):
        attention = snapshot.attention(number)
        np.testing.assert_allclose(attention.pattern, p[0], rtol=2 * HALF, atol=1e-5)
        np.testing.assert_allclose(attention.entropy, entropy(p), rtol=1e-3)
    assert list(snapshot.residual_rms()) == ["transformer.h", "transformer.h.0", "transformer.h.1"]
    assert snapshot.probe.tokens.tolist() == TOKENS[0].tolist()


def test_torchs_own_encoder_is_seen_although_it_has_a_fused_kernel(tmp_path):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    x = torch.randn(3, 7, 16)
    snapshot = recorded_once(tmp_path / "run", model, x)
    assert [layer.heads for layer in snapshot.probe.layers] == [4, 4]
    twin = twin_of(model)
    with torch.no_grad():
        _, p = twin.layers[0].self_attn(*[x.double()] * 3, average_attn_weights=False)
    np.testing.assert_allclose(snapshot.attention(0).pattern, p[0].numpy(), rtol=2 * HALF, atol=1e-6)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_head_without_an_axis_of_heads_is_one_head(tmp_path):
    torch.manual_seed(0)
    model, x = OneHead(8), torch.randn(2, 5, 8)
    snapshot = recorded_once(tmp_path / "run", model, (x,))
    twin = twin_of(model)
    with torch.no_grad():
        logits = twin.query(x.double()) @ twin.key(x.double()).transpose(-2, -1) * 8**-0.5
    np.testing.assert_allclose(
        snapshot.attention("").pattern[0], softmax(logits.numpy())[0], rtol=2 * HALF, atol=1e-6
    )


@pytest.mark.parametrize("masked", ["bool", "bias", "causal", "grouped"])
def test_masks_biases_and_shared_keys_of_fused_attention(tmp_path, masked):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, n, 6, 8, dtype=torch.float64) for n in (4, 4, 4))
    mask, settings = None, {}
    if masked == "bool":
        mask = torch.rand(2, 1, 6, 6) > 0.4
        mask[:, :, :, 0] = True
    elif masked == "bias":
        mask = torch.randn(4, 6, 6, dtype=torch.float64)
    elif masked == "causal":
        settings = {"is_causal": True}
    else:
        k, v, settings = k[:, :2], v[:, :2], {"enable_gqa": True}

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(()))

        def forward(self) -> torch.Tensor:
            return F.scaled_dot_product_attention(
                q.float(),
                k.float(),
                v.float(),
                *([mask if mask is None or mask.dtype == torch.bool else mask.float()]),
                **settings,
            )

    snapshot = recorded_once(tmp_path / "run", Attending(), ())
    keys = k.repeat_interleave(4 // k.shape[1], dim=1)
    logits = (q @ keys.transpose(-2, -1) / 8**0.5).numpy()
    if masked == "bool":
        logits = np.where(mask.numpy(), logits, -np.inf)
    elif masked == "bias":
        logits = logits + mask.numpy()
    elif masked == "causal":
        logits = np.where(np.tril(np.ones((6, 6), bool)), logits, -np.inf)
    attention = snapshot.attention(0)
    np.testing.assert_allclose(attention.pattern, softmax(logits)[0], rtol=2 * HALF, atol=1e-6)
    np.testing.assert_allclose(attention.max_logit, logits.max((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(attention.entropy, entropy(softmax(logits)), rtol=1e-5)


def test_a_long_sequence_keeps_the_first_positions_and_sums_over_all(tmp_path):
    model = gpt(1, n_layer=1, n_embd=16, n_head=2, block_size=200)
    tokens = torch.arange(200).unsqueeze(0) * 7 % 31
    _, patterns, _ = gpt_reference(model, tokens)
    attention = recorded_once(tmp_path / "run", model, tokens).attention(0)
    assert attention.pattern.shape == (2, 64, 64)
    np.testing.assert_allclose(attention.pattern, patterns[0][0, :, :64, :64], rtol=2 * HALF, atol=1e-6)
    np.testing.assert_allclose(attention.entropy, entropy(patterns[0]), rtol=1e-4)


class LargestResult(TorchDispatchMode):
    """Elements of the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_what_fused_attention_never_writes_down_is_computed_in_parts():
    q = torch.randn(1, 4, 2048, 8)
    with LargestResult() as largest:
        probe_attention.from_queries_and_keys({"query": q, "key": q, "is_causal": True})
    assert largest.elements <= probe_attention._PART_ELEMENTS < 4 * 2048 * 2048


def test_very_many_heads_get_fewer_positions(tmp_path, monkeypatch):
    monkeypatch.setattr(probe_module, "ATTENTION_BYTES", 2 * 2 * 2 * 8**2)
    snapshot = recorded_once(tmp_path / "run", gpt(), TOKENS)
    assert snapshot.attention(1).pattern.shape == (2, 8, 8)


def test_activations_are_those_of_each_modules_output(tmp_path):
    torch.manual_seed(0)
    x = torch.rand(50, 4) + 0.5
    row = recorded_once(tmp_path / "run", Units(), x)
    relu, tanh = row.activations("relu"), row.activations("tanh")
    assert relu["rms"] == pytest.approx(float(x.square().mean().sqrt()), rel=1e-6)
    assert relu["absmax"] == float(x.max())
    assert relu["zeros"] == relu["dead_units"] == 0
    assert np.isnan(relu["saturated"])
    assert tanh["zeros"] == tanh["dead_units"] == 0.25, "the unit that is scaled by 0"
    out = np.tanh(x.numpy() * np.array([1, 0, 100, 1]))
    assert tanh["saturated"] == pytest.approx((np.abs(out) >= 1 - 0.02).mean())
    assert tanh["saturated_units"] == 0.25
    with pytest.raises(NotRecordedError, match="no activations of a module 'gelu'"):
        row.activations("gelu")


def test_a_convolutional_net_has_activations_by_channel_and_the_run_says_why_no_attention(tmp_path):
    torch.manual_seed(0)
    model = ConvNet()
    model.features[0].weight.data[2] = 0
    model.features[0].bias.data[2] = 0
    snapshot = recorded_once(tmp_path / "run", model, torch.randn(4, 3, 8, 8))
    assert snapshot.activations("features.0")["dead_units"] == pytest.approx(1 / 8)
    assert "no attention was seen" in snapshot.probe.reason
    with pytest.raises(NotRecordedError, match="no attention was seen"):
        snapshot.attention(0)
    with pytest.raises(NotRecordedError, match="residual_rms"):
        snapshot.residual_rms()


def test_attention_that_cannot_be_seen_is_named(tmp_path):
    class HiddenAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            e = (x @ x.transpose(-2, -1)).exp()
            return e / e.sum(-1, keepdim=True) @ x * self.w

    model = nn.Sequential(HiddenAttention(), OneHead(8))
    snapshot = recorded_once(tmp_path / "run", model, torch.randn(2, 5, 8))
    assert snapshot.probe.reason == "no attention was seen in 0"
    assert [layer.name for layer in snapshot.probe.layers] == ["1"]
    assert snapshot.activations("0")["rms"] > 0


def test_a_function_may_run_the_forward(tmp_path):
    model = gpt()
    snapshot = recorded_once(tmp_path / "run", model, lambda m: m(TOKENS[:1]))
    assert snapshot.attention(0).pattern.shape == (2, 13, 13)
    assert len(snapshot.probe.tokens) == 0


def test_each_half_is_switched_off_by_itself(tmp_path):
    for wanted, missing in (("attention", "activations"), ("activations", "attention")):
        snapshot = recorded_once(tmp_path / wanted, gpt(), TOKENS, quantities=["values", wanted])
        assert wanted in snapshot.record.arrays
        assert missing not in snapshot.record.arrays
    snapshot = recorded_once(tmp_path / "neither", gpt(), TOKENS, quantities=["values"])
    assert snapshot.probe is None


def test_a_model_that_grows_gets_another_probe_and_a_resumed_run_the_same(tmp_path):
    path = tmp_path / "run"
    for session in range(2):
        model = gpt()
        with paramviz.Recorder(path, model, probe=TOKENS, schedule=1, key_every=1, resume=True) as recorder:
            recorder.step(10 * session)
            model.transformer["h"].append(gpt(7).transformer["h"][0])
            recorder.step(10 * session + 1)
    run = paramviz.open_run(path)
    assert run.n_probes == 2
    assert [run[i].probe.number for i in run.iterations.tolist()] == [0, 1, 0, 1]
    assert len(run[11].probe.layers) == 3


def test_what_is_no_batch_is_refused(tmp_path):
    for wrong in (3, "text", nn.Linear(2, 2)):
        with pytest.raises(UsageError, match="give a tensor"):
            paramviz.Recorder(tmp_path / "run", gpt(), probe=wrong)
    assert not (tmp_path / "run").exists()
