"""What changed since the last snapshot and since the first, from the samples of one tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import UPDATE_KEYS
from paramviz.statistics.engines import NUMPY, current_engine

_NORMS = [UPDATE_KEYS.index("update_norm"), UPDATE_KEYS.index("distance_from_start")]


def compare_samples(
    now: npt.NDArray[Any],
    before: npt.NDArray[Any] | None,
    start: npt.NDArray[Any] | None,
    previous_update: npt.NDArray[Any] | None,
    *,
    size: int | None = None,
) -> npt.NDArray[np.float64]:
    """How the samples of one tensor moved. (7,) float64, in the order of `schema.UPDATE_KEYS`.

    now: the samples of this snapshot, real numbers, any shape. before, start: the same
    elements at the previous and at the first snapshot. previous_update: `before` minus
    the snapshot before that one. None where there is none: what needs it is NaN. `size`
    is the number of elements of the whole tensor; with it, `update_norm` and
    `distance_from_start` estimate those of the whole tensor instead of giving the
    samples' own. Elements that are NaN or inf on a side of a comparison are left out of
    it. Formulas: docs/FORMAT.md, "Statistics".

    Raises ValueError if the arrays differ in size.
    """
    arrays = [array for array in (now, before, start, previous_update) if array is not None]
    if any(array.size != now.size for array in arrays):
        raise ValueError(f"Samples of one tensor differ in size: {[array.size for array in arrays]}.")
    single = all(array.dtype in (np.float32, np.float16) for array in arrays)
    compare = current_engine().compare if single else NUMPY.compare
    dtype = np.float32 if single else np.float64
    past = (_flat(array, dtype) for array in (before, start, previous_update))
    changes: npt.NDArray[np.float64] = compare(_flat(now, dtype), *past)
    if size and now.size:
        changes[_NORMS] *= math.sqrt(size / now.size)
    return changes


def _flat(x: npt.NDArray[Any] | None, dtype: type[np.floating]) -> npt.NDArray[np.floating] | None:
    """(N,), contiguous, in native byte order; the same memory where that is what x is already."""
    return None if x is None else np.ascontiguousarray(x, dtype=dtype).reshape(-1)
