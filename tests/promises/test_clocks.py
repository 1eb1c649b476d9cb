"""The order of a run is that of its counter; a clock that jumps, or stands still, changes nothing."""

from __future__ import annotations

import itertools
import random
import time

import pytest

import paramviz
from paramviz.store import open_run, verify_run
from tests.promises.training import Training, bare, train, wait_until_handled

SECONDS = itertools.count()
CLOCKS = {
    "jumps": lambda rng: 1_790_000_000 + rng.uniform(-1e8, 1e8),
    "runs backwards": lambda rng: 1_790_000_000.0 - next(SECONDS),
    "stands still": lambda rng: 1_790_000_000.0,
    "lost its battery": lambda rng: 0.0,
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_wrong_clock_changes_neither_order_nor_content(tmp_path, monkeypatch, clock):
    rng = random.Random(clock)
    monkeypatch.setattr(time, "time", lambda: CLOCKS[clock](rng))
    reader = None

    def look(iteration: int) -> None:
        nonlocal reader
        if iteration:
            reader = reader or open_run(tmp_path / "run")
            reader.refresh()
            assert reader.iterations_in_commit_order.tolist() == list(range(iteration))
            assert reader.status == "recording"

    trained = train(tmp_path / "run", 20, look)
    assert (trained.losses, trained.state) == bare(20)
    training = Training()
    with paramviz.Recorder(tmp_path / "run", training.model, resume=True, schedule=1) as recorder:
        recorder.step(20, loss=1.0)
        wait_until_handled(recorder, 1)
    run = open_run(tmp_path / "run")
    assert run.iterations_in_commit_order.tolist() == list(range(21))
    assert [run[i].record.sequence for i in run.iterations.tolist()] == list(range(21))
    assert [event.kind for event in run.events] == ["final", "resume", "final"]
    assert run.scalar_series("loss")[1].tolist() == [*trained.losses, 1.0]
    assert run.status == "finished"
    assert verify_run(tmp_path / "run").problems == ()


def test_after_a_jump_back_the_last_sign_of_life_is_the_last_one(tmp_path, monkeypatch):
    """By it a run from another machine counts as crashed, whatever that machine's clock once said."""
    monkeypatch.setattr(time, "time", lambda: 1_890_000_000.0)
    training = Training()
    recorder = paramviz.Recorder(tmp_path / "run", training.model, schedule=1)
    recorder.step(0)
    wait_until_handled(recorder, 1)
    monkeypatch.setattr(time, "time", lambda: 1_790_000_000.0)
    recorder.step(1)
    wait_until_handled(recorder, 2)
    assert open_run(tmp_path / "run").last_sign_of_life_unix_s == 1_790_000_000.0
    recorder.close()
