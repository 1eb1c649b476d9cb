"""A small run with all quantities that a key snapshot can hold, each number following from a seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paramviz.places import Places
from paramviz.sampling import sample_grid
from paramviz.schema import (
    NEIGHBOURS,
    AttentionLayer,
    EmbeddingPlan,
    GradientStates,
    Plan,
    Probe,
    Snapshot,
    TensorInfo,
)
from paramviz.store import RunWriter

VOCABULARY, WIDTH, HEADS, SKETCH = 20_000, 12, 3, 8
TOKENS = np.arange(0, VOCABULARY, 2_000, dtype=np.int32)
NEIGHBOUR_TOKENS = TOKENS[:4]

BARE = (
    TensorInfo(0, "wte", (VOCABULARY, WIDTH), "float32", "token_embedding", None, "embedding"),
    TensorInfo(
        1, "qkv", (3 * WIDTH, WIDTH), "float32", "attention_qkv", 0, "attention", row_groups=3 * HEADS
    ),
    TensorInfo(
        2, "proj", (WIDTH, WIDTH), "float32", "attention_projection", 0, "attention", column_groups=HEADS
    ),
    TensorInfo(3, "proj.bias", (WIDTH,), "float32", "bias", 0, "attention"),
    TensorInfo(4, "up", (50, 2, 20), "float32", "conv", 0, "mlp"),
    TensorInfo(5, "tied", (VOCABULARY, WIDTH), "float32", "head", None, "head", tied_to="wte"),
)
PROBE = Probe(
    number=0,
    inputs=(("input_ids", (2, 6)), ("attention_mask", (2, 6))),
    tokens=np.array([4, 8, 15, 16, 23, 42], np.int64),
    layers=(AttentionLayer("h.0.attn", 2, 4, 4), AttentionLayer("h.1.attn", 3, 4, 5)),
    residuals=("h", "h.0", "h.1"),
    modules=("", "h.0", "h.0.attn", "h.1"),
    reason="h.2.attn: no attention was seen",
)

BUDGETS = {0: 64, 1: 60, 2: 4096, 3: 64, 4: 128}


def make_plan() -> tuple[Plan, dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]]:
    """A plan, and the edges of the cells of each of its sampled tensors by index."""
    tensors, edges, offset = list(BARE), {}, {"values": 0, "vectors": 0}
    positions: dict[str, list[npt.NDArray[np.int64]]] = {"values": [], "vectors": []}
    for index, budget in BUDGETS.items():
        grid = sample_grid(BARE[index].shape, budget, row_groups=BARE[index].row_groups)
        array = "vectors" if len(BARE[index].shape) == 1 else "values"
        tensors[index] = replace(
            BARE[index],
            samples=len(grid.positions),
            grid=(len(grid.rows), len(grid.columns)),
            array=array,
            offset=offset[array],
        )
        offset[array] += len(grid.positions)
        positions[array].append(grid.positions)
        if not tensors[index].whole:
            edges[index] = grid.row_edges, grid.column_edges
    embedding = EmbeddingPlan("wte", WIDTH, VOCABULARY, TOKENS, every_snapshot=True)
    plan = Plan(
        0,
        tuple(tensors),
        np.concatenate(positions["values"]),
        np.concatenate(positions["vectors"]),
        embedding,
        cell_edges=np.concatenate([part for pair in edges.values() for part in pair]),
        sketch_basis=np.linalg.qr(np.random.default_rng(1).standard_normal((WIDTH, WIDTH)))[0][
            :, :SKETCH
        ].astype(np.float32),
        neighbour_tokens=NEIGHBOUR_TOKENS,
    )
    return plan, edges


def quantities(plan: Plan, seed: int) -> dict[str, npt.NDArray[np.generic]]:
    """Every further array of a snapshot, by its name in the store."""
    rng, places = np.random.default_rng(seed), Places(plan)
    halves = {
        "gradient_values": places.moving,
        "update_values": places.moving,
        "cells_mean": places.cells,
        "cells_rms": places.cells,
        "cells_absmax": places.cells,
        "row_norms": places.rows,
        "gradient_row_norms": places.rows,
        "column_norms": places.columns,
        "gradient_column_norms": places.columns,
    }
    exponents = {
        "gradient_exponents": (len(plan.tensors),),
        "update_exponents": (len(plan.tensors),),
        "cell_exponents": (places.cells.entries, 3),
        "norm_exponents": (places.rows.entries, 4),
    }
    return {
        **{key: rng.standard_normal(packing.length).astype(np.float16) for key, packing in halves.items()},
        **{key: rng.integers(-60, 20, shape).astype(np.int16) for key, shape in exponents.items()},
        "row_norm_histograms": rng.integers(0, 999, (places.long.entries, 64)).astype(np.uint32),
        "head_norms": rng.standard_normal(places.heads.length).astype(np.float32),
        "spectrum": rng.standard_normal(places.spectra.length).astype(np.float32),
        "embedding_sketch": rng.standard_normal((len(TOKENS), SKETCH)).astype(np.float16),
        "embedding_variance": rng.standard_normal(1),
        "embedding_neighbours": rng.integers(0, VOCABULARY, (4, NEIGHBOURS)).astype(np.int32),
        "embedding_distances": rng.standard_normal((4, NEIGHBOURS)).astype(np.float32),
    }


def probed(seed: int) -> dict[str, npt.NDArray[np.generic]]:
    """Every array that comes of `PROBE`, by its name in the store."""
    rng = np.random.default_rng(seed)
    patterns = np.full((2, 3, 4, 5), np.nan, np.float16)
    for number, layer in enumerate(PROBE.layers):
        shape = layer.heads, layer.queries, layer.keys
        patterns[number, : layer.heads, : layer.queries, : layer.keys] = rng.random(shape)
    return {
        "attention": patterns,
        "attention_entropy": rng.random((2, 3)).astype(np.float32),
        "attention_max_logit": rng.standard_normal((2, 3)).astype(np.float32),
        "residual_rms": rng.random(3).astype(np.float32),
        "activations": rng.random((4, len(PROBE.columns))).astype(np.float32),
    }


def make_run(path: Path) -> Path:
    """A key snapshot with everything at 0, a core snapshot with samples alone at 1."""
    plan, _ = make_plan()
    writer = RunWriter.create(path, description={})
    writer.add_plan(
        plan.tensors,
        plan.positions,
        plan.vector_positions,
        plan.embedding,
        cell_edges=plan.cell_edges,
        sketch_basis=plan.sketch_basis,
        neighbour_tokens=plan.neighbour_tokens,
    )
    writer.add_probe(PROBE)
    for iteration, tier in enumerate(("key", "core")):
        rng = np.random.default_rng(iteration)
        writer.commit(
            Snapshot(
                iteration,
                0,
                tier,
                1.0,
                {},
                [],
                GradientStates(),
                values=rng.standard_normal(len(plan.positions)).astype(np.float16),
                vectors=rng.standard_normal(len(plan.vector_positions)).astype(np.float32),
                probe=0 if tier == "key" else None,
                more={**quantities(plan, iteration), **probed(iteration)} if tier == "key" else {},
            )
        )
    writer.close("finished")
    return path
