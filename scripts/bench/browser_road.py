"""From the disk to the pixel: a real server and a real Chromium, measured from the outside."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from paramviz.schema import Snapshot
from paramviz.store import Run, RunWriter, open_run

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
LIVE_INTERVAL_S = 0.1
SHOWS_SOMETHING = "window.paramviz && (window.paramviz.state().views[0]?.shown ?? null) !== null"

NOTE_DRAWN_FRAMES = """() => {
  window.drawnAt = {};
  const note = () => {
    for (const drawn of Object.values(window.paramviz.counters().drawn)) {
      window.drawnAt[drawn.iteration] ??= drawn.date_ms;
    }
    requestAnimationFrame(note);
  };
  note();
}"""
"""Keeps the wall clock, in ms, of the first frame that showed each iteration."""


@dataclass(frozen=True, slots=True)
class Scrubbing:
    """Milliseconds of each random jump, and jumps per second over all."""

    seek_ms: list[float]
    frames_per_s: float


@contextmanager
def page_on(run: Path) -> Iterator[Page]:
    """A page of 1280 × 720 on the model's scene of a run, served by `paramviz view`."""
    command = [sys.executable, "-m", "paramviz", "view", str(run), "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=os.environ["PARAMVIZ_CHROMIUM"], args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.goto(url)
            page.click('[data-test="tab-model"]')
            while not page.evaluate(SHOWS_SOMETHING):
                page.wait_for_timeout(50)
            yield page
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


def measure_live(target: Path, recorded: Path, snapshots: int) -> list[float]:
    """ms from the commit of each snapshot to its drawn frame, at ten snapshots per second.

    The snapshots are those of a recorded run, committed once more into a new
    one, so that only the road behind the commit is measured.
    """
    source = open_run(recorded)
    writer = RunWriter.create(target, description=source.description, vocabulary=source.vocabulary)
    plan = source.plan
    writer.add_plan(plan.tensors, plan.positions, plan.vector_positions, plan.embedding)
    iterations = source.iterations.tolist()[: snapshots + 10]
    copies = [_copy(source, iteration) for iteration in iterations]
    writer.commit(copies[0])
    with page_on(target) as page:
        page.evaluate(NOTE_DRAWN_FRAMES)
        for copy in copies[1:]:
            started = time.perf_counter()
            writer.log_step(copy.iteration, copy.scalars, time.time())
            writer.commit(copy)
            time.sleep(max(0.0, LIVE_INTERVAL_S - (time.perf_counter() - started)))
        page.wait_for_timeout(1000)
        drawn: dict[str, float] = page.evaluate("window.drawnAt")
    writer.close("finished")
    run = open_run(target)
    # The first few are left out: the page still warms up, shaders are compiled.
    return [
        drawn[str(iteration)] - 1000 * committed
        for iteration in iterations[10:]
        if (committed := run.committed_unix_s(iteration)) is not None and str(iteration) in drawn
    ]


def measure_scrubbing(run: Path, seeks: int) -> Scrubbing:
    """Jumps to random iterations, each awaited until it is drawn; none is asked for twice."""
    iterations = open_run(run).iterations.tolist()
    random.Random(0).shuffle(iterations)
    with page_on(run) as page:
        times: list[float] = page.evaluate(
            """async (iterations) => {
              const times = [];
              for (const iteration of iterations) {
                const start = performance.now();
                await window.paramviz.seek(iteration);
                times.push(performance.now() - start);
              }
              return times;
            }""",
            iterations[:seeks],
        )
    return Scrubbing(times, 1000 * len(times) / sum(times))


def _copy(source: Run, iteration: int) -> Snapshot:
    stored = source[iteration]
    return Snapshot(
        iteration=iteration,
        plan=0,
        tier="key" if stored.tier == "key" else "core",
        time_unix_s=stored.time_unix_s,
        scalars=stored.scalars,
        events=[],
        gradient_states=stored.gradient_states,
        values=stored.array("values"),
        vectors=stored.array("vectors"),
        statistics=stored.array("statistics"),
        histograms=stored.array("histograms"),
        gradient_statistics=stored.array("gradient_statistics"),
        embedding_rows=stored.array("embedding_rows"),
    )
