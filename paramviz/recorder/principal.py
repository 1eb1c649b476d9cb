"""Principal axes of the rows of a wide table, some rows at a time.

Up to `DENSE` columns (or rows) the axes come from the eigenvectors of the smaller Gram matrix. For a
wider table that would take many times the table's memory. There the axes are the leading Ritz vectors
of a block Krylov space, which a few readings of the table build: what they explain is never above the
truth, and is within a percent of it even for noise, whose variance is nearly the same along
hundreds of axes. Source: Golub and Van Loan, Matrix Computations, section 10.3 (block Lanczos).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paramviz.recorder.products import product

N_SCORES = 8

DENSE = 256
"""The eigenvectors of a matrix of this side take a few megabytes."""

_PART = 32
"""Rows made wide at a time."""

_BLOCK, _DEPTH = 16, 7
"""Vectors in a block, and blocks that are added to the first; each takes a reading of the table."""

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalAxes:
    """components: (8, width) float32, orthonormal rows, by falling variance; mean: (width,) float32;
    explained: (8,) float32 shares of the total variance. Of a narrower table the last rows are zero."""

    components: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    explained: npt.NDArray[np.float32]

    def scores(self, rows_KW: Rows) -> npt.NDArray[np.float32]:
        """(K, 8) coordinates of rows along the components."""
        scores: npt.NDArray[np.float32] = np.empty((len(rows_KW), len(self.components)), np.float32)
        for begin in range(0, len(rows_KW), _PART):
            part = rows_KW[begin : begin + _PART] - self.mean
            scores[begin : begin + _PART] = product(part, self.components.T)
        return scores

    def share_explained(self, rows_KW: Rows) -> float:
        """Share of the variance of other rows that lies along these components."""
        components = self.components.astype(np.float64)
        total = along = 0.0
        for part in centred_parts(rows_KW, mean_of(rows_KW)):
            total += float(np.square(part).sum())
            along += float(np.square(product(part, components.T)).sum())
        return along / total if total > 0 else 1.0


def principal_axes(rows_KW: Rows) -> PrincipalAxes | None:
    """Principal axes of finite rows, (K, width); None if some number is not finite.

    Each axis is turned so that its largest component is positive.
    """
    mean = mean_of(rows_KW)
    if not np.isfinite(mean).all():  # as one number that is not finite makes it
        return None
    n_rows, width = rows_KW.shape
    total = sum(float(np.square(part).sum()) for part in centred_parts(rows_KW, mean))
    n = min(N_SCORES, n_rows, width)
    axes = np.zeros((N_SCORES, width))
    explained = np.zeros(N_SCORES)
    if total > 0:
        find = _exact if min(n_rows, width) <= DENSE else _leading
        variances, directions = find(rows_KW, mean, n)
        norms = np.linalg.norm(directions, axis=1, keepdims=True)
        # What is left of directions without variance is rounding: no axis.
        real = variances > total * 1e-12
        axes[:n][real] = (directions / np.where(norms > 0, norms, 1))[real]
        explained[:n] = np.where(real, variances / total, 0)
        largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
        axes *= np.where(largest < 0, -1, 1)
    return PrincipalAxes(axes.astype(np.float32), mean.astype(np.float32), explained.astype(np.float32))


def mean_of(rows_KW: Rows) -> Floats:
    """(width,) float64 mean of the rows."""
    with np.errstate(invalid="ignore"):
        mean: Floats = rows_KW.mean(axis=0, dtype=np.float64)
    return mean


def wide_parts(rows_KW: Rows) -> Iterator[Floats]:
    """Some rows at a time as float64: all of them would take tens of megabytes."""
    for begin in range(0, len(rows_KW), _PART):
        yield rows_KW[begin : begin + _PART].astype(np.float64)


def centred_parts(rows_KW: Rows, mean: Floats) -> Iterator[Floats]:
    """The same, less their mean."""
    for part in wide_parts(rows_KW):
        part -= mean
        yield part


def _exact(rows_KW: Rows, mean: Floats, n: int) -> tuple[Floats, Floats]:
    """(n,) the largest variances, summed over rows, and (n, width) along which directions."""
    n_rows, width = rows_KW.shape
    tall = n_rows >= width
    if tall:
        gram = np.zeros((width, width))
        for part in centred_parts(rows_KW, mean):
            gram += product(part.T, part)
    else:
        centred = rows_KW - mean
        gram = product(centred, centred.T)
    variances, vectors = np.linalg.eigh(gram)
    top = vectors[:, ::-1][:, :n].T
    return variances[::-1][:n], top if tall else product(np.ascontiguousarray(top), rows_KW - mean)


def _leading(rows_KW: Rows, mean: Floats, n: int) -> tuple[Floats, Floats]:
    """The same of a wide table, as close as a Krylov space of a few blocks comes to it."""
    width = rows_KW.shape[1]
    random: np.random.Generator = np.random.default_rng(0)
    block_WB = np.linalg.qr(random.standard_normal((width, _BLOCK))).Q
    basis_WD, moved = block_WB, [_through(rows_KW, mean, block_WB)]
    for _ in range(_DEPTH):
        # Orthonormal even where the table moves nothing out of the space.
        block_WB = np.linalg.qr(np.concatenate([basis_WD, moved[-1]], axis=1)).Q[:, -_BLOCK:]
        basis_WD = np.concatenate([basis_WD, block_WB], axis=1)
        moved.append(_through(rows_KW, mean, block_WB))
    inner_DD = product(basis_WD.T, np.concatenate(moved, axis=1))
    variances, vectors = np.linalg.eigh((inner_DD + inner_DD.T) / 2)
    return variances[::-1][:n], product(basis_WD, np.ascontiguousarray(vectors[:, ::-1][:, :n])).T


def _through(rows_KW: Rows, mean: Floats, v_WB: Floats) -> Floats:
    """(width, B) XᵀX v of the centred rows X, in one reading of them."""
    result: Floats = np.zeros_like(v_WB)
    for part in centred_parts(rows_KW, mean):
        result += product(part.T, product(part, v_WB))
    return result
