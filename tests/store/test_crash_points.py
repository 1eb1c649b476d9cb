"""Killed or without power at every single point of a short run."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from paramviz.errors import DamagedRunError, NotARunError
from paramviz.store import RunWriter, open_run, verify_run
from paramviz.store.files import Durability
from tests.store import made_runs
from tests.store.recorded_disk import Operation, ProcessKilled, RecordedDisk, after_power_loss
from tests.store.small_blocks import small_blocks

pytestmark = pytest.mark.slow

ITERATIONS = 3


def record(path: Path, disk: RecordedDisk, durability: Durability = "process") -> list[int]:
    """Make a short run on a disk; returns for each commit the number of operations before it was done.

    Blocks are sealed in its midst and at its end.
    """
    commits: list[int] = []
    with pytest.MonkeyPatch.context() as patch, small_blocks():
        patch.setattr("paramviz.store.files.os", disk)
        writer = None
        try:
            writer = made_runs.create(path, durability=durability)
            made_runs.add_plan(writer)
            made_runs.add_basis(writer)
            for iteration in range(ITERATIONS):
                made_runs.write(writer, iteration)
                commits.append(len(disk.operations))
            writer.close("finished")
        except ProcessKilled:
            if writer is not None:
                writer._lock.release()
    return commits


def all_operations(tmp_path: Path, durability: Durability = "process") -> tuple[list[Operation], list[int]]:
    disk = RecordedDisk()
    commits = record(tmp_path / "whole", disk, durability)
    shutil.rmtree(tmp_path / "whole")
    return disk.operations, commits


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_killed_at_every_file_operation_nothing_committed_is_lost(tmp_path, before, torture):
    """At each operation of a three-iteration run; then the run is resumed and finished."""
    operations, commits = all_operations(tmp_path)
    step = 1 if torture else 3
    for kill_at in range(0, len(operations), step):
        path = tmp_path / f"run{kill_at}"
        record(path, RecordedDisk(kill_at=kill_at, before=before))
        committed = sum(done <= kill_at for done in commits)
        try:
            run = open_run(path)
        except NotARunError:
            assert committed == 0
            made_runs.make_run(path)
            made_runs.assert_same_snapshot(open_run(path)[0], 0)
            continue
        found = run.iterations.tolist()
        assert found in (list(range(committed)), list(range(committed + 1)))
        assert verify_run(path).problems == ()
        writer = RunWriter.resume(path)
        if not run.plans:
            made_runs.add_plan(writer)
        if run.n_bases == 0:
            made_runs.add_basis(writer)
        for iteration in range(len(found), ITERATIONS):
            made_runs.write(writer, iteration)
        writer.close("finished")
        run = open_run(path)
        assert run.iterations.tolist() == [0, 1, 2]
        assert run.scalar_series("loss")[0].tolist() == [0, 1, 2]
        stds = [made_runs.snapshot(i).statistics[1, 1] for i in range(ITERATIONS)]
        assert run.timeline("h.0.fc.weight", "std").tolist() == stds
        for iteration in range(ITERATIONS):
            made_runs.assert_same_snapshot(run[iteration], iteration)
        assert verify_run(path).problems == ()
        shutil.rmtree(path)


def test_with_durability_power_what_is_committed_survives_a_power_failure(tmp_path, torture):
    """Unsynchronised operations are dropped at random, in 2,000 states of the disk under torture."""
    operations, commits = all_operations(tmp_path, "power")
    rng = random.Random(5)
    for _ in range(2000 if torture else 60):
        cut = rng.randrange(len(operations) + 1)
        after_power_loss(
            operations[:cut], tmp_path / "whole", tmp_path / "found", rng, keep=rng.choice([0.0, 0.5, 0.9])
        )
        committed = sum(done <= cut for done in commits)
        try:
            run = open_run(tmp_path / "found")
        except (NotARunError, DamagedRunError):
            assert committed == 0
            continue
        assert run.iterations.tolist()[:committed] == list(range(committed))
        for iteration in range(committed):
            made_runs.assert_same_snapshot(run[iteration], iteration)


def test_by_default_a_power_failure_may_cost_snapshots_but_never_gives_wrong_numbers(tmp_path, torture):
    operations, _ = all_operations(tmp_path)
    rng = random.Random(6)
    lost = 0
    for _ in range(2000 if torture else 60):
        cut = rng.randrange(len(operations) + 1)
        after_power_loss(
            operations[:cut], tmp_path / "whole", tmp_path / "found", rng, keep=rng.choice([0.5, 0.9, 0.99])
        )
        try:
            run = open_run(tmp_path / "found")
        except (NotARunError, DamagedRunError):
            lost += 1
            continue
        for iteration in run.iterations.tolist():
            try:
                for key in made_runs.ARRAYS:
                    run[iteration].array(key)
            except DamagedRunError:
                lost += 1
            else:
                made_runs.assert_same_snapshot(run[iteration], iteration)
    assert lost, "the simulated disk really loses something"
