"""Writing the journal while the disk fails: each entry once, few segments, nothing stuck."""

from __future__ import annotations

import errno
import logging
import os

import pytest

import paramviz
from paramviz.schema import Event
from paramviz.store import layout, open_run, verify_run
from paramviz.store.files import DirectoryFiles
from tests.promises.failing_disk import every, failing_disk, nth
from tests.promises.training import Training, train
from tests.store import made_runs


@pytest.mark.parametrize("kind", ["write", "fsync"])
def test_an_event_that_fails_half_way_and_is_written_again_is_there_once(tmp_path, kind):
    with failing_disk() as disk:
        writer = made_runs.create(tmp_path / "run", durability="power")
        disk.fault = nth(kind, disk.counts[kind])
        event = Event(3, "gap", "1 snapshot lost")
        with pytest.raises(OSError, match="Input/output"):
            writer.log_event(event)
        writer.log_event(event)
        writer.close("finished")
    assert open_run(tmp_path / "run").events == (event,)
    assert verify_run(tmp_path / "run").notes == ()


def test_a_commit_whose_journal_entry_fails_is_journaled_once(tmp_path):
    with failing_disk() as disk:
        writer = made_runs.create(tmp_path / "run", durability="power")
        made_runs.add_plan(writer)
        made_runs.add_basis(writer)
        before = disk.counts["write"]
        made_runs.write(writer, 0)
        disk.fault = nth("write", 2 * disk.counts["write"] - before - 1)
        made_runs.write(writer, 5)
        writer.close("finished")
    run = open_run(tmp_path / "run")
    assert run.iterations.tolist() == [0, 5]
    assert [event.iteration for event in run.events] == [0, 5]
    assert run.unjournaled_iterations == ()


def test_a_long_outage_for_want_of_space_leaves_no_heap_of_segments(tmp_path):
    with failing_disk() as disk:
        writer = made_runs.create(tmp_path / "run")
        disk.fault = every(errno.ENOSPC, ("write",))
        for iteration in range(50):
            with pytest.raises(OSError, match="No space"):
                writer.log_step(iteration, {"loss": 1.0}, 0.0)
        disk.fault = lambda kind, n: None
        writer.log_step(50, {"loss": 1.0}, 0.0)
        writer.close("finished")
    assert open_run(tmp_path / "run").scalar_series("loss")[0].tolist() == [50]
    assert len(os.listdir(tmp_path / "run" / layout.JOURNAL)) == 1


def test_a_segment_that_was_made_but_not_opened_does_not_end_the_journal(tmp_path):
    """The answer was lost on a network file system, or its folder could not be synchronised."""
    writer = made_runs.create(tmp_path / "run")
    (tmp_path / "run" / layout.journal_segment(1)).touch()
    with failing_disk() as disk:
        disk.fault = nth("write", 0)
        with pytest.raises(OSError, match="Input/output"):
            writer.log_step(0, {"loss": 1.0}, 0.0)
    writer.log_step(1, {"loss": 2.0}, 0.0)
    writer.close("finished")
    assert open_run(tmp_path / "run").scalar_series("loss")[0].tolist() == [1]
    assert open_run(tmp_path / "run").status == "finished"


def test_beginnings_that_fail_leave_no_file_open(tmp_path):
    made_runs.make_run(tmp_path / "run", iterations=1)
    open_files = len(os.listdir("/proc/self/fd"))
    for attempt in range(10):
        with failing_disk() as disk:
            disk.fault = every(errno.ENOSPC, ("replace",))
            with pytest.raises(paramviz.OutputError):
                made_runs.create(tmp_path / f"other{attempt}")
            disk.fault = every(errno.EIO, ("write",))
            with pytest.raises(paramviz.OutputError):
                paramviz.store.RunWriter.resume(tmp_path / "run")
    assert len(os.listdir("/proc/self/fd")) == open_files


def test_what_cannot_be_published_takes_no_room(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    with failing_disk() as disk:
        disk.fault = every(errno.ENOSPC, ("replace",))
        for iteration in range(5):
            with pytest.raises(OSError, match="No space"):
                writer.commit(made_runs.snapshot(iteration))
    writer.close("crashed")
    assert os.listdir(tmp_path / "run" / layout.STAGING) == []
    assert os.listdir(tmp_path / "run" / layout.ITERATIONS) == [layout.GROUP_RECORD]


def test_a_snapshot_that_failed_behind_its_publishing_is_taken_back_record_first(tmp_path, monkeypatch):
    """What cannot be removed wholly must not look committed while half of it is gone."""
    with failing_disk() as disk:
        writer = made_runs.create(tmp_path / "run", durability="power")
        made_runs.add_plan(writer)
        made_runs.add_basis(writer)
        replaced = disk.counts["replace"]
        disk.fault = lambda kind, n: (
            OSError(errno.EIO, "lost") if kind == "fsync" and disk.counts["replace"] > replaced else None
        )
        monkeypatch.setattr("paramviz.store.files.shutil.rmtree", lambda *args, **kwargs: None)
        with pytest.raises(OSError, match="lost"):
            writer.commit(made_runs.snapshot(0))
    writer.close("crashed")
    assert open_run(tmp_path / "run").iterations.tolist() == []
    assert verify_run(tmp_path / "run").problems == ()


def test_with_durability_power_every_new_folder_on_the_way_to_the_run_is_synchronised(tmp_path, monkeypatch):
    synced: list[str] = []
    sync = DirectoryFiles._sync_folder
    monkeypatch.setattr(
        DirectoryFiles, "_sync_folder", lambda files, key: (synced.append(str(key)), sync(files, key))
    )
    made_runs.create(tmp_path / "a" / "b" / "run", durability="power").close("finished")
    assert synced[:3] == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


@pytest.mark.usefixtures("eager")
def test_a_text_that_cannot_be_written_does_not_hold_up_what_comes_after(tmp_path, caplog):
    """A lone surrogate (from a path that is no UTF-8) becomes its escape; megabytes are left out."""
    training = Training()
    with (
        caplog.at_level(logging.WARNING),
        paramviz.Recorder(tmp_path / "run", training.model, schedule=100) as recorder,
    ):
        recorder.step(0, loss=1.0)
        recorder.step(1, loss=1.0, metrics={"bad\udcff": 2.0})
        recorder.step(1, event="checkpoint", text="saved to \udcff.pt")
        recorder.step(2, metrics={"long" * 300_000: 1.0})
        recorder.step(3, loss=1.0)
    run = paramviz.open_run(tmp_path / "run")
    assert run.scalar_series("loss")[0].tolist() == [0, 1, 3]
    assert run.scalar_series("bad\\udcff")[1].tolist() == [2.0]
    assert run.status == "finished"
    assert run.events[0].text == "saved to \\udcff.pt"
    assert recorder.report.dropped_steps == 1
    assert verify_run(tmp_path / "run").problems == ()
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("eager")
def test_a_gap_says_nothing_of_the_paths_of_this_machine(tmp_path):
    with failing_disk() as disk:

        def fail(iteration: int) -> None:
            disk.fault = every(errno.ENOSPC, ("mkdir",)) if iteration in (1, 2, 3) else lambda kind, n: None

        train(tmp_path / "run", 5, fail)
    gaps = [event.text for event in paramviz.open_run(tmp_path / "run").events if event.kind == "gap"]
    assert gaps == ["3 snapshots lost (iterations 1 to 3): No space left on device"]
