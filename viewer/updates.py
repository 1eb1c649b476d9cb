"""What is new in a run since a cursor: the body of every message of the tail."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from paramviz.errors import ParamvizError, UnreachableError
from paramviz.store import Run
from viewer.opened import OpenedRun
from viewer.problems import describe, usage

MAX_STEPS_PER_UPDATE = 5_000
"""A page that asks for a long run from its start gets it in messages of bounded size."""

_CURSOR = re.compile(r"(\d{1,15})\.(\d{1,15})\.(\d{1,15})\.([rfc-])")
_STATUS_LETTER = {"recording": "r", "finished": "f", "crashed": "c"}


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a listener has read: numbers of commits, steps and events, and the status that it was told."""

    commits: int = 0
    steps: int = 0
    events: int = 0
    status: str = "-"

    def __str__(self) -> str:
        return f"{self.commits}.{self.steps}.{self.events}.{self.status}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor in `text`; an empty text is the start of the run. A 400 for anything else."""
        if not text:
            return cls()
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise usage(
                f"{text[:40]!r} is no cursor. Take it from `api/runs/ID` or from the last message, or leave "
                "it empty to start from the beginning."
            )
        return cls(int(match[1]), int(match[2]), int(match[3]), match[4])


def cursor_now(opened: OpenedRun) -> Cursor:
    """How far the run has come, as of the last look."""
    run = opened.run
    return Cursor(run.commit_count, run.step_count, len(run.events), _STATUS_LETTER[opened.status])


def update_since(opened: OpenedRun, cursor: Cursor) -> tuple[dict[str, Any] | None, Cursor]:
    """(the update, the cursor behind it); (None, cursor) if nothing is new.

    A cursor from beyond the end belongs to a run that was here before this
    one: everything is new then.
    """
    run = opened.run
    if cursor.commits > run.commit_count or cursor.steps > run.step_count or cursor.events > len(run.events):
        cursor = Cursor()
    status = opened.status
    commits = run.iterations_in_commit_order[cursor.commits :].tolist()
    steps = run.steps_since(cursor.steps)[:MAX_STEPS_PER_UPDATE]
    events = run.events[cursor.events :]
    reached = Cursor(
        cursor.commits + len(commits),
        cursor.steps + len(steps),
        cursor.events + len(events),
        _STATUS_LETTER[status],
    )
    if reached == cursor:
        return None, cursor
    update = {
        "run": opened.id,
        "cursor": str(reached),
        "status": status,
        "age_s": age_s(run),
        "iterations": commits,
        "plan": plan_number(run),
        "basis": opened.projection.recommended_basis(),
        "scalars": steps,
        "events": [{"iteration": e.iteration, "kind": e.kind, "text": e.text} for e in events],
        "committed_unix_s": run.committed_unix_s(commits[-1]) if commits else None,
    }
    return update, reached


def news_since(
    opened: OpenedRun, cursor: Cursor
) -> tuple[dict[str, Any] | None, Cursor, dict[str, Any] | None]:
    """`update_since`, and the `error` object of what keeps the run from being followed (None: nothing)."""
    update, trouble = None, None
    try:
        update, cursor = update_since(opened, cursor)
    except UnreachableError as error:
        opened.missed(error)
    except ParamvizError as error:
        trouble = error
    trouble = opened.trouble or trouble
    return update, cursor, None if trouble is None else describe(trouble)


def age_s(run: Run) -> float:
    """Seconds since the run last gave a sign of life, 0 at least."""
    return max(0.0, time.time() - run.last_sign_of_life_unix_s)


def plan_number(run: Run) -> int | None:
    """Number of the newest plan; None before there is one."""
    return run.plan.number if run.n_plans else None
