"""The demonstration's GPT."""

from __future__ import annotations

import pytest
import torch

from train_demo.gpt import GPT, GPTConfig, decay_groups

MATRICES = ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"]


def small(**changes: object) -> GPT:
    torch.manual_seed(0)
    sizes = {"vocabulary_size": 11, "block_size": 8, "n_layer": 2, "n_head": 2, "n_embd": 16}
    return GPT(GPTConfig(**{**sizes, **changes}))  # type: ignore[arg-type]


@pytest.mark.parametrize("bias", [True, False])
def test_its_parameters_have_nanogpts_names(bias):
    expected = {"transformer.wte.weight", "transformer.wpe.weight", "transformer.ln_f.weight"}
    for layer in range(2):
        for part in ["ln_1.weight", "ln_2.weight", *MATRICES]:
            expected.add(f"transformer.h.{layer}.{part}")
    if bias:
        expected |= {
            name.replace(".weight", ".bias")
            for name in expected
            if ".wte." not in name and ".wpe." not in name
        }
    model = small(bias=bias)
    assert {name for name, _ in model.named_parameters()} == expected
    assert set(model.state_dict()) == expected | {"lm_head.weight"}


def test_the_head_is_the_token_embedding():
    model = small()
    assert model.lm_head.weight is model.transformer["wte"].weight


def test_a_token_sees_nothing_that_comes_after_it():
    model = small()
    tokens_BT = torch.randint(11, (1, 8))
    changed_BT = tokens_BT.clone()
    changed_BT[0, 5] = (changed_BT[0, 5] + 1) % 11
    before, after = model(tokens_BT), model(changed_BT)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_an_untrained_model_knows_nothing():
    """Its loss is that of guessing among the vocabulary, so the initial weights are small enough."""
    tokens_BT = torch.randint(11, (64, 8))
    loss = small().loss(tokens_BT, torch.randint(11, (64, 8)))
    assert loss.item() == pytest.approx(torch.log(torch.tensor(11.0)).item(), abs=0.05)


def test_too_many_tokens_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="9 tokens do not fit in block_size 8"):
        small()(torch.zeros(1, 9, dtype=torch.int64))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="n_embd 16 cannot be divided among n_head 3"):
        small(n_head=3)


def test_matrices_decay_and_vectors_do_not():
    model = small()
    decayed, kept = decay_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert kept["weight_decay"] == 0.0
    assert all(parameter.dim() == 2 for parameter in decayed["params"])
    assert all(parameter.dim() == 1 for parameter in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))


def test_the_same_generator_writes_the_same_text():
    model = small()
    start = torch.zeros(1, 1, dtype=torch.int64)
    texts = [
        model.generate(start, 20, temperature=1.0, generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    ]
    assert texts[0].shape == (1, 21)
    assert torch.equal(*texts)
    assert model.training
