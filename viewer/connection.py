"""One connection of the server: how long a client may keep it, and refusals that come before the application.

waitress waits for ever for a client that never reads its answer, and for one
that sends its request a byte at a time. Both would hold a thread or a place
among the connections; here they lose it.
"""

from __future__ import annotations

import time
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask

from viewer.json_numbers import encode
from viewer.security import PROTECTING_HEADERS

REQUEST_S = 30.0
"""How long a request may take from its first byte to its last: it is one small packet."""

STALL_S = 30.0
"""How long a client may take nothing of an answer that is ready for it."""

IDLE_S = 120.0
"""How long a connection is kept open for the next request."""


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            # Such as a broken IPv6 address in the request line, which `urlsplit` refuses.
            raise ParsingError("Start line is invalid") from error


class _ErrorTask(ErrorTask):  # type: ignore[misc]
    """A refusal of waitress' own (too large, malformed), worded as docs/HTTP.md says."""

    def execute(self) -> None:
        refusal = self.request.error
        kind = "internal" if refusal.code == 500 else "usage"
        body = encode({"error": {"kind": kind, "message": f"{refusal.reason}: {refusal.body}."}}).encode()
        self.status = f"{refusal.code} {refusal.reason}"
        self.response_headers += [
            *PROTECTING_HEADERS.items(),
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser
    error_task_class = _ErrorTask
    request_began_s: float | None = None

    def received(self, data: bytes) -> bool:
        taken = bool(super().received(data))
        if self.request is None:
            self.request_began_s = None
        elif self.request_began_s is None:
            self.request_began_s = time.time()
        return taken

    def overdue(self, now_s: float) -> bool:
        """Whether the client has kept this connection for longer than it may. now_s: of `time.time`."""
        silent_s: float = now_s - self.last_activity
        if self.total_outbufs_len:
            return silent_s > STALL_S
        if self.request_began_s is not None:
            return now_s - self.request_began_s > REQUEST_S
        return not self.requests and silent_s > IDLE_S


class BoundedServer(TcpWSGIServer):  # type: ignore[misc]
    """The server of waitress, whose clients can hold nothing for ever."""

    channel_class = _Channel

    def maintenance(self, now: float) -> None:
        """In the server's own thread, now and then. Closing wakes a thread that waits for the client."""
        channels: list[Any] = list(self.active_channels.values())
        for channel in channels:
            if channel.overdue(now):
                channel.handle_close()
