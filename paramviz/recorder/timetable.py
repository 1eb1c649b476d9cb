"""Which iteration it is, which comes next, and whether a snapshot of it is due."""

from __future__ import annotations

from paramviz.recorder.failsafe import Complaints, describe
from paramviz.schedule import Schedule


class Timetable:
    """Asks the schedule once per iteration; a schedule that raises means: not due.

    `last` is the newest iteration that `Recorder.step` named, -1 before the first.
    """

    def __init__(self, schedule: Schedule, last: int, complaints: Complaints) -> None:
        self._schedule = schedule
        self._complaints = complaints
        self._asked: dict[int, bool] = {}
        self.last = last

    def arrive(self, iteration: int) -> None:
        self.last = iteration
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
