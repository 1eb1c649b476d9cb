"""The statistics of a run of elements as compiled loops: one read from memory, no temporaries of its size.

Importing this module needs numba. Each block of 2,048 elements is sliced off first (an
index with an offset keeps a wrap-around check that stops vectorisation) and stays in
the first-level cache while small loops, each of which the compiler vectorises, go over it.
Extremes and counts are found on the elements' bits as integers, which need no care for
NaN; what is rare (NaN, inf, overflow, tiny elements) costs only the blocks that have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import HISTOGRAM_BINS, HISTOGRAM_LOWEST_EXPONENT, SPARSITY_THRESHOLD
from paramviz.statistics.compiled import compiled
from paramviz.statistics.tally import (
    BLOCK,
    MAX,
    MEAN,
    MIN,
    N_INF,
    N_NAN,
    N_OVERFLOW,
    N_SPARSE,
    N_UNDERFLOW,
    OVERFLOW,
    UNDERFLOW,
    N,
    Tally,
    merge_about,
)

_Floats = npt.NDArray[np.floating]
_Signed = npt.NDArray[np.signedinteger]
_Unsigned = npt.NDArray[np.unsignedinteger]
_Bins = npt.NDArray[np.int64]

_HALF = HISTOGRAM_BINS // 2
_NO_BINS: _Bins = np.empty(0, dtype=np.int64)
_FEW = 2048
"""Of so many elements, a table of signs and exponents would take longer to add up than to fill."""


_merge_about = compiled(merge_about)


def _limits(dtype: type[np.floating], words: type[np.signedinteger]) -> _Signed:
    """Bits of the magnitudes at which something begins: inf, no longer sparse, no underflow, overflow."""
    dense = dtype(SPARSITY_THRESHOLD)
    if float(dense) < SPARSITY_THRESHOLD:
        dense = np.nextafter(dense, dtype(1))
    return np.array([np.inf, dense, np.nextafter(dtype(UNDERFLOW), dtype(1)), OVERFLOW], dtype=dtype).view(
        words
    )


LIMITS_32 = _limits(np.float32, np.int32)
LIMITS_64 = _limits(np.float64, np.int64)


def accumulate(x_N: _Floats, tally: Tally, bins: _Bins | None) -> None:
    """Adds elements to a tally and, unless it is None, to a histogram, both in place.

    x_N: (N,) contiguous float32 or float64, native byte order. bins: (64,) int64.
    """
    if x_N.size == 0:
        return
    bins = _NO_BINS if bins is None else bins
    if x_N.dtype == np.float32:
        _accumulate(x_N, x_N.view(np.int32), x_N.view(np.uint32), LIMITS_32, 23, tally, bins)
    else:
        _accumulate(x_N, x_N.view(np.int64), x_N.view(np.uint64), LIMITS_64, 52, tally, bins)


@compiled
def _accumulate(
    x: _Floats, signed: _Signed, unsigned: _Unsigned, limits: _Signed, shift: int, tally: Tally, bins: _Bins
) -> None:
    """`signed` and `unsigned` are the bits of x; `shift` the number of bits below its exponent."""
    exponents = np.zeros((4, 1 << (8 * x.itemsize - shift)), dtype=np.uint32)
    accumulate_with(
        np.empty(BLOCK, dtype=x.dtype), exponents, x, signed, unsigned, limits, shift, tally, bins
    )


@compiled
def accumulate_with(
    kept: _Floats, exponents: npt.NDArray[np.uint32],
    x: _Floats, signed: _Signed, unsigned: _Unsigned, limits: _Signed, shift: int, tally: Tally, bins: _Bins,
) -> None:  # fmt: skip
    """`kept`, (BLOCK,), and `exponents`, (4, signs and exponents) of zeros, are room to work in.

    Leaves `exponents` as it was.
    """
    kept_signed, kept_unsigned = kept.view(signed.dtype), kept.view(unsigned.dtype)
    edges = np.empty(2, dtype=x.dtype)
    edges_signed = edges.view(signed.dtype)
    negative_zeros = 0

    for start in range(0, x.size, BLOCK):
        block = x[start : start + BLOCK]
        words, unsigned_words = signed[start : start + BLOCK], unsigned[start : start + BLOCK]
        # Distances to the mean so far: what they lose is small beside the variance between the blocks.
        about = tally[MEAN] if tally[N] else _sum(block) / block.size
        low, high, absmax, nearest, s1, s2, s3, s4 = _sweep(block, words, unsigned_words, about)
        if absmax >= limits[0]:
            n = _keep_finite(words, limits[0], kept_signed, tally)
            if n == 0:
                continue
            block, words, unsigned_words = kept[:n], kept_signed[:n], kept_unsigned[:n]
            about = tally[MEAN] if tally[N] else _sum(block) / n
            low, high, absmax, nearest, s1, s2, s3, s4 = _sweep(block, words, unsigned_words, about)

        edges_signed[0], edges_signed[1] = low, high
        tally[MIN] = min(tally[MIN], edges[0])
        tally[MAX] = max(tally[MAX], edges[1])
        _merge_about(tally, block.size, about, s1, s2, s3, s4)
        if absmax >= limits[3]:
            tally[N_OVERFLOW] += _count_from(words, limits[3])
        if nearest < limits[1]:
            sparse, underflow, zeros = _count_small(words, limits[1], limits[2])
            tally[N_SPARSE] += sparse
            tally[N_UNDERFLOW] += underflow
            negative_zeros += zeros
        if bins.size and x.size > _FEW:
            _count_exponents(unsigned_words, shift, exponents)
        elif bins.size:
            _count_bins(words, shift, bins)

    if bins.size and x.size > _FEW:
        _fold(exponents, negative_zeros, bins)
        exponents[:] = 0


@compiled
def _sweep(
    block: _Floats, signed: _Signed, unsigned: _Unsigned, about: float
) -> tuple[Any, Any, Any, Any, float, float, float, float]:
    """Extremes of a block, and the sums of the first four powers of the distance to `about`.

    Both in one loop: the integer units find the extremes while the others add, and memory
    is read ahead meanwhile. First come the bits of the smallest, the largest, the largest
    absolute and the smallest absolute element. As integers, floats of one sign are
    ordered by magnitude. So the largest unsigned word is the smallest float if any is
    negative, the largest signed word the largest float if any is positive; if all have
    one sign, the smallest signed word is the one nearest to zero. NaN counts as beyond
    inf, and leaves sums without meaning.
    """
    word_type = signed.dtype.type
    magnitude = word_type(np.iinfo(signed.dtype).max)
    most = least = signed[0]
    farthest = unsigned[0]
    nearest = magnitude
    s1 = s2 = s3 = s4 = 0.0
    for i in range(signed.size):
        word = signed[i]
        most = max(most, word)
        least = min(least, word)
        farthest = max(farthest, unsigned[i])
        nearest = min(nearest, word_type(word & magnitude))
        d = np.float64(block[i]) - about
        d2 = d * d
        s1 += d
        s2 += d2
        s3 += d2 * d
        s4 += d2 * d2
    low = word_type(farthest) if least < 0 else least
    high = most if most >= 0 else least
    absmax = max(word_type(low & magnitude), word_type(high & magnitude))
    return low, high, absmax, nearest, s1, s2, s3, s4


@compiled
def _keep_finite(words: _Signed, infinity: int, kept: _Signed, tally: Tally) -> int:
    """Copies the bits of finite elements to the front of `kept`, counts the others; how many are kept."""
    magnitude = np.iinfo(words.dtype).max
    n = n_inf = 0
    for i in range(words.size):
        distance = words[i] & magnitude
        if distance < infinity:
            kept[n] = words[i]
            n += 1
        elif distance == infinity:
            n_inf += 1
    tally[N_INF] += n_inf
    tally[N_NAN] += words.size - n - n_inf
    return n


@compiled
def _count_from(words: _Signed, limit: int) -> Any:
    """How many magnitudes have bits of at least `limit`."""
    word_type = words.dtype.type
    magnitude = word_type(np.iinfo(words.dtype).max)
    n = word_type(0)
    for i in range(words.size):
        n += word_type(word_type(words[i] & magnitude) >= limit)
    return n


@compiled
def _count_small(words: _Signed, dense: int, resolved: int) -> tuple[Any, Any, Any]:
    """(magnitudes below `dense`, non-zero ones below `resolved`, negative zeros) of a block."""
    word_type = words.dtype.type
    magnitude = word_type(np.iinfo(words.dtype).max)
    minus_zero = word_type(np.iinfo(words.dtype).min)
    sparse = below = zero = negative_zero = word_type(0)
    for i in range(words.size):
        word = words[i]
        distance = word_type(word & magnitude)
        sparse += word_type(distance < dense)
        below += word_type(distance < resolved)
        zero += word_type(distance == word_type(0))
        negative_zero += word_type(word == minus_zero)
    return sparse, below - zero, negative_zero


@compiled
def _count_exponents(words: _Unsigned, shift: int, exponents: npt.NDArray[np.uint32]) -> None:
    """Counts signs and exponents. Four tables take turns, lest equal neighbours wait for each other.

    The words are unsigned because a signed index would be checked for wrap-around.
    """
    word_type = words.dtype.type
    below = word_type(shift)
    first, second, third, fourth = exponents[0], exponents[1], exponents[2], exponents[3]
    even = words.size - words.size % 4
    for i in range(0, even, 4):
        first[words[i] >> below] += np.uint32(1)
        second[words[i + 1] >> below] += np.uint32(1)
        third[words[i + 2] >> below] += np.uint32(1)
        fourth[words[i + 3] >> below] += np.uint32(1)
    for i in range(even, words.size):
        first[words[i] >> below] += np.uint32(1)


@compiled
def _count_bins(words: _Signed, shift: int, bins: _Bins) -> None:
    """Counts straight into the bins: slower by the element, but there are no tables to add up."""
    word_type = words.dtype.type
    magnitude = word_type(np.iinfo(words.dtype).max)
    half_range = 1 << (8 * words.itemsize - shift - 2)
    innermost = half_range - 2 + HISTOGRAM_LOWEST_EXPONENT
    for i in range(words.size):
        distance = word_type(words[i] & magnitude)
        place = min(max(int(distance >> shift) - innermost, 0), _HALF - 1)
        bins[_HALF - 1 - place if words[i] < 0 and distance != 0 else _HALF + place] += 1


@compiled
def _sum(block: _Floats) -> float:
    total = 0.0
    for i in range(block.size):
        total += np.float64(block[i])
    return total


@compiled
def _fold(exponents: npt.NDArray[np.uint32], negative_zeros: int, bins: _Bins) -> None:
    """Adds the tables of signs and exponents to the 64 bins of `schema.histogram_edges`."""
    n_exponents = exponents.shape[1] // 2
    innermost = n_exponents // 2 - 2 + HISTOGRAM_LOWEST_EXPONENT
    for exponent in range(n_exponents):
        distance = min(max(exponent - innermost, 0), _HALF - 1)
        for way in range(exponents.shape[0]):
            bins[_HALF + distance] += exponents[way, exponent]
            bins[_HALF - 1 - distance] += exponents[way, n_exponents + exponent]
    bins[_HALF - 1] -= negative_zeros
    bins[_HALF] += negative_zeros
