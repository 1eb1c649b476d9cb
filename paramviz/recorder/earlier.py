"""What earlier sessions left of a run that is to be continued."""

from __future__ import annotations

import os

from paramviz.errors import NotARunError
from paramviz.store import Run, open_run


def earlier_run(path: str | os.PathLike[str]) -> Run | None:
    """The run that is there already; None if there is none, or only the beginning of one."""
    try:
        return open_run(path)
    except NotARunError:
        return None


def last_step(earlier: Run | None) -> int:
    """The newest iteration that earlier sessions named, -1 if there is none."""
    if earlier is None:
        return -1
    earlier.refresh()
    return max((iteration for iteration, _ in earlier.steps_since(0)), default=-1)
