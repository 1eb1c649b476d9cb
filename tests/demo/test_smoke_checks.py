"""The smoke run's checks fail, with a reason, on a server that is no viewer."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from train_demo.smoke import CheckFailedError, ViewerClient, check_page, check_run_is_listed


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: a test reads what the checks say."""


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def client(folder) -> Iterator[ViewerClient]:
    """A client of a real server that hands out the files of `folder`."""

    def handler(*arguments: object) -> QuietHandler:
        return QuietHandler(*arguments, directory=str(folder))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield ViewerClient(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


def test_a_page_whose_script_is_missing_fails(client, folder):
    (folder / "index.html").write_text('<script src="./assets/main.js"></script>')
    with pytest.raises(CheckFailedError, match=r"GET \./assets/main\.js answered 404"):
        check_page(client)


def test_a_page_without_a_script_fails(client, folder):
    (folder / "index.html").write_text('<link href="style.css">')
    with pytest.raises(CheckFailedError, match="loads no script"):
        check_page(client)


def test_a_complete_page_passes(client, folder):
    (folder / "index.html").write_text('<link href="style.css"><script src="main.js"></script>')
    (folder / "style.css").write_text("p {}")
    (folder / "main.js").write_text("1;")
    check_page(client)


def test_an_empty_asset_fails(client, folder):
    (folder / "index.html").write_text('<script src="main.js"></script>')
    (folder / "main.js").touch()
    with pytest.raises(CheckFailedError, match=r"GET main\.js answered nothing"):
        check_page(client)


def test_a_run_that_cannot_be_opened_fails_with_its_error(client, folder):
    (folder / "api").mkdir()
    (folder / "api" / "runs").write_text('{"runs": [{"id": "a", "error": "damaged"}]}')
    with pytest.raises(CheckFailedError, match="cannot be opened: damaged"):
        check_run_is_listed(client, "a")
    with pytest.raises(CheckFailedError, match=r"lists \['a'\], but not b"):
        check_run_is_listed(client, "b")


def test_a_server_that_is_gone_fails_with_the_address():
    with pytest.raises(CheckFailedError, match="GET api/runs got no answer"):
        ViewerClient("http://127.0.0.1:9/").json("api/runs")
