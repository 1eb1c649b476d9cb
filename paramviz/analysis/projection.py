"""Token embeddings as points in three dimensions.

The picture is a principal component analysis (PCA) of the recorded embedding
rows at one iteration, the *basis*; every other iteration is seen from the same
basis, so that what moves on the screen moved in the model. A growing run
recommends a newer basis now and then. Each basis is turned within its own
three dimensions to lie as close as possible to the one before (orthogonal
Procrustes problem, Schönemann 1966), so that nothing jumps when the page
changes over.

A basis depends only on what was committed before its iteration: asked again,
tomorrow or by another server, it is the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paramviz.analysis.scored import Places, ScoredTable
from paramviz.errors import DamagedRunError, NotRecordedError
from paramviz.store import Run

Floats = npt.NDArray[Any]

DIMENSIONS = 3
_NEGLIGIBLE = 1e-10
"""Share of the total variance below which an axis is rounding noise and is left flat."""

_BLOCK_ROWS = 8192
"""Rows turned to float64 at a time while a covariance is summed, so that memory stays bounded."""

_CACHED_AXES = 256
_CACHED_TABLES = 8


@dataclass(frozen=True, slots=True)
class Axes:
    """A basis of the picture.

    components: (3, width) float64, orthonormal rows (zero rows where the data
    has fewer dimensions); mean: (width,) float64; explained: (3,) float64
    shares of the total variance along each axis.
    """

    mean: Floats
    components: Floats
    explained: Floats


@dataclass(frozen=True, slots=True)
class Picture:
    """The tokens of one iteration, seen from a basis.

    coordinates: (K, 3) float32; magnitude: (K,) float32, the Euclidean norm of
    each row at full width; both NaN for a row that is not finite. `exact` is
    False where rows were not recorded and had to be estimated from scores.
    """

    tensor: str
    basis: int
    exact: bool
    coordinates: npt.NDArray[np.float32]
    magnitude: npt.NDArray[np.float32]
    explained: tuple[float, ...]


class _Seen(NamedTuple):
    exact: bool
    coordinates: npt.NDArray[np.float32]
    magnitude: npt.NDArray[np.float32]


def principal_axes(rows: Floats) -> Axes:
    """PCA of the finite rows of `rows`, (K, width) of any float dtype; computed in float64.

    Deterministic: each axis points so that its entry of largest magnitude is
    positive. Fewer than two finite rows have no direction: all axes are zero.
    """
    finite = rows[np.isfinite(rows).all(axis=1)]
    width = rows.shape[1]
    mean = finite.mean(axis=0, dtype=np.float64) if len(finite) else np.zeros(width)
    variances, components = _leading_directions(finite, mean)
    total = _total_variance(finite, mean)
    solid = variances > _NEGLIGIBLE * total
    components = np.where(solid[:, None], components, 0.0)
    strongest = np.abs(components).argmax(axis=1) if width else np.zeros(len(components), np.intp)
    signs = np.sign(np.take_along_axis(components, strongest[:, None], axis=1)) if width else 1.0
    leading = np.zeros((DIMENSIONS, width))
    leading[: len(components)] = components * signs
    explained = np.zeros(DIMENSIONS)
    if total > 0:
        explained[: len(components)] = np.where(solid, variances, 0.0) / total
    return Axes(mean, leading, explained)


def align(axes: Axes, previous: Axes, rows: Floats) -> Axes:
    """`axes` turned within its three dimensions so that `rows` look as they do from `previous`.

    rows: (K, width). The rotation R minimises |A R - B| for the centred
    coordinates A and B of the rows in both bases; its solution is U Vt of the
    singular value decomposition of At B. A reflection counts as a rotation,
    since the sign of a principal axis means nothing.
    """
    finite = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    if len(finite) == 0:
        return axes
    centred = finite - finite.mean(axis=0)
    a_K3 = centred @ axes.components.T
    b_K3 = centred @ previous.components.T
    u, _, vt = np.linalg.svd(a_K3.T @ b_K3)
    rotation = u @ vt
    return Axes(axes.mean, rotation.T @ axes.components, (rotation**2).T @ axes.explained)


def project(rows: Floats, axes: Axes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(coordinates (K, 3), magnitudes (K,)) of `rows` (K, width); NaN for rows that are not finite."""
    rows32 = rows.astype(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        offset = (axes.components @ axes.mean).astype(np.float32)
        coordinates = rows32 @ axes.components.T.astype(np.float32) - offset
        magnitude = np.sqrt(np.einsum("kw,kw->k", rows32, rows32))
    broken = ~np.isfinite(magnitude)
    coordinates[broken] = np.nan
    magnitude[broken] = np.nan
    return coordinates, magnitude


class EmbeddingProjection:
    """The pictures of one run's token embedding. Safe to use from several threads; what it made it keeps."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.RLock()
        self._axes: OrderedDict[int, Axes] = OrderedDict()
        self._usable: dict[int, bool] = {}
        self._tables: OrderedDict[tuple[int, int, int], ScoredTable] = OrderedDict()

    def recommended_basis(self) -> int | None:
        """The iteration from whose rows the picture is best made now; None if no rows are recorded.

        Of a run that has ended the last snapshot, if it has rows. Of a growing
        one the newest milestone: the 1st, 2nd, 4th, 8th … snapshot where all
        have rows, so that changes are few and the basis never very old; where
        few have rows, the newest for which the recorder made a basis. Rows
        that are unreadable or not finite are passed over.
        """
        with self._lock:
            run = self._run
            if run.status != "recording" and run.commit_count:
                last = int(run.iterations_in_commit_order[-1])
                if self._is_usable(last):
                    return last
            return self._newest_usable(self._milestones())

    def axes(self, basis: int) -> Axes:
        """The basis made from the rows of iteration `basis`.

        Raises IterationNotFoundError, or NotRecordedError if that iteration
        has no rows.
        """
        with self._lock:
            known = self._axes.get(basis)
            if known is None:
                known = self._make_axes(basis)
                self._axes[basis] = known
                if len(self._axes) > _CACHED_AXES:
                    self._axes.popitem(last=False)
            return known

    def picture(self, iteration: int, basis: int | None = None) -> Picture | None:
        """The tokens at `iteration`, seen from `basis` (the recommended one unless given).

        None if the snapshot holds nothing of the embedding. Where it holds
        only scores, each row is estimated as its full-width value at the
        scores' own basis, moved by what the scores moved since then.
        Raises as `axes` does, and DamagedRunError.
        """
        if basis is None:
            basis = self.recommended_basis()
        seen = None if basis is None else self._seen(iteration, basis, slice(None))
        if seen is None or basis is None:
            return None
        embedding = self._run[iteration].plan.embedding
        assert embedding is not None
        explained = tuple(float(share) for share in self.axes(basis).explained)
        return Picture(embedding.tensor, basis, seen.exact, seen.coordinates, seen.magnitude, explained)

    def points(self, iteration: int, basis: int, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """(n, 3) coordinates of some tokens at `iteration`; NaN for what the snapshot does not hold.

        The same numbers as in its picture, without making all of it. Raises as `picture` does.
        """
        points = np.full((len(tokens), DIMENSIONS), np.nan, np.float32)
        embedding = self._run[iteration].plan.embedding
        if embedding is None or len(embedding.tokens) == 0:
            return points
        at = np.searchsorted(embedding.tokens, tokens).clip(max=len(embedding.tokens) - 1)
        known = embedding.tokens[at] == tokens
        seen = self._seen(iteration, basis, at[known])
        if seen is not None:
            points[known] = seen.coordinates
        return points

    def _fitting_axes(self, basis: int, iteration: int, width: int) -> Axes:
        axes = self.axes(basis)
        if axes.mean.shape[0] != width:
            raise NotRecordedError(
                f"{self._run.path}: iteration {iteration} has embedding rows of width {width}, "
                f"iteration {basis} of {axes.mean.shape[0]}. Choose a basis recorded under the same plan.",
                path=self._run.path,
            )
        return axes

    def _seen(self, iteration: int, basis: int, at: Places) -> _Seen | None:
        """Those rows from a basis, or what they are taken to be; None if nothing is recorded of them."""
        snapshot = self._run[iteration]
        if snapshot.plan.embedding is None:
            return None
        rows: Floats | None = snapshot.array("embedding_rows")
        if rows is not None:
            axes = self._fitting_axes(basis, iteration, rows.shape[1])
            return _Seen(True, *project(rows[at], axes))
        scores = snapshot.array("embedding_scores")
        if scores is None or snapshot.basis is None:
            return None
        table = self._table(snapshot.plan.number, snapshot.basis, basis, iteration)
        return _Seen(False, *table.see(scores, at))

    def _milestones(self) -> list[int]:
        """The iterations that a growing run recommends one after the other, in the order of their commits."""
        run = self._run
        embedding = run.plan.embedding
        if embedding is None:
            return []
        committed = run.iterations_in_commit_order.tolist()
        if embedding.every_snapshot:
            return [committed[2**k - 1] for k in range(len(committed).bit_length())]
        with_basis = {self._iteration_of_stored_basis(number) for number in range(run.n_bases)}
        return [iteration for iteration in committed if iteration in with_basis]

    def _iteration_of_stored_basis(self, number: int) -> int | None:
        """None if the basis is damaged: one picture less to recommend, and frames that need it say so."""
        try:
            return self._run.basis(number).iteration
        except DamagedRunError:
            return None

    def _newest_usable(self, milestones: list[int]) -> int | None:
        return next((i for i in reversed(milestones) if self._is_usable(i)), None)

    def _is_usable(self, iteration: int) -> bool:
        """Whether the rows of an iteration are there and finite enough to make a basis from."""
        if iteration not in self._usable:
            try:
                rows = self._run[iteration].array("embedding_rows")
            except DamagedRunError:
                rows = None
            enough = rows is not None and np.isfinite(rows).all(axis=1).sum() >= min(2, len(rows))
            self._usable[iteration] = bool(enough)
        return self._usable[iteration]

    def _make_axes(self, basis: int) -> Axes:
        rows = self._run[basis].array("embedding_rows")
        if rows is None:
            raise NotRecordedError(
                f"{self._run.path}: iteration {basis} holds no embedding rows to make a basis from. "
                "Leave the basis out to get the recommended one.",
                path=self._run.path,
            )
        axes = principal_axes(rows)
        before = self._basis_before(basis)
        if before is None:
            return axes
        previous = self.axes(before)
        if previous.mean.shape != axes.mean.shape:
            return axes
        return align(axes, previous, rows)

    def _basis_before(self, basis: int) -> int | None:
        """The basis that the growing run recommended when `basis` was committed."""
        place = {iteration: n for n, iteration in enumerate(self._run.iterations_in_commit_order.tolist())}
        return self._newest_usable([i for i in self._milestones() if place[i] < place[basis]])

    def _table(self, plan: int, stored: int, basis: int, iteration: int) -> ScoredTable:
        """How scores in a stored basis look from `basis`, for snapshots of a plan such as `iteration`."""
        with self._lock:
            key = (plan, stored, basis)
            known = self._tables.get(key)
            if known is None:
                own = self._run.basis(stored)
                axes = self._fitting_axes(basis, iteration, own.components.shape[1])
                anchor = self._rows_at(own.iteration, like=iteration)
                known = ScoredTable.of(anchor, own, axes.mean, axes.components)
                self._tables[key] = known
            self._tables.move_to_end(key)
            if len(self._tables) > _CACHED_TABLES:
                self._tables.popitem(last=False)
            return known

    def _rows_at(self, iteration: int, *, like: int) -> Floats | None:
        """(K, width) rows of an iteration that records the same tokens as `like`, else None."""
        if iteration not in self._run.iterations:
            return None
        there, here = self._run[iteration].plan.embedding, self._run[like].plan.embedding
        if there is None or here is None or not np.array_equal(there.tokens, here.tokens):
            return None
        rows: Floats | None = self._run[iteration].array("embedding_rows")
        return rows


def _total_variance(rows: Floats, mean: Floats) -> float:
    """Sum over columns of the population variance."""
    if len(rows) < 2:
        return 0.0
    blocks = range(0, len(rows), _BLOCK_ROWS)
    return float(sum(((rows[i : i + _BLOCK_ROWS] - mean) ** 2).sum() for i in blocks) / len(rows))


def _leading_directions(rows: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """At most three largest (variances (n,), directions (n, width)) of finite `rows`.

    Eigenvectors of whichever is smaller, the covariance (width, width) or the
    Gram matrix (K, K) of the centred rows.
    """
    n_rows, width = rows.shape
    if n_rows < 2 or width == 0:
        return np.zeros(0), np.zeros((0, width))
    if n_rows < width:
        centred = rows.astype(np.float64) - mean
        variances, vectors = _largest_eigenpairs(centred @ centred.T / n_rows)
        directions = vectors @ centred
        norms = np.linalg.norm(directions, axis=1, keepdims=True)
        return variances, np.divide(directions, norms, out=np.zeros_like(directions), where=norms > 0)
    covariance = np.zeros((width, width))
    for start in range(0, n_rows, _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS].astype(np.float64) - mean
        covariance += block.T @ block
    return _largest_eigenpairs(covariance / n_rows)


def _largest_eigenpairs(symmetric: Floats) -> tuple[Floats, Floats]:
    """The at most three largest eigenvalues, descending, and their eigenvectors as rows."""
    values, vectors = np.linalg.eigh(symmetric)
    return values[::-1][:DIMENSIONS], vectors.T[::-1][:DIMENSIONS]
