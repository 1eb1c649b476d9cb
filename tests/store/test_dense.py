"""Dense blocks: samples of consecutive snapshots as differences, and everything that reads a run on them."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numcodecs.zstd import Zstd

from paramviz.cli.summary import summarise
from paramviz.store import Run, RunWriter, codec, open_run, pack_run, unpack_run, verify_run
from paramviz.store.dense import decode_piece, dense_layout, encode_dense, float16_of
from paramviz.store.dense_packing import BLOCK_SNAPSHOTS
from paramviz.store.dense_source import DenseSource
from paramviz.store.hdf5_export import export_hdf5
from paramviz.store.zip_source import ZipSource
from tests.store import frozen_runs, made_runs
from tests.store.dense_runs import (
    ITERATIONS,
    assert_same,
    dense_members,
    drifting,
    make_packed,
    record_of,
    values_of,
)
from tests.store.servers import file_server
from tests.store.test_pack import files_of

FORMAT = Path(__file__).resolve().parents[2] / "docs/FORMAT.md"


@pytest.fixture(scope="module")
def dense_path(tmp_path_factory) -> Path:
    return make_packed(tmp_path_factory.mktemp("dense"))


@pytest.fixture(scope="module")
def run_path(dense_path) -> Path:
    return dense_path.with_name("run")


def decoded(planes: np.ndarray, samples: int, differences: int) -> np.ndarray:
    """(T, samples) float16 of planes (2C, T, P), as the store decodes them."""
    pieces = [
        decode_piece(high, low, differences) for high, low in zip(planes[0::2], planes[1::2], strict=True)
    ]
    return float16_of(np.concatenate(pieces, axis=1)[:, :samples])


def documented(planes: np.ndarray, samples: int, differences: int) -> np.ndarray:
    """The same by the lines in docs/FORMAT.md, for readers who have numpy and no paramviz."""
    section = FORMAT.read_text().partition("## Dense blocks")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    record = {"iterations": range(planes.shape[1]), "values": samples, "differences": differences}
    names: dict[str, Any] = {"np": np, "values": planes, "record": record}
    exec(code, names)
    return names["samples"]


@pytest.mark.parametrize("differences", [1, 2])
def test_all_patterns_of_float16_come_back(differences):
    patterns = np.arange(65_536, dtype=np.uint16)
    rng = np.random.default_rng(2)
    bits_TN = np.stack([patterns, patterns[::-1], *(rng.permutation(patterns) for _ in range(4))])
    planes = encode_dense(bits_TN.view(np.float16), differences)
    assert planes.shape == dense_layout(6, 65_536).shape == (32, 6, 4096)
    for decode in (decoded, documented):
        assert decode(planes, 65_536, differences).tobytes() == bits_TN.tobytes()


@given(
    hnp.arrays(np.uint16, st.tuples(st.integers(1, 5), st.integers(1, 9000))),
    st.sampled_from([1, 2]),
)
def test_whatever_the_samples_are_they_come_back(bits_TN, differences):
    planes = encode_dense(bits_TN.view(np.float16), differences)
    for decode in (decoded, documented):
        assert decode(planes, bits_TN.shape[1], differences).tobytes() == bits_TN.tobytes()


def test_a_dense_run_is_read_as_if_each_snapshot_had_its_own_samples(run_path, dense_path):
    run, original = open_run(dense_path), open_run(run_path)
    assert len(dense_members(dense_path)) == 1 + 3 * 3, "40 snapshots: 16, 16, 8"
    assert_same(run, range(ITERATIONS))
    for iteration in range(ITERATIONS):
        assert run[iteration].etag == original[iteration].etag
        for key in made_runs.ARRAYS[1:]:
            assert run[iteration].array(key).tobytes() == original[iteration].array(key).tobytes()
    assert verify_run(dense_path).problems == ()


def test_the_report_says_what_the_blocks_saved(run_path, dense_path, tmp_path):
    plain = pack_run(run_path, tmp_path / "plain.zarr.zip")
    report = pack_run(run_path, tmp_path / "dense.zarr.zip", dense=True)
    assert (plain.dense_snapshots, plain.plain_bytes) == (0, plain.bytes)
    assert (report.dense_snapshots, report.plain_bytes) == (ITERATIONS, plain.bytes)
    assert report.bytes == report.path.stat().st_size
    samples = sum(open_run(run_path)[i].record.files["values/c.0"].length for i in range(ITERATIONS))
    assert plain.bytes - report.bytes > samples / 3, "a drift takes far less room than the samples"
    assert report.path.read_bytes() == dense_path.read_bytes(), "the same run gives the same bytes"


def test_samples_without_likeness_stay_as_they_are(tmp_path):
    path = made_runs.make_run(tmp_path / "run", 8)
    report = pack_run(path, tmp_path / "dense.zarr.zip", dense=True)
    assert report.dense_snapshots == 0
    assert report.bytes == report.plain_bytes
    assert not dense_members(report.path)
    assert verify_run(report.path).problems == ()
    assert files_of(unpack_run(report.path, tmp_path / "again")) == files_of(path)


def test_unpacking_gives_back_every_file(run_path, dense_path, tmp_path):
    unpacked = unpack_run(dense_path, tmp_path / "again")
    assert files_of(unpacked) == files_of(run_path)
    RunWriter.resume(unpacked).close("finished")


def test_where_zstd_is_another_the_records_are_sealed_anew(dense_path, tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "_ZSTD", Zstd(level=-7, checksum=True))
    unpacked = unpack_run(dense_path, tmp_path / "again")
    monkeypatch.undo()
    assert_same(open_run(unpacked), range(ITERATIONS))
    assert open_run(unpacked)[3].etag != open_run(dense_path)[3].etag
    assert verify_run(unpacked).problems == ()


def test_a_dense_run_is_packed_again_either_way(run_path, dense_path, tmp_path):
    again = pack_run(dense_path, tmp_path / "again.zarr.zip", dense=True)
    plain = pack_run(dense_path, tmp_path / "plain.zarr.zip")
    assert again.path.read_bytes() == dense_path.read_bytes()
    assert plain.path.read_bytes() == pack_run(run_path, tmp_path / "direct.zarr.zip").path.read_bytes()


def test_a_dense_copy_may_be_thin_and_anonymous(dense_path, tmp_path):
    report = pack_run(dense_path, tmp_path / "thin.zarr.zip", every=3, anonymous=True, dense=True)
    run = open_run(report.path)
    assert run.name == "anonymous"
    assert run.iterations.tolist() == sorted({*range(0, ITERATIONS, 3), *range(0, ITERATIONS, 5), 39})
    assert report.dense_snapshots == len(run)
    assert_same(run, run.iterations.tolist())


def test_more_snapshots_fit_into_so_many_megabytes(run_path, tmp_path):
    limit_mb = 1.2
    plain = pack_run(run_path, tmp_path / "plain.zarr.zip", max_mb=limit_mb)
    dense = pack_run(run_path, tmp_path / "dense.zarr.zip", max_mb=limit_mb, dense=True)
    assert max(plain.bytes, dense.bytes) <= limit_mb * 1e6
    assert dense.snapshots > plain.snapshots


def test_a_dense_run_goes_to_hdf5_and_comes_back(run_path, dense_path, tmp_path):
    export_hdf5(dense_path, tmp_path / "run.h5")
    assert_same(open_run(tmp_path / "run.h5"), range(ITERATIONS))
    assert files_of(unpack_run(tmp_path / "run.h5", tmp_path / "again")) == files_of(run_path)


def test_another_plan_begins_another_block_and_a_snapshot_without_samples_is_in_none(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    for iteration in range(6):
        writer.commit(drifting(iteration))
    writer.commit(replace(drifting(6), values=None))
    made_runs.add_plan(writer)
    for iteration in range(7, 12):
        writer.commit(drifting(iteration, plan=1))
    writer.close("finished")
    packed = pack_run(tmp_path / "run", tmp_path / "dense.zarr.zip", dense=True).path
    assert record_of(packed, "dense/zarr.json")["iterations"] == [[*range(6)], [*range(7, 12)]]
    run = open_run(packed)
    assert run[6].array("values") is None
    assert_same(run, [*range(6), *range(7, 12)])
    assert verify_run(packed).problems == ()


def test_a_lone_snapshot_is_in_no_block(tmp_path):
    path = made_runs.make_run(tmp_path / "run", 1)
    assert pack_run(path, tmp_path / "dense.zarr.zip", dense=True).dense_snapshots == 0


def test_a_run_with_frozen_tensors_is_packed_as_any_other(tmp_path):
    path = frozen_runs.make_run(tmp_path / "run")
    report = pack_run(path, tmp_path / "dense.zarr.zip", dense=True)
    assert report.dense_snapshots == len(frozen_runs.ITERATIONS)
    run, original = open_run(report.path), open_run(path)
    for iteration in frozen_runs.ITERATIONS:
        for tensor in run.tensors:
            found, recorded = (r[iteration].values(tensor.name) for r in (run, original))
            assert found.tobytes() == recorded.tobytes()
    assert files_of(unpack_run(report.path, tmp_path / "again")) == files_of(path)


def test_info_counts_the_bytes_that_the_copy_has(run_path, dense_path):
    original, dense = (summarise(open_run(path)).content["bytes"] for path in (run_path, dense_path))
    assert dense["raw"] == original["raw"]
    gain = pack_run(run_path, run_path.with_name("plain.zarr.zip")).bytes - dense_path.stat().st_size
    assert original["stored"] - dense["stored"] == pytest.approx(gain, rel=0.1)


def test_zarr_python_and_ten_lines_of_numpy_read_a_block(dense_path):
    with zarr.storage.ZipStore(dense_path, mode="r") as store:
        root = zarr.open_group(store, mode="r", zarr_format=3)
        assert sorted(root["dense"].group_keys()) == ["000000", "000001", "000002"]
        block = root["dense/000001"]
        record = block.attrs["paramviz"]
        samples = documented(block["values"][...], record["values"], record["differences"])
    for iteration, found in zip(record["iterations"], samples, strict=True):
        assert found.tobytes() == values_of(iteration).tobytes()


def test_tensorstore_reads_a_block_and_an_unzipped_run_is_read_too(dense_path, tmp_path):
    with zipfile.ZipFile(dense_path) as archive:
        archive.extractall(tmp_path / "run")
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{tmp_path}/run/dense/000002/values/"}}
    planes = np.asarray(tensorstore.open(spec, read=True).result().read().result())
    record = record_of(dense_path, "dense/000002/zarr.json")
    found = documented(planes, record["values"], record["differences"])
    assert found.tobytes() == np.stack([values_of(i) for i in range(32, 40)]).tobytes()
    assert_same(open_run(tmp_path / "run"), range(ITERATIONS))
    assert verify_run(tmp_path / "run").problems == ()


class CountingZip(ZipSource):
    """Counts what is read of each block."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.bytes_of: Counter[str] = Counter()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        data = super().read_range(key, start, length)
        self.bytes_of[key] += len(data)
        return data


def test_one_tensor_costs_its_pieces_and_playing_forward_reads_each_block_once(dense_path):
    source = CountingZip.open(dense_path)
    run, key = Run(DenseSource(source)), "dense/000000/values/c.0.0.0"
    size = source.size(key)
    assert run[3].values("wte.weight").tobytes() == values_of(3)[:320].tobytes()
    assert 0 < source.bytes_of[key] < size / 3, "one piece of five, and the index"
    source.bytes_of.clear()
    run = Run(DenseSource(source))
    for iteration in range(BLOCK_SNAPSHOTS):
        assert run[iteration].array("values").tobytes() == values_of(iteration).tobytes()
    assert source.bytes_of[key] == size


def test_a_dense_run_on_a_web_server_is_read_in_place(dense_path):
    with file_server(dense_path.parent) as server:
        assert_same(open_run(f"{server.address}/{dense_path.name}"), range(0, ITERATIONS, 9))
