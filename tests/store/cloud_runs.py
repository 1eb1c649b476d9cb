"""A run whose token embedding moves as it would in training, with all that key snapshots tell of it.

Every number follows from a seed. `truth` has the rows at full width of every iteration, also of
those that the run stores only scores or a sketch of.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from paramviz.schema import NEIGHBOURS, EmbeddingPlan, GradientStates, Snapshot, TensorInfo
from paramviz.store import RunWriter

VOCABULARY, WIDTH, SKETCH, N_SCORES = 300, 24, 16, 8
TOKENS = np.arange(0, VOCABULARY, 3, dtype=np.int32)
NEIGHBOUR_TOKENS = TOKENS[::9]
ITERATIONS = tuple(range(0, 41, 4))
KEY = (0, 16, 32, 40)
WITH_ROWS = (0, 40)
TEXTS = (" the", "Cat", "dog", "42", "\n", ",", "é", "<|end|>", " ", "ing")


def text_of(token: int) -> str:
    """Texts of every class; each token's own."""
    text = TEXTS[(token // 3) % len(TEXTS)]
    return text if token < 3 * len(TEXTS) else f"{text}{token}"


def truth(iteration: int, *, learns: bool = True) -> npt.NDArray[np.float64]:
    """(tokens, width): noise at first; if the model learns, three directions grow out of it."""
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((len(TOKENS), WIDTH)) * 0.02
    directions = np.linalg.qr(rng.standard_normal((WIDTH, 3))).Q
    places = rng.standard_normal((len(TOKENS), 3)) * [0.5, 0.3, 0.2]
    return noise + (places * iteration / ITERATIONS[-1]) @ directions.T * learns


def nearest(
    rows: npt.NDArray[np.float64], token: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """(tokens, distances) of the nearest recorded ones, by brute force."""
    at = int(np.searchsorted(TOKENS, token))
    apart = np.linalg.norm(rows - rows[at], axis=1)
    apart[at] = np.inf
    order = np.argsort(apart, kind="stable")[:NEIGHBOURS]
    return TOKENS[order], apart[order]


def make_run(path: Path, *, learns: bool = True) -> Path:
    """Rows at the first and last snapshot, scores at all, sketches and neighbours at the key ones."""
    writer = RunWriter.create(
        path,
        description={"model": "made"},
        vocabulary=[text_of(token) for token in range(VOCABULARY)],
    )
    sketch_basis = np.linalg.qr(np.random.default_rng(1).standard_normal((WIDTH, SKETCH))).Q.astype(
        np.float32
    )
    tensor = TensorInfo(
        0,
        "wte",
        (VOCABULARY, WIDTH),
        "float32",
        "token_embedding",
        None,
        "embedding",
        samples=240,
        grid=(10, 24),
    )
    writer.add_plan(
        (tensor,),
        np.arange(240),
        np.empty(0, np.int64),
        EmbeddingPlan("wte", WIDTH, VOCABULARY, TOKENS, every_snapshot=False),
        sketch_basis=sketch_basis,
        neighbour_tokens=NEIGHBOUR_TOKENS,
    )
    for iteration in ITERATIONS:
        rows = truth(iteration, learns=learns)
        if iteration in WITH_ROWS:
            mean = rows.mean(axis=0)
            _, singular, vt = np.linalg.svd(rows - mean, full_matrices=False)
            components, shares = vt[:N_SCORES], singular**2 / (singular**2).sum()
            basis = writer.add_basis(
                iteration,
                components.astype(np.float32),
                mean.astype(np.float32),
                shares[:N_SCORES].astype(np.float32),
            )
        writer.log_step(iteration, {"loss": 4.0 / (iteration + 1)}, 1_790_000_000.0 + iteration)
        writer.commit(
            Snapshot(
                iteration,
                0,
                "key" if iteration in KEY else "core",
                1_790_000_000.0 + iteration,
                {"loss": 4.0 / (iteration + 1)},
                [],
                GradientStates("unavailable", {}, "made"),
                values=rows[:10].reshape(-1).astype(np.float16),
                embedding_rows=rows.astype(np.float16) if iteration in WITH_ROWS else None,
                embedding_scores=((rows - mean) @ components.T).astype(np.float16),
                basis=basis,
                more=_at_key_snapshots(rows, sketch_basis) if iteration in KEY else {},
            )
        )
    writer.close("finished")
    return path


def _at_key_snapshots(
    rows: npt.NDArray[np.float64], sketch_basis: npt.NDArray[np.float32]
) -> dict[str, npt.NDArray[np.generic]]:
    near = [nearest(rows, int(token)) for token in NEIGHBOUR_TOKENS]
    return {
        "embedding_sketch": (rows @ sketch_basis).astype(np.float16),
        "embedding_variance": np.array([rows.var(axis=0).sum()]),
        "embedding_neighbours": np.array([tokens for tokens, _ in near], np.int32),
        "embedding_distances": np.array([apart for _, apart in near], np.float32),
    }
