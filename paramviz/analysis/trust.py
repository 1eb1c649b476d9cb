"""How far a picture of token embeddings can be trusted.

A picture in three dimensions leaves most of a model's directions out. Two numbers say how much it
keeps: the share of the exact total variance that lies along its axes, and the share of the true
nearest neighbours, at full width, that are nearest in the picture, too. And a third question comes
before both: whether the picture shows anything that rows of pure noise would not show as well.

The largest variance of noise: the covariance of n independent rows of isotropic noise has
eigenvalues up to the edge (1 + sqrt(width / n))² times the noise's variance (Marchenko and Pastur
1967); the largest one scatters around it as Johnstone 2001 ("On the distribution of the largest
eigenvalue in principal components analysis", Annals of Statistics 29) has it. After an axis that is
above, the rest is tested as noise of one dimension less (Kritchman and Nadler 2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.analysis.neighbours import COUNT, Neighbourhoods, nearest
from paramviz.analysis.projection import EmbeddingProjection

Floats = npt.NDArray[Any]

_TRACY_WIDOM_99 = 2.02
"""99 % quantile of the Tracy-Widom law of order 1: noise exceeds it in one of a hundred pictures."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of a picture at `iteration`, the newest snapshot for which the truth is known.

    explained: share of the exact total variance of the rows along the picture's axes; kept: share of
    the `COUNT` nearest neighbours at full width of `queries` tokens that are among the `COUNT` nearest
    in the picture, NaN if there are none to compare; axes_above_noise: 0 to 3, how many directions of
    the picture vary more than isotropic noise would; noise: the share of the total variance that one
    direction of noise may have; largest: the largest share that a direction of the picture has.
    """

    iteration: int
    basis: int
    explained: float
    kept: float
    queries: int
    axes_above_noise: int
    largest: float
    noise: float


def noise_edge(n_rows: int, width: int) -> float:
    """Share of the total variance that the leading direction of isotropic noise stays below, 99 times in 100.

    At most 1; it is 1 where there are too few rows or columns to tell anything from noise.
    """
    if n_rows < 4 or width < 2:
        return 1.0
    rows, columns = math.sqrt(n_rows - 2), math.sqrt(width)
    centre = (rows + columns) ** 2
    spread = (rows + columns) * math.cbrt(1 / rows + 1 / columns)
    return min((centre + _TRACY_WIDOM_99 * spread) / ((n_rows - 1) * width), 1.0)


def axes_above_noise(variances: Floats, total: float, n_rows: int, width: int) -> int:
    """How many of the leading `variances`, descending, exceed what noise with the rest of `total` has."""
    rest = total
    for found, variance in enumerate(variances):
        if not variance > noise_edge(n_rows - found, width - found) * rest > 0:
            return found
        rest -= variance
    return len(variances)


def variances_of(coordinates: Floats) -> Floats:
    """(D,) variances of the finite points (K, D) along their own directions, descending."""
    finite = coordinates[np.isfinite(coordinates).all(axis=1)].astype(np.float64)
    if len(finite) < 2:
        return np.zeros(coordinates.shape[1])
    centred = finite - finite.mean(axis=0)
    return np.linalg.eigvalsh(centred.T @ centred / len(finite))[::-1].clip(0)


def neighbours_kept(coordinates: Floats, queries: npt.NDArray[np.intp], true: npt.NDArray[Any]) -> float:
    """Share of `true` that is among as many nearest in the picture; NaN if there is nothing to compare.

    coordinates: (K, 3); queries: (Q,) points asked of; true: (Q, n) their true nearest ones, as
    points, -1 where there are fewer.
    """
    found, _ = nearest(coordinates, queries, true.shape[1])
    counted = kept = 0
    for seen, known in zip(found, true, strict=True):
        known = known[known >= 0]
        counted += len(known)
        kept += len(np.intersect1d(seen[: len(known)], known))
    return kept / counted if counted else math.nan


def trust(
    projection: EmbeddingProjection, neighbourhoods: Neighbourhoods, iteration: int, basis: int | None
) -> Trust | None:
    """How far the picture at `iteration`, seen from `basis`, can be trusted.

    Told of the newest snapshot that is not after `iteration` and holds what it takes; None if there
    is none. Raises as `EmbeddingProjection.picture` does.
    """
    truth = neighbourhoods.truth(iteration)
    picture = None if truth is None else projection.picture(truth.iteration, basis)
    if truth is None or picture is None:
        return None
    variances = variances_of(picture.coordinates)
    n_rows = int(np.isfinite(picture.coordinates).all(axis=1).sum())
    known = math.isfinite(truth.variance) and truth.variance > 0
    return Trust(
        truth.iteration,
        picture.basis,
        min(float(variances.sum()) / truth.variance, 1.0) if known else math.nan,
        neighbours_kept(picture.coordinates, truth.queries, truth.neighbours[:, :COUNT]),
        len(truth.queries),
        axes_above_noise(variances, truth.variance, n_rows, truth.width) if known else 0,
        min(float(variances[0]) / truth.variance, 1.0) if known else math.nan,
        noise_edge(n_rows, truth.width),
    )
