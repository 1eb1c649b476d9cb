"""A small disk fills up at any point of a run: training goes on, and recording with it once there is room."""

from __future__ import annotations

import errno
import logging
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import paramviz
from paramviz.store import verify_run
from tests.promises.failing_disk import every, failing_disk
from tests.promises.small_disk import PAGE, PAGES, SmallDisk, can_mount, small_disk
from tests.promises.training import bare, train

ITERATIONS = 24
RELIEF = 16
"""Before this iteration there is room again."""

pytestmark = pytest.mark.usefixtures("eager")


@pytest.fixture(scope="module")
def may_mount(tmp_path_factory) -> bool:
    return can_mount(tmp_path_factory.mktemp("mount") / "trial")


@pytest.fixture(params=["tmpfs", "quota"])
def disk(request, tmp_path, may_mount) -> Iterator[SmallDisk]:
    """A mounted tmpfs, and its rule as a stand-in for `os`; where mounting is refused the latter twice."""
    with small_disk(tmp_path / "disk", mounted=request.param == "tmpfs" and may_mount) as made:
        yield made


def pages_of_a_run(disk: SmallDisk) -> int:
    """Pages of a run with all of its snapshots; the disk is empty again."""
    train(disk.path / "whole", ITERATIONS)
    pages = sum(-(-path.stat().st_size // PAGE) for path in disk.path.rglob("*") if path.is_file())
    shutil.rmtree(disk.path / "whole")
    return pages


def test_at_any_fill_level_training_goes_on_and_recording_resumes(disk, caplog, torture):
    """From a disk on which not even the beginning of a run fits to one that holds it all."""
    whole = pages_of_a_run(disk)
    assert whole < PAGES
    n_levels, outcomes = (50 if torture else 5), []
    for level in range(n_levels):
        caplog.clear()
        path = disk.path / f"run{level}"
        disk.leave(level * (whole + whole // 10) // (n_levels - 1))
        with caplog.at_level(logging.WARNING):
            try:
                trained = train(path, ITERATIONS, lambda i: disk.relieve() if i == RELIEF else None)
            except paramviz.OutputError:
                outcomes.append("refused")
                disk.relieve()
                shutil.rmtree(path, ignore_errors=True)
                continue
        assert (trained.losses, trained.state) == bare(ITERATIONS)
        run = paramviz.open_run(path)
        gaps = [event.text for event in run.events if event.kind == "gap"]
        assert trained.report.snapshots + trained.report.lost == ITERATIONS
        assert len(run.iterations) == trained.report.snapshots
        assert sum(int(text.split()[0]) for text in gaps) == trained.report.lost
        assert set(run.iterations.tolist()) >= set(range(RELIEF, ITERATIONS))
        assert len(caplog.records) == bool(gaps)
        assert run.scalar_series("loss")[1].tolist() == trained.losses
        assert run.status == "finished"
        assert verify_run(path).problems == ()
        outcomes.append("lost some" if gaps else "whole")
        shutil.rmtree(path)
    assert list(dict.fromkeys(outcomes)) == ["refused", "lost some", "whole"]


@contextmanager
def read_only(path: Path, *, mounted: bool) -> Iterator[None]:
    """Over the directory lies a read-only mount of itself; or a stand-in for `os` refuses what that refuses.

    File modes stop no test that runs as root. What is open already can still be written.
    """
    if not mounted:
        with failing_disk() as disk:
            disk.fault = every(errno.EROFS, ("open", "mkdir", "replace"))
            yield
        return
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.parametrize("mounted", [True, False], ids=["mounted", "shim"])
def test_a_directory_that_is_read_only_for_a_while_costs_snapshots_only(tmp_path, may_mount, caplog, mounted):
    path, spell = tmp_path / "run", ExitStack()

    def change(iteration: int) -> None:
        if iteration == 3:
            spell.enter_context(read_only(path, mounted=mounted and may_mount))
        elif iteration == 6:
            spell.close()

    with caplog.at_level(logging.WARNING), spell:
        trained = train(path, 9, change)
    assert (trained.losses, trained.state) == bare(9)
    run = paramviz.open_run(path)
    assert run.iterations.tolist() == [0, 1, 2, 6, 7, 8]
    assert [e.text for e in run.events if e.kind == "gap"] == [
        "3 snapshots lost (iterations 3 to 5): Read-only file system"
    ]
    assert run.scalar_series("loss")[1].tolist() == trained.losses
    assert len(caplog.records) == 1
    assert verify_run(path).problems == ()


def test_a_run_cannot_begin_in_a_read_only_directory_and_leaves_nothing(tmp_path, may_mount):
    (tmp_path / "place").mkdir()
    with (
        read_only(tmp_path / "place", mounted=may_mount),
        pytest.raises(paramviz.OutputError, match="Read-only"),
    ):
        train(tmp_path / "place" / "run", 1)
    assert list((tmp_path / "place").iterdir()) == []
