"""Trouble that must not reach training: each kind is said once, through logging."""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger("paramviz.recorder")


class Complaints:
    """Logs one warning per kind of trouble. Safe to use from several threads."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def once(self, kind: str, message: str, error: BaseException | None = None) -> None:
        """Log `message` unless this kind was logged before. `error` adds its traceback at debug level."""
        with self._lock:
            if kind in self._said:
                return
            self._said.add(kind)
        logger.warning("%s: %s", self.run, message)
        if error is not None:
            logger.debug("%s: %s", self.run, kind, exc_info=error)


def describe(error: BaseException) -> str:
    """An exception in one line: its type and its message."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
