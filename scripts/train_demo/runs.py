"""Where the demonstration's runs lie: demo-1, demo-2, … in one folder."""

from __future__ import annotations

import re
from pathlib import Path

import paramviz
from paramviz.errors import ParamvizError

COMPARED_RUNS = 4
"""How many runs the viewer is given at most, the new one among them."""


def demo_runs(folder: Path) -> dict[int, Path]:
    """Number → path of what is called demo-N in a folder, ascending."""
    if not folder.is_dir():
        return {}
    found = {
        int(name[1]): path
        for path in folder.iterdir()
        if (name := re.fullmatch(r"demo-(\d+)", path.name)) is not None
    }
    return dict(sorted(found.items()))


def next_run(folder: Path) -> Path:
    """Where the next run goes: one number above the highest."""
    return folder / f"demo-{max(demo_runs(folder), default=0) + 1}"


def checkpoints_of(run: Path) -> Path:
    """The folder beside a run for its checkpoints."""
    return run.with_name(f"{run.name}-checkpoints")


def runs_to_compare(run: Path) -> list[Path]:
    """The given run and the newest earlier ones that can be opened."""
    chosen = [run]
    for path in reversed(demo_runs(run.parent).values()):
        if len(chosen) == COMPARED_RUNS:
            break
        if path != run and _can_be_opened(path):
            chosen.append(path)
    return chosen


def _can_be_opened(path: Path) -> bool:
    try:
        paramviz.open_run(path)
    except ParamvizError:
        return False
    return True
