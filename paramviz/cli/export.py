"""`paramviz export`: a run as an HDF5 file."""

from __future__ import annotations

from pathlib import Path

import click

from paramviz.cli.progress import progress_bar
from paramviz.cli.wording import bytes_text
from paramviz.errors import UsageError

HDF5_SUFFIXES = (".h5", ".hdf5")


@click.command(short_help="Write a run in another format.")
@click.argument("run")
@click.argument("out", metavar="OUT.h5", type=click.Path(path_type=Path))
def export(run: str, out: Path) -> None:
    """Write RUN as one HDF5 file (docs/HDF5.md) for h5py, which `view` and `open_run` read too."""
    _want_hdf5(out)
    from paramviz.store.hdf5_export import export_hdf5

    with progress_bar("exporting") as progress:
        written = export_hdf5(run, out, progress=progress)
    click.echo(f"{written}: {bytes_text(written.stat().st_size)}")


def _want_hdf5(path: Path) -> None:
    if path.suffix.lower() not in HDF5_SUFFIXES:
        raise UsageError(f"{path}: the format is told by the name, and only .h5 (or .hdf5) is known.")
