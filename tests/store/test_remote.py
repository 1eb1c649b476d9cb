"""Runs in object stores and on web servers: read with few requests, recorded with the same promise."""

from __future__ import annotations

import shutil
import uuid

import pytest
import s3fs

from paramviz.errors import (
    DamagedRunError,
    OutputError,
)
from paramviz.schema import Event
from paramviz.store import RunWriter, open_run, pack_run, unpack_run, verify_run
from paramviz.store.remote import RemotePlace
from tests.store import made_runs
from tests.store.small_blocks import small_blocks

pytestmark = pytest.mark.slow


def start(address: str) -> RunWriter:
    return made_runs.start(address)  # type: ignore[arg-type]


def make_run(address: str, iterations: int = 3) -> str:
    made_runs.make_run(address, iterations)  # type: ignore[arg-type]
    return address


# Recording and reading


def test_a_run_is_recorded_to_an_object_store_and_read_back_bit_for_bit(place):
    with small_blocks():
        make_run(place, iterations=5)
    run = open_run(place)
    assert run.status == "finished"
    assert run.name == "run"
    assert run.iterations.tolist() == list(range(5))
    assert run.vocabulary is not None
    for iteration in range(5):
        made_runs.assert_same_snapshot(run[iteration], iteration)
        for tensor in made_runs.TENSORS[:3]:
            whole = getattr(made_runs.snapshot(iteration), tensor.array)
            expected = whole[tensor.offset : tensor.offset + tensor.samples]
            assert run[iteration].values(tensor.name).tobytes() == expected.tobytes()
    stds = [made_runs.snapshot(i).statistics[1, 1] for i in range(5)]
    assert run.timeline("h.0.fc.weight", "std").tolist() == stds
    assert run.scalar_series("loss")[1].tolist() == [4.0 / (i + 1) for i in range(5)]
    report = verify_run(place)
    assert (report.problems, report.notes, report.iterations) == ((), (), 5)


def test_a_copy_from_an_object_store_is_the_run(place, tmp_path):
    make_run(place)
    unpacked = unpack_run(place, tmp_path / "run")
    assert verify_run(unpacked).problems == ()
    made_runs.assert_same_snapshot(open_run(unpacked)[2], 2)
    packed = pack_run(place, tmp_path / "run.zarr.zip").path
    assert packed.read_bytes() == pack_run(unpacked, tmp_path / "again.zarr.zip").path.read_bytes()


def test_a_growing_remote_run_is_followed(place):
    writer = start(place)
    run = open_run(place)
    assert run.status == "recording"
    made_runs.write(writer, 0)
    assert run.refresh().tolist() == [0]
    made_runs.write(writer, 4)
    writer.log_event(Event(5, "gap", "2 snapshots were dropped"))
    assert run.refresh().tolist() == [4]
    assert run.refresh().tolist() == []
    made_runs.assert_same_snapshot(run[4], 4)
    writer.close("finished")
    run.refresh()
    assert run.status == "finished"
    assert run.events[-1] == Event(5, "gap", "2 snapshots were dropped")


def test_a_long_journal_goes_on_in_further_segments(place, monkeypatch):
    monkeypatch.setattr("paramviz.store.remote_files._SEGMENT_BYTES", 300)
    monkeypatch.setattr("paramviz.store.remote_files.RemoteFiles.journal_interval_s", 0.0)
    writer = start(place)
    run = open_run(place)
    for iteration in range(40):
        writer.log_step(iteration, {"loss": float(iteration)}, 0.0)
        if iteration % 7 == 0:
            run.refresh()
    writer.close("finished")
    for reader in (run, open_run(place)):
        reader.refresh()
        assert reader.scalar_series("loss")[1].tolist() == list(map(float, range(40)))
    assert run.n_journal_segments > 5


def test_steps_wait_for_each_other_but_commits_do_not(s3):
    """Ten steps within the interval are one object, put once; a commit is seen at once."""
    writer = start(f"s3://bucket/{uuid.uuid4().hex}/run")
    made_runs.write(writer, 0)
    s3.clear()
    for iteration in range(1, 11):
        writer.log_step(iteration, {"loss": 1.0}, 0.0)
    assert s3.requests == []
    writer.commit(made_runs.snapshot(11))
    assert {method for method, _ in s3.requests} == {"PUT"}
    assert len(s3.requests) == 2 * len(made_runs.ARRAYS) + 2, (
        "each file, the record, the journal: one PUT each"
    )
    assert s3.paths[-2].endswith("00000011/zarr.json"), "the record comes behind its chunks"
    assert s3.paths[-1].endswith("journal/000000.log")
    run = open_run(writer.path)
    assert run.iterations.tolist() == [0, 11]
    assert run.step_count == 11
    writer.close("finished")


# The number of requests


@pytest.fixture(scope="module")
def long_run(s3, tmp_path_factory) -> str:
    """200 snapshots, uploaded: of their groups only the last, since no other is read here."""
    with small_blocks(snapshots=50):
        path = made_runs.make_run(tmp_path_factory.mktemp("long") / "run", iterations=200)
    for group in (path / "iterations").iterdir():
        if group.name not in ("zarr.json", "00000199"):
            shutil.rmtree(group)
    address = f"s3://bucket/{uuid.uuid4().hex}/run"
    s3fs.S3FileSystem().put(f"{path}/", address.removeprefix("s3://"), recursive=True)
    return address


def test_opening_takes_the_root_the_journal_and_a_look_for_its_next_segment(s3, long_run):
    s3.clear()
    run = open_run(long_run)
    assert len(run) == 200
    assert [path.partition("/run/")[2] for path in s3.paths] == [
        "zarr.json",
        ".paramviz/journal/000000.log",
        ".paramviz/journal/000001.log",
    ]
    assert {method for method, _ in s3.requests} == {"GET"}
    assert not any("?list" in path for path in s3.paths)
    s3.clear()
    assert run.status == "finished"
    assert (len(run.events), len(run.scalar_series("loss")[0])) == (40, 200)
    assert s3.requests == [], "all of that was in the journal"


def test_one_tensor_of_a_known_run_takes_three_requests(s3, long_run):
    run = open_run(long_run)
    assert run.tensors
    s3.clear()
    run[199].values("h.0.fc.weight")
    assert [path.rpartition("/00000199/")[2] for path in s3.paths] == [
        "zarr.json",
        "values/c.0",
        "values/c.0",
    ]
    s3.clear()
    run[199].values("wte.weight")
    assert len(s3.requests) == 2, "the record is known now"


def test_a_refresh_without_news_takes_two_requests(s3, long_run):
    run = open_run(long_run)
    s3.clear()
    assert run.refresh().tolist() == []
    assert len(s3.requests) == 2


def test_a_timeline_takes_a_few_requests_for_each_block(s3, long_run):
    run = open_run(long_run)
    assert run.tensors
    s3.clear()
    stds = [made_runs.snapshot(i).statistics[1, 1] for i in (0, 150, 199)]
    assert run.timeline("h.0.fc.weight", "std")[[0, 150, 199]].tolist() == stds
    assert len(s3.requests) <= 4 * 4
    s3.clear()
    run.timeline("h.0.fc.weight", "mean")
    assert len(s3.requests) <= 4 * 2


# Crashes


def killed_before_its_journal(address: str, iteration: int, monkeypatch: pytest.MonkeyPatch) -> RunWriter:
    """A writer that is killed between the record of `iteration` and its entry in the journal."""
    writer = start(address)
    for earlier in range(iteration):
        made_runs.write(writer, earlier)
    with monkeypatch.context() as patch:
        patch.setattr("paramviz.store.remote_files.RemoteSegment.append", _fail)
        writer.commit(made_runs.snapshot(iteration))
    return writer


def test_a_snapshot_whose_journal_entry_is_missing_is_there_at_once(place, monkeypatch):
    """Killed between the record and the journal; resuming journals it."""
    writer = killed_before_its_journal(place, 1, monkeypatch)
    run = open_run(place)
    assert run.iterations.tolist() == [0, 1]
    assert run.unjournaled_iterations == (1,)
    made_runs.assert_same_snapshot(run[1], 1)
    assert verify_run(place).problems == ()
    assert verify_run(place).iterations == 2
    writer._lock.release()
    writer = RunWriter.resume(place)
    assert writer.last_iteration == 1
    with pytest.raises(ValueError, match="committed already"):
        writer.commit(made_runs.snapshot(1))
    made_runs.write(writer, 2)
    writer.close("finished")
    run = open_run(place)
    assert run.iterations.tolist() == [0, 1, 2]
    made_runs.assert_same_snapshot(run[1], 1)


def test_behind_the_journal_of_a_crashed_run_one_listing_looks(s3, monkeypatch):
    """It begins at the newest snapshot that is known, so its length does not count."""
    address = f"s3://bucket/{uuid.uuid4().hex}/run"
    killed_before_its_journal(address, 20, monkeypatch)
    s3.clear()
    run = open_run(address)
    assert run.iterations.tolist() == list(range(21))
    listings = [path for path in s3.paths if "?list" in path]
    assert len(listings) == 1
    assert sum("/iterations/" in path for path in s3.paths) <= 3, "the found one is asked for, no other"
    assert len(s3.requests) <= 9


def test_a_snapshot_that_is_being_written_stays_hidden(place):
    """Its chunks are there, its record is not."""
    import fsspec

    writer = start(place)
    made_runs.write(writer, 0)
    fs, root = fsspec.core.url_to_fs(place)
    fs.pipe_file(f"{root}/iterations/00000001/values/c.0", b"the first chunk")
    assert open_run(place).iterations.tolist() == [0]
    writer.close("finished")


def _fail(*_: object) -> None:
    raise OSError(5, "the network is gone")


def test_a_store_that_fails_hides_the_snapshot_and_keeps_the_journal_whole(place, monkeypatch):
    """Each write of a commit in turn; what the journal could not take comes with the next entry, once."""

    real_put, committed = RemotePlace.put, []
    writer = start(place)
    for iteration in range(6):
        calls = 0

        def put(self, files, iteration=iteration):
            nonlocal calls
            calls += 1
            if calls == iteration:
                raise OSError(5, "the network is gone")
            real_put(self, files)

        with monkeypatch.context() as patch:
            patch.setattr(RemotePlace, "put", put)
            try:
                writer.commit(made_runs.snapshot(iteration))
            except OSError:
                assert iteration not in open_run(place).iterations
            else:
                committed.append(iteration)
    assert committed == [0, 3, 4, 5]
    writer.log_step(9, {"loss": 1.0}, 0.0)
    writer.close("finished")
    run = open_run(place)
    assert run.iterations_in_commit_order.tolist() == committed
    assert run.events == (Event(0, "validation", "half way"), Event(5, "validation", "half way"))
    for iteration in committed:
        made_runs.assert_same_snapshot(run[iteration], iteration)
    assert verify_run(place).problems == ()


def test_a_place_with_other_things_in_it_is_left_alone(place):
    import fsspec

    fs, root = fsspec.core.url_to_fs(place)
    fs.pipe_file(f"{root}/thesis.tex", b"years of work")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        start(place)
    assert fs.cat_file(f"{root}/thesis.tex") == b"years of work"


def test_damage_in_an_object_store_is_named(place):
    import fsspec

    make_run(place)
    fs, root = fsspec.core.url_to_fs(place)
    fs.rm(f"{root}/iterations/00000001/values/c.0")
    fs.pipe_file(f"{root}/iterations/00000002/vectors/c.0", b"short")
    run = open_run(place)
    with pytest.raises(DamagedRunError, match="is missing") as error:
        run[1].values("wte.weight")
    assert error.value.key == "iterations/00000001/values/c.0"
    with pytest.raises(DamagedRunError):
        run[2].values("h.0.fc.bias")
    assert [problem.key for problem in verify_run(place).problems] == [
        "iterations/00000001/values/c.0",
        "iterations/00000002/vectors/c.0",
    ]
