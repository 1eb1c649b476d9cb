"""Training in several processes: one of them records, and it waits for none of the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from torch import distributed

from paramviz.recorder.recorder import Recorder
from paramviz.recorder.report import RecordingReport


class SilentRecorder(Recorder):
    """What `Recorder` is in every process but the first: it does nothing, and costs nothing."""

    def __init__(self, path: str | os.PathLike[str], *given: Any, **settings: Any) -> None:
        text = os.fspath(path)
        self._path: Path | str = text if "://" in text else Path(text)

    @property
    def run_path(self) -> Path | str:
        return self._path

    @property
    def report(self) -> RecordingReport:
        """Zeros: what is recorded, the first process counts."""
        return RecordingReport(0, 0, 0, 0, 0, 0, 0.0)

    def step(self, *given: Any, **settings: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""

    def __exit__(self, *exception: Any) -> None:
        """Nothing."""


def rank() -> int:
    """The number of this process among those that train together; 0 if it is alone.

    A launcher says it before the processes have found each other.
    """
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    text = os.environ.get("RANK", "")
    return int(text) if text.isdecimal() and os.environ.get("WORLD_SIZE", "1") != "1" else 0
