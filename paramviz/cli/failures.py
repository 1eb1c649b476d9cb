"""What a person sees of an error: one line that says what happened and how to mend it."""

from __future__ import annotations

from typing import Any

import click

from paramviz.cli.wording import plain
from paramviz.errors import ParamvizError

_ENVIRONMENT = 3
_INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended: 128 + SIGINT."""


class FailureReportingGroup(click.Group):
    """Answers the errors of every command with one line and their exit status.

    A traceback means a defect of ours.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ParamvizError as error:
            _report(str(error))
            ctx.exit(error.exit_code)
        except BrokenPipeError:
            # Whoever reads our output (head, say) has seen enough; click ends quietly.
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _report(f"{where}{error.strerror or error}. Check the path and its permissions.")
            ctx.exit(_ENVIRONMENT)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)


def _report(message: str) -> None:
    click.echo(f"paramviz: error: {plain(' '.join(message.split()))}", err=True)
