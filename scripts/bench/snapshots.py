"""Snapshots of a made-up model, and the two ways of keeping them that are paramviz's own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from paramviz.schema import STATISTIC_KEYS, GradientStates, Snapshot, TensorInfo
from paramviz.store import Run, RunWriter, open_run

N_TENSORS, N_SAMPLES = 30, 1024
N_VALUES = N_TENSORS * N_SAMPLES
TENSORS = tuple(
    TensorInfo(
        index, f"h.{index}.weight", (768, 768), "float32", "mlp_up", index, "mlp",
        samples=N_SAMPLES, grid=(32, 32), offset=index * N_SAMPLES,
    )
    for index in range(N_TENSORS)
)  # fmt: skip

Values = npt.NDArray[np.float16]
Statistics = npt.NDArray[np.float32]


def made(iteration: int) -> tuple[Values, Statistics]:
    """values (N,) float16 and statistics (tensors, keys) float32 of an iteration: as random as weights."""
    rng = np.random.default_rng(iteration)
    values = (0.02 * rng.standard_normal(N_VALUES, np.float32)).astype(np.float16)
    return values, rng.standard_normal((N_TENSORS, len(STATISTIC_KEYS)), np.float32)


class Opened(Protocol):
    """What a reader is asked; all of them answer with the same numbers."""

    def last(self) -> int:
        """The newest iteration."""

    def values(self, iteration: int) -> Values:
        """All samples of a snapshot, (N,)."""

    def tensor(self, iteration: int, index: int) -> Values:
        """The samples of one tensor, (samples,)."""

    def statistic(self, index: int, key: int) -> npt.NDArray[np.float64]:
        """One statistic of one tensor over all snapshots, (T,)."""


class Keeper(Protocol):
    """A way of keeping snapshots below a folder."""

    name: str

    def append(self, iteration: int, values: Values, statistics: Statistics) -> None: ...

    def open(self) -> Opened:
        """Open what is there for reading, as another process would."""

    def close(self) -> None: ...


class OpenedRun:
    """A run of paramviz, in whatever container."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @classmethod
    def at(cls, path: Path) -> OpenedRun:
        return cls(open_run(path))

    def last(self) -> int:
        return int(self.run.iterations[-1])

    def values(self, iteration: int) -> Values:
        return self.run[iteration].table("values")

    def tensor(self, iteration: int, index: int) -> Values:
        return self.run[iteration].values(TENSORS[index].name).astype(np.float16, copy=False)

    def statistic(self, index: int, key: int) -> npt.NDArray[np.float64]:
        return self.run.timeline(TENSORS[index].name, STATISTIC_KEYS[key])


class Paramviz:
    """A run that is being recorded, with its loss at every step."""

    name = "paramviz"

    def __init__(self, folder: Path) -> None:
        self.path = folder / "run"
        self._writer = RunWriter.create(self.path, description={})
        positions = np.tile(np.arange(N_SAMPLES, dtype=np.int64), N_TENSORS)
        self._writer.add_plan(TENSORS, positions, np.empty(0, np.int64))

    def append(self, iteration: int, values: Values, statistics: Statistics) -> None:
        scalars = {"loss": 1.0}
        self._writer.log_step(iteration, scalars, float(iteration))
        self._writer.commit(
            Snapshot(
                iteration=iteration,
                plan=0,
                tier="core",
                time_unix_s=float(iteration),
                scalars=scalars,
                events=[],
                gradient_states=GradientStates(),
                values=values,
                statistics=statistics,
            )
        )

    def open(self) -> OpenedRun:
        return OpenedRun.at(self.path)

    def close(self) -> None:
        self._writer.close("finished")
