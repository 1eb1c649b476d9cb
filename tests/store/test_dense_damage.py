"""Dense blocks that are damaged, or a stranger's: refused by name, and never a wrong number."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.errors import DamagedRunError
from paramviz.store import layout, open_run, unpack_run, verify_run
from tests.store import made_runs
from tests.store.dense_runs import (
    ITERATIONS,
    MATRIX,
    assert_same,
    dense_members,
    make_packed,
    member,
    record_of,
    rewritten,
    values_of,
)


@pytest.fixture(scope="module")
def dense_path(tmp_path_factory) -> Path:
    return make_packed(tmp_path_factory.mktemp("dense"))


@pytest.mark.parametrize("name", ["dense/000001/values/c.0.0.0", "dense/000001/zarr.json"])
@pytest.mark.parametrize("gone", [False, True])
def test_damage_in_a_block_is_named_with_the_snapshots_that_it_costs(dense_path, tmp_path, name, gone):
    data = bytearray(member(dense_path, name))
    data[len(data) // 2] ^= 8
    broken = rewritten(dense_path, tmp_path / "broken.zip", {name: None if gone else bytes(data)})
    run = open_run(broken)
    assert_same(run, [*range(16), *range(32, 40)])
    hit = 0
    for iteration in range(16, 32):
        assert run[iteration].array("vectors").tobytes() == made_runs.snapshot(iteration).vectors.tobytes()
        with pytest.raises(DamagedRunError) as caught:
            run[iteration].array("values")
        assert caught.value.key == name
        hit += 1
    problems = {problem.key: problem.message for problem in verify_run(broken).problems}
    assert hit == 16
    assert list(problems) == [name]
    assert "the values of iterations 16 to 31 are in it" in problems[name]
    with pytest.raises(DamagedRunError, match=name.replace(".", r"\.")):
        unpack_run(broken, tmp_path / "again")


@pytest.mark.parametrize("gone", [False, True])
def test_without_the_list_of_blocks_they_tell_themselves_what_is_in_them(dense_path, tmp_path, gone):
    changes = {"dense/zarr.json": None if gone else b"{}"}
    broken = rewritten(dense_path, tmp_path / "broken.zip", changes)
    assert_same(open_run(broken), range(ITERATIONS))
    assert [problem.key for problem in verify_run(broken).problems] == ["dense/zarr.json"]


@given(st.data())
def test_no_damage_gives_a_wrong_number(dense_path, tmp_path_factory, data):
    name = data.draw(st.sampled_from(dense_members(dense_path)))
    content = bytearray(member(dense_path, name))
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    folder = tmp_path_factory.mktemp("damage")
    run = open_run(rewritten(dense_path, folder / "broken.zip", {name: bytes(content)}))
    for iteration in range(0, ITERATIONS, 3):
        try:
            found = run[iteration].array("values")
        except DamagedRunError:
            continue
        assert found.tobytes() == values_of(iteration).tobytes()
    assert name in {problem.key for problem in verify_run(run.path).problems}
    shutil.rmtree(folder)


LISTED = [[*range(16)], [*range(16, 32)], [*range(32, 40)]]


@pytest.mark.parametrize(
    "blocks",
    [
        None,
        7,
        [7],
        [[]],
        [["1"]],
        [[True]],
        [[-1]],
        [[*range(65)]],
        [[3, 3]],
        [[3], [3]],
    ],
)
def test_a_list_of_blocks_that_makes_no_sense_is_not_believed(dense_path, tmp_path, blocks):
    record = layout.group_metadata({"iterations": blocks})
    hostile = rewritten(dense_path, tmp_path / "hostile.zip", {"dense/zarr.json": record})
    assert_same(open_run(hostile), range(ITERATIONS))
    assert [problem.key for problem in verify_run(hostile).problems] == ["dense/zarr.json"]


@pytest.mark.parametrize(
    "blocks",
    [
        LISTED[::-1],
        [*LISTED, [77]],
        [[*range(1, 16), 0], *LISTED[1:]],
    ],
)
def test_a_list_that_differs_from_the_blocks_is_damage(dense_path, tmp_path, blocks):
    record = layout.group_metadata({"iterations": blocks})
    hostile = rewritten(dense_path, tmp_path / "hostile.zip", {"dense/zarr.json": record})
    assert verify_run(hostile).problems
    for iteration in range(ITERATIONS):
        try:
            found = open_run(hostile)[iteration].array("values")
        except DamagedRunError:
            continue
        assert found.tobytes() == values_of(iteration).tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"values": 0},
        {"values": 2**53 - 1},
        {"values": 2**40},
        {"values": made_runs.N_VALUES - 1},
        {"values": made_runs.N_VALUES + 40_000},
        {"values": "many"},
        {"values": None},
        {"differences": 0},
        {"differences": 3},
        {"differences": True},
        {"block": 1},
        {"iterations": [*range(1, 17)]},
        {"iterations": [*range(15)]},
        {"iterations": []},
        {"iterations": None},
        {"files": {}},
        {"files": {"values/c.0.0.0": [1, 1]}},
        {"files": {"values/c.0.0.0": [200_000, 1]}},
        {"files": {"values/c.0.0.0": [1, 1, [1] * 10]}},
        {"files": {"../values/c.0.0.0": [1, 1]}},
    ],
)
def test_a_block_that_makes_no_sense_is_refused_by_name(dense_path, tmp_path, change):
    name = "dense/000000/zarr.json"
    record = layout.group_metadata(record_of(dense_path, name) | change)
    hostile = rewritten(dense_path, tmp_path / "hostile.zip", {name: record})
    run = open_run(hostile)
    for read in (lambda: run[3].array("values"), lambda: run[3].values(MATRIX)):
        with pytest.raises(DamagedRunError, match="dense/000000/"):
            read()
    assert_same(run, range(16, ITERATIONS))
    assert all(p.key.startswith("dense/000000/") for p in verify_run(hostile).problems)
    assert verify_run(hostile).problems
    with pytest.raises(DamagedRunError, match="dense/000000/"):
        unpack_run(hostile, tmp_path / "again")


def test_blocks_that_contradict_each_other_are_not_both_believed(dense_path, tmp_path):
    """Without the list, the first block that speaks of a snapshot counts."""
    name = "dense/000001/zarr.json"
    record = layout.group_metadata(record_of(dense_path, name) | {"iterations": [*range(15, 31)]})
    hostile = rewritten(dense_path, tmp_path / "hostile.zip", {name: record, "dense/zarr.json": None})
    run = open_run(hostile)
    assert_same(run, [*range(16), *range(32, 40)])
    for iteration in range(16, 32):
        with pytest.raises(DamagedRunError, match=f"{iteration:08d}/values"):
            run[iteration].array("values")


def test_a_good_block_in_the_place_of_another_is_noticed(dense_path, tmp_path):
    array = "dense/000001/values/c.0.0.0"
    other = member(dense_path, "dense/000000/values/c.0.0.0")
    swapped = rewritten(dense_path, tmp_path / "swapped.zip", {array: other})
    for read in (lambda s: s.array("values"), lambda s: s.values(MATRIX)):
        with pytest.raises(DamagedRunError, match=r"dense/000001/values/c\.0\.0\.0"):
            read(open_run(swapped)[20])


def test_samples_that_a_snapshots_record_does_not_list_are_not_taken_from_a_block(dense_path, tmp_path):
    name = "iterations/00000003/zarr.json"
    record = record_of(dense_path, name)
    record["files"] = {key: seal for key, seal in record["files"].items() if not key.startswith("values/c")}
    changes = {name: layout.group_metadata(record), ".paramviz/journal/000000.log": b""}
    run = open_run(rewritten(dense_path, tmp_path / "hostile.zip", changes))
    with pytest.raises(DamagedRunError, match="not in the record of its group"):
        run[3].array("values")
