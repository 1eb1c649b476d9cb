"""A real Chromium on real servers: nothing leaves the machine, and no console error passes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
DRAW_TIMEOUT_MS = 60_000
"""Generous: a loaded machine draws slowly, and no test here is about speed."""


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
    yield browser
    browser.close()


class WatchedPage:
    """A page with everything that it complained about or asked of the outside."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.left_the_machine: list[str] = []
        page.set_default_timeout(DRAW_TIMEOUT_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.route("**/*", self._guard)

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.wait(
            "window.paramviz && window.paramviz.state().views.length > 0"
            " && window.paramviz.state().views.every(v => v.shown !== null)"
        )

    def wait(self, condition: str) -> None:
        """Until a JavaScript condition holds. Asked from outside: the page's policy forbids eval in it."""
        deadline = time.monotonic() + DRAW_TIMEOUT_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < deadline, f"never came true: {condition}\n{self.state()}"
            self.page.wait_for_timeout(20)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.page.evaluate("window.paramviz.state()")
        return state

    def seek(self, iteration: int) -> None:
        """Returns when the iteration is drawn."""
        self.page.evaluate("i => window.paramviz.seek(i)", iteration)

    def remember_picture(self, name: str) -> None:
        """Keep the canvas' pixels in the page, read in the task that drew them."""
        self.page.evaluate(
            """async name => {
              window.pictures = window.pictures ?? {};
              window.pictures[name] = (await window.paramviz.readPixels()).data.slice();
            }""",
            name,
        )

    def differing_share(self, a: str, b: str) -> float:
        """Share of the pixels' bytes that differ between two remembered pictures."""
        share: float = self.page.evaluate(
            """([a, b]) => {
              const p = window.pictures[a], q = window.pictures[b];
              let differing = 0;
              for (let i = 0; i < p.length; i++) differing += p[i] !== q[i] ? 1 : 0;
              return p.length === q.length ? differing / p.length : 1;
            }""",
            [a, b],
        )
        return share

    def open_model(self, url: str) -> None:
        """Open the page on the tab with the scene."""
        self.open(url)
        self.page.click('[data-test="tab-model"]')

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning") and "GPU stall due to ReadPixels" not in message.text:
            self.complaints.append(message.text)

    def _guard(self, route: Any) -> None:
        url = route.request.url
        if url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            route.continue_()
        else:
            self.left_the_machine.append(url)
            route.abort()


@pytest.fixture
def watched(browser: Browser, view: Callable[..., str]) -> Iterator[WatchedPage]:
    """A fresh page of 1280 × 720; the test fails if it complained, or asked for anything outside.

    It asks for `view` so that the page is closed before its server.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
    watched = WatchedPage(context.new_page())
    yield watched
    context.close()
    assert watched.complaints == []
    assert watched.left_the_machine == []


@pytest.fixture
def view(project_root: Path) -> Iterator[Callable[..., str]]:
    """Start `paramviz view` on runs; answers its URL, as it prints it."""
    processes: list[subprocess.Popen[str]] = []

    def start(*runs: Path | str, options: tuple[str, ...] = ()) -> str:
        command = [sys.executable, "-m", "paramviz", "view", *map(str, runs), "--port", "0", "--no-browser"]
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, text=True, cwd=project_root, env={**os.environ}
        )
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.startswith("http://127.0.0.1:"), line
        return line

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


class Training:
    """A training process that makes the steps it is told to."""

    def __init__(self, run: Path, seed: int, root: Path) -> None:
        self.run = run
        path = os.pathsep.join([str(root), str(root / "scripts")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.training", str(run), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": path},
        )

    def train(self, steps: int) -> None:
        """Returns when the steps are made; their snapshots are on disk soon after."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip().isdigit(), "the training process died"

    def finish(self) -> None:
        assert self._process.stdin is not None
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0

    def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def start_training(tmp_path: Path, project_root: Path) -> Iterator[Callable[..., Training]]:
    started: list[Training] = []

    def start(name: str = "run", seed: int = 1) -> Training:
        started.append(Training(tmp_path / name, seed, project_root))
        return started[-1]

    yield start
    for training in started:
        training.stop()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Path:
    """A run of 31 iterations that has ended."""
    training = Training(tmp_path_factory.mktemp("runs") / "finished", 1, project_root)
    training.train(31)
    training.finish()
    return training.run


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Path:
    """The same with another seed, and shorter."""
    training = Training(tmp_path_factory.mktemp("runs") / "other", 2, project_root)
    training.train(21)
    training.finish()
    return training.run
