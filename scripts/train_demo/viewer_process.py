"""The live viewer, in a process of its own beside the training."""

from __future__ import annotations

import queue
import re
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
KEPT_LINES = 30
"""Of what the viewer said last, to be shown if it fails."""


class ViewerError(Exception):
    """The viewer did not start; the message has its own words."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback interface now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class ViewerProcess:
    """`paramviz view` for some runs. Use it as a context manager: leaving ends the process."""

    def __init__(self, runs: Sequence[Path], *, port: int, browser: bool) -> None:
        """Start it and wait until it has said its address. Raises ViewerError."""
        command = [sys.executable, "-m", "paramviz", "view", *map(str, runs), "--port", str(port)]
        if not browser:
            command.append("--no-browser")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._said: deque[str] = deque(maxlen=KEPT_LINES)
        self._url: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name="viewer output", daemon=True)
        self._listener.start()
        self.url = self._wait_for_url()

    def _listen(self) -> None:
        """Read all that the viewer says, so that its pipe never fills; the first address is its own."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line.rstrip())
            found = re.search(r"https?://\S+", line)
            if found:
                self._url.put(found[0])
        self._url.put(None)

    def _wait_for_url(self) -> str:
        try:
            url = self._url.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            self.stop()
            raise ViewerError(f"The viewer said no address within {START_TIMEOUT_S:.0f} s.") from None
        if url is None:
            status = self._process.wait()
            raise ViewerError(f"The viewer ended with status {status}: {self.last_words()}")
        return url

    def last_words(self) -> str:
        return "\n".join(self._said) or "(it said nothing)"

    def wait(self) -> int:
        """Wait until it ends by itself, and return its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> ViewerProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
