"""Statistics and histogram of a whole tensor, read once from memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import HISTOGRAM_BINS
from paramviz.statistics import numpy_engine
from paramviz.statistics.engines import current_engine
from paramviz.statistics.tally import MAX, MIN, Tally, empty_tally, finish

_BUFFER = 1 << 16
"""Elements converted at a time, where an array is not contiguous float32 or float64."""

_CONTIGUOUS: Any = [["readonly", "contig"]]  # numpy's stubs spell it "config"

_PLAIN_EXPONENT = 200
"""Between 2**-200 and 2**200 the fourth powers of float64 elements and their sums are normal numbers."""


def measure(
    x: npt.NDArray[Any],
    statistics_out: npt.NDArray[np.floating],
    histogram_out: npt.NDArray[np.uint32] | None,
) -> None:
    """Writes the statistics of every element of x, and its histogram unless that is None.

    x: any shape and strides; float16, float32, float64, integers or bool.
    statistics_out: (14,), in the order of `schema.MOMENT_KEYS`, in the tensor's own
    unit (docs/FORMAT.md, "Statistics"). histogram_out: (64,) uint32, bins of
    `schema.histogram_edges`; a bin of more than 2**32 - 1 elements stops there.

    Raises TypeError for complex numbers and other dtypes.
    """
    if x.dtype.kind not in "fiub":
        raise TypeError(f"Statistics are of real numbers, not of {x.dtype}; split complex tensors first.")
    tally, bins = _tally(x, current_engine().accumulate, histogram_out is not None)
    exponent = _exponent(tally)
    if exponent:
        scaled = partial(numpy_engine.accumulate, exponent=exponent)
        tally, bins = _tally(x, scaled, histogram_out is not None)
    finish(tally, exponent, statistics_out)
    if histogram_out is not None and bins is not None:
        histogram_out[:] = np.minimum(bins, np.iinfo(np.uint32).max)


def measure_parts(
    parts: Iterable[npt.NDArray[np.float32]],
    statistics_out: npt.NDArray[np.floating],
    histogram_out: npt.NDArray[np.uint32] | None,
) -> None:
    """The same of a tensor that comes in parts, contiguous float32 of any shapes."""
    tally = empty_tally()
    bins = None if histogram_out is None else np.zeros(HISTOGRAM_BINS, dtype=np.int64)
    for part in parts:
        current_engine().accumulate(part.reshape(-1), tally, bins)
    finish(tally, 0, statistics_out)
    if histogram_out is not None and bins is not None:
        histogram_out[:] = np.minimum(bins, np.iinfo(np.uint32).max)


def _tally(
    x: npt.NDArray[Any], accumulate: Callable[..., None], with_bins: bool
) -> tuple[Tally, npt.NDArray[np.int64] | None]:
    tally = empty_tally()
    bins = np.zeros(HISTOGRAM_BINS, dtype=np.int64) if with_bins else None
    if x.dtype in (np.float32, np.float64) and (x.flags.c_contiguous or x.flags.f_contiguous):
        accumulate(x.reshape(-1, order="A"), tally, bins)
        return tally, bins
    wide = np.float32 if x.dtype.kind == "f" and x.dtype.itemsize <= 4 else np.float64
    chunks: Any = np.nditer(
        [x],
        flags=["external_loop", "buffered", "zerosize_ok"],
        op_flags=_CONTIGUOUS,
        op_dtypes=[np.dtype(wide)],
        casting="unsafe",  # int64 and longdouble may round to float64
        buffersize=_BUFFER,
    )
    for chunk in chunks:
        accumulate(chunk, tally, bins)
    return tally, bins


def _exponent(tally: Tally) -> int:
    """The power of two to divide elements by before their powers are summed; not 0 only for float64."""
    absmax = max(-tally[MIN], tally[MAX])
    if absmax <= 0 or math.isinf(absmax):
        return 0
    exponent = math.frexp(absmax)[1]
    return exponent if abs(exponent) > _PLAIN_EXPONENT else 0
