"""`paramviz record`: run a training script as it is, and record what it trains."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import click

from paramviz.cli.failures import PassedOn
from paramviz.cli.wording import plain


class _Schedule(click.ParamType[Any]):
    name = "schedule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if value == "adaptive":
            return "adaptive"
        try:
            every = int(value)
        except ValueError:
            every = 0
        if every < 1:
            self.fail(
                f"{value!r} is neither 'adaptive' nor a number of iterations of at least 1.", param, ctx
            )
        return every


@click.command(
    short_help="Run a training script, and record it.",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--out", metavar="RUN", help="Where the run goes; runs/NAME-DATE-TIME otherwise.")
@click.option(
    "--schedule",
    type=_Schedule(),
    default="adaptive",
    show_default=True,
    help="Which iterations are kept: adaptive, or every so-manieth.",
)
@click.option("--name", help="What the run is called.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Record only parameters of such names (repeatable)."
)
@click.option(
    "--exclude", multiple=True, metavar="PATTERN", help="Leave parameters of such names out (repeatable)."
)
@click.option(
    "--model", metavar="CLASS", help="Record the model of that class, not the first that is trained."
)
@click.option("--resume", is_flag=True, help="Go on with the run at --out, or begin it.")
@click.option(
    "--first-iteration", type=click.IntRange(min=0), help="The number of the first step; 0, or the next one."
)
@click.option("-m", "is_module", is_flag=True, help="What follows is the name of a module, as in python -m.")
@click.argument("target", metavar="SCRIPT.py|MODULE")
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def record(
    out: str | None,
    schedule: str | int,
    name: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    model: str | None,
    resume: bool,
    first_iteration: int | None,
    is_module: bool,
    target: str,
    arguments: tuple[str, ...],
) -> None:
    """Run SCRIPT.py with its ARGS as Python would, and record the model that it trains.

    Nothing in the script is changed. Model, optimizers, loss and learning rate are found when the first
    optimizer makes its first step; if they are not, a line on stderr says what was looked for. The exit
    status is the script's own. Options for paramviz stand before the script.
    """
    from paramviz.integrations.program import Program
    from paramviz.integrations.script import (
        ScriptOptions,
        ScriptRecording,
        is_recording_process,
        read_arguments,
    )

    program = Program(target, is_module, arguments)
    if not is_recording_process():
        _end_as_the_script(program.run())
        return
    place = out or f"runs/{program.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    first = _first_iteration(place, resume) if first_iteration is None else first_iteration
    if not resume:
        _refuse_occupied(place)
    options = ScriptOptions(
        out=place,
        schedule=schedule,
        config=read_arguments(arguments),
        name=name,
        include=include or ("*",),
        exclude=exclude,
        model=model,
        resume=resume,
        first_iteration=first,
    )
    recording = ScriptRecording(options, _say)
    error = program.run()
    recording.end(error)
    _end_as_the_script(error)


def _say(line: str) -> None:
    # The script may have closed stderr, and must not notice that we would have used it.
    with contextlib.suppress(OSError, ValueError):
        click.echo(f"paramviz: {plain(line)}", err=True)


def _end_as_the_script(error: BaseException | None) -> None:
    if isinstance(error, SystemExit):
        raise error
    if error is not None:
        raise PassedOn(error)


def _refuse_occupied(place: str) -> None:
    """Before hours of training, not after."""
    from paramviz.store.opening import open_files

    open_files(place, "process").refuse_occupied()


def _first_iteration(place: str, resume: bool) -> int:
    """The number that follows the newest step of the run that goes on."""
    from paramviz.errors import NotARunError
    from paramviz.store import open_run

    if not resume:
        return 0
    try:
        run = open_run(place)
    except NotARunError:
        return 0
    run.refresh()
    return 1 + max((iteration for iteration, _ in run.steps_since(0)), default=-1)
