"""Server-Sent Events: the tail of one page, for all the runs that it shows.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from viewer.json_numbers import encode
from viewer.tail import Listener
from viewer.updates import Cursor, news_since

PING_INTERVAL_S = 5.0
"""A proxy or browser that hears nothing for long hangs up; a comment keeps the line open."""

_LOOK_ROUND_S = 1.0
"""How often an idle stream looks whether its client has gone."""

_RECONNECT_MS = 1000


class EventStream:
    """The body of `api/tail`: an iterator of bytes that ends when the client or the server goes.

    It is a class, not a generator, because its place among the listeners must
    be given back even if nobody ever reads from it: `close` does that.
    """

    def __init__(
        self,
        listener: Listener,
        cursors: Sequence[Cursor],
        client_gone: Callable[[], bool],
        *,
        ping_interval_s: float = PING_INTERVAL_S,
    ) -> None:
        self._listener = listener
        self._cursors = list(cursors)
        self._client_gone = client_gone
        self._ping_interval_s = ping_interval_s
        self._said: list[dict[str, Any] | None] = [None] * len(self._cursors)
        """What the client knows of each run's trouble."""
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._begun:
            self._begun = True
            # Said at once, so that the browser knows that the stream is open before anything happens.
            return f"retry: {_RECONNECT_MS}\n: open\n\n".encode()
        silent_until_s = time.monotonic() + self._ping_interval_s
        while not self._listener.ended and not self._client_gone():
            messages = b"".join(self._new_messages())
            if messages:
                return messages
            left_s = silent_until_s - time.monotonic()
            if left_s <= 0:
                return b": ping\n\n"
            self._listener.wait(min(left_s, _LOOK_ROUND_S))
        self.close()
        raise StopIteration

    def close(self) -> None:
        self._listener.close()

    def _new_messages(self) -> Iterator[bytes]:
        for place, opened in enumerate(self._listener.runs):
            update, self._cursors[place], problem = news_since(opened, self._cursors[place])
            if problem != self._said[place]:
                self._said[place] = problem
                yield self._message("problem", {"run": opened.id, "error": problem})
            if update is not None:
                yield self._message("update", update)

    def _message(self, event: str, data: object) -> bytes:
        cursors = ",".join(map(str, self._cursors))
        return f"id: {cursors}\nevent: {event}\ndata: {encode(data)}\n\n".encode()
