"""scripts/demo as a person or a machine starts it."""

from __future__ import annotations

import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import paramviz

pytestmark = pytest.mark.slow

TIMEOUT_S = 120


class RunningDemo:
    """A demonstration in a process group of its own, as a terminal would start it."""

    def __init__(self, root: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "train_demo", "--no-browser", "--port", "0", *options],
            env={
                **os.environ,
                "PYTHONPATH": str(root / "scripts"),
                "PYTHONUNBUFFERED": "1",
                "COLUMNS": "200",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def wait_for(self, pattern: str) -> str:
        """The first match in what it says from now on."""
        said = ""
        while True:
            said += self._lines.get(timeout=TIMEOUT_S)
            if found := re.search(pattern, said):
                return found[0]

    def interrupt(self) -> int:
        """Ctrl-C: to every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(TIMEOUT_S)

    def close(self) -> None:
        """End what is still running, and free the pipe."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._listener.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(project_root) -> Iterator[Callable[..., RunningDemo]]:
    started: list[RunningDemo] = []

    def start(*options: str) -> RunningDemo:
        started.append(RunningDemo(project_root, *options))
        return started[-1]

    yield start
    for demo in started:
        demo.close()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except urllib.error.URLError:
        return False


def test_the_smoke_run_passes(project_root):
    done = subprocess.run(
        [project_root / "scripts" / "demo", "--smoke"], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "smoke: the page, the frames, the scalars and the tail" in done.stdout


def test_it_trains_and_serves_until_ctrl_c(start, tmp_path):
    demo = start("--iterations", "5", "--out", str(tmp_path))
    url = demo.wait_for(r"http://127\.0\.0\.1:\d+/")
    demo.wait_for("until Ctrl-C")
    assert paramviz.open_run(tmp_path / "demo-1").status == "finished"
    assert answers(url)
    assert demo.interrupt() == 0
    assert not answers(url)


def test_a_second_time_both_runs_are_offered(start, tmp_path):
    for _ in range(2):
        demo = start("--iterations", "3", "--out", str(tmp_path))
        url = demo.wait_for(r"http://127\.0\.0\.1:\d+/")
        demo.wait_for("until Ctrl-C")
        with urllib.request.urlopen(url + "api/runs", timeout=10) as response:
            listed = response.read().decode()
        demo.interrupt()
    assert [name in listed for name in ("demo-1", "demo-2")] == [True, True]


def test_ctrl_c_while_training_keeps_the_run_and_ends_the_viewer(start, tmp_path):
    demo = start("--iterations", "100000", "--schedule", "1", "--out", str(tmp_path))
    url = demo.wait_for(r"http://127\.0\.0\.1:\d+/")
    while len(paramviz.open_run(tmp_path / "demo-1").iterations) < 3:
        assert demo.process.poll() is None
    assert demo.interrupt() == 130
    assert not answers(url)
    run = paramviz.open_run(tmp_path / "demo-1")
    assert run.status == "crashed"
    assert len(run.iterations) >= 3


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--text", "absent.txt"], 3, "absent.txt cannot be read"),
        (["--schedule", "sometimes"], 2, "schedule='sometimes' is unknown"),
        (["--iterations", "0"], 2, "--iterations"),
    ],
)
def test_bad_options_are_one_line_that_says_what(project_root, tmp_path, options, status, said):
    demo = [sys.executable, "-P", "-m", "train_demo", "--no-browser", "--out", str(tmp_path), *options]
    done = subprocess.run(
        demo,
        env={**os.environ, "PYTHONPATH": str(project_root / "scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_refused_before_a_run_is_made(project_root, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-P", "-m", "train_demo", "--port", str(port), "--out", str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(project_root / "scripts")},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 3
    assert f"Port {port} is in use" in done.stderr
    assert list(tmp_path.iterdir()) == []
