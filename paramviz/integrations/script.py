"""Recording an unmodified script: what was asked for, and the wait for torch."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paramviz.integrations.torch_import import when_torch_is_imported

if TYPE_CHECKING:
    from paramviz.integrations.training_watch import TrainingWatch

ELSEWHERE = (
    "What a script starts in other processes is not seen from here: "
    "`torchrun … -m paramviz record SCRIPT.py` records there."
)
"""For whoever wonders why nothing was found."""


@dataclass(frozen=True, slots=True)
class ScriptOptions:
    """How a script is recorded; see `paramviz.Recorder`.

    model: the name of the class of the model, None for the first that is trained.
    first_iteration: the number of the first step.
    """

    out: str
    schedule: str | int = "adaptive"
    config: object = None
    name: str | None = None
    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()
    model: str | None = None
    resume: bool = False
    first_iteration: int = 0


class ScriptRecording:
    """Watches whatever is trained in this process from now on. `say` shows a line to the user."""

    def __init__(self, options: ScriptOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._watch: TrainingWatch | None = None
        self._failed = False
        self._pid = os.getpid()
        when_torch_is_imported(self._begin)

    def end(self, error: BaseException | None) -> None:
        """The script is over. error: what ended it, if anything did."""
        if self._watch is not None:
            self._watch.end(error)
        elif not self._failed and os.getpid() == self._pid:
            self._say(f"nothing is recorded: the script did not import torch. {ELSEWHERE}")

    def _begin(self) -> None:
        try:
            from paramviz.integrations.training_watch import TrainingWatch

            self._watch = TrainingWatch(self._options, self._say)
        except Exception as error:
            self._failed = True
            self._say(f"nothing is recorded ({type(error).__name__}: {error}). The script runs on.")


def is_recording_process() -> bool:
    """Of several processes that train together (torchrun sets RANK), the first one records."""
    return os.environ.get("RANK", "0") == "0"


def read_arguments(arguments: Sequence[str]) -> dict[str, Any]:
    """A script's arguments as a configuration: `--lr=3e-4`, `--lr 3e-4`, `lr=3e-4` and `--verbose`.

    Values that Python reads as constants are those; what has no name is listed as "arguments".
    """
    config: dict[str, Any] = {}
    unnamed: list[str] = []
    waiting: str | None = None
    for argument in arguments:
        name, has_value, value = argument.lstrip("-").partition("=")
        is_option = argument.startswith("-") and name[:1].isalpha()
        if waiting is not None and not is_option:
            config[waiting], waiting = _constant(argument), None
        elif has_value and name.replace("-", "_").replace(".", "_").isidentifier():
            config[name], waiting = _constant(value), None
        elif is_option:
            config[name], waiting = True, name
        else:
            unnamed.append(argument)
    return {**config, **({"arguments": unnamed} if unnamed else {})}


def _constant(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
