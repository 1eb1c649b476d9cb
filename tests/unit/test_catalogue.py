"""Roles, layers, blocks and groups of known architectures, and of everything else."""

from __future__ import annotations

import pytest
from torch import nn

from paramviz.catalogue import ParameterFacts, Placement, canonical_name, place


def facts_of(model: nn.Module, heads: int | None = None) -> list[ParameterFacts]:
    """What a recorder would tell of a real module."""
    modules = dict(model.named_modules())
    tensors = [(name, p, False) for name, p in model.named_parameters()]
    tensors += [(name, b, True) for name, b in model.named_buffers()]
    return [
        ParameterFacts(
            name, tuple(t.shape), type(modules[name.rpartition(".")[0]]).__name__, is_buffer, heads
        )
        for name, t, is_buffer in tensors
    ]


def placements(names: list[str], **common) -> dict[str, Placement]:
    """Placements of matrices of which only the names are known."""
    facts = [ParameterFacts(name, (8, 8), **common) for name in names]
    return dict(zip(names, place(facts), strict=True))


def check(table: dict[str, tuple[str, int | None, str]]) -> None:
    """Compares a whole model with name → (role, layer, block)."""
    found = {name: (p.role, p.layer, p.block) for name, p in placements(list(table)).items()}
    assert found == table


def test_nanogpt():
    check(
        {
            "transformer.wte.weight": ("token_embedding", None, "embedding"),
            "transformer.wpe.weight": ("position_embedding", None, "embedding"),
            "transformer.h.0.ln_1.weight": ("norm", 0, "norm"),
            "transformer.h.0.ln_1.bias": ("bias", 0, "norm"),
            "transformer.h.0.attn.c_attn.weight": ("attention_qkv", 0, "attention"),
            "transformer.h.0.attn.c_attn.bias": ("bias", 0, "attention"),
            "transformer.h.0.attn.c_proj.weight": ("attention_projection", 0, "attention"),
            "transformer.h.0.attn.c_proj.bias": ("bias", 0, "attention"),
            "transformer.h.0.ln_2.weight": ("norm", 0, "norm"),
            "transformer.h.0.mlp.c_fc.weight": ("mlp_up", 0, "mlp"),
            "transformer.h.0.mlp.c_fc.bias": ("bias", 0, "mlp"),
            "transformer.h.0.mlp.c_proj.weight": ("mlp_down", 0, "mlp"),
            "transformer.h.11.mlp.c_proj.weight": ("mlp_down", 11, "mlp"),
            "transformer.ln_f.weight": ("norm", None, "norm"),
            "transformer.ln_f.bias": ("bias", None, "norm"),
            "lm_head.weight": ("head", None, "head"),
        }
    )


def test_llama():
    check(
        {
            "model.embed_tokens.weight": ("token_embedding", None, "embedding"),
            "model.layers.1.self_attn.q_proj.weight": ("attention_query", 1, "attention"),
            "model.layers.1.self_attn.k_proj.weight": ("attention_key", 1, "attention"),
            "model.layers.1.self_attn.v_proj.weight": ("attention_value", 1, "attention"),
            "model.layers.1.self_attn.o_proj.weight": ("attention_projection", 1, "attention"),
            "model.layers.1.self_attn.q_norm.weight": ("norm", 1, "norm"),
            "model.layers.1.mlp.gate_proj.weight": ("mlp_gate", 1, "mlp"),
            "model.layers.1.mlp.up_proj.weight": ("mlp_up", 1, "mlp"),
            "model.layers.1.mlp.down_proj.weight": ("mlp_down", 1, "mlp"),
            "model.layers.1.input_layernorm.weight": ("norm", 1, "norm"),
            "model.layers.1.post_attention_layernorm.weight": ("norm", 1, "norm"),
            "model.norm.weight": ("norm", None, "norm"),
            "lm_head.weight": ("head", None, "head"),
        }
    )


def test_llama_as_published():
    check(
        {
            "tok_embeddings.weight": ("token_embedding", None, "embedding"),
            "layers.0.attention.wq.weight": ("attention_query", 0, "attention"),
            "layers.0.attention.wk.weight": ("attention_key", 0, "attention"),
            "layers.0.attention.wv.weight": ("attention_value", 0, "attention"),
            "layers.0.attention.wo.weight": ("attention_projection", 0, "attention"),
            "layers.0.feed_forward.w1.weight": ("mlp_gate", 0, "mlp"),
            "layers.0.feed_forward.w2.weight": ("mlp_down", 0, "mlp"),
            "layers.0.feed_forward.w3.weight": ("mlp_up", 0, "mlp"),
            "layers.0.attention_norm.weight": ("norm", 0, "norm"),
            "norm.weight": ("norm", None, "norm"),
            "output.weight": ("head", None, "head"),
        }
    )


def test_bert():
    check(
        {
            "bert.embeddings.word_embeddings.weight": ("token_embedding", None, "embedding"),
            "bert.embeddings.position_embeddings.weight": ("position_embedding", None, "embedding"),
            "bert.embeddings.token_type_embeddings.weight": ("other", None, "embedding"),
            "bert.embeddings.LayerNorm.weight": ("norm", None, "norm"),
            "bert.encoder.layer.2.attention.self.query.weight": ("attention_query", 2, "attention"),
            "bert.encoder.layer.2.attention.self.key.weight": ("attention_key", 2, "attention"),
            "bert.encoder.layer.2.attention.self.value.bias": ("bias", 2, "attention"),
            "bert.encoder.layer.2.attention.output.dense.weight": ("attention_projection", 2, "attention"),
            "bert.encoder.layer.2.attention.output.LayerNorm.bias": ("bias", 2, "norm"),
            "bert.encoder.layer.2.intermediate.dense.weight": ("mlp_up", 2, "mlp"),
            "bert.encoder.layer.2.output.dense.weight": ("mlp_down", 2, "mlp"),
            "bert.encoder.layer.2.output.LayerNorm.weight": ("norm", 2, "norm"),
            "bert.pooler.dense.weight": ("head", None, "head"),
            "cls.predictions.bias": ("bias", None, "head"),
            "cls.predictions.transform.dense.weight": ("head", None, "head"),
            "classifier.weight": ("head", None, "head"),
        }
    )


def test_vit():
    """Hugging Face, timm and torchvision, which names its layers with underscores."""
    check(
        {
            "vit.embeddings.cls_token": ("other", None, "embedding"),
            "vit.embeddings.position_embeddings": ("position_embedding", None, "embedding"),
            "vit.embeddings.patch_embeddings.projection.weight": ("conv", None, "embedding"),
            "vit.encoder.layer.0.attention.attention.query.weight": ("attention_query", 0, "attention"),
            "vit.encoder.layer.0.attention.output.dense.weight": ("attention_projection", 0, "attention"),
            "vit.encoder.layer.0.layernorm_before.weight": ("norm", 0, "norm"),
        }
    )
    check(
        {
            "pos_embed": ("position_embedding", None, "embedding"),
            "patch_embed.proj.weight": ("conv", None, "embedding"),
            "blocks.0.attn.qkv.weight": ("attention_qkv", 0, "attention"),
            "blocks.0.attn.proj.bias": ("bias", 0, "attention"),
            "blocks.0.mlp.fc1.weight": ("mlp_up", 0, "mlp"),
            "blocks.0.mlp.fc2.weight": ("mlp_down", 0, "mlp"),
            "head.weight": ("head", None, "head"),
        }
    )
    check(
        {
            "class_token": ("other", None, "embedding"),
            "conv_proj.weight": ("conv", None, "embedding"),
            "encoder.pos_embedding": ("position_embedding", None, "embedding"),
            "encoder.layers.encoder_layer_3.self_attention.in_proj_weight": ("attention_qkv", 3, "attention"),
            "encoder.layers.encoder_layer_3.self_attention.out_proj.weight": (
                "attention_projection",
                3,
                "attention",
            ),
            "encoder.layers.encoder_layer_3.mlp.0.weight": ("mlp_up", 3, "mlp"),
            "encoder.layers.encoder_layer_3.mlp.3.weight": ("mlp_down", 3, "mlp"),
            "heads.head.weight": ("head", None, "head"),
        }
    )


def test_t5_and_neox():
    check(
        {
            "encoder.block.0.layer.0.SelfAttention.q.weight": ("attention_query", 0, "attention"),
            "encoder.block.0.layer.0.SelfAttention.o.weight": ("attention_projection", 0, "attention"),
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (
                "position_embedding",
                0,
                "attention",
            ),
            "encoder.block.0.layer.1.DenseReluDense.wi_0.weight": ("mlp_gate", 0, "mlp"),
            "encoder.block.0.layer.1.DenseReluDense.wo.weight": ("mlp_down", 0, "mlp"),
        }
    )
    check(
        {
            "gpt_neox.embed_in.weight": ("token_embedding", None, "embedding"),
            "gpt_neox.layers.0.attention.query_key_value.weight": ("attention_qkv", 0, "attention"),
            "gpt_neox.layers.0.attention.dense.weight": ("attention_projection", 0, "attention"),
            "gpt_neox.layers.0.mlp.dense_h_to_4h.weight": ("mlp_up", 0, "mlp"),
            "gpt_neox.layers.0.mlp.dense_4h_to_h.weight": ("mlp_down", 0, "mlp"),
            "embed_out.weight": ("head", None, "head"),
        }
    )


def test_mixture_of_experts():
    check(
        {
            "model.layers.0.block_sparse_moe.gate.weight": ("router", 0, "mlp"),
            "model.layers.0.block_sparse_moe.experts.0.w1.weight": ("expert", 0, "mlp"),
            "model.layers.0.block_sparse_moe.experts.7.w2.weight": ("expert", 0, "mlp"),
            "model.layers.1.mlp.gate.weight": ("router", 1, "mlp"),
            "model.layers.1.mlp.experts.3.up_proj.weight": ("expert", 1, "mlp"),
            "model.layers.1.mlp.shared_experts.gate_proj.weight": ("expert", 1, "mlp"),
            "model.layers.1.mlp.shared_expert_gate.weight": ("router", 1, "mlp"),
            "model.layers.2.mlp.router.weight": ("router", 2, "mlp"),
            "model.layers.2.mlp.router.bias": ("bias", 2, "mlp"),
            "model.layers.2.mlp.experts.gate_up_proj": ("expert", 2, "mlp"),
            "model.layers.2.mlp.experts.gate_up_proj_bias": ("bias", 2, "mlp"),
        }
    )


def test_the_number_of_an_expert_says_nothing_of_its_role():
    experts = [f"model.layers.1.experts.{i}.{leaf}.weight" for i in (3, 10, 11, 254) for leaf in ("w1", "w2")]
    assert {(p.role, p.layer) for p in placements(experts).values()} == {("expert", 1)}


def test_the_place_of_a_module_in_a_unit_is_its_whole_number():
    """The first of a sequence and the third are the unit's weights; the tenth and the twelfth are neither."""
    names = [f"layers.{layer}.mlp.net.{i}.weight" for layer in (0, 1) for i in (0, 2, 10, 12)]
    roles = [p.role for p in placements(names, module_type="Linear").values()]
    assert roles == ["mlp_up", "mlp_down", "other", "other"] * 2


def test_a_gate_without_experts_is_a_gated_units_weight():
    assert placements(["layers.0.mlp.gate.weight"])["layers.0.mlp.gate.weight"].role == "mlp_gate"


def test_experts_alone_are_no_layers():
    names = [f"moe.experts.{i}.mlp.{leaf}.weight" for i in range(4) for leaf in ("fc1", "fc2")]
    assert {p.layer for p in placements(names).values()} == {None}


def test_stacked_experts_are_one_group_each():
    (placement,) = place([ParameterFacts("layers.0.mlp.experts.down_proj", (8, 32, 16))])
    assert (placement.role, placement.row_groups) == ("expert", 8)


def test_lora_adapters_take_the_block_of_what_they_adapt():
    prefix = "base_model.model.model.layers.3"
    check(
        {
            f"{prefix}.self_attn.q_proj.base_layer.weight": ("attention_query", 3, "attention"),
            f"{prefix}.self_attn.q_proj.lora_A.default.weight": ("adapter", 3, "attention"),
            f"{prefix}.self_attn.q_proj.lora_B.default.weight": ("adapter", 3, "attention"),
            f"{prefix}.mlp.down_proj.lora_A.default.weight": ("adapter", 3, "mlp"),
        }
    )


def test_torch_transformer():
    model = nn.Transformer(
        16, nhead=4, num_encoder_layers=2, num_decoder_layers=2, dim_feedforward=24, batch_first=True
    )
    facts = facts_of(model, heads=4)
    found = {fact.name: p for fact, p in zip(facts, place(facts), strict=True)}
    layer = "decoder.layers.1"
    assert found[f"{layer}.self_attn.in_proj_weight"] == Placement(
        "attention_qkv", 1, "attention", row_groups=12
    )
    assert found[f"{layer}.multihead_attn.in_proj_bias"] == Placement(
        "bias", 1, "attention", column_groups=12
    )
    assert found[f"{layer}.self_attn.out_proj.weight"] == Placement(
        "attention_projection", 1, "attention", column_groups=4
    )
    assert found[f"{layer}.linear1.weight"] == Placement("mlp_up", 1, "mlp")
    assert found[f"{layer}.linear2.weight"] == Placement("mlp_down", 1, "mlp")
    assert found[f"{layer}.linear2.bias"] == Placement("bias", 1, "mlp")
    assert found[f"{layer}.norm3.weight"] == Placement("norm", 1, "norm")
    assert found["encoder.norm.bias"] == Placement("bias", None, "norm")


def test_a_convolutional_net_with_its_buffers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.bn1 = nn.BatchNorm2d(8)
            self.fc = nn.Linear(8, 2)

    facts = facts_of(Net())
    found = {fact.name: (p.role, p.block) for fact, p in zip(facts, place(facts), strict=True)}
    assert found == {
        "stem.weight": ("conv", "other"),
        "stem.bias": ("bias", "other"),
        "bn1.weight": ("norm", "norm"),
        "bn1.bias": ("bias", "norm"),
        "bn1.running_mean": ("buffer", "norm"),
        "bn1.running_var": ("buffer", "norm"),
        "bn1.num_batches_tracked": ("buffer", "norm"),
        "fc.weight": ("head", "head"),
        "fc.bias": ("bias", "head"),
    }


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_are_numbered_by_their_own_names(kind):
    facts = facts_of(kind(3, 4, num_layers=2, bidirectional=True))
    found = {fact.name: (p.role, p.layer) for fact, p in zip(facts, place(facts), strict=True)}
    assert found["weight_ih_l0"] == ("recurrent", 0)
    assert found["weight_hh_l1_reverse"] == ("recurrent", 1)
    assert found["bias_hh_l1"] == ("bias", 1)


def test_a_plain_sequence_is_numbered_by_its_entries():
    facts = facts_of(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)))
    assert [(p.role, p.layer) for p in place(facts)] == [("other", 0), ("bias", 0), ("other", 2), ("bias", 2)]


def test_a_plain_sequence_beside_a_stack_of_modules_is_part_of_no_layer():
    names = [f"trunk.{i}.mixer.weight" for i in range(3)] + ["top.0.weight", "top.2.weight"]
    assert [p.layer for p in placements(names).values()] == [0, 1, 2, None, None]


def test_a_model_of_one_layer_has_a_layer():
    assert placements(["transformer.h.0.attn.c_attn.weight"]).popitem()[1].layer == 0


def test_an_unknown_model_is_placed_by_the_classes_of_its_modules():
    facts = [
        ParameterFacts("a.weight", (9, 9), "Linear"),
        ParameterFacts("b.weight", (9, 3, 3), "Conv1d"),
        ParameterFacts("c.weight", (9,), "MyRMSNorm"),
        ParameterFacts("d.weight", (9, 9), "Embedding"),
        ParameterFacts("e.scale", (), "Mystery"),
        ParameterFacts("norm_in.weight", (9, 9), "Linear"),
    ]
    assert [p.role for p in place(facts)] == ["other", "conv", "norm", "token_embedding", "other", "other"]


def test_a_causal_mask_is_a_buffer_of_its_attention():
    (placement,) = place(
        [ParameterFacts("h.0.attn.bias", (1, 1, 8, 8), "CausalSelfAttention", is_buffer=True)]
    )
    assert placement == Placement("buffer", 0, "attention")


@pytest.mark.parametrize(
    ("wrapped", "name"),
    [
        ("_orig_mod.h.0.weight", "h.0.weight"),
        ("module.h.0.weight", "h.0.weight"),
        ("module._orig_mod.module.h.0.weight", "h.0.weight"),
        ("_fsdp_wrapped_module.h.0._checkpoint_wrapped_module.attn.weight", "h.0.attn.weight"),
        ("h.0._orig_mod.attn.weight", "h.0.attn.weight"),
        ("h.module.weight", "h.module.weight"),
        ("module", "module"),
        ("weight", "weight"),
    ],
)
def test_wrappers_leave_no_trace_in_a_name(wrapped, name):
    assert canonical_name(wrapped) == name


def test_wrappers_change_no_placement():
    names = ["transformer.wte.weight", "transformer.h.0.attn.c_attn.weight", "transformer.h.1.ln_1.bias"]
    plain = list(placements(names).values())
    assert list(placements([f"module._orig_mod.{name}" for name in names]).values()) == plain


def test_parametrisations_keep_the_role_of_their_weight():
    name = "h.0.mlp.c_fc.parametrizations.weight.original0"
    assert placements([name])[name].role == "mlp_up"


def test_no_parameters_give_no_placements():
    assert place([]) == []


def test_a_bias_without_a_shape_is_placed_beside_its_weight():
    """A lazy module has none before its first input."""
    facts = [ParameterFacts("0.weight", (), "LazyLinear"), ParameterFacts("0.bias", (), "LazyLinear")]
    assert [placement.role for placement in place(facts)] == ["other", "bias"]
