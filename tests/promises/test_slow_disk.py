"""A disk that is slower than training: bounded memory, snapshots dropped and counted, and nobody waits."""

from __future__ import annotations

import logging
import random
import threading

import pytest

import paramviz
from paramviz.recorder import frames
from paramviz.recorder.frames import FramePool
from paramviz.store import verify_run
from tests.promises.failing_disk import FailingDisk, failing_disk
from tests.promises.training import bare, train


class Pool:
    """What the recorder asked its pool of frames for, and how many were out at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.peak = 0
        self.waits_s: list[float] = []
        take = FramePool.take

        def watched(pool: FramePool, plan: object, timeout_s: float = 0.0) -> object:
            self.waits_s.append(timeout_s)
            frame = take(pool, plan, timeout_s)
            self.peak = max(self.peak, pool._out)
            return frame

        monkeypatch.setattr(FramePool, "take", watched)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_what_a_slow_disk_cannot_take_is_dropped_counted_and_told(
    tmp_path, monkeypatch, caplog, torture, most
):
    """Delays in every operation, of a length that changes from step to step."""
    iterations = 400 if torture else 40
    monkeypatch.setattr(frames, "FEWEST", most)
    monkeypatch.setattr(frames, "MOST", most)
    pool, rng = Pool(monkeypatch), random.Random(most)
    with failing_disk() as disk, caplog.at_level(logging.WARNING):

        def before_step(iteration: int) -> None:
            disk.delay_s = rng.choice([0.0, 0.001, 0.003])

        trained = train(tmp_path / "run", iterations, before_step, wait=False)
    report = trained.report
    assert (trained.losses, trained.state) == bare(iterations)
    assert 1 <= pool.peak <= most
    assert report.snapshots + report.lost == iterations
    assert report.lost > 0
    run = paramviz.open_run(tmp_path / "run")
    assert len(run.iterations) == report.snapshots
    gaps = [event for event in run.events if event.kind == "gap"]
    assert sum(int(gap.text.split()[0]) for gap in gaps) == report.lost
    assert all("too slow" in gap.text for gap in gaps)
    assert run.scalar_series("loss")[1].tolist() == trained.losses
    assert run.status == "finished"
    assert caplog.records == []
    assert verify_run(tmp_path / "run").problems == ()


def test_the_training_thread_touches_no_file_and_waits_for_no_frame(tmp_path, monkeypatch):
    """Operations between the first and the last step are another thread's; frames are there or are not."""
    pool = Pool(monkeypatch)
    with failing_disk() as disk:

        def before_step(iteration: int) -> None:
            if iteration == 0:
                disk.threads.clear()
            elif iteration == 20:
                seen.update(disk.threads)

        seen: set[int] = set()
        train(tmp_path / "run", 20, before_step)
    assert seen
    assert threading.get_ident() not in seen
    assert pool.waits_s == [0.0] * 20


def test_memory_for_waiting_frames_follows_their_size(tmp_path, monkeypatch):
    """64 MB of them at most, however many steps the disk is behind."""
    monkeypatch.setattr(frames, "_frame_bytes", lambda plan: frames.WAITING_BYTES // 3)
    pool = Pool(monkeypatch)
    gate = threading.Event()
    with failing_disk() as disk:
        hold(disk, gate)

        def before_step(iteration: int) -> None:
            if iteration == 12:
                gate.set()

        trained = train(tmp_path / "run", 12, before_step, wait=False)
    assert pool.peak == 3
    # The last state is worth waiting for: leaving the `with` takes it once there is room.
    assert trained.report.lost == 8
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == [0, 1, 2, 11]


def hold(disk: FailingDisk, gate: threading.Event) -> None:
    """Let every operation of another thread wait for the gate: a disk that hangs."""
    trained_by = threading.get_ident()

    def fault(kind: str, n: int) -> None:
        if threading.get_ident() != trained_by:
            assert gate.wait(60)

    disk.fault = fault
