"""How the store grows from 10 to 10,000 snapshots, beside others, measured in one run.

Each keeper appends snapshots of 30 tensors, 1,024 samples of each, and their
statistics; at 10, 100, 1,000 … of them reading is measured: opening and
finding the newest iteration, all values of the newest, one tensor of any
snapshot, one tensor's statistic over all. Files are in the memory of the
operating system, as they are right after recording. A zip and an HDF5 file of
the run are read by paramviz too. Every number read is compared with what was written.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.other_stores import KEEPERS
from bench.reporting import folder_bytes, machine, median_ms, title
from bench.snapshots import N_TENSORS, Keeper, Opened, OpenedRun, Paramviz, made
from paramviz.store import pack_run
from paramviz.store.hdf5_export import export_hdf5

COUNTS = (10, 100, 1_000, 10_000)
QUICK_COUNTS = (10, 100)
KEY = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """Milliseconds, and bytes per snapshot. `append` is None for copies."""

    keeper: str
    count: int
    append_ms: float | None
    open_ms: float
    newest_ms: float
    tensor_ms: float
    statistic_ms: float
    bytes_each: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 100 snapshots, to see that it works")
    counts = QUICK_COUNTS if parser.parse_args().quick else COUNTS
    print(machine())
    measured: list[Measured] = []
    for begin in KEEPERS:
        with tempfile.TemporaryDirectory(prefix="paramviz-bench-") as folder:
            measured += grow(begin(Path(folder)), Path(folder), counts)
    report(measured, counts)


def grow(keeper: Keeper, folder: Path, counts: tuple[int, ...]) -> list[Measured]:
    """Append up to each count in turn, and measure there."""
    measured: list[Measured] = []
    append_s: list[float] = []
    for count in counts:
        print(f"{keeper.name}: {count:,} snapshots …", file=sys.stderr)
        for iteration in range(len(append_s), count):
            values, table = made(iteration)
            started = time.perf_counter()
            keeper.append(iteration, values, table)
            append_s.append(time.perf_counter() - started)
        newest_ms = 1000 * statistics.median(append_s[-max(5, count // 10) :])
        measured.append(measure(keeper.name, keeper.open, count, folder_bytes(folder), newest_ms))
        if isinstance(keeper, Paramviz):
            measured += measure_copies(keeper.path, folder, count)
    keeper.close()
    return measured


def measure_copies(run: Path, folder: Path, count: int) -> list[Measured]:
    """The run as it is now, as one file of either kind."""
    packed = pack_run(run, folder / "copy.zarr.zip").path
    exported = export_hdf5(run, folder / "copy.h5")
    measured = [
        measure(name, partial(OpenedRun.at, copy), count, copy.stat().st_size, None)
        for name, copy in (("paramviz, zip", packed), ("paramviz, HDF5", exported))
    ]
    packed.unlink()
    exported.unlink()
    return measured


def measure(
    name: str, open_it: Callable[[], Opened], count: int, size: int, append_ms: float | None
) -> Measured:
    rng = np.random.default_rng(count)
    opened = open_it()
    assert opened.last() == count - 1
    assert opened.values(count - 1).tobytes() == made(count - 1)[0].tobytes()
    expected = [made(i)[1][3, KEY] for i in (0, count // 2, count - 1)]
    assert opened.statistic(3, KEY)[[0, count // 2, -1]].tolist() == expected

    def any_tensor() -> None:
        # As many snapshots as tensors, so that nothing is asked twice.
        for index in range(N_TENSORS):
            opened.tensor(int(rng.integers(count)), index)

    fresh: list[Opened] = []

    def open_and_look() -> None:
        fresh.append(open_it())
        fresh[-1].last()

    open_ms = median_ms(open_and_look)
    return Measured(
        name,
        count,
        append_ms,
        open_ms,
        median_ms(lambda: opened.values(count - 1)),
        median_ms(any_tensor) / N_TENSORS,
        # By a reader that has answered no such question before: caches of tables would hide the reading.
        median_ms(lambda: fresh.pop().statistic(5, KEY), len(fresh)),
        size / count,
    )


def report(measured: list[Measured], counts: tuple[int, ...]) -> None:
    questions: tuple[tuple[str, Callable[[Measured], float | None]], ...] = (
        ("Appending a snapshot, ms", lambda m: m.append_ms),
        ("Opening and finding the newest iteration, ms", lambda m: m.open_ms),
        ("All values of the newest snapshot, ms", lambda m: m.newest_ms),
        ("One tensor of any snapshot, ms", lambda m: m.tensor_ms),
        ("One tensor's statistic over all snapshots, ms", lambda m: m.statistic_ms),
        ("Bytes a snapshot, kB", lambda m: m.bytes_each / 1000),
    )
    for question, of in questions:
        title(question)
        print(f"  {'snapshots':<24}" + "".join(f"{count:>12,}" for count in counts))
        for keeper in dict.fromkeys(m.keeper for m in measured):
            found = {m.count: of(m) for m in measured if m.keeper == keeper}
            if None not in found.values():
                print(f"  {keeper:<24}" + "".join(f"{found[count]:>12.3g}" for count in counts))
    directory = {m.count: m.tensor_ms for m in measured if m.keeper == "paramviz"}
    zipped = {m.count: m.tensor_ms for m in measured if m.keeper == "paramviz, zip"}
    title("Random access in the zip, times that in the directory")
    print(f"  {'':<24}" + "".join(f"{zipped[count] / directory[count]:>12.2f}" for count in counts))


if __name__ == "__main__":
    main()
