"""Ways to make samples smaller, of which one was chosen for snapshots and one for dense blocks.

Each takes the samples of T snapshots, (T, N) float16, and says in how many
bytes they lie then. Nothing is encoded in one piece that could not be read in one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc
from numcodecs.zstd import Zstd

from paramviz.store.dense import PIECE, Differences, encode_dense
from paramviz.store.layout import INNER_CHUNK

Samples = npt.NDArray[np.float16]


def alone(values_TN: Samples, level: int, shuffled: bool = False) -> int:
    """Each snapshot by itself, in the inner chunks of its shard."""
    codec, n_bytes = Zstd(level=level, checksum=True), 0
    for values_N in values_TN:
        for start in range(0, len(values_N), INNER_CHUNK):
            chunk = values_N[start : start + INNER_CHUNK].view(np.uint8)
            if shuffled:
                chunk = np.ascontiguousarray(chunk.reshape(-1, 2).T)
            n_bytes += len(codec.encode(chunk))
    return n_bytes


def bit_shuffled(values_TN: Samples) -> int:
    """Each snapshot by itself, its bits sorted by their significance."""
    codec = Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE)
    chunks = (
        np.ascontiguousarray(values_N[start : start + INNER_CHUNK])
        for values_N in values_TN
        for start in range(0, len(values_N), INNER_CHUNK)
    )
    return sum(len(codec.encode(chunk)) for chunk in chunks)


def exclusive_or(values_TN: Samples, snapshots: int) -> int:
    """Blocks of so many snapshots, each but the first as its bits XOR those before, in planes of bytes."""
    codec, n_bytes = Zstd(level=1, checksum=True), 0
    for first in range(0, len(values_TN), snapshots):
        bits_TN = values_TN[first : first + snapshots].view(np.uint16)
        mixed_TN = np.concatenate([bits_TN[:1], bits_TN[1:] ^ bits_TN[:-1]])
        for start in range(0, mixed_TN.shape[1], PIECE):
            piece_TP = mixed_TN[:, start : start + PIECE]
            planes = (piece_TP >> 8).astype(np.uint8), (piece_TP & 0xFF).astype(np.uint8)
            n_bytes += sum(len(codec.encode(np.ascontiguousarray(plane))) for plane in planes)
    return n_bytes


def dense(values_TN: Samples, snapshots: int, differences: Differences, level: int = 1) -> int:
    """Dense blocks of so many snapshots."""
    codec, n_bytes = Zstd(level=level, checksum=True), 0
    for first in range(0, len(values_TN), snapshots):
        planes = encode_dense(values_TN[first : first + snapshots], differences)
        n_bytes += sum(len(codec.encode(plane)) for plane in planes)
    return n_bytes


CODECS: dict[str, Callable[[Samples], int]] = {
    **{f"zstd {level}": partial(alone, level=level) for level in (1, 3, 9)},
    "bytes shuffled, zstd 1": partial(alone, level=1, shuffled=True),
    "bits shuffled, zstd 1": bit_shuffled,
    "XOR in time, n = 16, zstd 1": partial(exclusive_or, snapshots=16),
    **{
        f"differences {differences}, n = {snapshots}, zstd 1": partial(
            dense, snapshots=snapshots, differences=differences
        )
        for differences in (1, 2)
        for snapshots in (8, 16, 32)
    },
    **{
        f"differences {differences}, n = 16, zstd {level}": partial(
            dense, snapshots=16, differences=differences, level=level
        )
        for differences in (1, 2)
        for level in (3, 9)
    },
}
"""What is printed of them → how many bytes it makes."""
