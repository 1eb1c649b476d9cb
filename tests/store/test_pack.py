"""A run in one file: the same run, read where it lies, and nothing in it that should have stayed at home."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from paramviz.errors import DamagedRunError, NotARunError, OutputError, ParamvizError, UsageError
from paramviz.schema import Event
from paramviz.store import RunWriter, open_run, pack_run, unpack_run, verify_run
from paramviz.store.anonymous import LEFT_OUT
from paramviz.store.thinning import keep_every
from tests.store import made_runs

PRIVATE = {".paramviz/lock", ".paramviz/tmp"}


def files_of(path: Path) -> dict[str, bytes]:
    """Every file of a run's directory that a copy of it should have."""
    files = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
    return {key: p.read_bytes() for key, p in files.items() if key not in PRIVATE}


def test_a_packed_run_is_read_in_place_bit_for_bit(tmp_path):
    path = made_runs.make_run(tmp_path / "run", iterations=6)
    report = pack_run(path, tmp_path / "run.zarr.zip")
    run, original = open_run(report.path), open_run(path)
    assert (report.snapshots, report.of, report.bytes) == (6, 6, report.path.stat().st_size)
    assert run.run_id == original.run_id
    assert run.status == "finished"
    assert run.iterations.tolist() == list(range(6))
    assert run.events == original.events
    assert run.vocabulary == original.vocabulary
    assert run.description == original.description
    for iteration in range(6):
        made_runs.assert_same_snapshot(run[iteration], iteration)
        assert run[iteration].etag == original[iteration].etag
    for name in original.scalar_names:
        for packed, kept in zip(run.scalar_series(name), original.scalar_series(name), strict=True):
            assert packed.tobytes() == kept.tobytes()
    assert run[3].values("h.0.fc.weight").tobytes() == original[3].values("h.0.fc.weight").tobytes()
    assert verify_run(report.path).problems == ()


def test_packing_and_unpacking_gives_back_every_file(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    pack_run(path, tmp_path / "run.zarr.zip")
    unpacked = unpack_run(tmp_path / "run.zarr.zip", tmp_path / "again")
    assert files_of(unpacked) == files_of(path)
    RunWriter.resume(unpacked).close("finished")


def test_the_same_run_gives_the_same_bytes(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    first = pack_run(path, tmp_path / "a.zarr.zip").path
    shutil.copytree(path, tmp_path / "elsewhere")
    second = pack_run(tmp_path / "elsewhere", tmp_path / "b.zarr.zip").path
    third = pack_run(first, tmp_path / "c.zarr.zip").path
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()


def test_other_programs_read_a_packed_run(tmp_path):
    """The standard library finds no error in it, and zarr-python the same numbers."""
    out = pack_run(made_runs.make_run(tmp_path / "run"), tmp_path / "run.zarr.zip").path
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert not PRIVATE & set(archive.namelist())
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
    store = zarr.storage.ZipStore(out, mode="r")
    read = zarr.open_group(store, mode="r", zarr_format=3)["iterations/00000001/values"][...]
    assert read.tobytes() == made_runs.snapshot(1).values.tobytes()
    store.close()


def test_a_zip_that_another_program_made_is_read_too(tmp_path):
    """With folders, extra fields between name and data, a lock and leftovers in it; stored, as it must be."""
    path = made_runs.make_run(tmp_path / "run")
    with zipfile.ZipFile(tmp_path / "by-hand.zip", "w") as archive:
        for file in sorted(path.rglob("*")):
            info = zipfile.ZipInfo.from_file(file, file.relative_to(path))
            info.extra = b"UT\5\0\1abcd"
            archive.writestr(info, b"" if file.is_dir() else file.read_bytes())
    run = open_run(tmp_path / "by-hand.zip")
    for iteration in range(3):
        made_runs.assert_same_snapshot(run[iteration], iteration)
        assert run[iteration].values("wte.weight").shape == (320,)
    assert verify_run(tmp_path / "by-hand.zip").problems == ()


def test_a_run_without_a_snapshot_is_packed_too(tmp_path):
    made_runs.create(tmp_path / "run").close("crashed")
    out = pack_run(tmp_path / "run", tmp_path / "run.zarr.zip", every=3, max_mb=1).path
    run = open_run(out)
    assert (run.status, len(run), run.tensors) == ("crashed", 0, ())


def test_a_live_run_is_packed_as_it_is_and_says_so(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    out = pack_run(tmp_path / "run", tmp_path / "run.zarr.zip").path
    made_runs.write(writer, 1)
    writer.close("finished")
    packed = open_run(out)
    assert packed.iterations.tolist() == [0]
    assert packed.status == "recording"
    assert packed.description["packed"] == {"while": "recording", "snapshots": 1}
    assert open_run(unpack_run(out, tmp_path / "again")).status == "crashed", "nobody records into the copy"


def test_a_run_that_was_killed_is_packed_as_crashed_with_what_the_journal_lacks(tmp_path):
    """A commit that never reached the journal is journaled in the copy."""
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    made_runs.write(writer, 1)
    writer._lock.release()
    journal = tmp_path / "run/.paramviz/journal/000000.log"
    journal.write_bytes(journal.read_bytes()[:-10])
    run = open_run(pack_run(tmp_path / "run", tmp_path / "run.zarr.zip").path)
    assert run.status == "crashed"
    assert run.iterations.tolist() == [0, 1]
    assert run.unjournaled_iterations == ()
    made_runs.assert_same_snapshot(run[1], 1)


@given(data=st.data())
def test_damage_stops_packing_with_the_name_of_the_file(pristine, tmp_path, data):
    """Of every file but the blocks, which are made anew, and the journal, which a crash may tear."""
    path = tmp_path / "run"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(pristine, path)
    made_anew = (".paramviz/", "timeline/", "scalars/")
    key = data.draw(st.sampled_from(sorted(k for k in files_of(path) if not k.startswith(made_anew))))
    content = bytearray((path / key).read_bytes())
    at = data.draw(st.integers(0, len(content) * 8 - 1))
    content[at // 8] ^= 1 << at % 8
    (path / key).write_bytes(content)
    with pytest.raises(ParamvizError) as error:
        pack_run(path, tmp_path / "run.zarr.zip")
    if key != "zarr.json":
        assert isinstance(error.value, DamagedRunError)
        group = key.rsplit("/", 2)[0] if key.endswith("c.0.0") or key.endswith("c.0") else key
        assert error.value.key in (key, group)
    assert list(tmp_path.glob("*.zip*")) == list(tmp_path.glob(".*.partial")) == []


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    return made_runs.make_run(tmp_path_factory.mktemp("pristine") / "run", iterations=2)


@given(data=st.data())
def test_a_damaged_zip_never_gives_other_numbers(pristine_zip, tmp_path, data):
    content = bytearray(pristine_zip.read_bytes())
    if data.draw(st.booleans()):
        # Half of the flips in the list of files, which is a small part of the whole.
        start = data.draw(st.sampled_from([0, content.index(b"PK\1\2")]))
        at = data.draw(st.integers(start * 8, len(content) * 8 - 1))
        content[at // 8] ^= 1 << at % 8
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    damaged = tmp_path / "damaged.zarr.zip"
    damaged.write_bytes(content)
    try:
        run = open_run(damaged)
    except ParamvizError:
        return
    for iteration in run.iterations.tolist():
        made_runs.assert_right_or_refused(run, iteration)


@pytest.fixture(scope="module")
def pristine_zip(pristine, tmp_path_factory) -> Path:
    return pack_run(pristine, tmp_path_factory.mktemp("packed") / "run.zarr.zip").path


def test_a_path_that_exists_is_never_overwritten(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    (tmp_path / "taken").write_text("a thesis")
    for write in (pack_run, unpack_run):
        with pytest.raises(OutputError, match="is there already"):
            write(path, tmp_path / "taken")
        with pytest.raises(OutputError, match="cannot be written"):
            write(path, tmp_path / "taken" / "below.zarr.zip")
    assert (tmp_path / "taken").read_text() == "a thesis"


def test_a_file_that_is_no_zip_of_a_run_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("holiday.jpg", b"sun")
    with pytest.raises(NotARunError, match="holds no run"):
        open_run(tmp_path / "other.zip")


# Thinning


@given(
    forced=st.lists(st.booleans(), min_size=1, max_size=60),
    every=st.integers(1, 70),
)
def test_thinning_keeps_the_first_the_last_the_forced_and_every_nth(forced, every):
    kept = keep_every(np.array(forced), every)
    for at, keep in enumerate(kept.tolist()):
        assert keep == (forced[at] or at % every == 0 or at == len(forced) - 1)


def test_a_thinned_run_says_so_and_keeps_the_scalars_of_every_step(tmp_path):
    path = made_runs.make_run(tmp_path / "run", iterations=12)
    report = pack_run(path, tmp_path / "thin.zarr.zip", every=4)
    run = open_run(report.path)
    assert run.iterations.tolist() == [0, 4, 5, 8, 10, 11], "5 and 10 were forced by a validation"
    assert run.description["thinned"] == {"every": 4, "snapshots": 6, "of": 12}
    assert run.scalar_series("loss")[0].tolist() == list(range(12))
    assert [event.iteration for event in run.events] == [0, 5, 10]
    assert verify_run(report.path).problems == ()
    thinner = open_run(pack_run(report.path, tmp_path / "thinner.zarr.zip", every=6).path)
    assert thinner.description["thinned"]["of"] == 12, "of the run that was recorded, not of the copy"


def test_what_happened_at_a_snapshot_that_was_left_out_stays_known(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    for iteration in range(4):
        made = made_runs.snapshot(iteration)
        made.events = [Event(iteration, "skipped_step", "overflow")] if iteration == 1 else []
        writer.commit(made)
    writer.close("finished")
    run = open_run(pack_run(tmp_path / "run", tmp_path / "thin.zarr.zip", every=9).path)
    assert run.iterations.tolist() == [0, 3]
    assert run.events == (Event(1, "skipped_step", "overflow"),)


def test_a_size_limit_is_kept_by_leaving_out_snapshots(tmp_path):
    path = made_runs.make_run(tmp_path / "run", iterations=20)
    whole = pack_run(path, tmp_path / "whole.zarr.zip")
    report = pack_run(path, tmp_path / "small.zarr.zip", max_mb=whole.bytes / 2e6)
    assert report.bytes <= whole.bytes / 2
    run = open_run(report.path)
    assert len(run) == report.snapshots < 20
    assert {0, 5, 10, 15, 19} <= set(run.iterations.tolist())
    assert pack_run(path, tmp_path / "all.zarr.zip", max_mb=whole.bytes / 1e6).snapshots == 20


def test_a_limit_that_not_even_the_fewest_snapshots_keep_is_an_error(tmp_path):
    path = made_runs.make_run(tmp_path / "run", iterations=8)
    with pytest.raises(UsageError, match=r"first, last and forced snapshots alone take 0\.\d+ MB"):
        pack_run(path, tmp_path / "tiny.zarr.zip", max_mb=0.05)
    with pytest.raises(UsageError, match="every=0"):
        pack_run(path, tmp_path / "none.zarr.zip", every=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


# Anonymity

TELLING = {
    "model": "GPT",
    "parameters": 12,
    "tensors": 3,
    "config": {
        "lr": 0.1,
        "optimizer": "adamw",
        "max_tokens": 512,
        "wandb_api_key": "0123456789abcdef0123456789abcdef01234567",
        "hf_token": 12345678901234,
        "data": "/home/mallory/corpus/secret-project.txt",
        "data_dir": "corpus",
        "endpoint": "https://tracking.example.org",
        "notify": "mallory@example.org",
        "server": "gpu17.cluster.local",
        "uploader": "sk-AbCdEfGhIjKlMnOpQrStUvWx1234567890",
        "nested": [{"password": "x"}, {"users": ["mallory"]}, "cosine"],
        "/home/mallory/key": 3,
    },
    "optimizers": [{"class": "AdamW", "groups": [{"lr": 0.1, "betas": [0.9, 0.99]}]}],
    "versions": {"python": "3.11.2", "torch": "2.13.0+cpu"},
    "device": ["cuda:0"],
    "host": "gpu17",
    "platform": "Linux-6.1.0-mallory-x86_64",
    "git": {"commit": "3f2ac0ffee", "remote": "git@example.org:mallory/secret.git"},
    "command": ["train.py", "--data", "/home/mallory/corpus"],
    "process": 4711471147,
    "a field of tomorrow": "mallory",
}

SECRETS = (
    "mallory",
    "gpu17",
    "example.org",
    "corpus",
    "train.py",
    "0123456789abcdef",
    "12345678901234",
    "sk-AbC",
    "4711471147",
    "3f2ac0ffee",
    "secret-run",
)


def test_an_anonymous_copy_names_neither_person_nor_machine(tmp_path):
    path = tmp_path / "secret-run"
    writer = RunWriter.create(path, name="secret-run of mallory", description=TELLING)
    made_runs.add_plan(writer)
    made_runs.add_basis(writer)
    made = made_runs.snapshot(0)
    made.events = [Event(0, "checkpoint", "saved to /home/mallory/ckpt.pt")]
    writer.commit(made)
    writer.log_event(Event(0, "gap", "OSError: /home/mallory is full"))
    writer.close("finished")
    out = pack_run(path, tmp_path / "shared.zarr.zip", anonymous=True).path
    run, original = open_run(out), open_run(path)
    assert run.run_id != original.run_id
    assert run.name == "anonymous"
    assert run.description == {
        "model": "GPT",
        "parameters": 12,
        "tensors": 3,
        "config": {
            "lr": 0.1,
            "optimizer": "adamw",
            "max_tokens": 512,
            "wandb_api_key": LEFT_OUT,
            "hf_token": LEFT_OUT,
            "data": LEFT_OUT,
            "data_dir": LEFT_OUT,
            "endpoint": LEFT_OUT,
            "notify": LEFT_OUT,
            "server": LEFT_OUT,
            "uploader": LEFT_OUT,
            "nested": [{"password": LEFT_OUT}, {"users": [LEFT_OUT]}, "cosine"],
        },
        "optimizers": TELLING["optimizers"],
        "versions": TELLING["versions"],
        "device": ["cuda:0"],
    }
    assert run.events == (Event(0, "checkpoint", ""), Event(0, "gap", ""))
    made_runs.assert_same_snapshot(run[0], 0)
    assert verify_run(out).problems == ()
    content = b"".join(
        data
        for key, data in files_of(unpack_run(out, tmp_path / "again")).items()
        if not key.endswith(("c.0", "c.0.0"))
    )
    for secret in (*SECRETS, original.run_id):
        assert secret.encode() not in content, secret
