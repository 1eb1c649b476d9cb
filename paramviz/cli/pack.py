"""`paramviz pack` and `unpack`: a run as one file, and as a directory again."""

from __future__ import annotations

from pathlib import Path

import click

from paramviz.cli.progress import progress_bar
from paramviz.cli.wording import bytes_text, counted
from paramviz.store import PackReport, pack_run, unpack_run


@click.command(short_help="Make one file of a run.")
@click.argument("run")
@click.argument("out", metavar="OUT.zarr.zip", type=click.Path(path_type=Path))
@click.option(
    "--every",
    default=1,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=1),
    help="Keep every N-th snapshot; the first, the last and the forced ones stay.",
)
@click.option(
    "--max-mb", type=click.FloatRange(min=0, min_open=True), help="Keep fewer until the file is this small."
)
@click.option("--anonymous", is_flag=True, help="Leave out who recorded it, where and how (docs/SHARING.md).")
@click.option(
    "--dense",
    is_flag=True,
    help="Keep differences between snapshots where that is smaller.",
)
def pack(run: str, out: Path, every: int, max_mb: float | None, anonymous: bool, dense: bool) -> None:
    """Write RUN (a path or an address) into one file that `view` and `open_run` read where it lies.

    Every byte is checked on the way; damage stops it. A run that is being recorded is packed as it is now.
    """
    with progress_bar("packing") as progress:
        report = pack_run(
            run, out, every=every, max_mb=max_mb, anonymous=anonymous, dense=dense, progress=progress
        )
    kept = counted(report.snapshots, "snapshot")
    of = f" of {report.of:,}" if report.snapshots < report.of else ""
    click.echo(f"{report.path}: {kept}{of}, {bytes_text(report.bytes)}{_gain(report) if dense else ''}")


def _gain(report: PackReport) -> str:
    """What --dense brought."""
    if not report.dense_snapshots:
        return "; --dense saves nothing here, so all snapshots are as they were recorded"
    return f" ({bytes_text(report.plain_bytes)} without --dense)"


@click.command(short_help="Make a directory of a packed run.")
@click.argument("run")
@click.argument("out", type=click.Path(path_type=Path))
def unpack(run: str, out: Path) -> None:
    """Write RUN, packed or not, as a directory; every byte is checked on the way."""
    with progress_bar("unpacking") as progress:
        click.echo(f"{unpack_run(run, out, progress=progress)}: unpacked")
