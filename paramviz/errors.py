"""Every error that paramviz raises on purpose.

Errors are told apart by their type and fields, never by their text. Each
message says what happened, where, with which values, and how to mend it;
`exit_code` is what the command line answers with (see `docs/CLI.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar


class ParamvizError(Exception):
    """Base of all errors that a person can act on. `path` is where it happened, if anywhere."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, path: str | Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = None if path is None else str(path)

    def __str__(self) -> str:
        return self.message


class NotARunError(ParamvizError):
    """The path exists or not, but holds no run of paramviz."""

    exit_code = 1


class FormatVersionError(ParamvizError):
    """The run was written in a format that this version cannot read."""

    def __init__(self, message: str, *, path: str | Path | None = None, found: str = "") -> None:
        super().__init__(message, path=path)
        self.found = found


class DamagedRunError(ParamvizError):
    """Bytes of the run are missing or fail their checksum. `key` names the file inside the run."""

    exit_code = 1

    def __init__(self, message: str, *, path: str | Path | None = None, key: str = "") -> None:
        super().__init__(message, path=path)
        self.key = key


class UnsafeRunError(ParamvizError):
    """A container holds what no run needs and what could do harm. `reason` is a word for it."""

    exit_code = 1

    def __init__(self, message: str, *, path: str | Path | None = None, reason: str) -> None:
        super().__init__(message, path=path)
        self.reason = reason


class UnreachableError(ParamvizError):
    """A store beyond this machine does not answer, or not to us: network, credentials, permission."""


class RunExistsError(ParamvizError):
    """A run is already there; recording never overwrites one."""


class RunLockedError(ParamvizError):
    """Another process records into this run right now."""


class OutputError(ParamvizError):
    """The run's directory cannot be made or written."""


class PortInUseError(ParamvizError):
    """The viewer's port is taken."""

    def __init__(self, message: str, *, port: int) -> None:
        super().__init__(message)
        self.port = port


class MissingExtraError(ParamvizError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, message: str, *, extra: str) -> None:
        super().__init__(message)
        self.extra = extra


class UsageError(ParamvizError):
    """An argument is out of its range or contradicts another."""

    exit_code = 2


class NotRecordedError(ParamvizError):
    """The run is sound, but does not hold this quantity; the message says why."""


class IterationNotFoundError(ParamvizError, KeyError):
    """No committed snapshot of that iteration. `neighbours` are the nearest committed ones."""

    def __init__(
        self, message: str, *, path: str | Path | None = None, iteration: int, neighbours: Sequence[int]
    ) -> None:
        super().__init__(message, path=path)
        self.iteration = iteration
        self.neighbours = tuple(neighbours)


class TensorNotFoundError(ParamvizError, KeyError):
    """No tensor of that name in the run. `close` are similar names."""

    def __init__(
        self, message: str, *, path: str | Path | None = None, name: Any, close: Sequence[str] = ()
    ) -> None:
        super().__init__(message, path=path)
        self.name = name
        self.close = tuple(close)
