"""The application behind a socket: waitress with enough threads for streams and frames at once."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from waitress.adjustments import Adjustments
from waitress.task import ThreadedTaskDispatcher

from paramviz.errors import ParamvizError, PortInUseError, UsageError
from viewer.app import STATIC, create_app
from viewer.catalogue import Catalogue
from viewer.connection import BoundedServer
from viewer.security import Access
from viewer.tail import Tail

LOOPBACK = "127.0.0.1"

_THREADS = 64
"""More than `tail.MAX_STREAMS`, so that pages whose streams fill their places still get frames."""

_CONNECTIONS = 512
_MAX_BODY_BYTES = 4096
_MAX_HEADER_BYTES = 1 << 16
"""Cookies of every other server on this machine come along; browsers send no more than this."""

_CLEANUP_S = 5
"""How often connections are looked at that their clients keep for too long."""

_BACKLOG = 256
_SHUTDOWN_S = 5.0
"""How long a thread may finish its answer when the server closes."""


class ViewerServer:
    """A viewer on a port. It listens as soon as it is made; use it in a `with`, or `start` and `close` it.

    paths: runs, folders of runs, or addresses of runs. port 0 takes a free one. path_prefix:
    where a proxy mounts the viewer, if it does not strip that. Raises the
    errors of `Catalogue`, PortInUseError, UsageError for a bad host or token.
    """

    def __init__(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        host: str = LOOPBACK,
        port: int = 0,
        path_prefix: str = "",
        allow_hosts: Iterable[str] = (),
        token: str | None = None,
        static: Path = STATIC,
    ) -> None:
        access = Access.for_server(host, allow_hosts=allow_hosts, token=token)
        prefix = _clean_prefix(path_prefix)
        catalogue = Catalogue(paths)
        listening = _listen(host, port)
        self.port: int = listening.getsockname()[1]
        self.url = _address(host, self.port, prefix, access.token)
        self._tail = Tail()
        self._channels: dict[int, Any] = {}
        # Warnings that every page's first burst of requests would print; they wait a moment, that is all.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        settings = Adjustments(
            sockets=[listening],
            url_prefix=prefix,
            connection_limit=_CONNECTIONS,
            cleanup_interval=_CLEANUP_S,
            backlog=_BACKLOG,
            # While a stream is open its socket is still read, so that a client that left is noticed at once.
            channel_request_lookahead=1,
            max_request_header_size=_MAX_HEADER_BYTES,
            max_request_body_size=_MAX_BODY_BYTES,
            asyncore_use_poll=True,
            ident="paramviz",
            clear_untrusted_proxy_headers=True,
        )
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(_THREADS)
        self._server = BoundedServer(
            create_app(catalogue, access=access, tail=self._tail, static=static),
            map=self._channels,
            _sock=listening,
            dispatcher=dispatcher,
            adj=settings,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        )
        self._pulled = threading.Event()
        self._thread = threading.Thread(target=self._server.run, name="paramviz-viewer", daemon=True)

    @property
    def n_streams(self) -> int:
        """Live streams that are open now."""
        return self._tail.n_streams

    @property
    def n_connections(self) -> int:
        """Connections that are open now."""
        return len(self._server.active_channels)

    def start(self) -> ViewerServer:
        """Serve in the background. Returns itself."""
        self._thread.start()
        return self

    def wait(self) -> None:
        """Return when the server is closed; Ctrl-C raises KeyboardInterrupt as usual."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """End streams, answer what was begun, free the port. A second call does nothing."""
        self._tail.close()
        # The threads first: one that still writes needs its channel and the loop that empties it.
        self._server.task_dispatcher.shutdown(timeout=_SHUTDOWN_S)
        if self._thread.is_alive():
            self._server.trigger.pull_trigger(self._close_channels)
            self._pulled.set()
            self._thread.join()
        else:
            self._pulled.set()
            self._close_channels()

    def _close_channels(self) -> None:
        """In the server's own thread, whose loop ends when nothing is left to look at.

        Another wake-up may run this before ours is written, and the pipe that it is written to is
        among what is closed: so wait for it.
        """
        self._pulled.wait()
        for channel in list(self._channels.values()):
            channel.close()
        self._channels.clear()

    def __enter__(self) -> ViewerServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    paths: Iterable[str | os.PathLike[str]],
    *,
    host: str = LOOPBACK,
    port: int = 0,
    path_prefix: str = "",
    allow_hosts: Iterable[str] = (),
    token: str | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Show runs until Ctrl-C (or SIGTERM, where the caller turns it into KeyboardInterrupt).

    on_ready: called with the address once the server answers. Arguments and errors as of `ViewerServer`.
    """
    server = ViewerServer(
        paths, host=host, port=port, path_prefix=path_prefix, allow_hosts=allow_hosts, token=token
    )
    with server:
        try:
            on_ready(server.url)
            server.wait()
        except KeyboardInterrupt:
            return


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, IPv4 where the name has both."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise _no_such_host(host) from error
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # On Windows this option would let two servers share one port.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(host, port, error) from error
    return listening


def _cannot_listen(host: str, port: int, error: OSError) -> ParamvizError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"Port {port} on {host} is in use. Take another with --port N, or --port 0 for any free one.",
            port=port,
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return _no_such_host(host)
    return ParamvizError(
        f"Cannot listen on port {port} of {host} ({error.strerror or error}). Take another with --port N; "
        "ports below 1024 are the administrator's."
    )


def _no_such_host(host: str) -> UsageError:
    return UsageError(f"--host {host!r} is no address of this machine. Try 127.0.0.1.")


def _address(host: str, port: int, prefix: str, token: str | None) -> str:
    name = {"": "localhost", "0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    if ":" in name:
        name = f"[{name}]"
    return f"http://{name}:{port}{prefix}/" + (f"?token={token}" if token else "")


def _clean_prefix(path_prefix: str) -> str:
    """`/a/b` for any of a/b, /a/b/, …; empty for none."""
    prefix = "/" + path_prefix.strip("/") if path_prefix.strip("/") else ""
    if any(c in prefix for c in "?#%\\ \"'<>") or "//" in prefix or not prefix.isascii():
        raise UsageError(f"--path-prefix {path_prefix!r} is no path such as /paramviz.")
    return prefix
