"""`paramviz view`: serve the viewer and open it in the browser."""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from types import FrameType

import click

DEFAULT_PORT = 7007


@click.command(short_help="Watch runs in the browser.")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path())
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--path-prefix", default="", metavar="PATH", help="Where a proxy mounts the viewer, such as /p."
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Also answer to this host name (repeatable).",
)
@click.option(
    "--token",
    envvar="PARAMVIZ_TOKEN",
    show_envvar=True,
    metavar="TOKEN",
    help="Ask visitors for this token; auto makes one, as does a --host beyond this machine.",
)
def view(
    runs: tuple[str, ...],
    host: str,
    port: int,
    no_browser: bool,
    path_prefix: str,
    allow_hosts: tuple[str, ...],
    token: str | None,
) -> None:
    """Watch runs in the browser, live while they are being recorded.

    RUN is a run, a folder of runs, or the address of one such as s3://bucket/run. The first line
    printed is where the viewer is; Ctrl-C ends.
    """
    from viewer import serve

    def announce(url: str) -> None:
        click.echo(url)
        sys.stdout.flush()
        if not no_browser:
            _open_browser(url)

    signal.signal(signal.SIGTERM, _as_interrupt)
    serve(
        runs,
        host=host,
        port=port,
        path_prefix=path_prefix,
        allow_hosts=allow_hosts,
        token=token,
        on_ready=announce,
    )


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _open_browser(url: str) -> None:
    # Without a desktop, `webbrowser` falls back on browsers that would take over this terminal.
    desktop = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if desktop:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
