"""Paths of chosen tokens through training, in the fixed basis of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paramviz.analysis.projection import EmbeddingProjection
from paramviz.errors import DamagedRunError


@dataclass(frozen=True, slots=True, eq=False)
class Trails:
    """iterations: (T,) int64, ascending; coordinates: (tokens, T, 3) float32, NaN where nothing is known."""

    basis: int
    iterations: npt.NDArray[np.int64]
    coordinates: npt.NDArray[np.float32]


def evenly(iterations: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most so many of `iterations`, evenly spread, with the first and the last among them."""
    if len(iterations) <= most:
        return iterations
    return iterations[np.linspace(0, len(iterations) - 1, most).round().astype(np.intp)]


def trails(
    projection: EmbeddingProjection, iterations: npt.NDArray[np.int64], tokens: Sequence[int], basis: int
) -> Trails:
    """Where each of `tokens` stood at each of `iterations`, seen from `basis`.

    A damaged snapshot is a gap. Raises IterationNotFoundError or NotRecordedError for a basis that
    is none.
    """
    projection.axes(basis)
    asked = np.asarray(tokens, np.int32)
    coordinates = np.full((len(asked), len(iterations), 3), np.nan, np.float32)
    for step, iteration in enumerate(iterations.tolist()):
        try:
            coordinates[:, step] = projection.points(iteration, basis, asked)
        except DamagedRunError:
            continue
    return Trails(basis, iterations, coordinates)
