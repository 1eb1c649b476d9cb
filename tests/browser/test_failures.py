"""What the page does when something is taken from it: graphics, a snapshot in the middle, the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Playwright

from tests.browser.conftest import FLAGS, Training, WatchedPage
from tests.browser.test_refusals import flip
from tests.store import made_runs

pytestmark = pytest.mark.browser

CONTEXT = "document.querySelector('[data-test=stage]').getContext('webgl2')"


class Server:
    """`paramviz view` that can be killed and started again on the same port."""

    def __init__(self, run: Path, root: Path) -> None:
        self._run, self._root, self._port = run, root, "0"
        self._process: subprocess.Popen[str] | None = None
        self.url = self.start()

    def start(self) -> str:
        command = ["-m", "paramviz", "view", str(self._run), "--port", self._port, "--no-browser"]
        self._process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=self._root, env={**os.environ}
        )
        assert self._process.stdout is not None
        url = self._process.stdout.readline().strip()
        self._port = str(urlsplit(url).port)
        return url

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate(timeout=20)
            self._process = None


@pytest.fixture
def serve(project_root: Path, view: Callable[..., str]) -> Iterator[Callable[[Path], Server]]:
    servers: list[Server] = []

    def start(run: Path) -> Server:
        servers.append(Server(run, project_root))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


def forgive_network(watched: WatchedPage) -> None:
    """The browser itself logs every request that nobody answered, and some of it late."""
    watched.page.goto("about:blank")
    watched.complaints[:] = [c for c in watched.complaints if "net::ERR" not in c]


def test_without_webgl2_the_page_says_so_and_the_charts_work(
    playwright: Playwright, chromium: str, view: Callable[..., str], finished_run: Path
):
    browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, "--disable-3d-apis"])
    watched = WatchedPage(browser.new_page(viewport={"width": 1280, "height": 720}))
    watched.open(view(finished_run))
    assert watched.state()["graphics"] == "none"
    assert "no WebGL2" in watched.page.inner_text('[data-test="notice-no-webgl"]')
    watched.page.click('[data-test="tensor-0"]')
    watched.page.wait_for_selector('[data-test="details"]:visible')
    watched.page.click('[data-test="tab-loss"]')
    watched.page.wait_for_selector('[data-test="chart-loss"]:visible')
    watched.seek(7)
    assert watched.state()["views"][0]["shown"] == 7
    for key in "d5bBq":
        watched.page.keyboard.press(key)
    errors = [c for c in watched.complaints if "WebGL" not in c]
    browser.close()
    assert errors == []


def test_a_lost_graphics_context_comes_back_with_the_right_picture(
    watched: WatchedPage, view: Callable[..., str], finished_run: Path
):
    watched.open_model(view(finished_run))
    page = watched.page
    watched.seek(12)
    watched.remember_picture("12")
    watched.seek(4)
    watched.remember_picture("4")
    page.evaluate(f"window.taken = {CONTEXT}.getExtension('WEBGL_lose_context'); window.taken.loseContext()")
    page.wait_for_selector('[data-test="notice-context-lost"]:visible')
    assert watched.state()["graphics"] == "lost"
    page.fill('[data-test="iteration-box"]', "12")
    page.press('[data-test="iteration-box"]', "Enter")
    watched.wait("window.paramviz.state().views[0].shown === 12")
    page.evaluate("window.taken.restoreContext()")
    watched.wait("window.paramviz.state().graphics === 'software'")
    assert page.locator('[data-test="notice-context-lost"]').count() == 0
    watched.seek(12)
    watched.remember_picture("12 again")
    assert watched.differing_share("12", "12 again") == 0
    watched.seek(4)
    watched.remember_picture("4 again")
    assert watched.differing_share("4", "4 again") == 0
    assert watched.differing_share("4", "12") > 0.005
    watched.complaints[:] = [c for c in watched.complaints if "CONTEXT_LOST" not in c and "Context" not in c]


def test_playback_goes_on_over_a_damaged_snapshot_which_is_named(
    watched: WatchedPage, view: Callable[..., str], tmp_path: Path
):
    run = made_runs.make_run(tmp_path / "run", iterations=12)
    flip(run / "iterations/00000006/values/c.0")
    watched.open_model(view(run))
    page = watched.page
    page.keyboard.press("Home")
    watched.wait("window.paramviz.state().views[0].shown === 0")
    # So slowly no snapshot is left out, however slow the machine; and what is said but shortly is noted.
    page.select_option('[data-test="speed"]', "0.25")
    page.evaluate(
        """() => {
          window.said = [];
          new MutationObserver(() => {
            const notice = document.querySelector('[data-test="notice-damaged"]');
            if (notice) window.said.push(notice.textContent);
          }).observe(document.body, { childList: true, subtree: true });
        }"""
    )
    page.evaluate("window.paramviz.play()")
    watched.wait("window.said.some((text) => text.includes('Iteration 6 is damaged'))")
    watched.wait("window.paramviz.state().views[0].shown === 11")
    watched.wait("!window.paramviz.state().playing")
    assert page.locator('[data-test="notice-damaged"]').count() == 0
    page.evaluate("void window.paramviz.seek(6)")
    notice = page.wait_for_selector('[data-test="notice-damaged"]')
    assert notice is not None
    assert "Iteration 6 is damaged" in notice.inner_text()
    watched.complaints[:] = [c for c in watched.complaints if "422" not in c]


def test_a_server_that_was_killed_is_said_and_followed_again_when_it_is_back(
    watched: WatchedPage, serve: Callable[[Path], Server], start_training: Callable[..., Training]
):
    training = start_training()
    training.train(4)
    server = serve(training.run)
    watched.open_model(server.url)
    watched.wait("window.paramviz.state().views[0].shown === 3")
    server.kill()
    notice = watched.page.wait_for_selector('[data-test="notice-lost"]:visible')
    assert notice is not None
    assert "does not answer" in notice.inner_text()
    watched.page.keyboard.press("e")
    training.train(3)
    server.start()
    watched.page.wait_for_selector('[data-test="notice-lost"]', state="detached")
    watched.wait("window.paramviz.state().views[0].shown === 6")
    training.train(2)
    watched.wait("window.paramviz.state().views[0].shown === 8")
    training.finish()
    forgive_network(watched)


def test_a_server_that_goes_while_playing_stops_nothing_that_was_loaded(
    watched: WatchedPage, serve: Callable[[Path], Server], tmp_path: Path
):
    server = serve(made_runs.make_run(tmp_path / "run", iterations=120))
    watched.open_model(server.url)
    page = watched.page
    page.keyboard.press("Home")
    watched.wait("window.paramviz.state().views[0].shown === 0")
    page.keyboard.press("Space")
    watched.wait("window.paramviz.state().views[0].shown >= 3")
    server.kill()
    page.wait_for_selector('[data-test="notice-lost"]:visible')
    page.wait_for_timeout(3000)
    stuck = watched.state()["views"][0]["shown"]
    assert stuck < 119
    server.start()
    page.wait_for_selector('[data-test="notice-lost"]', state="detached")
    watched.wait(f"window.paramviz.state().views[0].shown > {stuck}")
    assert watched.state()["failure"] is None
    forgive_network(watched)
