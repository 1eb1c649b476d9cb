"""A killed training is continued from where it was, from before, or from its very last iteration."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import pytest

import paramviz
from paramviz.store import layout, verify_run
from paramviz.store.journal import decode_entries
from tests.promises.training import Training, wait_until_handled

EVERY = 3
"""One snapshot in so many iterations; the scalars of all of them are journaled."""


def seals(path: Path) -> dict[str, str]:
    """Each file of a committed snapshot, and what is in it."""
    run = paramviz.open_run(path)
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for iteration in run.iterations.tolist()
        for file in (path / layout.iteration_key(iteration)).rglob("*")
        if file.is_file()
    }


def journaled_commits(path: Path) -> list[int]:
    """The iteration of every commit entry in the journal, in its order."""
    entries = (decode_entries(p.read_bytes())[0] for p in sorted((path / layout.JOURNAL).iterdir()))
    return [entry["i"] for segment in entries for entry in segment if entry["k"] == "commit"]


@pytest.mark.parametrize("where", ["after", "at", "before", "at the last snapshot", "from the start"])
def test_a_killed_training_that_goes_on_from_anywhere_keeps_what_was_committed(
    tmp_path, programs, torture, where
):
    """Nothing twice, nothing overwritten; and who goes back is told of it in the run."""
    rng = random.Random(where)
    for kill in range(20 if torture else 2):
        path = tmp_path / f"run{kill}"
        program = programs.start("train_until_killed", path, EVERY)
        program.wait_for_lines(rng.randrange(4, 14))
        program.kill()
        killed = paramviz.open_run(path)
        before, committed = seals(path), killed.iterations.tolist()
        snapshot = committed[-1]
        reached = max(snapshot, int(killed.scalar_series("loss")[0][-1]))
        losses = dict(zip(*(a.tolist() for a in killed.scalar_series("loss")), strict=True))
        first = {
            "after": reached + 1,
            "at": reached,
            "before": max(0, snapshot - 2),
            "at the last snapshot": snapshot,
            "from the start": 0,
        }[where]
        training = Training()
        end = reached + 7
        with paramviz.Recorder(
            path, training.model, training.optimizer, resume=True, schedule=EVERY
        ) as recorder:
            for iteration in range(first, end):
                recorder.step(iteration, loss=1000.0 + iteration)
        run = paramviz.open_run(path)
        assert recorder.report.repeated_steps == max(0, snapshot + 1 - first)
        assert journaled_commits(path) == run.iterations_in_commit_order.tolist() == run.iterations.tolist()
        due = [i for i in range(max(snapshot + 1, first), end) if i % EVERY == 0 or i == end - 1]
        assert run.iterations.tolist() == [*committed, *due]
        after = seals(path)
        assert {key: after[key] for key in before} == before
        iterations, values = run.scalar_series("loss")
        assert iterations.tolist() == list(range(end))
        assert values.tolist() == [
            losses[i] if i <= snapshot or i < first else 1000.0 + i for i in range(end)
        ]
        turns = [e for e in run.events if e.kind == "resume" and "went back" in e.text]
        if first > reached:
            assert turns == []
        else:
            assert [event.iteration for event in turns] == [first]
            assert turns[0].text.startswith(f"training went back from iteration {reached} to {first}")
            kept = re.search(r"up to (\d+) the first recording stays", turns[0].text)
            assert (kept is not None) == (first <= snapshot)
            assert kept is None or int(kept[1]) == snapshot
        assert verify_run(path).problems == ()


def test_a_training_that_goes_back_within_one_session_is_told_once_each_time(tmp_path, caplog):
    training = Training()
    with paramviz.Recorder(tmp_path / "run", training.model, schedule=1) as recorder:
        for iteration in [*range(6), *range(3, 9), 7, *range(7, 10)]:
            recorder.step(iteration, loss=float(iteration))
    events = paramviz.open_run(tmp_path / "run").events
    assert [(e.iteration, e.text) for e in events if e.kind == "resume"] == [
        (3, "training went back from iteration 5 to 3; up to 5 the first recording stays"),
        (7, "training went back from iteration 8 to 7; up to 8 the first recording stays"),
    ]
    assert recorder.report.repeated_steps == 3 + 1 + 2
    assert paramviz.open_run(tmp_path / "run").iterations.tolist() == list(range(10))
    assert len(caplog.records) == 1


def test_a_counter_that_starts_anew_in_each_epoch_does_not_flood_the_run_with_events(tmp_path):
    training = Training()
    with paramviz.Recorder(tmp_path / "run", training.model, schedule=1) as recorder:
        for _ in range(20):
            for iteration in range(5):
                recorder.step(iteration)
    events = paramviz.open_run(tmp_path / "run").events
    assert [event.kind for event in events] == ["resume", "final"]


def test_a_run_that_was_resumed_many_times_is_one_run(tmp_path, torture):
    """Sessions that end well and sessions that are dropped without a word, in any order."""
    rng = random.Random(8)
    path, end = tmp_path / "run", 0
    for _ in range(100 if torture else 10):
        training = Training()
        recorder = paramviz.Recorder(path, training.model, training.optimizer, resume=True, schedule=1)
        n = rng.randrange(0, 4)
        for done in range(1, n + 1):
            recorder.step(end, loss=float(end))
            wait_until_handled(recorder, done)
            end += 1
        if rng.random() < 0.5:
            recorder.close()
        else:
            recorder._thread.finish("crashed")
            recorder._gradients.remove()
    run = paramviz.open_run(path)
    assert run.iterations.tolist() == journaled_commits(path) == list(range(end))
    assert len(run.plans) == 1
    assert not any("went back" in event.text for event in run.events)
    assert verify_run(path).problems == ()
