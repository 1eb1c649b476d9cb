"""`paramviz verify`: read everything that was committed and say what is damaged."""

from __future__ import annotations

import json

import click

from paramviz.cli.progress import progress_bar
from paramviz.cli.wording import bytes_text, counted, plain
from paramviz.store import VerifyReport, verify_run

_DAMAGED = 1


@click.command(short_help="Check a run for damage.")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def verify(ctx: click.Context, run: str, as_json: bool) -> None:
    """Check every byte of RUN (finished, live or crashed) against its checksums.

    Exit status 1 if anything is damaged.
    """
    with progress_bar("verifying") as progress:
        report = verify_run(run, progress)
    if as_json:
        click.echo(json.dumps(_as_json(report), indent=2))
    else:
        _print(report)
    ctx.exit(_DAMAGED if report.problems else 0)


def _print(report: VerifyReport) -> None:
    for problem in report.problems:
        click.echo(plain(f"{problem.key}: {problem.message}"))
    for note in report.notes:
        click.echo(plain(f"note: {note}"))
    verdict = counted(len(report.problems), "problem") if report.problems else "no damage"
    extent = f"{counted(report.iterations, 'snapshot')}, {counted(report.files, 'file')}"
    path, size = plain(str(report.path)), bytes_text(report.bytes)
    click.echo(f"{path}: {verdict} in {extent}, {size} ({report.status})")


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
