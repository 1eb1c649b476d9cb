"""Noticing what a recorder writes, and telling those who listen.

One thread looks at every run that somebody listens to, some hundred times a
second while it is being recorded, and wakes the listeners of a run that
changed. Nobody listens: nothing is looked at, and each request looks for
itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paramviz.errors import ParamvizError
from viewer.catalogue import OpenedRun
from viewer.problems import RequestError
from viewer.updates import Cursor, cursor_now

_log = logging.getLogger(__name__)

INTERVAL_S = 0.01
"""Between two looks at a run that is being recorded: half of it is the mean delay of the tail."""

ENDED_INTERVAL_S = 0.5
"""Between two looks at a run that has ended (it may be resumed) or cannot be looked at."""

MAX_STREAMS = 48
"""Each stream holds a thread of the server; the others must stay free for frames."""


class Listener:
    """Somebody who wants to know when any of `runs` changes. Made by `Tail.listen`; close it."""

    def __init__(self, tail: Tail, runs: Sequence[OpenedRun]) -> None:
        self.runs = tuple(runs)
        self._tail = tail
        self._changed = threading.Event()

    def wait(self, timeout_s: float) -> None:
        """Return when something changed since the last call, or after `timeout_s`."""
        self._changed.wait(timeout_s)
        self._changed.clear()

    def wake(self) -> None:
        self._changed.set()

    @property
    def ended(self) -> bool:
        """True once the server closes."""
        return self._tail.closed

    def close(self) -> None:
        self._tail.forget(self)


@dataclass(slots=True)
class _Watch:
    """What was last seen of a run, and when to look again (monotonic seconds)."""

    seen: Cursor
    due_s: float = 0.0


class Tail:
    """The thread that watches, started by the first listener."""

    def __init__(self, *, interval_s: float = INTERVAL_S, max_streams: int = MAX_STREAMS) -> None:
        self._interval_s = interval_s
        self._max_streams = max_streams
        self._state = threading.Condition()
        self._listeners: set[Listener] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        return self._stop.is_set()

    @property
    def n_streams(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def listen(self, runs: Sequence[OpenedRun]) -> Listener:
        """Register a listener; a 503 if all places are taken."""
        with self._state:
            if len(self._listeners) >= self._max_streams:
                raise RequestError(
                    "busy",
                    f"All {self._max_streams} live streams are in use. Ask `api/poll` now and then, or close "
                    "other pages of this viewer.",
                )
            listener = Listener(self, runs)
            self._listeners.add(listener)
            if self._thread is None and not self.closed:
                self._thread = threading.Thread(target=self._watch, name="paramviz-tail", daemon=True)
                self._thread.start()
            self._state.notify_all()
            return listener

    def forget(self, listener: Listener) -> None:
        """Free a listener's place; a second time does nothing."""
        with self._state:
            self._listeners.discard(listener)

    def close(self) -> None:
        """End the thread and every stream."""
        with self._state:
            self._stop.set()
            self._state.notify_all()
            for listener in self._listeners:
                listener.wake()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        watches: dict[OpenedRun, _Watch] = {}
        while not self._stop.wait(self._interval_s):
            with self._state:
                while not self._listeners and not self.closed:
                    watches.clear()
                    self._state.wait()
                listeners = tuple(self._listeners)
            self._look(watches, listeners)

    def _look(self, watches: dict[OpenedRun, _Watch], listeners: Iterable[Listener]) -> None:
        now_s = time.monotonic()
        for opened in {opened for listener in listeners for opened in listener.runs}:
            # What was there before the watch began, a stream sends by itself when it opens.
            watch = watches.setdefault(opened, _Watch(Cursor()))
            if now_s < watch.due_s:
                continue
            try:
                opened.run.refresh()
                found = cursor_now(opened.run)
            except (ParamvizError, OSError) as error:
                _log.warning("%r cannot be followed now: %r", opened.run.name, str(error))
                watch.due_s = now_s + ENDED_INTERVAL_S
                continue
            watch.due_s = now_s if found.status == "r" else now_s + ENDED_INTERVAL_S
            if found != watch.seen:
                watch.seen = found
                for listener in listeners:
                    if opened in listener.runs:
                        listener.wake()
