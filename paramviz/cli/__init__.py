"""The command line (docs/CLI.md).

`view`, `record`, `info`, `verify`, `compare`, `pack`, `unpack`, `export`, `import`.

Exit status: 0 good, 1 damaged, no run, or (`compare`) different, 2 wrong usage, 3 the environment.
"""

from __future__ import annotations

import click

from paramviz import __version__
from paramviz.cli.compare import compare_
from paramviz.cli.export import export
from paramviz.cli.failures import FailureReportingGroup
from paramviz.cli.import_run import import_
from paramviz.cli.info import info
from paramviz.cli.pack import pack, unpack
from paramviz.cli.record import record
from paramviz.cli.verify import verify
from paramviz.cli.view import view


@click.group(cls=FailureReportingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="paramviz %(version)s")
def main() -> None:
    """Record a neural network's parameters while it trains, and watch them live in three dimensions."""


main.add_command(view)
main.add_command(record)
main.add_command(info)
main.add_command(verify)
main.add_command(compare_)
main.add_command(pack)
main.add_command(unpack)
main.add_command(export)
main.add_command(import_)
