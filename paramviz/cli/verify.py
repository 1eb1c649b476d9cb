"""`paramviz verify`: read everything that was committed and say what is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from paramviz.cli.wording import bytes_text, counted, plain
from paramviz.store import VerifyReport, verify_run

_DAMAGED = 1


@click.command(short_help="Check a run for damage.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def verify(ctx: click.Context, run: Path, as_json: bool) -> None:
    """Check every byte of RUN (finished, live or crashed) against its checksums.

    Exit status 1 if anything is damaged.
    """
    with _progress_bar() as progress:
        report = verify_run(run, progress)
    if as_json:
        click.echo(json.dumps(_as_json(report), indent=2))
    else:
        _print(report)
    ctx.exit(_DAMAGED if report.problems else 0)


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; a callback that takes (done, total) either way."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("verifying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(report: VerifyReport) -> None:
    for problem in report.problems:
        click.echo(plain(f"{problem.key}: {problem.message}"))
    for note in report.notes:
        click.echo(plain(f"note: {note}"))
    verdict = counted(len(report.problems), "problem") if report.problems else "no damage"
    extent = f"{counted(report.iterations, 'snapshot')}, {counted(report.files, 'file')}"
    click.echo(f"{report.path}: {verdict} in {extent}, {bytes_text(report.bytes)} ({report.status})")


def _as_json(report: VerifyReport) -> dict[str, object]:
    return {
        "path": str(report.path),
        "status": report.status,
        "snapshots": report.iterations,
        "files": report.files,
        "bytes": report.bytes,
        "problems": [{"key": problem.key, "message": problem.message} for problem in report.problems],
        "notes": list(report.notes),
    }
