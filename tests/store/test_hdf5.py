"""A run as an HDF5 file: for h5py alone, for paramviz in place, and back without losing a bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.errors import DamagedRunError, NotARunError, OutputError, ParamvizError, UnsafeRunError
from paramviz.schema import Event
from paramviz.store import RunWriter, open_run, pack_run, unpack_run, verify_run
from paramviz.store.hdf5_export import export_hdf5
from tests.store import made_runs
from tests.store.test_pack import files_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    return export_hdf5(made_runs.make_run(folder / "run", iterations=3), folder / "run.h5")


def test_an_exported_run_is_read_in_place_bit_for_bit(exported):
    run, original = open_run(exported), open_run(exported.parent / "run")
    assert (run.run_id, run.status, run.description) == (original.run_id, "finished", original.description)
    assert run.tensors == original.tensors
    assert run.vocabulary == original.vocabulary
    assert run.events == original.events
    assert run.plan.positions.tobytes() == original.plan.positions.tobytes()
    assert run.basis(0).components.tobytes() == original.basis(0).components.tobytes()
    for iteration in range(3):
        made_runs.assert_same_snapshot(run[iteration], iteration)
        assert run[iteration].etag == original[iteration].etag
        for tensor in made_runs.TENSORS[:3]:
            assert (
                run[iteration].values(tensor.name).tobytes()
                == original[iteration].values(tensor.name).tobytes()
            )
    assert run.timeline("wte.weight", "rms").tolist() == original.timeline("wte.weight", "rms").tolist()
    report = verify_run(exported)
    assert (report.problems, report.notes, report.iterations) == ((), (), 3)


def test_h5py_alone_reads_everything(exported):
    """As docs/HDF5.md says it; nothing of paramviz is used to read."""
    made = made_runs.snapshot(2)
    with h5py.File(exported) as file:
        root = json.loads(file.attrs["record"])
        assert (root["format"], root["name"]) == ("1.0", "run")
        catalogue = json.loads(file["plans/0000"].attrs["record"])["tensors"]
        tensor = next(t for t in catalogue if t["name"] == "h.0.fc.weight")
        group = file["iterations/00000002"]
        start, (rows, columns) = tensor["offset"], tensor["grid"]
        samples = group[tensor["array"]][start : start + rows * columns].reshape(rows, columns)
        assert samples.tobytes() == made.values[320:20_320].tobytes()
        std = root["statistics"].index("std")
        assert group["statistics"][1, std] == made.statistics[1, std]
        assert file["plans/0000/positions"].shape == (made_runs.N_VALUES,)
        assert json.loads(group.attrs["record"])["scalars"]["loss"] == 4 / 3
        names = json.loads(file["scalars/000000"].attrs["record"])["names"]
        loss = file["scalars/000000/values"][names.index("loss")]
        assert dict(zip(file["scalars/000000/iterations"], loss, strict=True)) == {0: 4.0, 1: 2.0, 2: 4 / 3}
        assert file["timeline/000000/statistics"][1, std, 2] == made.statistics[1, std]
        assert [s.decode() for s in file["events/kind"]] == ["validation"]
        assert [s.decode() for s in file["events/text"]] == ["half way"]
        assert file["events/iteration"][...].tolist() == [0]
        datasets: list[h5py.Dataset] = []
        file.visititems(lambda _, found: datasets.append(found) if isinstance(found, h5py.Dataset) else None)
        assert len(datasets) > 30
        assert all(dataset.fletcher32 for dataset in datasets)


@given(bits=st.data())
def test_the_way_to_hdf5_and_back_loses_no_bit(tmp_path, bits):
    """Arrays of random bytes, so NaN payloads, subnormals and signed zeros are among them."""
    for leftover in tmp_path.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    rng = np.random.default_rng(bits.draw(st.integers(0, 2**32 - 1)))
    writer = made_runs.start(tmp_path / "run")
    iterations = bits.draw(st.lists(st.integers(0, 10**9), unique=True, max_size=3))
    for iteration in iterations:
        made = made_runs.snapshot(iteration)
        for key in made_runs.ARRAYS:
            array = getattr(made, key)
            noise = np.frombuffer(rng.bytes(array.nbytes), array.dtype).reshape(array.shape)
            setattr(made, key, noise if bits.draw(st.booleans()) else None)
        made.scalars = bits.draw(st.dictionaries(st.text(max_size=5), st.floats(), max_size=3))
        texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
        made.events = [Event(iteration, "checkpoint", bits.draw(texts))]
        writer.log_step(iteration, made.scalars, 0.5)
        writer.commit(made)
    writer.close(bits.draw(st.sampled_from(["finished", "crashed"])))
    export_hdf5(tmp_path / "run", tmp_path / "run.h5")
    assert verify_run(tmp_path / "run.h5").problems == ()
    imported = unpack_run(tmp_path / "run.h5", tmp_path / "again")
    before, after = open_run(tmp_path / "run"), open_run(imported)
    assert after.iterations.tolist() == before.iterations.tolist() == sorted(iterations)
    for iteration in sorted(iterations):
        for key in made_runs.ARRAYS:
            one, other = before[iteration].array(key), after[iteration].array(key)
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert one.tobytes() == other.tobytes()
        assert after[iteration].record.to_json()["scalars"] == before[iteration].record.to_json()["scalars"]
    # The same version of zstd encodes alike, so here even the files are the same.
    assert files_of(imported) == files_of(tmp_path / "run")


def test_a_type_that_the_library_cannot_name_is_damage(exported, tmp_path):
    """A float whose exponent has no bias."""
    path = shutil.copy(exported, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        group = file["iterations/00000001"]
        values = group["values"][:]
        odd = h5py.h5t.IEEE_F16LE.copy()
        odd.set_ebias(0)
        plan = group["values"].id.get_create_plist()
        attributes = dict(group["values"].attrs)
        del group["values"]
        made = h5py.h5d.create(group.id, b"values", odd, h5py.h5s.create_simple(values.shape), plan)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, values.view(np.uint16), mtype=odd)
        for name, value in attributes.items():
            h5py.Dataset(made).attrs[name] = value
    run = open_run(path)
    for ask in (lambda: run[1].values("wte.weight"), lambda: run[1].array("values")):
        with pytest.raises(DamagedRunError, match="values"):
            ask()
    assert "iterations/00000001/values" in {p.key for p in verify_run(path).problems}
    assert run[0].values("wte.weight").size


def test_zip_and_hdf5_lead_into_each_other(exported, tmp_path):
    packed = pack_run(exported, tmp_path / "run.zarr.zip").path
    assert (
        packed.read_bytes()
        == pack_run(exported.parent / "run", tmp_path / "direct.zarr.zip").path.read_bytes()
    )
    assert export_hdf5(packed, tmp_path / "again.h5").read_bytes() == exported.read_bytes()


def test_a_plan_of_thousands_of_tensors_is_exported(tmp_path):
    """Its record is far beyond the 64 kB that an attribute of old HDF5 files may have."""
    writer = made_runs.create(tmp_path / "run")
    tensors = [
        made_runs.TensorInfo(n, f"experts.{n}.weight", (1,), "float32", "expert", 0, "mlp", array="vectors")
        for n in range(4000)
    ]
    writer.add_plan(tensors, np.empty(0, np.int64), np.empty(0, np.int64))
    writer.close("finished")
    run = open_run(export_hdf5(tmp_path / "run", tmp_path / "run.h5"))
    assert len(run.tensors) == 4000


def test_a_live_run_is_exported_as_it_is(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    run = open_run(export_hdf5(tmp_path / "run", tmp_path / "run.h5"))
    assert (run.status, run.description["packed"]["while"]) == ("recording", "recording")
    writer.close("finished")


def test_damage_stops_the_export_with_the_name_of_the_file(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    (path / "iterations/00000001/vectors/c.0").write_bytes(b"")
    with pytest.raises(DamagedRunError) as error:
        export_hdf5(path, tmp_path / "run.h5")
    assert error.value.key == "iterations/00000001/vectors/c.0"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_an_exported_run_cannot_be_recorded_into(exported):
    with pytest.raises(OutputError, match="unpack"):
        RunWriter.resume(exported)


# Damage and mischief


@given(data=st.data())
def test_a_damaged_file_never_gives_other_numbers(exported, tmp_path, data):
    content = bytearray(exported.read_bytes())
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) * 8 - 1))
        content[at // 8] ^= 1 << at % 8
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    path = tmp_path / "damaged.h5"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    try:
        run = open_run(path)
    except ParamvizError:
        return
    for iteration in run.iterations.tolist():
        made_runs.assert_right_or_refused(run, iteration, ParamvizError)


def test_a_changed_number_is_named_by_verify(exported, tmp_path):
    """Written through h5py, so the library's own checksum fits; ours does not."""
    path = Path(shutil.copy(exported, tmp_path / "run.h5"))
    with h5py.File(path, "r+") as file:
        file["iterations/00000001/values"][7] = 1.0
        file["journal"][40] ^= 1
    assert [problem.key for problem in verify_run(path).problems] == [
        ".paramviz/journal/000000.log",
        "iterations/00000001/values",
    ]
    run = open_run(path)
    assert run.iterations.tolist() == [0, 1, 2], "a run opens without its journal"
    with pytest.raises(DamagedRunError) as error:
        run[1].array("values")
    assert error.value.key == "iterations/00000001/values"


def replace(file: h5py.File, key: str, **options: object) -> None:
    """The same dataset, made otherwise."""
    data, attributes = file[key][...], dict(file[key].attrs)
    del file[key]
    dataset = file.create_dataset(key, **({"data": data} | options))
    dataset.attrs.update(attributes)


KEY = "iterations/00000001/values"


def external_storage(file: h5py.File, secret: Path) -> None:
    replace(
        file, KEY, data=None, shape=(made_runs.N_VALUES,), dtype="<f2", external=[(str(secret), 0, 1 << 20)]
    )


def virtual(file: h5py.File, secret: Path) -> None:
    layout = h5py.VirtualLayout((made_runs.N_VALUES,), "<f2")
    layout[:] = h5py.VirtualSource(str(secret), "x", (made_runs.N_VALUES,))
    del file[KEY]
    file.create_virtual_dataset(KEY, layout)


def link(kind: object):
    def make(file: h5py.File, secret: Path) -> None:
        del file[KEY]
        file[KEY] = kind

    return make


def linked_group(file: h5py.File, secret: Path) -> None:
    file.move("iterations/00000001", "elsewhere")
    file["iterations/00000001"] = h5py.SoftLink("/elsewhere")


def endless(file: h5py.File, secret: Path) -> None:
    replace(file, KEY, data=None, shape=(1 << 40,), dtype="<f2", chunks=(1 << 10,), fletcher32=True)


ATTACKS = {
    "a soft link": (link(h5py.SoftLink("/iterations/00000000/values")), "link"),
    "a link into another file": (link(h5py.ExternalLink("/etc/passwd", "/x")), "link"),
    "a linked group": (linked_group, "link"),
    "numbers in another file": (external_storage, "elsewhere"),
    "a virtual dataset": (virtual, "elsewhere"),
    "a filter": (lambda f, _: replace(f, KEY, chunks=(100,), compression="gzip", fletcher32=True), "filter"),
    "another filter": (lambda f, _: replace(f, KEY, chunks=(100,), compression="lzf"), "filter"),
    "no checksum": (lambda f, _: replace(f, KEY), "filter"),
    "more numbers than bytes": (endless, "size"),
    "texts": (
        lambda f, _: replace(f, KEY, data=np.array([b"x"], "S1"), chunks=(1,), fletcher32=True),
        "type",
    ),
    "references": (
        lambda f, _: replace(
            f, KEY, data=None, shape=(1,), dtype=h5py.ref_dtype, chunks=(1,), fletcher32=True
        ),
        "type",
    ),
    "a chunk of 100 MB": (
        lambda f, _: replace(f, KEY, maxshape=(None,), chunks=(50_000_000,), fletcher32=True),
        "size",
    ),
    "a record of variable length": (
        lambda f, _: f["iterations/00000001"].attrs.__setitem__("record", "x" * 100),
        "attribute",
    ),
    "many records": (
        lambda f, _: f["iterations/00000001"].attrs.__setitem__("record", np.array([b"x", b"y"])),
        "attribute",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_no_run_needs_is_refused_with_its_reason(exported, tmp_path, attack):
    make_it, reason = ATTACKS[attack]
    path = Path(shutil.copy(exported, tmp_path / "run.h5"))
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(1 << 20))
    with h5py.File(path, "r+") as file:
        make_it(file, secret)
    with pytest.raises(UnsafeRunError) as error:
        open_run(path)[1].array("values")
    assert error.value.reason == reason
    made_runs.assert_same_snapshot(open_run(path)[2], 2)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda f: replace(
                f, KEY, data=None, shape=(made_runs.N_VALUES,), dtype="<f2", chunks=(100,), fletcher32=True
            ),
            "chunks missing",
        ),
        (
            lambda f: replace(f, KEY, data=np.zeros(9, "<f2"), chunks=(9,), fletcher32=True),
            r"holds float16 \(9,\)",
        ),
        (
            lambda f: replace(
                f, KEY, data=np.zeros(made_runs.N_VALUES, ">f2"), chunks=(99,), fletcher32=True
            ),
            "holds >f2",
        ),
        (lambda f: f.__delitem__(KEY), "is missing"),
        (lambda f: f[KEY].attrs.__delitem__("crc32c"), "fails its checksum"),
        (lambda f: f["iterations/00000001"].attrs.__delitem__("record"), "holds no record"),
    ],
)
def test_what_is_missing_or_of_another_kind_is_damage_and_not_zeros(exported, tmp_path, spoil, says):
    path = Path(shutil.copy(exported, tmp_path / "run.h5"))
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(DamagedRunError, match=says):
        open_run(path)[1].array("values")


def test_another_hdf5_file_is_no_run(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["temperature"] = [1.0, 2.0]
    with pytest.raises(NotARunError, match="is no run of paramviz"):
        open_run(tmp_path / "other.h5")
