"""The page in numbers: frames per second, seeks, memory, for the demo's model, GPT-2 small and GPT-2 XL.

All of it in a real Chromium of 1280 × 720, from counters in the page and the browser's own, on runs
that are made once (runs/bench). Software rendering unless the browser finds a GPU.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from bench.browser_road import page_on
from bench.reporting import machine, row, spread, title
from bench.viewer_page import Frames, MeasuredPage, Memory, shuffled
from bench.viewer_runs import DEMO, GPT2, GPT2_XL, TINY, Shape, made_run
from paramviz.store import open_run

RUNS = Path(__file__).parents[2] / "runs" / "bench"
MB = 1e6
SPEED = 4
"""32 snapshots a second."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/viewer", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts, to see that it works")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="FOLDER", help="where made runs are kept")
    parser.add_argument(
        "--only", choices=["demo", "gpt2", "gpt2-xl", "long"], action="append", help="leave out the others"
    )
    options = parser.parse_args()
    share = 10 if options.quick else 1
    wanted = options.only or ["demo", "gpt2", "gpt2-xl", "long"]
    print(machine())
    print(f"load before: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    for shape, passes in ((DEMO, 10), (GPT2, 10), (GPT2_XL, 2)):
        if shape.name in wanted:
            run = made_run(options.runs, shape, 1000 // share)
            measure(run, shape, passes, seconds=8 if share == 1 else 3)
    if "long" in wanted:
        measure_long(made_run(options.runs, TINY, 10_000 // share))
    print(f"\nload after: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


def measure(run: Path, shape: Shape, passes: int, seconds: float) -> None:
    iterations = open_run(run).iterations.tolist()
    title(f"{shape.title}: {len(iterations):,} snapshots")
    with page_on(run) as page:
        measured = MeasuredPage(page)
        print_frames(measured, seconds)
        print_seeks(measured, shuffled(iterations, seed=0)[: len(iterations) // 5])
        first = None
        for number in range(passes):
            measured.seek(iterations, rest=False)
            if number == 0:
                first = measured.memory()
                print_memory(f"memory after {len(iterations):,} snapshots", first)
        assert first is not None
        last = measured.memory()
        print_memory(f"memory after {passes} passes", last)
        row("growth over the passes", growth(first, last))
        counters = measured.counters()
        budget = f" of {shape.texture_budget_mb} MB" if shape.texture_budget_mb else ""
        row("textures", f"{counters['gpuTextureBytes'] / MB:.1f} MB{budget}")
        row("cache", f"{counters['cacheBytes'] / MB:.0f} MB, {counters['cachedFrames']} frames and parts")
        row("requests at once, aborted", f"{counters['mostInFlight']}, {counters['aborted']}")


def print_frames(page: MeasuredPage, seconds: float) -> None:
    page.wait_until_whole()
    facts = page.counters()
    row(
        "renderer, draw calls, points",
        f"{page.state()['graphics']}, {facts['drawCalls']}, {facts['points']:,}",
    )
    row("drawn at rest", f"{page.frames_at_rest(seconds / 2)} frames in {seconds / 2:.1f} s")
    row("orbiting", frames_text(page.orbiting(seconds)))
    row(f"playing, {8 * SPEED} snapshots/s", frames_text(page.playing(seconds, SPEED, interpolated=False)))
    row("playing, 8 snapshots/s, interpolated", frames_text(page.playing(seconds, 1, interpolated=True)))


def frames_text(frames: Frames) -> str:
    if not frames.apart_ms:
        return "nothing drawn"
    return (
        f"{frames.per_s:.1f} frames/s; apart {spread(frames.apart_ms, 'ms')}; "
        f"of it the page's thread {spread(frames.busy_ms, 'ms')}"
    )


def print_seeks(page: MeasuredPage, iterations: Sequence[int]) -> None:
    half = len(iterations) // 2
    quick = page.seek(iterations[:half], rest=False)
    row("random cold seeks without a pause", spread(quick["coarse"], "ms"))
    rested = page.seek(iterations[half:], rest=True)
    row("cold seek from rest, to the first picture", spread(rested["coarse"], "ms"))
    row("… to the fine one with all its parts", spread(rested["whole"], "ms"))


def print_memory(label: str, memory: Memory) -> None:
    row(
        label,
        f"{memory.in_page / MB:.0f} MB in the page (JS heap {memory.heap / MB:.0f}, ArrayBuffers "
        f"{memory.buffers / MB:.0f}); resident {memory.renderer / MB:.0f} MB, "
        f"GPU process {memory.gpu_process / MB:.0f} MB",
    )


def growth(first: Memory, last: Memory) -> str:
    in_page = 100 * (last.in_page / first.in_page - 1)
    resident = 100 * (last.renderer / first.renderer - 1)
    return f"{in_page:+.1f} % in the page, {resident:+.1f} % resident"


def measure_long(run: Path) -> None:
    iterations = open_run(run).iterations.tolist()
    title(f"A long run: {len(iterations):,} snapshots of {TINY.title}")
    with page_on(run) as page:
        measured = MeasuredPage(page)
        seen = []
        for number in range(3):
            measured.seek(iterations, rest=False)
            seen.append(measured.memory())
            print_memory(f"memory after pass {number + 1}", seen[-1])
        row("growth over the passes", growth(seen[0], seen[-1]))


if __name__ == "__main__":
    main()
