"""Small runs whose every number follows from a seed, so that a test can say what must be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from paramviz.errors import DamagedRunError, ParamvizError
from paramviz.schema import (
    GRADIENT_KEYS,
    STATISTIC_KEYS,
    EmbeddingPlan,
    Event,
    GradientStates,
    Plan,
    Snapshot,
    TensorInfo,
)
from paramviz.store import Durability, Run, RunWriter

TENSORS = (
    TensorInfo(
        0, "wte.weight", (40, 8), "float32", "token_embedding", None, "embedding", samples=320, grid=(40, 8)
    ),
    TensorInfo(
        1,
        "h.0.fc.weight",
        (200, 100),
        "float32",
        "mlp_up",
        0,
        "mlp",
        samples=20_000,
        grid=(200, 100),
        offset=320,
    ),
    TensorInfo(
        2, "h.0.fc.bias", (200,), "float32", "bias", 0, "mlp", samples=50, grid=(1, 50), array="vectors"
    ),
    TensorInfo(3, "head.weight", (40, 8), "float32", "head", None, "head", tied_to="wte.weight"),
    TensorInfo(4, "odd", (3,), "complex64", "other", None, "other", skipped="complex numbers"),
)
N_VALUES, N_VECTORS, N_TOKENS, WIDTH, N_SCORES = 20_320, 50, 40, 8, 8


def add_plan(writer: RunWriter) -> Plan:
    positions = np.concatenate([np.arange(320), np.arange(20_000)])
    embedding = EmbeddingPlan("wte.weight", WIDTH, N_TOKENS, np.arange(N_TOKENS, dtype=np.int32), True)
    return writer.add_plan(TENSORS, positions, np.arange(0, 200, 4), embedding)


def add_basis(writer: RunWriter) -> int:
    rng = np.random.default_rng(7)
    return writer.add_basis(
        0,
        rng.standard_normal((N_SCORES, WIDTH)).astype(np.float32),
        rng.standard_normal(WIDTH).astype(np.float32),
        np.full(N_SCORES, 1 / N_SCORES, np.float32),
    )


def snapshot(
    iteration: int, plan: int = 0, basis: int = 0, n_statistics: int = len(STATISTIC_KEYS)
) -> Snapshot:
    """The snapshot that belongs to an iteration; NaN and inf are among its numbers."""
    rng = np.random.default_rng(iteration)
    values = rng.standard_normal(N_VALUES).astype(np.float16)
    values[:3] = np.nan, np.inf, -np.inf
    events = [Event(iteration, "validation", "half way")] if iteration % 5 == 0 else []
    return Snapshot(
        iteration=iteration,
        plan=plan,
        tier="key" if iteration % 8 == 0 else "core",
        time_unix_s=1_790_000_000.0 + iteration,
        scalars={"loss": 4.0 / (iteration + 1), "strange": float("nan")},
        events=events,
        gradient_states=GradientStates("used", {4: "unavailable"}, "odd has no gradient"),
        values=values,
        vectors=rng.standard_normal(N_VECTORS).astype(np.float32),
        statistics=rng.standard_normal((len(TENSORS), n_statistics)).astype(np.float32),
        histograms=rng.integers(0, 2**32, (len(TENSORS), 64), dtype=np.uint32),
        gradient_statistics=rng.standard_normal((len(TENSORS), len(GRADIENT_KEYS))).astype(np.float32),
        embedding_rows=rng.standard_normal((N_TOKENS, WIDTH)).astype(np.float16),
        embedding_scores=rng.standard_normal((N_TOKENS, N_SCORES)).astype(np.float16),
        basis=basis,
    )


ARRAYS = (
    "values",
    "vectors",
    "statistics",
    "histograms",
    "gradient_statistics",
    "embedding_rows",
    "embedding_scores",
)


def create(path: Path, name: str | None = None, durability: Durability = "process") -> RunWriter:
    """A run without a plan."""
    return RunWriter.create(
        path,
        name=name,
        description={"model": "made", "config": {"lr": 0.1}},
        vocabulary=[chr(97 + i) for i in range(40)],
        durability=durability,
    )


def start(path: Path, name: str | None = None) -> RunWriter:
    """A run that is ready for `write`."""
    writer = create(path, name)
    add_plan(writer)
    add_basis(writer)
    return writer


def write(writer: RunWriter, iteration: int) -> None:
    made = snapshot(iteration)
    writer.log_step(iteration, made.scalars, made.time_unix_s)
    writer.commit(made)


def make_run(path: Path, iterations: int = 3) -> Path:
    """A finished run with iterations 0 to `iterations` - 1."""
    writer = start(path)
    for iteration in range(iterations):
        write(writer, iteration)
    writer.close("finished")
    return path


def assert_right_or_refused(run: Run, iteration: int, refusal: type[ParamvizError] = DamagedRunError) -> None:
    """Every array of a snapshot that can be read is the one that was recorded, bit for bit."""
    for key in ARRAYS:
        try:
            read = run[iteration].array(key)
        except refusal:
            continue
        assert read is not None
        assert read.tobytes() == getattr(snapshot(iteration), key).tobytes()


def assert_same_snapshot(stored: object, iteration: int) -> None:
    """Every array of a stored snapshot, bit for bit."""
    made = snapshot(iteration, n_statistics=stored.array("statistics").shape[1])  # type: ignore[attr-defined]
    for key in ARRAYS:
        read, expected = stored.array(key), getattr(made, key)  # type: ignore[attr-defined]
        assert read.dtype == expected.dtype
        assert read.shape == expected.shape
        assert read.tobytes() == expected.tobytes(), key
