"""`paramviz import`: a run of checkpoints, or of a file that `export` made."""

from __future__ import annotations

from pathlib import Path

import click

from paramviz.cli.export import HDF5_SUFFIXES
from paramviz.cli.progress import progress_bar
from paramviz.cli.wording import counted
from paramviz.errors import MissingExtraError, UsageError


@click.command("import", short_help="Make a run of checkpoints, or of an exported file.")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out")
@click.option("--name", help="What the run of checkpoints is called.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Import only parameters of such names (repeatable)."
)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave parameters of such names out (repeatable)."
)
def import_(
    source: Path, out: str, name: str | None, include: tuple[str, ...], exclude: tuple[str, ...]
) -> None:
    """Make a run of SOURCE: a folder of checkpoints, one checkpoint, or an HDF5 file that `export` made.

    Checkpoints are safetensors or what torch.save wrote, in one file each or as Hugging Face lays them
    out (docs/INTEGRATIONS.md). Their iterations are told by their names.
    """
    if source.suffix.lower() in HDF5_SUFFIXES:
        if name or include or exclude:
            raise UsageError(
                f"{source}: a run is imported as it is, without --name, --include and --exclude."
            )
        from paramviz.store import unpack_run

        with progress_bar("importing") as progress:
            click.echo(f"{unpack_run(source, Path(out), progress=progress)}: imported")
        return
    try:
        from paramviz.integrations.checkpoints.importing import import_checkpoints
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError(
            "Importing checkpoints needs torch, which is not installed: pip install 'paramviz[checkpoints]'.",
            extra="checkpoints",
        ) from error
    with progress_bar("importing") as progress:
        report = import_checkpoints(
            source, out, name=name, include=include or ("*",), exclude=exclude, progress=progress
        )
    click.echo(f"{report.path}: {counted(report.snapshots, 'snapshot')} imported")
