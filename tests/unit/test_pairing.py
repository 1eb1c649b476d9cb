"""Which tensors of two models stand for each other, and which must not."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from paramviz.analysis.pairing import pair_tensors, plain_name
from paramviz.schema import TensorInfo


def tensor(index: int, name: str, shape=(4, 4), role="other", layer=None, **more) -> TensorInfo:
    more.setdefault("samples", 1)
    return TensorInfo(index, name, shape, "float32", role, layer, "block", **more)


def names(pairing) -> list[tuple[str, str, str]]:
    return [(pair.a.name, pair.b.name, pair.by) for pair in pairing.pairs]


def test_names_pair_whatever_wrapped_the_model():
    a = [tensor(0, "h.0.weight"), tensor(1, "head.weight")]
    b = [tensor(0, "_orig_mod.module.h.0.weight"), tensor(1, "module._orig_mod.head.weight", (5, 4))]
    pairing = pair_tensors(a, b)
    assert names(pairing) == [
        ("h.0.weight", "_orig_mod.module.h.0.weight", "name"),
        ("head.weight", "module._orig_mod.head.weight", "name"),
    ]
    assert [pair.same_shape for pair in pairing.pairs] == [True, False]


def test_a_part_of_a_name_is_no_wrapper():
    assert plain_name("submodule.weight") == "submodule.weight"
    assert plain_name("module.submodule.module.weight") == "submodule.weight"


def test_other_names_pair_by_role_and_layer():
    a = [tensor(0, "h.0.up", (8, 4), "mlp_up", 0), tensor(1, "h.1.up", (8, 4), "mlp_up", 1)]
    b = [tensor(0, "layers.1.fc", (8, 4), "mlp_up", 1), tensor(1, "layers.0.fc", (8, 4), "mlp_up", 0)]
    assert names(pair_tensors(a, b)) == [("h.0.up", "layers.0.fc", "role"), ("h.1.up", "layers.1.fc", "role")]


def test_what_is_left_pairs_by_shape_where_that_is_unambiguous():
    a = [tensor(0, "x", (3, 7)), tensor(1, "y", (2, 2)), tensor(2, "z", (2, 2))]
    b = [tensor(0, "u", (2, 2)), tensor(1, "v", (2, 2)), tensor(2, "w", (3, 7))]
    pairing = pair_tensors(a, b)
    assert names(pairing) == [("x", "w", "shape")]
    assert [one.tensor.name for one in pairing.only_a] == ["y", "z"]
    assert [one.tensor.name for one in pairing.only_b] == ["u", "v"]


def test_what_stays_alone_says_why():
    a = [
        tensor(0, "head", (9, 4), "head"),
        tensor(1, "h.5.up", (8, 4), "mlp_up", 5),
        tensor(2, "gone", (6, 6)),
        tensor(3, "odd", (1, 9)),
        tensor(4, "bias", (3,), "bias", 0),
    ]
    b = [
        tensor(0, "embedding", (9, 4, 1), "token_embedding"),
        tensor(1, "head", (9, 4), "head", tied_to="embedding"),
        tensor(2, "odd", (1, 9), skipped="complex numbers", samples=0),
        tensor(3, "h.0.a", (3, 1), "bias", 0),
        tensor(4, "one", (3,), "bias", 0),
        tensor(5, "two", (3,), "bias", 0),
    ]
    why = {one.tensor.name: one.reason for one in pair_tensors(a, b).only_a}
    assert why == {
        "head": "there it is tied to embedding",
        "h.5.up": "the other model has no layer 5",
        "gone": "no such name there, nor one tensor of its role or shape (6 × 6)",
        "odd": "there it was not recorded: complex numbers",
        "bias": "2 tensors there are bias",
    }


SOME = st.lists(
    st.builds(
        tensor,
        st.just(0),
        st.sampled_from(["a", "b", "module.a", "c.weight", "_orig_mod.c.weight"]),
        st.sampled_from([(2, 2), (2, 3), (2,)]),
        st.sampled_from(["mlp_up", "norm", "other"]),
        st.sampled_from([None, 0, 1]),
    ),
    max_size=8,
    unique_by=lambda one: one.name,
).map(lambda some: [dataclasses.replace(one, index=index) for index, one in enumerate(some)])


@given(SOME, SOME)
def test_every_tensor_stands_in_one_place_and_sides_are_alike(a, b):
    there, back = pair_tensors(a, b), pair_tensors(b, a)
    for side, others in ((a, there), (b, back)):
        once = [pair.a.name for pair in others.pairs] + [one.tensor.name for one in others.only_a]
        assert sorted(once) == sorted(one.name for one in side)
    assert sorted(names(there)) == sorted((y, x, by) for x, y, by in names(back))


@given(SOME)
def test_a_model_pairs_with_itself(a):
    pairing = pair_tensors(a, a)
    assert all(pair.a is pair.b for pair in pairing.pairs)
