"""Heads, Q, K and V as equal parts of a parameter's axes, and roles that the user gives."""

from __future__ import annotations

import numpy as np
import pytest

from paramviz.catalogue import ParameterFacts, Placement, checked_roles, place
from paramviz.errors import UsageError
from paramviz.sampling import sample_grid


def test_qkv_groups_are_thirds_or_heads():
    name = "h.0.attn.c_attn.weight"
    unknown, known = (place([ParameterFacts(name, (96, 32), "Linear", heads=h)])[0] for h in (None, 4))
    assert (unknown.row_groups, known.row_groups) == (3, 12)


def test_fused_qkv_of_unequal_parts_is_not_cut_into_thirds():
    """Grouped-query attention: fewer keys and values than queries."""
    (placement,) = place([ParameterFacts("layers.0.self_attn.qkv_proj.weight", (48, 32), "Linear", heads=4)])
    assert placement.row_groups == 1


def test_keys_have_as_many_heads_as_fit_the_queries_width():
    facts = [
        ParameterFacts(f"layers.0.self_attn.{which}_proj.weight", (rows, 32), "Linear", heads=8)
        for which, rows in (("q", 64), ("k", 16), ("v", 16))
    ]
    assert [p.row_groups for p in place(facts)] == [8, 2, 2]


def test_a_bias_is_grouped_like_the_rows_of_its_weight():
    facts = [
        ParameterFacts("h.0.attn.c_attn.bias", (96,), "Linear", heads=4),
        ParameterFacts("h.0.attn.c_attn.weight", (96, 32), "Linear", heads=4),
    ]
    bias, weight = place(facts)
    assert bias.column_groups == weight.row_groups == 12


def test_conv1d_is_placed_and_sampled_like_the_linear_it_stands_for():
    linear, conv1d = (
        place([ParameterFacts("h.0.attn.c_attn.weight", shape, kind, heads=4)])[0]
        for shape, kind in (((96, 32), "Linear"), ((32, 96), "Conv1D"))
    )
    assert (linear.transposed, conv1d.transposed) == (False, True)
    assert conv1d.row_groups == linear.row_groups == 12
    stored = sample_grid((32, 96), 200, row_groups=12, transposed=True)
    canonical = sample_grid((96, 32), 200, row_groups=12)
    assert np.array_equal(stored.columns, canonical.rows)


def test_the_users_word_overrules_names_and_groups_follow():
    facts = [
        ParameterFacts("blocks.0.mixer.a.weight", (16, 16), "Linear", heads=4),
        ParameterFacts("blocks.0.mixer.a.bias", (16,), "Linear", heads=4),
        ParameterFacts("blocks.0.mixer.b.weight", (16, 16), "Linear", heads=4),
        ParameterFacts("blocks.0.choose.weight", (4, 16), "Linear"),
        ParameterFacts("blocks.0.norm.weight", (16,), "LayerNorm"),
    ]
    roles = {
        "*.a.weight": "attention_query",
        "*.mixer.*.weight": "attention_projection",
        "*.choose.*": "router",
    }
    found = place(facts, checked_roles(roles))
    assert found == [
        Placement("attention_query", 0, "attention", row_groups=4),
        Placement("bias", 0, "other", column_groups=4),
        Placement("attention_projection", 0, "attention", column_groups=4),
        Placement("router", 0, "mlp"),
        Placement("norm", 0, "norm"),
    ]


def test_a_role_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="no role 'atention_query'"):
        checked_roles({"*.q": "atention_query"})
