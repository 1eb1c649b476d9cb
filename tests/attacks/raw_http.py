"""A client that sends exactly the bytes it is told to, over one connection as long as the server keeps it."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any

PATIENCE_S = 30.0
"""Nothing here takes that long; whoever waits so long has failed."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """Use it in a `with`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None

    def ask(
        self, target: bytes, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request for `target`. Headers are sent as they are; Host is localhost unless given."""
        wanted = {"Host": "localhost", **(headers or {})}
        lines = [f"{name}: {value}".encode("latin-1") for name, value in wanted.items()]
        data = b"\r\n".join([method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", body])
        for attempt in range(2):
            connection = self._connection()
            try:
                connection.sendall(data)
                return self._answer(connection, method)
            except (ConnectionError, EOFError):
                # The server may close a connection that was idle between two requests.
                self.close()
                if attempt:
                    raise
        raise AssertionError("unreachable")

    def _connection(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        return self._socket

    def _answer(self, connection: socket.socket, method: str) -> Answer:
        head, rest = read_until(connection, b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = rest
        expected = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        while len(body) < expected:
            more = connection.recv(1 << 16)
            if not more:
                raise EOFError("the server closed within an answer")
            body += more
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(first.split()[1]), headers, body)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_until(connection: socket.socket, mark: bytes) -> tuple[bytes, bytes]:
    """(what came before `mark`, what came behind it so far)."""
    data = b""
    while mark not in data:
        more = connection.recv(1 << 16)
        if not more:
            raise EOFError("the server closed before an answer")
        data += more
    before, _, behind = data.partition(mark)
    return before, behind


def closed_by_server(connection: socket.socket) -> bool:
    """Whether the server hung up; waits for it, and reads on until then."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return True
