"""What each parameter is for: its role, its layer, its block, and how its axes are grouped.

Known architectures are recognised by name, from the tables of this page: nanoGPT,
GPT-2, Llama and its family, BERT, ViT, `torch.nn.Transformer`, convolutional and
recurrent nets, LoRA adapters, mixtures of experts. Everything else is placed by
the class of its module and by repeated sequences in its names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import get_args

from paramviz.errors import UsageError
from paramviz.schema import Block, Role

Roles = tuple[tuple[str, Role], ...]
"""Shell patterns on names, and the roles that they give."""


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """What the recorder knows of a parameter or buffer without knowing the architecture.

    `module_type` is the class name of the module that owns it ("Linear"), empty if
    unknown; `heads` is the number of attention heads that the nearest enclosing
    module names.
    """

    name: str
    shape: tuple[int, ...]
    module_type: str = ""
    is_buffer: bool = False
    heads: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a parameter belongs. Groups are equal cuts of its canonical (out, in) axes.

    A vector is one row, so its groups are column groups. `transposed`: stored as (in, out).
    """

    role: Role
    layer: int | None
    block: Block
    row_groups: int = 1
    column_groups: int = 1
    transposed: bool = False


# Names -------------------------------------------------------------------------------------------

_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"})
"""Path components of torch.compile, FSDP, activation checkpointing and Lightning Fabric."""

_INERT = frozenset({"base_layer", "modules_to_save", "original_module", "parametrizations"})
"""Path components of adapters' and parametrisations' own book-keeping, which say nothing of a role."""

_PARAMETRISED = re.compile(r"\.original\d?$")

_OWN_LEAF = re.compile(r"(?:q|s)?weight(?:_[gvu])?|bias|gamma|beta|scale")
"""Last components that only repeat what their module is for."""

_BIAS_LEAF = re.compile(r"bias(?:_\w+)?|\w+_bias|beta")

_ADAPTER = re.compile(
    r"(?:^|\.)(?:lora_(?:A|B|E|embedding_A|embedding_B|magnitude_vector)|ia3_l|vera_lambda_[bd]|hada_w\d_[ab]"
    r"|(?:\w+_)?adapters?(?:_\w+)?|prompt_encoder|prefix_encoder)(?:\.|$)"
)
"""Where the name of an adapter begins; what stands before it is what it adapts."""

# Roles. Each table is read from the top; a rule must fit the end of a path, from a dot on -----------

_ATTENTION_PART = r"\w*(?:[Aa]ttn|[Aa]ttention|mha)\w*"
_ATTENTION = rf"{_ATTENTION_PART}(?:\.\w+)?"
_MLP = r"(?:mlp|ffn|feed_?forward|ff|DenseReluDense|\w*moe\w*)"

_Rules = tuple[tuple[str, Role, Block], ...]

_MODULE_RULES: _Rules = (
    # embeddings
    (r"relative_attention_bias|relative_position_bias_table", "position_embedding", "attention"),
    (r"wpe|\w*pos(?:ition|itional)?s?_?emb\w*|embed_positions", "position_embedding", "embedding"),
    (r"wte|\w*tok(?:en)?s?_?emb\w*|embed_tokens", "token_embedding", "embedding"),
    (r"tokens_embed|word_embeddings?|embed_in", "token_embedding", "embedding"),
    (r"patch_embed\w*\.proj\w*|patch_embed\w*|conv_proj", "conv", "embedding"),
    (r"token_type_embeddings|(?:cls|class|mask|dist|register)_tokens?|class_embedding", "other", "embedding"),
    # heads
    (r"lm_head|embed_out|proj_out|heads?(?:\.(?:head|fc))?|score|qa_outputs", "head", "head"),
    (r"\w*classifier(?:\.(?:dense|out_proj))?|pooler\.dense", "head", "head"),
    (r"cls\.predictions(?:\.decoder|\.transform\.dense)?|cls\.seq_relationship", "head", "head"),
    # mixtures of experts
    (rf"router(?:\.\w+)?|{_MLP}\.gate|\w*shared_expert_gate", "router", "mlp"),
    (r"\w*experts?(?:\.\w+)*", "expert", "mlp"),
    # attention: fused, single, and back to the residual stream
    (r"c_attn|qkv|qkv_proj|query_key_value|Wqkv|W_pack|to_qkv", "attention_qkv", "attention"),
    (rf"{_ATTENTION}\.in_proj", "attention_qkv", "attention"),
    (rf"q_proj|q_lin|wq|to_q|{_ATTENTION}\.(?:q|query)", "attention_query", "attention"),
    (rf"k_proj|k_lin|wk|to_k|{_ATTENTION}\.(?:k|key)", "attention_key", "attention"),
    (rf"v_proj|v_lin|wv|to_v|{_ATTENTION}\.(?:v|value)", "attention_value", "attention"),
    (
        rf"o_proj|to_out(?:\.0)?|{_ATTENTION}\.(?:c_proj|out_proj|out_lin|proj|wo|o|dense|output\.dense)",
        "attention_projection",
        "attention",
    ),
    # feed-forward
    (r"gate_proj|wi_0", "mlp_gate", "mlp"),
    (r"c_fc|up_proj|gate_up_proj|wi_1|dense_h_to_4h|fc_in|lin1|intermediate\.dense", "mlp_up", "mlp"),
    (r"down_proj|dense_4h_to_h|fc_out|lin2|output\.dense", "mlp_down", "mlp"),
    (rf"{_MLP}\.w1", "mlp_gate", "mlp"),
    (rf"{_MLP}\.(?:fc1|w3|wi|linear_?1|(?:net\.)?0(?:\.proj)?)|\d+\.(?:fc1|linear1)", "mlp_up", "mlp"),
    (rf"{_MLP}\.(?:c_proj|fc2|w2|wo|linear_?2|(?:net\.)?[2-4])|\d+\.(?:fc2|linear2)", "mlp_down", "mlp"),
)
"""By the path of the module, or of a parameter whose own name says what it is."""

_LEAF_RULES: _Rules = (
    (r"in_proj_weight", "attention_qkv", "attention"),
    (r"q_proj_weight", "attention_query", "attention"),
    (r"k_proj_weight", "attention_key", "attention"),
    (r"v_proj_weight", "attention_value", "attention"),
    (r"weight_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?", "recurrent", "other"),
)
"""By the parameter's own name, in modules of torch that own several."""

_TOP_RULES: _Rules = ((r"fc|out|output|output_layer", "head", "head"),)
"""By the whole path: only right under the model itself."""

_TYPE_RULES: _Rules = (
    (r"\w*Conv(?:Transpose)?[123]d\w*", "conv", "other"),
    (r"\w*Embedding\w*", "token_embedding", "embedding"),
    (r"\w*(?:RNN|LSTM|GRU)\w*", "recurrent", "other"),
)
"""By the class of the module, for what no name explains."""

_NORM_TYPE = r"\w*Norm(?:[123]d)?"
_NORM_NAME = r"(?:ln|norm|bn)_?\w?|ln_\w+|\w*(?:layer_?norm|rms_?norm|batch_?norm)\w*|\w+_norm"
_NEVER_A_NORM = r"\w*(?:Linear|Embedding|Conv[123][dD])\w*"

_BLOCK_HINTS: tuple[tuple[str, Block], ...] = (
    (_ATTENTION_PART, "attention"),
    (_MLP, "mlp"),
    (r"\w*embeddings?", "embedding"),
)
"""Path components that tell the block of what has no role of its own."""

_BLOCK_OF: dict[Role, Block] = {
    **{role: block for _, role, block in (*_MODULE_RULES, *_LEAF_RULES) if role not in ("conv", "other")},
    "norm": "norm",
}
"""The block of what has a role by the user's word."""

_TAIL = 4
"""No rule looks at more components of a path than these last ones."""

_LONG_NUMBER = re.compile(r"\d{2,}")
"""Rules tell single digits apart, but no longer numbers: all experts beyond the tenth have one path."""

# Layers --------------------------------------------------------------------------------------------

_LAYER_LISTS = frozenset({"h", "layer", "layers", "block", "blocks", "resblocks"})
"""Names of module lists in which even an only entry is a layer."""

_NO_LAYER_LISTS = frozenset({"experts", "heads", "to_out"})
"""Names of module lists whose entries are parts of one layer."""

_LAYER_NAME = re.compile(r"(?:\w+_)?(?:layer|block)_(\d+)")
_RECURRENT_LAYER = re.compile(r"_l(\d+)(?:_reverse)?$")


def canonical_name(name: str) -> str:
    """The name without what torch.compile, DDP, FSDP and checkpointing wrappers put into it.

    `module.` (DDP, DataParallel) is taken off the front only, where those put it.
    """
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    while len(parts) > 1 and parts[0] == "module":
        parts.pop(0)
    return ".".join(parts)


def checked_roles(roles: Mapping[str, str]) -> Roles:
    """Shell patterns with the roles of the names that they fit; UsageError for a role that does not exist."""
    allowed: dict[str, Role] = {role: role for role in get_args(Role)}
    for pattern, role in roles.items():
        if role not in allowed:
            known = ", ".join(allowed)
            raise UsageError(f"roles[{pattern!r}]: there is no role {role!r}. Name one of {known}.")
    return tuple((pattern, allowed[role]) for pattern, role in roles.items())


def place(facts: Sequence[ParameterFacts], roles: Roles = ()) -> list[Placement]:
    """The placement of each parameter, in order. Sees the whole model, to find its layers and heads.

    roles: what the user knows better; the first pattern that fits a name counts.
    """
    names = [canonical_name(fact.name) for fact in facts]
    subjects = [_subject(name) for name in names]
    layers = _layers(names)

    kinds = [
        _kind(name, subject, fact.module_type, fact.is_buffer)
        for name, subject, fact in zip(names, subjects, facts, strict=True)
    ]
    said = [next((role for pattern, role in roles if fnmatchcase(name, pattern)), None) for name in names]
    kinds = [_overruled(kind, role) for kind, role in zip(kinds, said, strict=True)]
    with_experts = {layer for (role, _), layer in zip(kinds, layers, strict=True) if role == "expert"}
    placements = []
    for (role, block), by_user, layer, fact in zip(kinds, said, layers, facts, strict=True):
        if role == "router" and layer not in with_experts and by_user is None:
            role = "mlp_gate"  # `mlp.gate` is a gated unit's weight where there are no experts to choose from
        transposed = fact.module_type == "Conv1D" and len(fact.shape) == 2
        placements.append(Placement(role, layer, block, transposed=transposed))
    return _with_groups(placements, names, subjects, facts)


# Roles -----------------------------------------------------------------------------------------------


def _overruled(kind: tuple[Role, Block], said: Role | None) -> tuple[Role, Block]:
    """What the user says of a parameter; its block follows, unless any block may have such a role."""
    return kind if said is None else (said, _BLOCK_OF.get(said, kind[1]))


def _subject(name: str) -> str:
    """The path that says what a parameter is for: its module's, or its own if that speaks for itself."""
    adapter = _ADAPTER.search(name)
    if adapter:
        name = name[: adapter.start()] + ".weight"
    parts = [part for part in _PARAMETRISED.sub("", name).split(".") if part not in _INERT]
    if _OWN_LEAF.fullmatch(parts[-1]):
        parts.pop()
    return ".".join(parts)


def _kind(name: str, subject: str, module_type: str, is_buffer: bool) -> tuple[Role, Block]:
    """(role, block) of one parameter."""
    *path, leaf = subject.split(".")
    tail = ["10" if _LONG_NUMBER.fullmatch(part) else part for part in [*path, leaf][-_TAIL:]]
    role, block = _rule(".".join(tail), module_type, len(path) == 0)
    if block == "other":
        block = next((hint for part in reversed([*path, leaf]) if (hint := _hint(part))), block)
    if is_buffer:
        role = "buffer"
    elif _ADAPTER.search(name):
        role = "adapter"
    elif _BIAS_LEAF.fullmatch(_PARAMETRISED.sub("", name).rpartition(".")[2]):
        role = "bias"
    return role, block


@lru_cache(maxsize=16384)
def _rule(path: str, module_type: str, is_top: bool) -> tuple[Role, Block]:
    leaf = path.rpartition(".")[2]
    named_so = re.fullmatch(_NORM_NAME, leaf, re.IGNORECASE) and not re.fullmatch(_NEVER_A_NORM, module_type)
    if named_so or re.fullmatch(_NORM_TYPE, module_type):
        return "norm", "norm"
    for rules, text in (
        (_TOP_RULES if is_top else (), path),
        (_LEAF_RULES, leaf),
        (_MODULE_RULES, path),
        (_TYPE_RULES, module_type),
    ):
        start = r"(?:.*\.)?" if rules is _MODULE_RULES else ""
        for pattern, role, block in rules:
            if re.fullmatch(rf"{start}(?:{pattern})", text):
                return role, block
    return "other", "other"


@lru_cache(maxsize=16384)
def _hint(part: str) -> Block | None:
    return next((block for pattern, block in _BLOCK_HINTS if re.fullmatch(pattern, part)), None)


# Layers ----------------------------------------------------------------------------------------------


def _layers(names: Sequence[str]) -> list[int | None]:
    """The layer of each name: the first number in its path that counts the entries of a repeated sequence.

    A sequence is repeated if two of its entries own a parameter of the same path below
    them. Entries that are modules of modules count; plain ones (an `nn.Sequential`
    of Linear) only in a model that has no others.
    """
    split = [name.split(".") for name in names]
    repeats = Counter(
        (".".join(parts[:i]), ".".join(parts[i + 1 :])) for parts in split for i in _numbered(parts)
    )
    nested = {prefix for (prefix, below), n in repeats.items() if n > 1 and "." in below}
    plain = {prefix for (prefix, _), n in repeats.items() if n > 1}
    named = {prefix for prefix, _ in repeats if prefix.rpartition(".")[2] in _LAYER_LISTS}
    sequences = nested | named or plain
    return [_layer(parts, sequences) for parts in split]


def _numbered(parts: Sequence[str]) -> list[int]:
    """Indices of the components that may count layers: not the parameter itself, and no expert or head."""
    return [
        i
        for i, part in enumerate(parts[:-1])
        if part.isdecimal() and (i == 0 or parts[i - 1] not in _NO_LAYER_LISTS)
    ]


def _layer(parts: Sequence[str], sequences: set[str]) -> int | None:
    for i, part in enumerate(parts[:-1]):
        numbered = _LAYER_NAME.fullmatch(part)
        if numbered:
            return int(numbered[1])
        if part.isdecimal() and ".".join(parts[:i]) in sequences:
            return int(part)
    recurrent = _RECURRENT_LAYER.search(parts[-1])
    return int(recurrent[1]) if recurrent else None


# Groups ----------------------------------------------------------------------------------------------


def _with_groups(
    placements: Sequence[Placement],
    names: Sequence[str],
    subjects: Sequence[str],
    facts: Sequence[ParameterFacts],
) -> list[Placement]:
    """Adds the groups: those of weights first, then those of biases, which follow their weights."""
    head_widths = {
        _parent(subject): _canonical_shape(fact, placement)[0] // fact.heads
        for placement, subject, fact in zip(placements, subjects, facts, strict=True)
        if placement.role == "attention_query" and fact.heads and fact.shape
    }
    grouped = {
        name: _grouped(placement, fact, head_widths.get(_parent(subject)))
        for placement, name, subject, fact in zip(placements, names, subjects, facts, strict=True)
    }
    result = []
    for placement, name, fact in zip(placements, names, facts, strict=True):
        if placement.role == "bias":
            weight = grouped.get(name.removesuffix("bias") + "weight")
            groups = _dividing(weight.row_groups, fact.shape[0]) if weight and len(fact.shape) == 1 else 1
            result.append(replace(placement, column_groups=groups))
        else:
            result.append(grouped[name])
    return result


def _grouped(placement: Placement, fact: ParameterFacts, head_width: int | None) -> Placement:
    """A weight with its row and column groups; `head_width` is the width of its attention's query heads."""
    if placement.role == "expert" and len(fact.shape) > 2:
        return replace(placement, row_groups=fact.shape[0])
    if len(fact.shape) != 2:
        return placement
    rows, columns = _canonical_shape(fact, placement)
    heads = fact.heads or 1
    match placement.role:
        case "attention_qkv" if rows == 3 * columns:  # otherwise fewer keys than queries: unequal thirds
            return replace(placement, row_groups=_dividing(3 * heads, rows) if columns % heads == 0 else 3)
        case "attention_query":
            return replace(placement, row_groups=_dividing(heads, rows))
        case "attention_key" | "attention_value":
            groups = rows // head_width if head_width and rows % head_width == 0 else heads
            return replace(placement, row_groups=_dividing(groups, rows))
        case "attention_projection":
            return replace(placement, column_groups=_dividing(heads, columns))
    return placement


def _canonical_shape(fact: ParameterFacts, placement: Placement) -> tuple[int, ...]:
    return fact.shape[::-1] if placement.transposed else fact.shape


def _dividing(groups: int, extent: int) -> int:
    """`groups`, if it cuts the extent into equal parts, else 1."""
    return groups if groups > 0 and extent % groups == 0 else 1


def _parent(path: str) -> str:
    return path.rpartition(".")[0]
