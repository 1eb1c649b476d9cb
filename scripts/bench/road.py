"""The whole road in numbers, measured in one run.

1. A training loop bare, recorded adaptively, recorded at every iteration.
2. Milliseconds from a snapshot's commit to the frame that Chromium drew of it.
3. Frames per second when jumping at random through a finished run.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from bench import browser_road, recording_cost
from bench.reporting import machine, row, spread, title


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/road", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the counts, to see that it works")
    options = parser.parse_args()
    iterations = 100 if options.quick else 1000
    torch.set_num_threads(1)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        print_recording(Path(folder), iterations)
        print_browser(Path(folder), live_snapshots=iterations // 10, seeks=iterations // 5)


def print_recording(folder: Path, iterations: int) -> None:
    title(f"Recording a GPT of 0.8 M parameters on the CPU, {iterations:,} iterations, writer included")
    loops = recording_cost.measure(folder, iterations, batch_size=24)
    bare = loops[0]
    row("bare step", f"{1000 * np.median(bare.block_s) / min(50, iterations):.1f} ms")
    for loop in loops[1:]:
        wall = np.array(loop.block_s) / np.array(bare.block_s)
        row(
            f"{loop.name}: time over bare",
            f"{sum(loop.block_s) / sum(bare.block_s):.3f} in all, median block {np.median(wall):.3f}; "
            f"process CPU {sum(loop.cpu_s) / sum(bare.cpu_s):.3f}",
        )
        row("", loop.report())
        loop.close()


def print_browser(folder: Path, live_snapshots: int, seeks: int) -> None:
    title("In Chromium (software rendering, 1280 × 720), server and page on this machine")
    live = browser_road.measure_live(folder / "live", folder / "every", live_snapshots)
    row("commit to drawn frame, 10 snapshots/s", spread(live, "ms"))
    scrub = browser_road.measure_scrubbing(folder / "every", seeks)
    row("random jump to drawn frame, cold", spread(scrub.seek_ms, "ms"))
    row("scrub rate, random jumps", f"{scrub.frames_per_s:.1f} frames/s")


if __name__ == "__main__":
    main()
