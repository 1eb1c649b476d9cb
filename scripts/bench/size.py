"""What a snapshot takes, of the demonstration's GPT while it really learns.

It is recorded twice: at every iteration, and as `schedule="adaptive"` does.
Printed are the bytes of a snapshot in each container, beside the same samples as
raw float16 and all parameters as a float16 checkpoint; how much smaller each
codec that was weighed makes the samples; and what reading costs. Files are in
the memory of the operating system. All that is decoded is compared with what was recorded.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import paramviz
from bench.codecs import CODECS
from bench.reporting import folder_bytes, machine, median_ms, title
from paramviz.store import Run, layout, open_run, pack_run
from paramviz.store.dense_index import is_samples
from paramviz.store.dense_source import stored_bytes
from train_demo.text import Corpus, standard_library_text
from train_demo.training import Trainer, TrainingSettings

BLOCK_SIZE = 64
ASKED = 40
"""Places at random, so that nothing is prepared for them."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run and its two packed copies."""

    schedule: str
    parameters: int
    directory: Path
    packed: Path
    dense: Path

    def containers(self) -> dict[str, Path]:
        return {"directory": self.directory, "zip": self.packed, "zip --dense": self.dense}


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/size", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few iterations, to see that it works")
    lengths = (24, 130) if parser.parse_args().quick else (200, 1000)
    torch.set_num_threads(1)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="paramviz-bench-") as folder:
        runs = [
            record(Path(folder), schedule=1, iterations=lengths[0]),
            record(Path(folder), schedule="adaptive", iterations=lengths[1]),
        ]
        report_sizes(runs)
        report_codecs(runs)
        for run in runs:
            report_reading(run)


def record(folder: Path, schedule: int | str, iterations: int) -> Recorded:
    """Train, record and pack."""
    name = "every iteration" if schedule == 1 else str(schedule)
    corpus = Corpus.of(standard_library_text(), BLOCK_SIZE)
    trainer = Trainer(TrainingSettings(iterations=iterations), corpus, BLOCK_SIZE)
    directory = folder / name
    recorder = paramviz.Recorder(directory, trainer.model, trainer.optimizer, schedule=schedule)
    with recorder:
        for _ in trainer.train(recorder, folder / "checkpoints"):
            pass
    return Recorded(
        name,
        sum(parameter.numel() for parameter in trainer.model.parameters()),
        directory,
        pack_run(directory, folder / f"{name}.zarr.zip").path,
        pack_run(directory, folder / f"{name}-dense.zarr.zip", dense=True).path,
    )


def report_sizes(runs: list[Recorded]) -> None:
    opened = [open_run(run.directory) for run in runs]
    dense = [open_run(run.dense) for run in runs]
    rows: dict[str, list[float]] = {
        "all parameters as a float16 checkpoint": [2 * run.parameters for run in runs],
        "the samples as raw float16": [values_of(run)[0].nbytes for run in opened],
        "the samples as recorded": [sample_bytes(run) for run in opened],
        "the samples in dense blocks": [sample_bytes(run) for run in dense],
        "directory": [folder_bytes(run.directory) / len(o) for run, o in zip(runs, opened, strict=True)],
        "pack": [run.packed.stat().st_size / len(o) for run, o in zip(runs, opened, strict=True)],
        "pack --dense": [run.dense.stat().st_size / len(o) for run, o in zip(runs, opened, strict=True)],
    }
    title("Bytes a snapshot, kB")
    heading("", [run.schedule for run in runs])
    print(f"  {'number of snapshots':<44}" + "".join(f"{len(run):>18,}" for run in opened))
    for label, numbers in rows.items():
        print(f"  {label:<44}" + "".join(f"{number / 1000:>18.1f}" for number in numbers))


def report_codecs(runs: list[Recorded]) -> None:
    """The last half of each run's snapshots: the first ones move more than any later."""
    title("Samples, times smaller than raw float16")
    heading("", [run.schedule for run in runs])
    halves = [values_of(run)[len(run) // 2 :] for run in (open_run(run.directory) for run in runs)]
    for label, encoded_bytes in CODECS.items():
        ratios = [values_TN.nbytes / encoded_bytes(values_TN) for values_TN in halves]
        print(f"  {label:<44}" + "".join(f"{ratio:>18.2f}" for ratio in ratios))


def report_reading(recorded: Recorded) -> None:
    title(f"Reading, ms, and times that of the directory: {recorded.schedule}")
    heading("", [*recorded.containers()])
    for label, ask in QUESTIONS.items():
        taken_ms = [ask(path) for path in recorded.containers().values()]
        cells = (f"{ms:.2f} ({ms / taken_ms[0]:.1f})" for ms in taken_ms)
        print(f"  {label:<44}" + "".join(f"{cell:>18}" for cell in cells))


def any_tensor_ms(path: Path) -> float:
    run, rng = open_run(path), np.random.default_rng(1)
    names = [tensor.name for tensor in run.tensors if tensor.array == "values" and tensor.tied_to is None]
    return median_ms(lambda: run[int(rng.choice(run.iterations))].values(str(rng.choice(names))), ASKED)


def any_snapshot_ms(path: Path) -> float:
    """Each by a reader that knows the plan and has decoded nothing yet."""
    rng = np.random.default_rng(2)
    fresh = [open_run(path) for _ in range(ASKED)]
    assert all(run.plans for run in fresh)

    def ask() -> None:
        run = fresh.pop()
        run[int(rng.choice(run.iterations))].table("values")

    return median_ms(ask, ASKED)


def forward_ms(path: Path) -> float:
    run = open_run(path)
    started = time.perf_counter()
    for iteration in run.iterations.tolist():
        run[iteration].table("values")
    return 1000 * (time.perf_counter() - started) / len(run)


QUESTIONS: dict[str, Callable[[Path], float]] = {
    "one tensor of any snapshot": any_tensor_ms,
    "all samples of any snapshot": any_snapshot_ms,
    "all samples of each, played forward": forward_ms,
}


def values_of(run: Run) -> npt.NDArray[np.float16]:
    """(T, N) the samples of all snapshots."""
    return np.stack([run[iteration].table("values") for iteration in run.iterations.tolist()])


def sample_bytes(run: Run) -> float:
    """Bytes of the files that a snapshot's samples are in, on average."""
    total = 0.0
    for iteration in run.iterations.tolist():
        files = {key: seal for key, seal in run[iteration].record.files.items() if is_samples(key)}
        total += stored_bytes(run.source, layout.iteration_key(iteration), files)
    return total / len(run)


def heading(label: str, columns: list[str]) -> None:
    print(f"  {label:<44}" + "".join(f"{column:>18}" for column in columns))


if __name__ == "__main__":
    main()
