"""Servers that a run is read from may be strangers too."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from paramviz.errors import NotARunError
from paramviz.store import limits, open_run

PIECE = b"[" * (1 << 20)


@pytest.mark.parametrize("status", [200, 206])
def test_a_server_that_never_stops_sending_is_not_listened_to_for_ever(status):
    """It says that this is the range that was asked for, or all there is, and sends brackets for ever."""
    sent = []

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Range", "bytes 0-99/100")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(256):
                    sent.append(self.wfile.write(PIECE))

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        with pytest.raises(NotARunError, match="16,777,216"):
            open_run(f"http://127.0.0.1:{server.server_port}/run")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert sum(sent) < 4 * limits.RECORD_BYTES
