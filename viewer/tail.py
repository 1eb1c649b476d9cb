"""Noticing what a recorder writes, and telling those who listen.

One thread looks at every run that somebody listens to, some hundred times a
second while it is being recorded, and wakes the listeners of a run that
changed. A run far away is looked at as often as its store can bear, by a
thread of its own, since one that does not answer must not hold up the others.
Nobody listens: nothing is looked at, and each request looks for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from viewer.opened import OpenedRun
from viewer.problems import RequestError
from viewer.updates import Cursor, cursor_now

INTERVAL_S = 0.01
"""Between two looks at a run that is being recorded: half of it is the mean delay of the tail."""

ENDED_INTERVAL_S = 0.5
"""Between two looks at a run that has ended (it may be resumed) or cannot be looked at."""

_ENDED_SLOWNESS = 5
"""A run far away that has ended is looked at so much more rarely than one that is being recorded."""

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
    """What was last seen of a run, when to look again (monotonic seconds), whether somebody looks now."""

    seen: tuple[Cursor, str | None]
    due_s: float = 0.0
    is_busy: bool = False


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
                followed = {opened for listener in self._listeners for opened in listener.runs}
            self._look_at(watches, followed)

    def _look_at(self, watches: dict[OpenedRun, _Watch], followed: Iterable[OpenedRun]) -> None:
        now_s = time.monotonic()
        for opened in followed:
            # What was there before the watch began, a stream sends by itself when it opens.
            watch = watches.setdefault(opened, _Watch((Cursor(), None)))
            if watch.is_busy or now_s < watch.due_s:
                continue
            watch.is_busy = True
            if opened.is_far:
                threading.Thread(target=self._look, args=(opened, watch), daemon=True).start()
            else:
                self._look(opened, watch)

    def _look(self, opened: OpenedRun, watch: _Watch) -> None:
        try:
            opened.look()
            found = (cursor_now(opened), None if opened.trouble is None else str(opened.trouble))
            is_live = found[0].status == "r" and opened.trouble is None
            pause_s = 0.0 if is_live else max(ENDED_INTERVAL_S, _ENDED_SLOWNESS * opened.interval_s)
            watch.due_s = time.monotonic() + max(pause_s, opened.interval_s)
            if found != watch.seen:
                watch.seen = found
                self._wake(opened)
        finally:
            watch.is_busy = False

    def _wake(self, opened: OpenedRun) -> None:
        with self._state:
            for listener in self._listeners:
                if opened in listener.runs:
                    listener.wake()
