"""The catalogue of a plan: checked column by column, and sealed in bytes that can be checked as they are."""

from __future__ import annotations

import gc
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.schema import Plan
from paramviz.store import collector, layout
from paramviz.store.codec import CorruptBytesError
from paramviz.store.plan_record import plan_record, read_tensors
from paramviz.store.records import open_record
from tests.store import made_runs

PLAN = Plan(0, made_runs.TENSORS, np.zeros(made_runs.N_VALUES, np.int64), np.zeros(50, np.int64))


def changed(index, **fields):
    record = plan_record(PLAN)
    record["tensors"][index] |= fields
    return record


def test_a_catalogue_reads_as_it_was_written():
    assert read_tensors(open_record(layout.canonical_group(plan_record(PLAN)))) == made_runs.TENSORS


def test_a_tensor_that_is_read_is_like_one_that_is_made():
    tensor = read_tensors(plan_record(PLAN))[1]
    assert hash(tensor) == hash(made_runs.TENSORS[1])
    assert repr(tensor) == repr(made_runs.TENSORS[1])
    with pytest.raises(AttributeError):
        tensor.name = "other"


def test_groups_and_transposition_are_said_only_where_they_are_there():
    heads = replace(made_runs.TENSORS[0], row_groups=2, transposed=True)
    record = plan_record(Plan(0, (heads, *made_runs.TENSORS[1:]), PLAN.positions, PLAN.vector_positions))
    assert record["tensors"][0]["groups"] == [2, 1]
    assert record["tensors"][0]["transposed"] is True
    assert not {"groups", "transposed"} & record["tensors"][1].keys()
    assert read_tensors(record)[0] == heads


@pytest.mark.parametrize(
    ("index", "fields", "reason"),
    [
        (1, {"name": 3}, "the name of a tensor, which must be a text"),
        (1, {"name": "wte.weight"}, "names a tensor twice"),
        (1, {"shape": [200, -1]}, "holds -1 as an extent"),
        (1, {"shape": "wide"}, "gives 'h.0.fc.weight' a shape that no tensor has"),
        (1, {"shape": [2**50, 2**50]}, "the size of a tensor"),
        (1, {"layer": True}, "holds True as a layer"),
        (1, {"layer": 1.0}, "holds 1.0 as a layer"),
        (1, {"grid": [200]}, "gives 'h.0.fc.weight' a grid that is no pair of numbers"),
        (1, {"groups": [1, 1, 1]}, "gives 'h.0.fc.weight' groups that is no pair of numbers"),
        (1, {"array": "others"}, "puts 'h.0.fc.weight' into 'others'"),
        (1, {"offset": 321}, "has samples of 'h.0.fc.weight' outside of their array"),
        (1, {"frozen": 0}, "holds 0 as frozen"),
        (1, {"role": "x" * 5000}, "a text of 5000 characters as a role"),
        (3, {"tied_to": "nobody"}, "ties 'head.weight' to 'nobody'"),
        (3, {"tied_to": "head.weight"}, "ties 'head.weight' to 'head.weight'"),
    ],
)
def test_the_first_tensor_that_is_wrong_is_named(index, fields, reason):
    with pytest.raises(CorruptBytesError, match=reason):
        read_tensors(changed(index, **fields))


@pytest.mark.parametrize("tensors", [None, {}, [1], [{}], [[]]])
def test_what_is_no_catalogue_is_refused(tensors):
    with pytest.raises(CorruptBytesError, match="holds a catalogue that makes no sense"):
        read_tensors(plan_record(PLAN) | {"tensors": tensors})


def test_a_record_in_any_order_of_its_fields_is_as_good():
    """So runs of earlier versions have it."""
    record = plan_record(PLAN)
    for data in (
        layout.group_metadata(record),
        json.dumps(json.loads(layout.group_metadata(record))).encode(),
    ):
        assert layout.seal_of_bytes(data) != layout.seal(record)
        assert open_record(data) == record


def test_bytes_with_the_seal_at_their_end_say_whether_they_are_whole():
    record = plan_record(PLAN)
    data = layout.canonical_group(record)
    assert layout.seal_of_bytes(data) == layout.seal(record)
    assert open_record(data) == record


@given(st.data())
def test_a_changed_byte_never_goes_unnoticed(data):
    sealed = layout.canonical_group({"plan": 0, "name": "x" * 20, "crc": [1, 2, 3]})
    where = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != sealed[where]))
    damaged = sealed[:where] + bytes([other]) + sealed[where + 1 :]
    with pytest.raises(CorruptBytesError):
        open_record(damaged)


@pytest.mark.parametrize("was_on", [True, False])
def test_the_garbage_collector_is_afterwards_as_it_was_before(was_on):
    try:
        (gc.enable if was_on else gc.disable)()
        with collector.paused(), collector.paused():
            assert not gc.isenabled()
        assert gc.isenabled() is was_on
    finally:
        gc.enable()
