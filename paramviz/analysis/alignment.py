"""Which snapshots of two runs stand beside each other."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from paramviz.errors import UsageError
from paramviz.store import Run

Alignment = Literal["iteration", "fraction", "loss"]
ALIGNMENTS: tuple[Alignment, ...] = ("iteration", "fraction", "loss")

Iterations = npt.NDArray[np.int64]


def align(a: Run, b: Run, by: Alignment) -> tuple[Iterations, Iterations]:
    """Iterations (T,) of A and of B that stand beside each other, ascending in A.

    iteration: those that both have. fraction: for each of A the one of B that is nearest as a share
    of its run. loss: for each of A the first of B whose lowest loss so far is as low; none where
    B never comes so low. Raises UsageError for loss where a run has none.
    """
    if by == "iteration":
        both = np.intersect1d(a.iterations, b.iterations)
        return both, both
    if len(a) == 0 or len(b) == 0:
        return a.iterations[:0], b.iterations[:0]
    if by == "fraction":
        at = _nearest(_fractions(b.iterations), _fractions(a.iterations))
        return a.iterations, b.iterations[at]
    lowest_a, lowest_b = _lowest_loss(a), _lowest_loss(b)
    # Descending, so searched from behind: the first place at which B is as low.
    at = np.searchsorted(-lowest_b, -lowest_a, side="left")
    reached = (at < len(lowest_b)) & np.isfinite(lowest_a)
    return a.iterations[reached], b.iterations[at[reached]]


def _fractions(iterations: Iterations) -> npt.NDArray[np.float64]:
    first, last = iterations[0], iterations[-1]
    fractions: npt.NDArray[np.float64] = (iterations - first) / max(1, last - first)
    return fractions


def _nearest(sorted_M: npt.NDArray[np.float64], wanted_N: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Of each wanted number the place of the nearest one, the earlier of two that are as near."""
    after = np.searchsorted(sorted_M, wanted_N).clip(1, max(1, len(sorted_M) - 1))
    if len(sorted_M) == 1:
        return np.zeros(len(wanted_N), np.intp)
    before = after - 1
    return np.where(wanted_N - sorted_M[before] <= sorted_M[after] - wanted_N, before, after)


def _lowest_loss(run: Run) -> npt.NDArray[np.float64]:
    """(T,) the lowest finite loss up to each snapshot; inf before the first one."""
    if "loss" not in run.scalar_names:
        raise UsageError(f"{run.path} has no loss to align by. Align by iteration or by fraction.")
    loss = run.scalars("loss")
    lowest: npt.NDArray[np.float64] = np.minimum.accumulate(np.where(np.isfinite(loss), loss, np.inf))
    return lowest
