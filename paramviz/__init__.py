"""paramviz: record a neural network's parameters while it trains, and watch them.

Importing it imports neither torch nor a store; a name does so when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from paramviz.errors import (
    DamagedRunError,
    FormatVersionError,
    IterationNotFoundError,
    MissingExtraError,
    NotARunError,
    NotRecordedError,
    OutputError,
    ParamvizError,
    RunExistsError,
    RunLockedError,
    TensorNotFoundError,
    UsageError,
)

if TYPE_CHECKING:
    from paramviz.quantities import QUANTITIES
    from paramviz.recorder import Recorder, RecordingReport
    from paramviz.sampling import SampleBudgets
    from paramviz.store import Run, open_run

    __version__: str

__all__ = [
    "QUANTITIES",
    "DamagedRunError",
    "FormatVersionError",
    "IterationNotFoundError",
    "MissingExtraError",
    "NotARunError",
    "NotRecordedError",
    "OutputError",
    "ParamvizError",
    "Recorder",
    "RecordingReport",
    "Run",
    "RunExistsError",
    "RunLockedError",
    "SampleBudgets",
    "TensorNotFoundError",
    "UsageError",
    "__version__",
    "open_run",
]

_HOMES = {
    "Recorder": "paramviz.recorder",
    "RecordingReport": "paramviz.recorder",
    "SampleBudgets": "paramviz.sampling",
    "QUANTITIES": "paramviz.quantities",
    "Run": "paramviz.store",
    "open_run": "paramviz.store",
}
"""Where each name lives that is imported on first use."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _version()
    elif name in _HOMES:
        try:
            value = getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise MissingExtraError(
                "Recording needs torch, which is not installed: pip install 'paramviz[record]'.",
                extra="record",
            ) from error
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("paramviz")
    except PackageNotFoundError:
        # The sources are on the path, but nobody installed them: there is no number to tell.
        return "unknown"
