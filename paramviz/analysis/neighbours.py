"""Who is nearest to whom among the recorded tokens, and whose neighbours changed most.

What a snapshot stored is taken as it is (chosen tokens, exact at full width). Else distances are
computed from the rows of the newest snapshot that has them, or from the sketch of a key snapshot
that has no rows: an orthogonal projection shortens a distance by the square root of the share of
directions that it keeps, on average, so it is stretched by that much.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from paramviz.errors import NotRecordedError
from paramviz.schema import NEIGHBOURS, EmbeddingPlan
from paramviz.store import Run, StoredSnapshot
from paramviz.store.holdings import Holdings

Floats = npt.NDArray[Any]
Tokens = npt.NDArray[np.int32]
Source = Literal["recorded", "rows", "sketch"]

COUNT = NEIGHBOURS
_MOST_QUERIES = 64
"""Tokens that are asked where a run chose none itself."""
_MOST_COMPARED = 512
"""Recorded tokens up to which the neighbours of all are computed and compared."""
_BLOCK_ROWS = 8192
_CACHED = 512


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest recorded tokens to `token` at `iteration`, nearest first; distances (n,) float32.

    `source`: `recorded` and `rows` are exact at full width, `sketch` is an estimate.
    """

    token: int
    iteration: int
    source: Source
    tokens: Tokens
    distances: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a snapshot knows of its rows at full width.

    variance: exact total variance of the finite rows; queries: (Q,) indices among the recorded rows;
    neighbours: (Q, COUNT) indices of their nearest, -1 where there are fewer.
    """

    iteration: int
    width: int
    variance: float
    queries: npt.NDArray[np.intp]
    neighbours: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Change:
    """`share`: 1 minus the Jaccard index of a token's nearest neighbours at two snapshots, 0 to 1."""

    token: int
    share: float


def nearest(
    points: Floats, queries: npt.NDArray[np.intp], count: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """The `count` nearest other points to each query, by Euclidean distance, computed in float64.

    points: (K, D); queries: (Q,) indices. Returns indices (Q, count) and distances (Q, count), nearest
    first, of equal ones the lower index; -1 and NaN where there are fewer. A point that is not finite
    has no neighbours and is nobody's.
    """
    found = np.full((len(queries), count), -1, np.intp)
    distances = np.full((len(queries), count), np.nan, np.float32)
    finite: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(points), axis=1)
    for q, query in enumerate(queries):
        if not finite[query]:
            continue
        apart = np.concatenate(
            [
                np.linalg.norm(points[start : start + _BLOCK_ROWS].astype(np.float64) - points[query], axis=1)
                for start in range(0, len(points), _BLOCK_ROWS)
            ]
        )
        apart[~finite] = np.inf
        apart[query] = np.inf
        order = np.argsort(apart, kind="stable")[:count]
        order = order[np.isfinite(apart[order])]
        found[q, : len(order)] = order
        distances[q, : len(order)] = apart[order]
    return found, distances


class Neighbourhoods:
    """The neighbours in one run's token embedding. Safe in several threads; it keeps its answers."""

    def __init__(self, run: Run, holdings: Holdings | None = None) -> None:
        """holdings: of the same run, where others ask it too."""
        self._run = run
        self._holdings = holdings or Holdings(run)
        self._lock = threading.RLock()
        self._answers: OrderedDict[tuple[int, int], Neighbours] = OrderedDict()
        self._points: tuple[int, str, Floats] | None = None

    def of(self, token: int, iteration: int) -> Neighbours:
        """The `COUNT` nearest to a recorded token, as the newest snapshot not after `iteration` knows them.

        Raises NotRecordedError if the token is not recorded, or no snapshot tells of its neighbours;
        DamagedRunError.
        """
        with self._lock:
            at = self._holdings.newest(iteration, lambda candidate: self._tells_of(token, candidate))
            if at is None:
                raise NotRecordedError(
                    f"{self._run.path}: no snapshot up to iteration {iteration} tells the neighbours of "
                    f"token {token}. Ask for one of the run's `embedding_tokens`, and for a later iteration.",
                    path=self._run.path,
                )
            key = (token, at)
            if key not in self._answers:
                self._answers[key] = self._answer(token, self._run[at])
                if len(self._answers) > _CACHED:
                    self._answers.popitem(last=False)
            return self._answers[key]

    def truth(self, iteration: int) -> Truth | None:
        """What the newest snapshot not after `iteration` knows exactly; None if there is none."""
        with self._lock:
            at = self._holdings.newest(iteration, self._is_exact)
            return None if at is None else self._truth(self._run[at])

    def ends(self) -> tuple[int, int] | None:
        """The first and the last snapshot whose neighbours are known exactly; None if there are no two."""
        with self._lock:
            iterations = self._run.iterations
            first = self._holdings.next(-1, self._is_exact)
            last = self._holdings.newest(int(iterations[-1]), self._is_exact) if len(iterations) else None
            return None if first is None or last is None or first == last else (first, last)

    def changed(self, first: int, last: int) -> tuple[Change, ...]:
        """How far the neighbours at `last` differ from those at `first`: most first, then the lower token.

        Compared are the tokens that both snapshots know of: all recorded ones of a small embedding, else
        those that the run chose. Raises IterationNotFoundError, NotRecordedError, DamagedRunError.
        """
        with self._lock:
            before, after = self._exact(first), self._exact(last)
        changes = []
        for token in sorted(before.keys() & after.keys()):
            union = before[token] | after[token]
            if union:
                changes.append(Change(token, 1 - len(before[token] & after[token]) / len(union)))
        return tuple(sorted(changes, key=lambda change: -change.share))

    def _exact(self, iteration: int) -> dict[int, set[int]]:
        snapshot = self._run[iteration]
        embedding = snapshot.plan.embedding
        if embedding is None or not self._is_exact(iteration):
            raise NotRecordedError(
                f"{self._run.path}: iteration {iteration} does not hold the neighbours of any token. "
                "Ask for a key snapshot.",
                path=self._run.path,
            )
        everyone = "embedding_rows" in snapshot.record.arrays and len(embedding.tokens) <= _MOST_COMPARED
        queries, near = self._near(snapshot, np.arange(len(embedding.tokens)) if everyone else None)
        tokens = embedding.tokens
        return {
            int(tokens[query]): {int(tokens[i]) for i in row if i >= 0}
            for query, row in zip(queries, near, strict=True)
        }

    def _truth(self, snapshot: StoredSnapshot) -> Truth:
        embedding = _embedding_of(snapshot)
        rows = snapshot.array("embedding_rows")
        if rows is None:
            stored = snapshot.array("embedding_variance")
            variance = float("nan") if stored is None else float(stored[0])
        else:
            finite = rows[np.isfinite(rows).all(axis=1)]
            variance = float(finite.var(axis=0, dtype=np.float64).sum()) if len(finite) else float("nan")
        queries, near = self._near(snapshot, None)
        return Truth(snapshot.iteration, embedding.width, variance, queries, near)

    def _near(
        self, snapshot: StoredSnapshot, queries: npt.NDArray[np.intp] | None
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """(queries (Q,), their nearest (Q, COUNT)), indices among the rows; None: as recorded."""
        embedding = _embedding_of(snapshot)
        stored = None if queries is not None else snapshot.array("embedding_neighbours")
        if stored is not None:
            asked = _indices_of(embedding, snapshot.plan.neighbour_tokens)
            return asked[asked >= 0], _indices_of(embedding, stored)[asked >= 0]
        if queries is None:
            n = len(embedding.tokens)
            queries = np.unique(np.linspace(0, n - 1, min(n, _MOST_QUERIES)).round().astype(np.intp))
        return queries, nearest(self._points_of(snapshot, "embedding_rows"), queries, COUNT)[0]

    def _answer(self, token: int, snapshot: StoredSnapshot) -> Neighbours:
        embedding = _embedding_of(snapshot)
        chosen = np.flatnonzero(snapshot.plan.neighbour_tokens == token)
        stored = snapshot.array("embedding_neighbours") if len(chosen) else None
        if stored is not None:
            apart = snapshot.array("embedding_distances")
            tokens = stored[chosen[0]]
            distances = np.full(len(tokens), np.nan, np.float32) if apart is None else apart[chosen[0]]
            return Neighbours(
                token, snapshot.iteration, "recorded", tokens[tokens >= 0], distances[tokens >= 0]
            )
        source: Source = "rows" if "embedding_rows" in snapshot.record.arrays else "sketch"
        points = self._points_of(snapshot, f"embedding_{source}")
        found, apart = nearest(points, _indices_of(embedding, np.array([token])), COUNT)
        stretch = np.float32(np.sqrt(embedding.width / points.shape[1]))
        near = found[0] >= 0
        return Neighbours(
            token, snapshot.iteration, source, embedding.tokens[found[0][near]], apart[0][near] * stretch
        )

    def _points_of(self, snapshot: StoredSnapshot, key: str) -> Floats:
        """(K, D) as stored; the last one asked for is kept."""
        if self._points is None or self._points[:2] != (snapshot.iteration, key):
            points = snapshot.array(key)
            assert points is not None
            self._points = (snapshot.iteration, key, points)
        return self._points[2]

    def _is_exact(self, iteration: int) -> bool:
        return bool(self._holdings.arrays(iteration) & {"embedding_rows", "embedding_neighbours"})

    def _tells_of(self, token: int, iteration: int) -> bool:
        """Whether a snapshot records the token, and holds what its neighbours can be told from."""
        arrays = self._holdings.arrays(iteration)
        if not any(name.startswith("embedding_") for name in arrays):
            return False
        plan = self._run[iteration].plan
        if plan.embedding is None or token not in plan.embedding.tokens:
            return False
        return bool(arrays & {"embedding_rows", "embedding_sketch"}) or (
            "embedding_neighbours" in arrays and token in plan.neighbour_tokens
        )


def _indices_of(embedding: EmbeddingPlan, tokens: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """The recorded row of each token; -1 for what is not recorded."""
    at = np.searchsorted(embedding.tokens, tokens).clip(max=max(len(embedding.tokens) - 1, 0))
    if not len(embedding.tokens):
        return np.full(np.shape(tokens), -1, np.intp)
    return np.where(embedding.tokens[at] == tokens, at, -1)


def _embedding_of(snapshot: StoredSnapshot) -> EmbeddingPlan:
    embedding = snapshot.plan.embedding
    assert embedding is not None, "a snapshot with arrays of an embedding has a plan of it"
    return embedding
