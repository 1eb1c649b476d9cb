"""Triton kernels that read many tensors by their addresses. Importing this module needs Triton.

One launch reads all tensors of a dtype, as apply functions over many tensors do: a program
for each span of a tensor, found in a table. Elements are float16, bfloat16 or float32; sums
are float64, whose fourth powers of float32 are normal numbers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from paramviz.schema import HISTOGRAM_BINS, HISTOGRAM_LOWEST_EXPONENT, SPARSITY_THRESHOLD
from paramviz.statistics.tally import OVERFLOW, UNDERFLOW

HALF = tl.constexpr(HISTOGRAM_BINS // 2)
LOWEST = tl.constexpr(HISTOGRAM_LOWEST_EXPONENT)
"""See `schema.histogram_edges`: bins on a side, and the exponent of the innermost."""

SPARSE, HUGE, TINY = tl.constexpr(SPARSITY_THRESHOLD), tl.constexpr(OVERFLOW), tl.constexpr(UNDERFLOW)
"""What is counted lies below, from here on, and up to here."""

INFINITE = tl.constexpr(0x7F800000)
"""The exponent bits of a float32 that is not finite."""

COLUMNS = tl.constexpr(13)
"""See `combining`."""


@triton.jit
def _block(
    address, begin, length, start, scale, DTYPE: tl.constexpr, IS_SCALED: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """Elements as float32, and which of them are some."""
    lane = start + tl.arange(0, BLOCK)
    is_element = lane < length
    x = tl.load(address.to(tl.pointer_type(DTYPE)) + begin + lane, mask=is_element, other=0.0)
    x = x.to(tl.float32)
    if IS_SCALED:
        x = x / tl.load(scale).to(tl.float32)
    return x, is_element


@triton.jit
def _is_finite(x):
    return (x.to(tl.int32, bitcast=True) & INFINITE) != INFINITE


@triton.jit
def tally_spans(
    addresses, tensor_P, begin_P, length_P, scale, parts_P13, counts_T64,
    DTYPE: tl.constexpr, IS_SCALED: tl.constexpr, WITH_PARTS: tl.constexpr, WITH_COUNTS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """The columns of `combining` of each span, and counts of its tensor's histogram.

    Powers are of the distance to the mean of the first block that has finite elements:
    it is a share of the span, so the mean of all is not far from it beside their spread.
    """
    program = tl.program_id(0)
    tensor = tl.load(tensor_P + program)
    begin, length = tl.load(begin_P + program), tl.load(length_P + program)
    address = tl.load(addresses + tensor)

    about = tl.zeros((), tl.float64)
    n_first = tl.zeros((), tl.int32)
    start = tl.zeros((), tl.int64)
    while (n_first == 0) & (start < length):
        x, is_element = _block(address, begin, length, start, scale, DTYPE, IS_SCALED, BLOCK)
        finite = _is_finite(x) & is_element
        n_first = tl.sum(finite.to(tl.int32))
        about = tl.sum(tl.where(finite, x, 0.0).to(tl.float64)) / tl.maximum(n_first, 1)
        start += BLOCK

    s1 = tl.zeros((BLOCK,), tl.float64)
    s2 = tl.zeros((BLOCK,), tl.float64)
    s3 = tl.zeros((BLOCK,), tl.float64)
    s4 = tl.zeros((BLOCK,), tl.float64)
    low = tl.full((BLOCK,), float("inf"), tl.float32)
    high = tl.full((BLOCK,), float("-inf"), tl.float32)
    n = tl.zeros((BLOCK,), tl.int32)
    n_nan = tl.zeros((BLOCK,), tl.int32)
    n_infinite = tl.zeros((BLOCK,), tl.int32)
    n_sparse = tl.zeros((BLOCK,), tl.int32)
    n_overflow = tl.zeros((BLOCK,), tl.int32)
    n_underflow = tl.zeros((BLOCK,), tl.int32)
    bins = tl.arange(0, 4 * HALF)
    counts = tl.zeros((4 * HALF,), tl.int32)
    for start in range(0, length, BLOCK):
        x, is_element = _block(address, begin, length, start, scale, DTYPE, IS_SCALED, BLOCK)
        finite = _is_finite(x) & is_element
        if WITH_PARTS:
            d = tl.where(finite, x.to(tl.float64) - about, 0.0)
            d2 = d * d
            s1 += d
            s2 += d2
            s3 += d2 * d
            s4 += d2 * d2
            low = tl.minimum(low, tl.where(finite, x, float("inf")))
            high = tl.maximum(high, tl.where(finite, x, float("-inf")))
            magnitude = tl.abs(x)
            n += finite.to(tl.int32)
            n_nan += ((x != x) & is_element).to(tl.int32)
            n_infinite += ((magnitude == float("inf")) & is_element).to(tl.int32)
            n_sparse += ((magnitude.to(tl.float64) < SPARSE) & finite).to(tl.int32)
            n_overflow += ((magnitude >= HUGE) & finite).to(tl.int32)
            n_underflow += ((magnitude <= TINY) & (magnitude > 0) & finite).to(tl.int32)
        if WITH_COUNTS:
            # frexp's exponent; that of zeros and denormals is below the innermost bin anyway.
            exponent = ((x.to(tl.int32, bitcast=True) >> 23) & 0xFF) - 126 - LOWEST
            distance = tl.minimum(tl.maximum(exponent, 0), HALF - 1)
            side = tl.where(x < 0, HALF - 1 - distance, HALF + distance)
            counts += tl.histogram(tl.where(finite, side, 2 * HALF), 4 * HALF)
    if WITH_PARTS:
        count = tl.sum(n).to(tl.float64)
        divisor = tl.maximum(count, 1.0)
        e = tl.sum(s1) / divisor
        t2, t3, t4 = tl.sum(s2), tl.sum(s3), tl.sum(s4)
        out = parts_P13 + program * COLUMNS
        tl.store(out + 0, count)
        tl.store(out + 1, about + e)
        tl.store(out + 2, t2 - count * e * e)
        tl.store(out + 3, t3 - 3.0 * e * t2 + 2.0 * count * e * e * e)
        tl.store(out + 4, t4 - 4.0 * e * t3 + 6.0 * e * e * t2 - 3.0 * count * e * e * e * e)
        tl.store(out + 5, tl.min(low).to(tl.float64))
        tl.store(out + 6, tl.max(high).to(tl.float64))
        tl.store(out + 7, tl.sum(n_nan).to(tl.float64))
        tl.store(out + 8, tl.sum(n_infinite).to(tl.float64))
        tl.store(out + 9, tl.sum(n_sparse).to(tl.float64))
        tl.store(out + 10, tl.sum(n_overflow).to(tl.float64))
        tl.store(out + 11, tl.sum(n_underflow).to(tl.float64))
        tl.store(out + 12, 0.0)
    if WITH_COUNTS:
        tl.atomic_add(counts_T64 + tensor * (2 * HALF) + bins, counts.to(tl.int64), mask=bins < 2 * HALF)


@triton.jit
def take_samples(
    addresses, tensor_S, position_S, n, scale, out_S,
    DTYPE: tl.constexpr, IS_SCALED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Elements of tensors at their flat positions, as float32."""
    sample = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_sample = sample < n
    address = tl.load(addresses + tl.load(tensor_S + sample, mask=is_sample, other=0))
    position = tl.load(position_S + sample, mask=is_sample, other=0)
    x = tl.load(address.to(tl.pointer_type(DTYPE)) + position, mask=is_sample, other=0.0).to(tl.float32)
    if IS_SCALED:
        x = x / tl.load(scale).to(tl.float32)
    tl.store(out_S + sample, x, mask=is_sample)
