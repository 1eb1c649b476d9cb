"""Any operation on the disk may fail, once or from then on: training goes on, and the run stays whole."""

from __future__ import annotations

import contextlib
import errno
import logging
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import paramviz
from paramviz.store import verify_run
from tests.promises.failing_disk import KINDS, failing_disk, nth
from tests.promises.training import Trained, Training, bare, train
from tests.store.small_blocks import small_blocks

ITERATIONS = 5
ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EROFS, errno.ESTALE)

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(autouse=True)
def blocks() -> Iterator[None]:
    """Blocks of two snapshots and three steps, so that a short run writes several."""
    with small_blocks():
        yield


def counted(path: Path) -> dict[int, Counter[str]]:
    """Operations before each step; under `ITERATIONS` those before the end, under -1 all."""
    counts: dict[int, Counter[str]] = {}
    with failing_disk() as disk:
        train(path, ITERATIONS, lambda i: counts.update({i: Counter(disk.counts)}), durability="power")
    return counts | {-1: disk.counts}


def points(kind: str, first: int, last: int, for_ever: bool, torture: bool) -> list[tuple[int, int]]:
    """(n, errno): which operation of a kind fails, and how. All of them under torture, else two."""
    rng = random.Random(f"{kind} {first} {for_ever}")
    chosen = range(first, last) if torture else sorted(rng.sample(range(first, last), min(2, last - first)))
    return [(n, rng.choice(ERRORS)) for n in chosen]


def assert_goes_on(path: Path) -> None:
    """The run can be continued, and what it holds is whole before and after."""
    assert verify_run(path).problems == ()
    training, before = Training(), paramviz.open_run(path).iterations.tolist()
    with paramviz.Recorder(path, training.model, training.optimizer, resume=True, schedule=1) as recorder:
        recorder.step(100, loss=training.step(100))
    assert paramviz.open_run(path).iterations.tolist() == [*before, 100]
    assert verify_run(path).problems == ()
    shutil.rmtree(path)


def assert_training_went_on(path: Path, trained: Trained) -> None:
    """The same numbers as without a recorder; every snapshot is in the run or counted as lost."""
    assert (trained.losses, trained.state) == bare(ITERATIONS)
    iterations = paramviz.open_run(path).iterations
    assert len(iterations) == trained.report.snapshots
    assert trained.report.snapshots + trained.report.lost == ITERATIONS


@pytest.mark.parametrize("kind", KINDS)
def test_one_operation_that_fails_costs_one_snapshot_at_most(tmp_path, caplog, torture, kind):
    """One warning (the end repeats it if the last snapshot is lost), one gap, every step's scalars."""
    counts = counted(tmp_path / "whole")
    for n, number in points(kind, counts[0][kind], counts[ITERATIONS][kind], False, torture):
        caplog.clear()
        path = tmp_path / f"run{n}"
        with caplog.at_level(logging.WARNING), failing_disk() as disk:
            disk.fault = nth(kind, n, number)
            trained = train(path, ITERATIONS, durability="power")
        assert_training_went_on(path, trained)
        run = paramviz.open_run(path)
        gaps = [event.text for event in run.events if event.kind == "gap"]
        assert trained.report.lost == len(gaps) <= 1
        assert all(text.startswith("1 snapshot lost") for text in gaps)
        lost_the_last = ITERATIONS - 1 not in run.iterations
        assert len(gaps) <= len(caplog.records) - lost_the_last <= 1
        assert run.scalar_series("loss")[1].tolist() == trained.losses
        assert [event.kind for event in run.events if event.kind != "gap"] == ["final"]
        assert run.status == "finished"
        assert_goes_on(path)


@pytest.mark.parametrize("kind", KINDS)
def test_operations_that_fail_from_some_moment_on_leave_what_was_committed(tmp_path, caplog, torture, kind):
    """One warning while it trains, one more at the end that says what is missing."""
    counts = counted(tmp_path / "whole")
    for n, number in points(kind, counts[0][kind], counts[ITERATIONS][kind], True, torture):
        caplog.clear()
        path = tmp_path / f"run{n}"
        with caplog.at_level(logging.WARNING), failing_disk() as disk:
            disk.fault = nth(kind, n, number, for_ever=True)
            trained = train(path, ITERATIONS, durability="power")
        assert_training_went_on(path, trained)
        whole = sum(counts[iteration + 1][kind] <= n for iteration in range(ITERATIONS))
        assert paramviz.open_run(path).iterations.tolist()[:whole] == list(range(whole))
        said = [record.getMessage() for record in caplog.records]
        assert sum("Training goes on" in text for text in said) == bool(said)
        assert bool(said) >= bool(trained.report.lost)
        assert len(said) <= 2
        assert_goes_on(path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_that_fails_at_the_end_is_told_and_loses_no_snapshot(tmp_path, caplog, torture, kind):
    counts = counted(tmp_path / "whole")
    for n, number in points(kind, counts[ITERATIONS][kind], counts[-1][kind], False, torture):
        path = tmp_path / f"run{n}"
        with caplog.at_level(logging.WARNING), failing_disk() as disk:
            disk.fault = nth(kind, n, number)
            trained = train(path, ITERATIONS, durability="power")
        assert_training_went_on(path, trained)
        run = paramviz.open_run(path)
        assert trained.report.lost == 0
        assert run.scalar_series("loss")[1].tolist() == trained.losses
        assert run.status in ("finished", "crashed")
        assert_goes_on(path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_that_fails_at_the_beginning_raises_one_error_and_can_be_tried_again(
    tmp_path, torture, kind
):
    """A recorder is made, or an OutputError says why not; the same call with resume=True then does."""
    counts = counted(tmp_path / "whole")
    for n, number in points(kind, 0, counts[0][kind], False, torture):
        path, training = tmp_path / f"run{n}", Training()
        with failing_disk() as disk:
            disk.fault = nth(kind, n, number)
            with contextlib.suppress(paramviz.OutputError):
                paramviz.Recorder(path, training.model, training.optimizer).close()
        paramviz.Recorder(path, training.model, training.optimizer, resume=True).close()
        assert_goes_on(path)
