"""A file system that shows things late and in any order: nothing wrong is read, and all in the end."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from paramviz.errors import DamagedRunError, NotARunError, TensorNotFoundError
from paramviz.schema import Event
from paramviz.store import Run, RunWriter, verify_run
from tests.promises.late_source import LateSource
from tests.store import made_runs
from tests.store.small_blocks import small_blocks


class Recording:
    """A run that grows by steps, snapshots, events and new sessions, and everything that is true of it."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path = path
        self._rng = rng
        self._writer = made_runs.start(path)
        self.committed: list[int] = []
        self.losses: dict[int, float] = {}
        self.events: list[Event] = []
        self._next = 0

    def go_on(self) -> None:
        """One more iteration; sometimes in a new session, after an end or a crash."""
        if self._rng.random() < 0.15:
            self._resume()
        made = made_runs.snapshot(self._next)
        self._writer.log_step(self._next, made.scalars, made.time_unix_s)
        self.losses[self._next] = made.scalars["loss"]
        if self._rng.random() < 0.7:
            self._writer.commit(made)
            self.committed.append(self._next)
            self.events += made.events
        if self._rng.random() < 0.1:
            self.events.append(Event(self._next, "gap", f"said at {self._next}"))
            self._writer.log_event(self.events[-1])
        self._next += self._rng.choice([1, 1, 3])

    def end(self) -> None:
        self._writer.close("finished")

    def _resume(self) -> None:
        if self._rng.random() < 0.5:
            self._writer.close("crashed")
        else:
            self._writer._lock.release()
        self._writer = RunWriter.resume(self.path)
        if self.committed:
            self.events.append(Event(self.committed[-1], "resume", f"resumed after {self.committed[-1]}"))


class Onlooker:
    """A reader on another machine, and what it may see: nothing that was not recorded."""

    def __init__(self, recording: Recording, rng: random.Random) -> None:
        self._recording = recording
        self._source = LateSource(recording.path, rng, rng.choice([0.1, 0.5, 0.9]))
        self._run: Run | None = None
        self._seen: set[int] = set()

    def look(self) -> None:
        """Whatever can be read is what was recorded; what cannot yet says so by an error."""
        run = self._open()
        if run is None:
            return
        run.refresh()
        iterations = run.iterations.tolist()
        assert self._seen <= set(iterations) <= set(self._recording.committed)
        self._seen = set(iterations)
        for iteration in iterations[-3:]:
            self._read(run, iteration)
        read = dict(zip(*(a.tolist() for a in run.scalar_series("loss")), strict=True))
        assert read.items() <= self._recording.losses.items()
        assert Counter(run.events) <= Counter(self._recording.events)
        try:
            stds = run.timeline("h.0.fc.weight", "std").tolist()
        except (DamagedRunError, TensorNotFoundError):
            return
        assert stds == [made_runs.snapshot(i).statistics[1, 1] for i in iterations]

    def catch_up(self) -> None:
        """All delays are over: this very reader has everything, and nothing in it is damage."""
        self._source.settle()
        run = self._open()
        assert run is not None
        run.refresh()
        assert run.iterations.tolist() == self._recording.committed
        for iteration in self._recording.committed:
            made_runs.assert_same_snapshot(run[iteration], iteration)
        iterations, values = run.scalar_series("loss")
        assert dict(zip(iterations.tolist(), values.tolist(), strict=True)) == self._recording.losses
        assert Counter(run.events) == Counter(self._recording.events)
        assert run.status == "finished"
        stds = [made_runs.snapshot(i).statistics[1, 1] for i in self._recording.committed]
        assert run.timeline("h.0.fc.weight", "std").tolist() == stds

    def _open(self) -> Run | None:
        if self._run is None:
            try:
                self._run = Run(self._source)
            except (NotARunError, DamagedRunError):
                return None
        return self._run

    def _read(self, run: Run, iteration: int) -> None:
        made_runs.assert_right_or_refused(run, iteration)


@pytest.mark.parametrize("seed", range(4))
def test_readers_see_nothing_wrong_and_catch_up(tmp_path, torture, seed):
    """Readers that came at the beginning and readers that came late; sessions that end and crash."""
    for round_ in range(50 if torture else 1):
        rng = random.Random(1000 * round_ + seed)
        with small_blocks():
            recording = Recording(tmp_path / f"run{round_}", rng)
            onlookers = [Onlooker(recording, rng)]
            for _ in range(30):
                recording.go_on()
                if rng.random() < 0.1:
                    onlookers.append(Onlooker(recording, rng))
                for onlooker in onlookers:
                    if rng.random() < 0.6:
                        onlooker.look()
            recording.end()
            for onlooker in onlookers:
                onlooker.look()
                onlooker.catch_up()
        assert verify_run(recording.path).problems == ()
