"""When a snapshot is due."""

from __future__ import annotations

import pytest

from paramviz.errors import UsageError
from paramviz.schedule import adaptive, make_schedule


def test_adaptive_takes_every_iteration_below_100():
    assert all(adaptive(i) for i in range(100))


def test_adaptive_takes_every_tenth_below_1000():
    assert [i for i in range(100, 1000) if adaptive(i)] == list(range(100, 1000, 10))


def test_adaptive_takes_every_hundredth_from_1000_on():
    assert [i for i in range(1000, 5000) if adaptive(i)] == list(range(1000, 5000, 100))


def test_a_thousand_iterations_have_190_snapshots():
    assert sum(adaptive(i) for i in range(1000)) == 190


def test_the_name_adaptive_means_the_adaptive_schedule():
    assert make_schedule("adaptive") is adaptive


@pytest.mark.parametrize("schedule", [25, "25", " 25 "])
def test_a_number_means_every_nth_iteration_from_zero(schedule):
    """Also as text, as it comes from a command line."""
    due = make_schedule(schedule)
    assert [i for i in range(101) if due(i)] == [0, 25, 50, 75, 100]


def test_a_function_is_taken_as_it_is():
    def odd(iteration: int) -> bool:
        return iteration % 2 == 1

    assert make_schedule(odd) is odd


@pytest.mark.parametrize("schedule", [0, -3, "0", "", "often", "1.5", "-3", 2.5, True, None])
def test_anything_else_is_refused_with_what_is_allowed(schedule):
    with pytest.raises(UsageError, match="adaptive") as caught:
        make_schedule(schedule)
    assert caught.value.exit_code == 2
