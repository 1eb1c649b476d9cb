"""When a snapshot is due.

A schedule is asked once per iteration and answers from the number alone, so
that two runs with the same schedule can be compared snapshot by snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from paramviz.errors import UsageError

Schedule = Callable[[int], bool]

_DENSE_BELOW = 100
_MEDIUM_BELOW, _MEDIUM_STRIDE = 1_000, 10
_LATE_STRIDE = 100

_ALLOWED = '"adaptive", a whole number of at least 1 (every n-th iteration), or schedule(iteration) -> bool'


def adaptive(iteration: int) -> bool:
    """True for every iteration below 100, every 10th below 1,000 and every 100th after.

    Weights move most at the start; a run of 1,000 iterations has 190 snapshots.
    """
    if iteration < _DENSE_BELOW:
        return True
    if iteration < _MEDIUM_BELOW:
        return iteration % _MEDIUM_STRIDE == 0
    return iteration % _LATE_STRIDE == 0


def every(stride: int) -> Schedule:
    """A schedule that is due at 0, stride, 2 * stride, …"""
    if stride < 1:
        raise UsageError(f"schedule={stride}: the stride must be at least 1. Allowed is {_ALLOWED}.")
    return lambda iteration: iteration % stride == 0


def make_schedule(schedule: str | int | Schedule) -> Schedule:
    """The schedule that a user's argument means; a number may come as text, from a command line.

    Raises UsageError, which names what is allowed.
    """
    if callable(schedule):
        return schedule
    if schedule == "adaptive":
        return adaptive
    if isinstance(schedule, str) and schedule.strip().isdecimal():
        return every(int(schedule))
    if isinstance(schedule, int) and not isinstance(schedule, bool):
        return every(schedule)
    raise UsageError(f"schedule={schedule!r} is unknown. Allowed is {_ALLOWED}.")
