"""Where a run may go: never over another run, never among somebody's files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from paramviz.errors import OutputError, RunExistsError
from paramviz.store import layout

FOLDERS = (
    layout.PLANS,
    layout.BASES,
    layout.PROBES,
    layout.ITERATIONS,
    layout.VOCABULARY,
    *layout.BLOCK_FOLDERS,
    layout.JOURNAL,
    layout.STAGING,
)
"""What the beginning of a run consists of, apart from the lock; without a root record it is no run."""


def refuse_occupied(run: Path) -> bool:
    """Whether `run` exists; raises if there is anything in it that is not the beginning of a run."""
    try:
        if not run.exists():
            return False
        if not run.is_dir():
            raise OutputError(f"{run}: is a file. Record to a path that does not exist.", path=run)
        names = [p.name for p in run.iterdir()]
        below = run / layout.ITERATIONS
        iterations = [p.name for p in below.iterdir()] if below.exists() else []
        # Last: somebody's run may have come to be while we looked, and is one whatever we saw of it.
        if (run / layout.GROUP_RECORD).exists():
            raise run_exists(run)
    except OSError as error:
        raise cannot_write(run, error) from error
    refuse_others(run, names, iterations)
    return True


def refuse_others(run: Path | str, names: Sequence[str], iterations: Sequence[str]) -> None:
    """OutputError if `names`, directly in the place, or `iterations`, in its group, are somebody's work."""
    others = sorted(name for name in names if name not in {layout.PRIVATE, *FOLDERS})
    if others:
        raise OutputError(
            f"{run}: is not empty ({others[0]!r} is in it) and holds no run. Record to a path of its own.",
            path=run,
        )
    snapshots = sum(layout.parse_iteration(name) is not None for name in iterations)
    if snapshots:
        raise OutputError(
            f"{run}: holds {snapshots} snapshots of a run that lost its root record (zarr.json). Move them "
            "away, or record to another path.",
            path=run,
        )


def run_exists(run: Path | str) -> RunExistsError:
    """The error for a path at which a run is already."""
    return RunExistsError(
        f"{run}: a run is there already and is never overwritten. Continue it with resume=True, or record to "
        "another path.",
        path=run,
    )


def cannot_write(run: Path | str, error: OSError) -> OutputError:
    """The error for a directory that the system refuses."""
    return OutputError(
        f"{run}: cannot be written ({error.strerror or error}). Check the permissions and the space, or "
        "record to another path.",
        path=run,
    )


@contextlib.contextmanager
def staged_path(target: Path) -> Iterator[Path]:
    """A path beside `target` to write a file or a directory to, which takes its place when all went well.

    Raises OutputError if something is at `target` already, or if the system
    refuses; whatever was half-made is removed.
    """
    if target.exists() or target.is_symlink():
        raise OutputError(f"{target}: is there already. Name a path that does not exist.", path=target)
    staged = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield staged
        os.replace(staged, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        if staged.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                staged.unlink()
