"""Cursors: whatever the cut, the pieces of a run's history make up the whole, once each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paramviz.schema import Event, GradientStates, Snapshot
from paramviz.store import RunWriter, open_run
from tests.store import made_runs
from viewer.opened import OpenedRun
from viewer.updates import MAX_STEPS_PER_UPDATE, Cursor, cursor_now, update_since


def opened(path):
    return OpenedRun("x", lambda: open_run(path))


@given(cuts=st.lists(st.integers(0, 12), max_size=4))
def test_updates_cut_anywhere_add_up_to_the_whole(tmp_path_factory, cuts):
    """A reader that looks after any number of writes is told each commit, step and event exactly once."""
    path = tmp_path_factory.mktemp("run") / "run"
    writer = RunWriter.create(path, description={})
    nothing = np.empty(0, np.int64)
    writer.add_plan([], nothing, nothing)
    follower, cursor = opened(path), Cursor()
    seen = {"iterations": [], "scalars": [], "events": []}

    def look():
        nonlocal cursor
        follower.look()
        update, cursor = update_since(follower, cursor)
        for key, items in seen.items():
            items += update[key] if update else []

    for iteration in range(12):
        if iteration in cuts:
            look()
        writer.log_step(iteration, {"loss": 1.0}, 0.0)
        writer.commit(Snapshot(iteration, 0, "core", 0.0, {}, [], GradientStates()))
        writer.log_event(Event(iteration, "gap", str(iteration)))
    writer.close("finished")
    look()
    assert seen["iterations"] == list(range(12))
    assert [iteration for iteration, _ in seen["scalars"]] == list(range(12))
    assert [event["text"] for event in seen["events"]] == list(map(str, range(12)))
    assert update_since(follower, cursor) == (None, cursor)


def test_a_long_history_comes_in_bounded_messages(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    n_steps = MAX_STEPS_PER_UPDATE + 10
    for iteration in range(n_steps):
        writer.log_step(iteration, {"loss": 1.0}, 0.0)
    follower = opened(tmp_path / "run")
    first, cursor = update_since(follower, Cursor())
    second, cursor = update_since(follower, cursor)
    assert [len(first["scalars"]), len(second["scalars"])] == [MAX_STEPS_PER_UPDATE, 10]
    assert cursor == cursor_now(follower)
    writer.close("finished")


def test_a_cursor_from_another_life_starts_over(tmp_path):
    """The run at this address was replaced by a shorter one: the page is told everything."""
    follower = opened(made_runs.make_run(tmp_path / "run"))
    update, _ = update_since(follower, Cursor.parse("500.500.500.r"))
    assert update["iterations"] == [0, 1, 2]


@given(
    st.builds(
        Cursor, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from("rfc-")
    )
)
def test_a_cursor_survives_its_text(cursor):
    assert Cursor.parse(str(cursor)) == cursor


def test_an_empty_cursor_is_the_start():
    assert Cursor.parse("") == Cursor()


def test_a_growing_run_recommends_a_newer_basis_in_its_updates(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    follower, cursor, bases = opened(tmp_path / "run"), Cursor(), []
    for iteration in range(8):
        made_runs.write(writer, iteration)
        follower.look()
        update, cursor = update_since(follower, cursor)
        bases.append(update["basis"])
    assert bases == [0, 1, 1, 3, 3, 3, 3, 7]
    writer.close("finished")
