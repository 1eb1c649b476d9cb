"""Samples of consecutive snapshots as small integers: what a dense block holds.

A float16 becomes a whole number that grows with it; a sample of a snapshot
becomes its difference from the same sample of the snapshot before, or the
difference of that difference from the one before; and these become two planes
of bytes, of which the higher is nearly all zeros. Nothing is rounded: every
pattern of 16 bits comes back, NaN and signed zeros too. `docs/FORMAT.md`,
"Dense blocks", is the specification. Pure: no file is touched.

Shapes: T snapshots of a block, N samples in each, P samples in a piece, C
pieces of a snapshot.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from paramviz.store.layout import ArrayLayout

Bits = npt.NDArray[np.uint16]

Differences = Literal[1, 2]
"""1 where snapshots lie far apart; 2 where they follow each other so closely that they go on as they went."""

PIECE = 4096
"""Samples per piece: one tensor of one snapshot is in one, or in a few that lie side by side."""

_SIGN = np.uint16(0x8000)
_LARGEST = np.uint16(0x7FFF)


def dense_layout(snapshots: int, samples: int) -> ArrayLayout:
    """The layout of a block's `values`, (2C, T, P) uint8: of each piece the high bytes, then the low ones."""
    piece = min(PIECE, samples)
    pieces = -(-samples // piece)
    return ArrayLayout((2 * pieces, snapshots, piece), np.dtype("u1"), 1, ("plane", "snapshot", "sample"))


def encode_dense(values_TN: npt.NDArray[np.float16], differences: Differences) -> npt.NDArray[np.uint8]:
    """(2C, T, P) planes of the samples of T snapshots; the last piece is filled up with zeros."""
    snapshots, samples = values_TN.shape
    planes = np.zeros(dense_layout(snapshots, samples).shape, np.uint8)
    # Piece by piece: what is between the floats and the planes would take several times their memory.
    for c, start in enumerate(range(0, samples, planes.shape[2])):
        bits_TP = np.ascontiguousarray(values_TN[:, start : start + planes.shape[2]], "<f2").view("<u2")
        steps_TP = np.diff(ordered(bits_TP), axis=0, prepend=np.uint16(0))
        if differences == 2:
            steps_TP[2:] = np.diff(steps_TP[1:], axis=0)
        zigzag_TP = (steps_TP << 1) ^ -(steps_TP >> 15)
        planes[2 * c, :, : bits_TP.shape[1]] = zigzag_TP >> 8
        planes[2 * c + 1, :, : bits_TP.shape[1]] = zigzag_TP & 0xFF
    return planes


def decode_piece(
    high_TP: npt.NDArray[np.uint8], low_TP: npt.NDArray[np.uint8], differences: Differences
) -> Bits:
    """(T, P) ordered numbers of a piece, from its planes."""
    zigzag_TP = high_TP.astype(np.uint16) << 8 | low_TP
    steps_TP: Bits = np.bitwise_xor(zigzag_TP >> 1, -(zigzag_TP & 1))
    if differences == 2:
        _sum_up(steps_TP[1:])
    _sum_up(steps_TP)
    return steps_TP


def ordered(bits: Bits) -> Bits:
    """Patterns of float16 as numbers mod 2¹⁶ that follow each other as the floats do: +0 is 0, −0 is −1."""
    return np.where(bits & _SIGN, _LARGEST - bits, bits)


def float16_of(numbers: Bits) -> npt.NDArray[np.float16]:
    """Inverse of `ordered`, as floats."""
    return ordered(numbers).view(np.float16)


def _sum_up(steps_TP: Bits) -> None:
    """Cumulative sums over time, in place. Adding row to row is 70 times as fast as `cumsum` along them."""
    for t in range(1, len(steps_TP)):
        steps_TP[t] += steps_TP[t - 1]
