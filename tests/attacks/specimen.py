"""The run that the fuzzer damages: everything that the format has, and small.

Inner chunks of 48 elements and blocks of two snapshots stand in for those of 16,384 and 256, so
that a run of a few kilobytes has shards of several chunks, blocks, and two sessions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from paramviz.schema import (
    GRADIENT_KEYS,
    STATISTIC_KEYS,
    AttentionLayer,
    EmbeddingPlan,
    Event,
    FrozenSamples,
    GradientStates,
    Plan,
    Probe,
    Snapshot,
    TensorInfo,
)
from paramviz.store import RunWriter
from paramviz.store.layout import PROBE_ARRAYS, SNAPSHOT_ARRAYS
from paramviz.store.shapes import Shapes, probe_shape
from tests.store.small_blocks import small_blocks

INNER_CHUNK = 48

TENSORS = (
    TensorInfo(
        0, "wte.weight", (6, 4), "float32", "token_embedding", None, "embedding", samples=24, grid=(6, 4)
    ),
    TensorInfo(
        1, "fc.weight", (60, 4), "float32", "attention_query", 0, "mlp", samples=80, grid=(20, 4), offset=24,
        row_groups=4,
    ),
    TensorInfo(2, "fc.bias", (8,), "float32", "bias", 0, "mlp", samples=8, grid=(1, 8), array="vectors"),
    TensorInfo(3, "head.weight", (6, 4), "float32", "head", None, "head", tied_to="wte.weight"),
    TensorInfo(
        4, "still.weight", (12, 5), "float32", "other", 1, "other", frozen=True, samples=60, grid=(12, 5),
        offset=104,
    ),
    TensorInfo(
        5, "still.bias", (5,), "float32", "bias", 1, "other", frozen=True, samples=5, grid=(1, 5),
        array="vectors", offset=8,
    ),
)  # fmt: skip
N_VALUES, N_VECTORS, TOKENS, WIDTH, SCORES = 104, 8, 6, 4, 8
SNAPSHOTS = 2
PROBE = Probe(
    0,
    inputs=(("x", (2, 3)),),
    tokens=np.array([1, 0, 5], np.int64),
    layers=(AttentionLayer("h.0.attn", 2, 3, 3), AttentionLayer("h.1.attn", 1, 3, 2)),
    residuals=("h", "h.0"),
    modules=("", "h.0"),
)


@contextmanager
def small_chunks() -> Iterator[None]:
    """A format whose shards have chunks of 48 elements; it must be in force for reading too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paramviz.store.layout.INNER_CHUNK", INNER_CHUNK)
        yield


def make_run(path: Path) -> Path:
    """Two sessions of one snapshot each; `small_chunks` must be in force."""
    rng = np.random.default_rng(5)
    with small_blocks():
        writer = RunWriter.create(
            path, description={"model": "made", "config": {"lr": 0.1}}, vocabulary=list("abcdef")
        )
        embedding = EmbeddingPlan("wte.weight", WIDTH, TOKENS, np.arange(TOKENS, dtype=np.int32), True)
        frozen = FrozenSamples(rng.integers(-8, 8, 60).astype("f2"), rng.standard_normal(5).astype("f4"))
        sampled = (3 * np.arange(20)[:, None] * 4 + np.arange(4)).ravel()
        positions = np.concatenate([np.arange(24), sampled, np.arange(60)])
        vector_positions = np.concatenate([np.arange(8), np.arange(5)])
        plan = writer.add_plan(
            TENSORS,
            positions,
            vector_positions,
            embedding,
            frozen,
            cell_edges=np.concatenate([np.arange(0, 61, 3), np.arange(5)]),
            sketch_basis=np.eye(WIDTH, 2, dtype=np.float32),
            neighbour_tokens=np.array([1, 4], np.int32),
        )
        components, mean = rng.standard_normal((SCORES, WIDTH)), rng.standard_normal(WIDTH)
        writer.add_basis(0, components.astype("f4"), mean.astype("f4"), np.full(SCORES, 1 / SCORES, "f4"))
        for iteration in range(SNAPSHOTS):
            if iteration:
                writer.close("crashed")
                writer = RunWriter.resume(path)
            snapshot = _snapshot(iteration, rng)
            if not iteration:
                snapshot.probe = writer.add_probe(PROBE)
                snapshot.more = _further(plan, rng)
            writer.log_step(iteration, snapshot.scalars, snapshot.time_unix_s)
            writer.commit(snapshot)
        writer.close("finished")
    return path


def _further(plan: Plan, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every further quantity that a key snapshot can hold."""
    shapes = Shapes(plan, len(STATISTIC_KEYS), len(GRADIENT_KEYS))
    fields = {field.name for field in dataclasses.fields(Snapshot)}
    named = {
        key: probe_shape(key, PROBE) if key in PROBE_ARRAYS else shapes.of(key)
        for key in SNAPSHOT_ARRAYS
        if key not in fields
    }
    # Small whole numbers, which are numbers in every dtype.
    return {
        key: rng.integers(-3, 4, shape).astype(SNAPSHOT_ARRAYS[key])
        for key, shape in named.items()
        if 0 not in shape
    }


def _snapshot(iteration: int, rng: np.random.Generator) -> Snapshot:
    """Everything in the first, and in the others what each snapshot holds."""
    n_tensors, tier = len(TENSORS), "core" if iteration else "key"
    snapshot = Snapshot(
        iteration=iteration,
        plan=0,
        tier=tier,
        time_unix_s=1_790_000_000.0 + iteration,
        scalars={"loss": 2.0 - iteration, "strange": float("nan")},
        events=[Event(iteration, "validation", "half way")],
        gradient_states=GradientStates("used", {3: "unavailable"}, "tied"),
        values=rng.integers(-8, 8, N_VALUES).astype(np.float16),
        vectors=rng.standard_normal(N_VECTORS).astype(np.float32),
        statistics=rng.standard_normal((n_tensors, len(STATISTIC_KEYS))).astype(np.float32),
        gradient_statistics=rng.standard_normal((n_tensors, len(GRADIENT_KEYS))).astype(np.float32),
    )
    if not iteration:
        snapshot.histograms = rng.integers(0, 2**32, (n_tensors, 64), dtype=np.uint32)
        snapshot.embedding_rows = rng.standard_normal((TOKENS, WIDTH)).astype(np.float16)
        snapshot.embedding_scores = rng.standard_normal((TOKENS, SCORES)).astype(np.float16)
        snapshot.basis = 0
    return snapshot
