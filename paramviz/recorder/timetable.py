"""Which iteration it is, which comes next, and whether a snapshot of it is due."""

from __future__ import annotations

from paramviz.recorder.failsafe import Complaints, describe
from paramviz.schedule import Schedule
from paramviz.schema import Event


class Timetable:
    """Asks the schedule once per iteration; a schedule that raises means: not due.

    `last` is the newest iteration that `Recorder.step` named, -1 before the first; in a
    resumed run at first that of its last snapshot. `is_behind` while training repeats what
    it had reached before. reached: the newest iteration that an earlier session journaled.
    """

    def __init__(self, schedule: Schedule, last: int, reached: int, complaints: Complaints) -> None:
        self._schedule = schedule
        self._complaints = complaints
        self._asked: dict[int, bool] = {}
        self._reached = max(last, reached)
        self.is_behind = False
        self.last = last

    def turn_back(self, iteration: int) -> Event | None:
        """The event of a training that goes on from an earlier iteration than it had reached.

        Told once, until training is past again what it had reached; None if it just goes on.
        """
        was_behind, self.is_behind = self.is_behind, iteration <= self._reached
        if was_behind or not self.is_behind:
            return None
        text = f"training went back from iteration {self._reached} to {iteration}"
        if iteration <= self.last:
            text += f"; up to {self.last} the first recording stays"
        if self.last < self._reached:
            text += f"; scalars from {max(iteration, self.last + 1)} on are those of the new attempt"
        return Event(iteration, "resume", text)

    def arrive(self, iteration: int) -> None:
        self.last = iteration
        self._reached = max(self._reached, iteration)
        self._asked = {i: due for i, due in self._asked.items() if i >= iteration}

    def is_due(self, iteration: int) -> bool:
        if iteration not in self._asked:
            self._asked[iteration] = self._ask(iteration)
        return self._asked[iteration]

    def next_is_due(self) -> bool:
        """The prediction for an optimizer's step, which runs before `Recorder.step` names its iteration."""
        return self.is_due(self.last + 1)

    def _ask(self, iteration: int) -> bool:
        try:
            return bool(self._schedule(iteration))
        except Exception as error:
            self._complaints.once(
                "schedule",
                f"the schedule failed at iteration {iteration} ({describe(error)}): no snapshot is due there",
                error,
            )
            return False


class KeyTurns:
    """Counts snapshots: of each `every`, the first is of the key tier."""

    def __init__(self, every: int) -> None:
        self._every = every
        self.taken = 0

    def is_next(self) -> bool:
        return self.taken % self._every == 0

    def count(self) -> None:
        self.taken += 1

    def shift(self, by: int) -> None:
        """Another process has counted so many more."""
        self.taken += by
