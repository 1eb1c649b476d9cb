"""How a recording ends when nobody says so: a clean exit, an uncaught exception, or a forgotten recorder."""

from __future__ import annotations

import os
import sys

from paramviz.recorder.gradients import GradientReader
from paramviz.recorder.sharded.answering import AnsweringThread
from paramviz.recorder.writer_thread import WriterThread


def is_clean_exit(error: BaseException) -> bool:
    """True for the SystemExit of a program that ends because it is done."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def uncaught() -> BaseException | None:
    """The exception that ended the program, once one has (or the last one at an interactive prompt)."""
    return getattr(sys, "last_value", None)


def abandon(
    thread: WriterThread | AnsweringThread,
    gradients: GradientReader,
    pid: int,
    uncaught_before: BaseException | None,
) -> None:
    """Nobody called close(): the recorder is garbage, or the program ends. What was recorded is kept."""
    if os.getpid() == pid:
        gradients.remove()
        thread.finish("finished" if uncaught() is uncaught_before else "crashed")
