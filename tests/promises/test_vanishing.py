"""The directory of a run is moved or removed under the recorder, or the process may open no more files."""

from __future__ import annotations

import logging
import shutil

import pytest

import paramviz
from paramviz.store import verify_run
from tests.promises.training import bare, train

ITERATIONS = 9

pytestmark = pytest.mark.usefixtures("eager")


def test_a_run_that_is_moved_away_and_back_goes_on(tmp_path, caplog):
    path = tmp_path / "run"

    def change(iteration: int) -> None:
        if iteration == 3:
            path.rename(tmp_path / "elsewhere")
        elif iteration == 6:
            (tmp_path / "elsewhere").rename(path)

    with caplog.at_level(logging.WARNING):
        trained = train(path, ITERATIONS, change)
    assert (trained.losses, trained.state) == bare(ITERATIONS)
    run = paramviz.open_run(path)
    assert run.iterations.tolist() == [0, 1, 2, 6, 7, 8]
    assert [event.text for event in run.events if event.kind == "gap"] == [
        "3 snapshots lost (iterations 3 to 5): No such file or directory"
    ]
    assert run.scalar_series("loss")[1].tolist() == trained.losses
    assert len(caplog.records) == 1
    assert verify_run(path).problems == ()


def test_a_run_that_is_moved_away_for_good_ends_there_with_its_gap(tmp_path, caplog):
    """The journal is open and moves along; snapshots need the path."""
    path, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    with caplog.at_level(logging.WARNING):
        trained = train(path, ITERATIONS, lambda i: path.rename(elsewhere) if i == 3 else None)
    assert (trained.losses, trained.state) == bare(ITERATIONS)
    assert trained.report.lost == 6
    run = paramviz.open_run(elsewhere)
    assert run.iterations.tolist() == [0, 1, 2]
    assert run.scalar_series("loss")[1].tolist() == trained.losses
    assert "6 snapshots lost" in "".join(event.text for event in run.events)
    assert sum("Training goes on" in record.getMessage() for record in caplog.records) == 1
    assert len(caplog.records) == 2
    assert verify_run(elsewhere).problems == ()
    assert not path.exists()


def test_a_run_that_is_removed_costs_no_training_and_is_not_begun_anew(tmp_path, caplog):
    """Half a run that looks whole would be worse than none."""
    path = tmp_path / "run"
    with caplog.at_level(logging.WARNING):
        trained = train(path, ITERATIONS, lambda i: shutil.rmtree(path) if i == 3 else None)
    assert (trained.losses, trained.state) == bare(ITERATIONS)
    assert (trained.report.snapshots, trained.report.lost) == (3, 6)
    assert sum("Training goes on" in record.getMessage() for record in caplog.records) == 1
    assert not path.exists()


def test_a_folder_that_is_removed_within_the_run_is_damage_and_not_mended_in_silence(tmp_path, caplog):
    path = tmp_path / "run"
    with caplog.at_level(logging.WARNING):
        trained = train(
            path, ITERATIONS, lambda i: shutil.rmtree(path / "iterations/00000002") if i == 4 else None
        )
    assert (trained.losses, trained.state) == bare(ITERATIONS)
    assert trained.report.lost == 0
    assert [p.key for p in verify_run(path).problems] == ["iterations/00000002/zarr.json"]


@pytest.mark.parametrize("limit", ["files", "bytes"])
def test_a_limit_of_the_process_costs_snapshots_and_no_training(tmp_path, programs, limit):
    """RLIMIT_NOFILE: not one more file may be opened; RLIMIT_FSIZE: no file may have more than 200 bytes."""
    path = tmp_path / "run"
    program = programs.start("train_under_a_limit", path, limit)
    assert program.wait() == 0, program.errors.read_text()
    run = paramviz.open_run(path)
    assert run.iterations.tolist() == [0, 1, 2, 6, 7, 8]
    gaps = [event.text for event in run.events if event.kind == "gap"]
    reason = {"files": "Too many open files", "bytes": "File too large"}[limit]
    assert gaps == [f"3 snapshots lost (iterations 3 to 5): {reason}"]
    assert run.scalar_series("loss")[1].tolist() == bare(ITERATIONS)[0]
    assert run.status == "finished"
    assert program.errors.read_text().count("Training goes on") == 1
    assert verify_run(path).problems == ()
