"""Servers on the loopback interface: one that speaks S3, one that serves files. Both count requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


@dataclass
class Counted:
    """A server's address, and the requests (method, path) that it answered since `clear`."""

    address: str
    requests: list[tuple[str, str]] = field(default_factory=list)

    def clear(self) -> None:
        self.requests.clear()

    @property
    def paths(self) -> list[str]:
        return [path for _, path in self.requests]


@contextmanager
def s3_server() -> Iterator[Counted]:
    """Moto's server, which keeps its buckets in memory."""
    counted = Counted("")
    one_at_a_time = threading.Lock()
    application = DomainDispatcherApplication(create_backend_app)

    def count(environ: dict[str, Any], start_response: Any) -> Any:
        query = environ.get("QUERY_STRING", "")
        listing = "?list" if "list-type" in query else ""
        counted.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"] + listing))
        # Moto looks for the object and then stores it. A real store does both in one step.
        with one_at_a_time if "HTTP_IF_NONE_MATCH" in environ else nullcontext():
            return application(environ, start_response)

    server = make_server("127.0.0.1", 0, count, threaded=True)
    counted.address = f"http://127.0.0.1:{server.server_port}"
    with _serving(server):
        yield counted


@contextmanager
def file_server(
    folder: Path, *, ranges: bool = True, closed: Callable[[], bool] = lambda: False
) -> Iterator[Counted]:
    """Serves the files of a folder, by ranges or, as simple servers do, only whole.

    closed: while it is true, connections end without an answer.
    """
    counted = Counted("")

    class Handler(BaseHTTPRequestHandler):
        wbufsize = -1  # head and body in one packet

        def do_GET(self) -> None:
            counted.requests.append((self.command, self.path))
            if closed():
                self.close_connection = True
                return None
            file = folder / self.path.lstrip("/")
            if not file.is_file():
                return self._answer(404, b"", {})
            data = file.read_bytes()
            asked = self.headers.get("Range")
            if not ranges or asked is None:
                return self._answer(200, data, {})
            first, _, last = asked.removeprefix("bytes=").partition("-")
            begin, end = int(first), int(last) + 1 if last else len(data)
            if begin >= len(data):
                return self._answer(416, b"", {})
            part = data[begin:end]
            where = f"bytes {begin}-{begin + len(part) - 1}/{len(data)}"
            return self._answer(206, part, {"Content-Range": where})

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    counted.address = f"http://127.0.0.1:{server.server_port}"
    with _serving(server):
        yield counted


@contextmanager
def _serving(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
