"""What the page does with a run, by its own counters and those of the browser: both of them real."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

WAIT_UNTIL_WHOLE = """async () => {
  const next = () => new Promise(done => requestAnimationFrame(done));
  const drawn = () => Object.values(window.paramviz.counters().drawn)[0];
  while ((drawn()?.whole_ms ?? null) === null) await next();
}"""

SEEK = """async ([iterations, rest]) => {
  const { paramviz } = window;
  const next = () => new Promise(done => requestAnimationFrame(done));
  const result = { coarse: [], whole: [] };
  for (const iteration of iterations) {
    // Somebody looks at a picture before the next; meanwhile the renderer draws the fine one to its end.
    if (rest) await new Promise(done => setTimeout(done, 400));
    const start = performance.now();
    await paramviz.seek(iteration);
    result.coarse.push(performance.now() - start);
    if (!rest) continue;
    let drawn;
    do {
      await next();
      drawn = Object.values(paramviz.counters().drawn)[0];
    } while (drawn.whole_ms === null);
    result.whole.push(drawn.whole_ms - start);
  }
  return result;
}"""


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a phase: how many a second, ms from each to the next, ms of work in the page for each."""

    per_s: float
    apart_ms: list[float]
    busy_ms: list[float]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: the page's JS heap and ArrayBuffers after a collection, and what its processes keep resident."""

    heap: int
    buffers: int
    renderer: int
    gpu_process: int

    @property
    def in_page(self) -> int:
        return self.heap + self.buffers


class MeasuredPage:
    """A page on the scene of one run."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._tab = page.context.new_cdp_session(page)
        browser = page.context.browser
        assert browser is not None
        self._browser = browser.new_browser_cdp_session()

    def counters(self) -> dict[str, Any]:
        counters: dict[str, Any] = self._page.evaluate("window.paramviz.counters()")
        return counters

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self._page.evaluate("window.paramviz.state()")
        return state

    def wait_until_whole(self) -> None:
        self._page.evaluate(WAIT_UNTIL_WHOLE)

    def frames_at_rest(self, seconds: float) -> int:
        self.wait_until_whole()
        self._page.wait_for_timeout(500)
        before = self.counters()["framesDrawn"]
        self._page.wait_for_timeout(1000 * seconds)
        return int(self.counters()["framesDrawn"] - before)

    def orbiting(self, seconds: float) -> Frames:
        """A hand drags the scene to and fro."""
        box = self._page.locator('[data-test="stage"]').bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + 12
        mouse = self._page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + 5, y)
        started, since_ms = time.perf_counter(), self._now_ms()
        step = 0
        while time.perf_counter() - started < seconds:
            step += 1
            mouse.move(x + 4 * (step % 40 if step // 40 % 2 == 0 else 40 - step % 40), y)
        frames = self._frames(since_ms, self._now_ms())
        mouse.up()
        self._page.keyboard.press("r")
        self.wait_until_whole()
        return frames

    def playing(self, seconds: float, speed: int, *, interpolated: bool) -> Frames:
        """From the first snapshot on, or as far as it goes."""
        self._interpolate(interpolated)
        self._page.select_option('[data-test="speed"]', str(speed))
        self._page.click('[data-test="first"]')
        self._page.evaluate("window.paramviz.play()")
        self._page.wait_for_timeout(1000)
        since_ms, started = self._now_ms(), time.perf_counter()
        # Asked seldom: each question takes time from what is measured.
        while time.perf_counter() - started < seconds and self.state()["playing"]:
            self._page.wait_for_timeout(1000)
        frames = self._frames(since_ms, self._now_ms())
        self._page.evaluate("window.paramviz.pause()")
        self.wait_until_whole()
        return frames

    def seek(self, iterations: Sequence[int], *, rest: bool) -> dict[str, list[float]]:
        """ms from each seek to its first picture; with `rest`, from a page at rest, also to the fine one."""
        found: dict[str, list[float]] = self._page.evaluate(SEEK, [list(iterations), rest])
        return found

    def memory(self) -> Memory:
        self.wait_until_whole()
        for _ in range(2):
            self._tab.send("HeapProfiler.collectGarbage")
        usage = self._tab.send("Runtime.getHeapUsage")
        resident = {"renderer": 0, "GPU": 0}
        for process in self._browser.send("SystemInfo.getProcessInfo")["processInfo"]:
            if process["type"] in resident:
                resident[process["type"]] += _resident_bytes(process["id"])
        return Memory(
            int(usage["usedSize"] + usage["embedderHeapUsedSize"]),
            int(usage["backingStorageSize"]),
            resident["renderer"],
            resident["GPU"],
        )

    def _interpolate(self, wished: bool) -> None:
        self._page.click('[data-test="look-open"]')
        self._page.set_checked('[data-test="interpolate"]', wished)
        self._page.keyboard.press("Escape")

    def _now_ms(self) -> float:
        return float(self._page.evaluate("performance.now()"))

    def _frames(self, since_ms: float, until_ms: float) -> Frames:
        times = self._page.evaluate("since => window.paramviz.drawTimes(since)", since_ms)
        at = times["at_ms"]
        apart = [b - a for a, b in itertools.pairwise(at)]
        return Frames(1000 * len(at) / (until_ms - since_ms), apart, times["busy_ms"])


def shuffled(iterations: Sequence[int], seed: int) -> list[int]:
    order = list(iterations)
    random.Random(seed).shuffle(order)
    return order


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    return 0
