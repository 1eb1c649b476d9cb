"""Long runs of large models, made in minutes: recorded once for real, then continued with noise.

Three snapshots come from the real recorder on a real model, in a process of its own that
gives its memory back. The snapshots of the long run are made of them by the real writer:
samples, vectors and embedding scores drift and jitter, so they are as many bytes, and
as hard to compress, as those of a training. Kept in a folder, so that they are made once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import paramviz
from paramviz.errors import ParamvizError
from paramviz.recorder import embedding as recorded_tokens
from paramviz.schema import Snapshot, TensorInfo
from paramviz.store import Run, RunWriter, open_run
from paramviz.store.writer import SNAPSHOT_FIELDS
from train_demo.gpt import GPT, GPTConfig

KEY_EVERY = 8
SEEDS = 3
N_POINTS = 10_000
NOISE = 0.05
"""Of a tensor's spread, in each snapshot."""


Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """A model whose runs are looked at."""

    name: str
    title: str
    config: GPTConfig
    texture_budget_mb: float | None = None


DEMO = Shape("demo", "the demo's GPT", GPTConfig(vocabulary_size=512, n_layer=4, n_head=4, n_embd=128))
TINY = Shape("tiny", "a GPT of one layer", GPTConfig(vocabulary_size=64, n_layer=1, n_head=2, n_embd=32))
GPT2 = Shape(
    "gpt2",
    "GPT-2 small",
    GPTConfig(vocabulary_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768),
    texture_budget_mb=128,
)
GPT2_XL = Shape(
    "gpt2-xl",
    "GPT-2 XL",
    GPTConfig(vocabulary_size=50257, block_size=1024, n_layer=48, n_head=25, n_embd=1600),
    texture_budget_mb=512,
)
SHAPES = {shape.name: shape for shape in (DEMO, TINY, GPT2, GPT2_XL)}


def made_run(folder: Path, shape: Shape, snapshots: int) -> Path:
    """A finished run of so many snapshots, from `folder` if it is there already."""
    run = folder / f"{shape.name}-{snapshots}"
    if _is_whole(run, snapshots):
        return run
    seed = folder / f"{shape.name}-seed"
    if not _is_whole(seed, SEEDS):
        shutil.rmtree(seed, ignore_errors=True)
        command = [sys.executable, "-P", "-m", "bench.viewer_runs", shape.name, str(seed)]
        subprocess.run(command, check=True)
    shutil.rmtree(run, ignore_errors=True)
    _continue(open_run(seed), run, snapshots)
    return run


def _is_whole(path: Path, snapshots: int) -> bool:
    try:
        run = open_run(path)
    except ParamvizError:
        return False
    return run.status == "finished" and len(run.iterations) == snapshots


def record_seed(shape: Shape, path: Path) -> None:
    """A key, a core and a last snapshot of a model with random weights."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    # A recorder takes 5,000 tokens by itself; the page is measured with more points.
    recorded_tokens.choose_tokens = evenly_spaced
    model = GPT(shape.config)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for parameter in model.parameters():
        # The weights themselves: a gradient of the right size that takes no memory.
        parameter.grad = parameter.detach()
    vocabulary = [f"token {number}" for number in range(shape.config.vocabulary_size)]
    with paramviz.Recorder(
        path, model, optimizer, schedule=1, key_every=KEY_EVERY, name=shape.title, vocabulary=vocabulary
    ) as recorder:
        for iteration in range(SEEDS):
            optimizer.step()
            recorder.step(iteration, loss=1.0, event="checkpoint" if iteration == SEEDS - 1 else None)
            while recorder.report.snapshots <= iteration and not recorder.report.lost:
                time.sleep(0.01)


def evenly_spaced(vocabulary_size: int, width: int) -> npt.NDArray[np.int32]:
    """The tokens of the benchmark's clouds, whatever the bytes of their rows."""
    count = min(N_POINTS, vocabulary_size)
    return np.linspace(0, vocabulary_size - 1, count).astype(np.int32)


def _continue(seed: Run, target: Path, snapshots: int) -> None:
    writer = RunWriter.create(
        target, name=seed.name, description=seed.description, vocabulary=seed.vocabulary
    )
    plan = seed.plan
    writer.add_plan(
        plan.tensors,
        plan.positions,
        plan.vector_positions,
        plan.embedding,
        cell_edges=plan.cell_edges,
        sketch_basis=plan.sketch_basis,
        neighbour_tokens=plan.neighbour_tokens,
    )
    for number in range(seed.n_bases):
        basis = seed.basis(number)
        writer.add_basis(basis.iteration, basis.components, basis.mean, basis.explained)
    drift = Drift(seed)
    for iteration in range(snapshots):
        snapshot = drift.snapshot(iteration, is_end=iteration in (0, snapshots - 1))
        writer.log_step(iteration, snapshot.scalars, snapshot.time_unix_s)
        writer.commit(snapshot)
    writer.close("finished")


class Drift:
    """Snapshots that wander about those of a seed: what the page loads moves, the rest stays."""

    def __init__(self, seed: Run) -> None:
        self._rng = np.random.default_rng(1)
        self._core, self._key = seed[1], seed[SEEDS - 1]
        # The sketch is large, and the page never asks for it.
        names = self._key.record.arrays | self._core.record.arrays
        self._arrays = {key: self._read(key) for key in names - {"embedding_sketch"}}
        self._spread = {key: self._spread_of(key, seed.plan.tensors) for key in ("values", "vectors")}
        scores = self._arrays.get("embedding_scores")
        if scores is not None:
            self._spread["embedding_scores"] = scores.std(axis=0, dtype=np.float32)

    def snapshot(self, iteration: int, *, is_end: bool) -> Snapshot:
        """`is_end`: the first or the last, which holds embedding rows too."""
        is_key = is_end or iteration % KEY_EVERY == 0
        held = dict(self._arrays)
        if not is_key:
            held = {key: array for key, array in held.items() if key in self._core.record.arrays}
        elif not is_end and "embedding_scores" in held:
            held.pop("embedding_rows", None)
        for key, spread in self._spread.items():
            held[key] = self._moved(held[key], spread, iteration)
        fields: dict[str, Any] = {key: held.pop(key) for key in SNAPSHOT_FIELDS if key in held}
        return Snapshot(
            iteration=iteration,
            plan=0,
            tier="key" if is_key else "core",
            time_unix_s=float(iteration),
            scalars={"loss": float(2 + np.exp(-iteration / 200) + 0.05 * self._rng.standard_normal())},
            events=[],
            gradient_states=self._core.gradient_states,
            basis=self._core.basis,
            more=held,
            **fields,
        )

    def _read(self, key: str) -> Array:
        holder = self._core if key in self._core.record.arrays else self._key
        return holder.table(key)

    def _spread_of(self, key: str, tensors: Sequence[TensorInfo]) -> Array:
        """Standard deviation of each sample's tensor, in the order of the samples."""
        samples = self._arrays[key]
        spread = np.zeros(len(samples), np.float32)
        for tensor in tensors:
            if tensor.samples and tensor.array == key:
                span = slice(tensor.offset, tensor.offset + tensor.samples)
                spread[span] = max(float(samples[span].std(dtype=np.float32)), 1e-3)
        return spread

    def _moved(self, samples: Array, spread: Array, iteration: int) -> Array:
        noise = self._rng.standard_normal(samples.shape, np.float32)
        grown = samples.astype(np.float32) * (1 + 0.3 * np.sin(iteration / 40))
        moved: Array = (grown + NOISE * spread * noise).astype(samples.dtype)
        return moved


if __name__ == "__main__":
    record_seed(SHAPES[sys.argv[1]], Path(sys.argv[2]))
