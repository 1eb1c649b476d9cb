"""A small run with tensors that do not change: their samples lie in its plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paramviz.schema import FrozenSamples, GradientStates, Snapshot, TensorInfo
from paramviz.store import RunWriter

TENSORS = (
    TensorInfo(0, "moves", (4, 5), "float32", "other", None, "other", samples=20, grid=(4, 5)),
    TensorInfo(1, "b", (3,), "float32", "bias", None, "other", samples=3, grid=(1, 3), array="vectors"),
    TensorInfo(
        2, "still", (200, 100), "float32", "other", None, "other", frozen=True, samples=20_000,
        grid=(200, 100), offset=20,
    ),
    TensorInfo(
        3, "still.b", (7,), "float32", "bias", None, "other", frozen=True, samples=7, grid=(1, 7),
        array="vectors", offset=3,
    ),
)  # fmt: skip
RNG = np.random.default_rng(11)
FROZEN = FrozenSamples(
    RNG.standard_normal(20_000).astype(np.float16), np.array([0.0, -0.0, np.nan, np.inf, 1, 2, 3], np.float32)
)
ITERATIONS = (0, 1, 5)


def make_run(path: Path) -> Path:
    writer = RunWriter.create(path, description={})
    positions = np.concatenate([np.arange(20), np.arange(20_000)])
    plan = writer.add_plan(TENSORS, positions, np.concatenate([np.arange(3), np.arange(7)]), frozen=FROZEN)
    for iteration in ITERATIONS:
        values, vectors = np.full(20, iteration, np.float16), np.full(3, -iteration, np.float32)
        snapshot = Snapshot(
            iteration, plan.number, "core", 1.0, {}, [], GradientStates(), values=values, vectors=vectors
        )
        writer.commit(snapshot)
    writer.close("finished")
    return path
