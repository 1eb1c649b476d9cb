"""Samples that a plan holds travel with it, and damage to them is found and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from paramviz.errors import DamagedRunError
from paramviz.store import layout as layouts
from paramviz.store import open_run, pack_run, unpack_run, verify_run
from paramviz.store.codec import CorruptBytesError
from paramviz.store.hdf5_export import export_hdf5
from paramviz.store.plan_record import plan_record, read_tensors
from tests.store.frozen_runs import FROZEN, ITERATIONS, make_run


def check(path: Path) -> None:
    run = open_run(path)
    for iteration in ITERATIONS:
        snapshot = run[iteration]
        assert set(snapshot.values("moves").tolist()) == {iteration}
        assert set(snapshot.values("b").tolist()) == {-iteration}
        assert snapshot.values("still").tobytes() == FROZEN.values.tobytes()
        assert snapshot.values("still.b").tobytes() == FROZEN.vectors.tobytes()
        assert snapshot.array("values").shape == (20,)
    held = run.frozen(0)
    assert held.values.tobytes() == FROZEN.values.tobytes()
    assert held.vectors.tobytes() == FROZEN.vectors.tobytes()
    assert not verify_run(path).problems


def test_every_container_holds_the_frozen_samples(tmp_path):
    run = make_run(tmp_path / "run")
    check(run)
    pack_run(run, tmp_path / "packed.zarr.zip", every=2)
    check_first = open_run(tmp_path / "packed.zarr.zip")
    assert check_first[0].values("still").tobytes() == FROZEN.values.tobytes()
    pack_run(run, tmp_path / "whole.zarr.zip")
    check(tmp_path / "whole.zarr.zip")
    check(unpack_run(tmp_path / "whole.zarr.zip", tmp_path / "unpacked"))
    export_hdf5(run, tmp_path / "run.h5")
    check(tmp_path / "run.h5")
    check(unpack_run(tmp_path / "run.h5", tmp_path / "imported"))


def test_reading_one_frozen_tensor_reads_little_more(tmp_path, monkeypatch):
    run = open_run(make_run(tmp_path / "run"))
    run.plans  # noqa: B018 - their records are read once, whoever asks
    n_bytes = 0
    read_range = run.source.read_range

    def counted(key: str, start: int, length: int) -> bytes:
        nonlocal n_bytes
        data = read_range(key, start, length)
        n_bytes += len(data)
        return data

    monkeypatch.setattr(run.source, "read_range", counted)
    run[5].values("still.b")
    assert 0 < n_bytes < 4000


@pytest.mark.parametrize("array", ["frozen_values", "frozen_vectors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_named_and_the_other_tensors_stay_readable(tmp_path, array, damage):
    path = make_run(tmp_path / "run")
    key = f"plans/0000/{array}/c.0"
    data = bytearray((path / key).read_bytes())
    data[5] ^= 1
    if damage == "gone":
        (path / key).unlink()
    else:
        (path / key).write_bytes(data if damage == "flip" else data[:-3])
    run = open_run(path)
    name = "still" if array == "frozen_values" else "still.b"
    with pytest.raises(DamagedRunError) as error:
        run[1].values(name)
    assert error.value.key == key
    assert run[1].values("moves")[0] == 1
    assert [problem.key for problem in verify_run(path).problems] == [key]


def test_a_tensor_that_is_half_in_the_plan_is_refused(tmp_path):
    plan = open_run(make_run(tmp_path / "run")).plan
    record = plan_record(plan) | {"frozen_values": 19_990}
    with pytest.raises(CorruptBytesError, match="'still' half in the plan"):
        read_tensors(record)
    with pytest.raises(CorruptBytesError, match="frozen_values"):
        read_tensors(plan_record(plan) | {"frozen_values": 20_021})


def test_a_foreign_reader_finds_the_frozen_samples(tmp_path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(make_run(tmp_path / "run") / "plans/0000", mode="r", zarr_format=3)
    assert group["frozen_values"][:].tobytes() == FROZEN.values.tobytes()
    assert group["frozen_vectors"][:].tobytes() == FROZEN.vectors.tobytes()
    assert layouts.FROZEN_ARRAYS == {"values": "frozen_values", "vectors": "frozen_vectors"}
