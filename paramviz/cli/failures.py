"""What a person sees of an error: one line that says what happened and how to mend it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

import click

from paramviz.cli.wording import plain
from paramviz.errors import ParamvizError

_ENVIRONMENT = 3
_INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended: 128 + SIGINT."""


class PassedOn(SystemExit):
    """Carries what a recorded script raised past everything that reports our own errors."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(1)
        self.error = error


class FailureReportingGroup(click.Group):
    """Answers the errors of every command with one line and their exit status.

    A traceback means a defect of ours, or of a script that is recorded.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click has it; but what a recorded script raised reaches the interpreter as it was raised."""
        try:
            return super().main(*args, **kwargs)
        except PassedOn as passed:
            error = passed.error
        _hide_our_frames(error)
        raise error

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


def _hide_our_frames(error: BaseException) -> None:
    """The traceback that is shown is the script's, without what lies between the shell and it."""
    traceback, show = error.__traceback__, sys.excepthook

    def excepthook(kind: type[BaseException], value: BaseException, shown: TracebackType | None) -> None:
        if value is error:
            value.__traceback__ = shown = traceback
        show(kind, value, shown)

    sys.excepthook = excepthook


def _report(message: str) -> None:
    click.echo(f"paramviz: error: {plain(' '.join(message.split()))}", err=True)
