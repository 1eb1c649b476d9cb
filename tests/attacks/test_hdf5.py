"""HDF5 files that are damaged where the library's own checksums do not tell, or tell too late."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from paramviz.errors import DamagedRunError
from paramviz.store import open_run, verify_run
from paramviz.store.hdf5_export import export_hdf5
from tests.attacks.hdf5_mutations import lookup3, object_headers
from tests.store import made_runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    return export_hdf5(made_runs.make_run(folder / "run", iterations=3), folder / "run.h5")


def test_nothing_is_counted_in_a_group_that_cannot_be_read(exported, tmp_path):
    """A broken header of `timeline` or `bases` must not stand for any number of blocks or bases."""
    content = bytearray(exported.read_bytes())
    with h5py.File(exported) as file:
        for name in ("timeline", "bases"):
            at = h5py.h5o.get_info(file[name].id).addr
            assert content[at : at + 4] == b"OHDR"
            content[at + 20] ^= 1
    path = tmp_path / "run.h5"
    path.write_bytes(content)
    run, original = open_run(path), open_run(exported)
    assert run.n_bases == 0
    assert run.timeline("wte.weight", "rms").tolist() == original.timeline("wte.weight", "rms").tolist()
    damaged = [problem.key for problem in verify_run(path).problems]
    assert {"bases/zarr.json", "timeline/000000/zarr.json"} <= set(damaged), damaged


def test_a_chunk_that_states_no_bytes_is_not_given_to_the_library(exported, tmp_path):
    """Under a right checksum of the header; the library's filter crashes on it."""
    content = bytearray(exported.read_bytes())
    with h5py.File(exported) as file:
        dataset = file["iterations/00000001/histograms"]
        begin, stored = h5py.h5o.get_info(dataset.id).addr, dataset.id.get_storage_size()
    length = next(length for at, length in object_headers(bytes(content)) if at == begin)
    at = content.index(stored.to_bytes(8, "little"), begin, begin + length)
    content[at : at + 8] = bytes(8)
    content[begin + length : begin + length + 4] = lookup3(bytes(content[begin : begin + length])).to_bytes(
        4, "little"
    )
    path = tmp_path / "run.h5"
    path.write_bytes(content)
    with pytest.raises(DamagedRunError, match="chunks of other sizes"):
        open_run(path)[1].array("histograms")


def test_ones_in_place_of_zeros_are_noticed(tmp_path):
    """The checksum that HDF5 keeps of a chunk counts modulo 2¹⁶ - 1: it is the same for both."""
    writer = made_runs.start(tmp_path / "run")
    snapshot = made_runs.snapshot(0)
    assert snapshot.values is not None
    snapshot.values[:], snapshot.values[0] = 0, 1
    writer.commit(snapshot)
    writer.close("finished")
    path = export_hdf5(tmp_path / "run", tmp_path / "run.h5")
    with h5py.File(path) as file:
        chunk = file["iterations/00000000/values"].id.get_chunk_info(0)
    with open(path, "r+b") as raw:
        raw.seek(chunk.byte_offset + 100)
        assert raw.read(8) == bytes(8)
        raw.seek(chunk.byte_offset + 100)
        raw.write(b"\xff" * 8)
    run = open_run(path)
    for _ in range(2):
        with pytest.raises(DamagedRunError, match="fails its checksum"):
            run[0].values("wte.weight")
