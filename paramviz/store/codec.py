"""Bytes of chunks and shards, written and read without Zarr's machinery.

What is written here is exactly what a Zarr v3 library writes for the metadata
of `layout.array_metadata`; doing it directly costs a tenth of the time. Every
reading function raises `CorruptBytesError` rather than return a number that is not
the recorded one.
"""

from __future__ import annotations

import math
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from paramviz.store import limits
from paramviz.store.layout import ZSTD_LEVEL, ArrayLayout

Array = npt.NDArray[Any]

_ZSTD = Zstd(level=ZSTD_LEVEL, checksum=True)
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_CHECKSUM_BYTES = 4
_BLOCK_HEADER_BYTES = 3
_REPEATED = 1
"""The kind of block that is one byte many times."""

_INDEX_ENTRY_BYTES = 16
_CRC_BYTES = 4


class CorruptBytesError(ValueError):
    """Bytes that are not what the format promises; the caller knows which file they are from."""


def crc32c(data: bytes | memoryview) -> int:
    return int(google_crc32c.value(bytes(data)))


def extend_crc32c(checksum: int, data: bytes) -> int:
    """The checksum of some bytes and `data` behind them, from that of the former (0 for none)."""
    return int(google_crc32c.extend(checksum, data))


def check_extent(layout: ArrayLayout, encoded_bytes: int) -> None:
    """CorruptBytesError for an array without elements, of far more bytes than the file that is to hold
    it, or of far fewer."""
    n_bytes = layout.dtype.itemsize * math.prod(layout.shape)
    if n_bytes == 0:
        raise CorruptBytesError("is the file of an array without elements, which has none")
    if n_bytes > max(limits.UNBACKED_BYTES, encoded_bytes * limits.LARGEST_EXPANSION):
        raise CorruptBytesError(f"has {encoded_bytes:,} bytes, and the array in it is to have {n_bytes:,}")
    index = 0 if layout.inner_chunk is None else index_bytes(layout)
    inner = n_bytes if layout.inner_chunk is None else _inner_bytes(layout)
    if encoded_bytes > layout.n_inner * _most_encoded(inner) + index:
        raise CorruptBytesError(f"has {encoded_bytes:,} bytes for an array of {n_bytes:,}")


def index_bytes(layout: ArrayLayout) -> int:
    """Length of the index at the end of a shard."""
    return layout.n_inner * _INDEX_ENTRY_BYTES + _CRC_BYTES


def encode_array(array: Array, layout: ArrayLayout) -> bytes:
    """The only chunk (or shard) of `array`, as it lies on disk."""
    if array.shape != layout.shape:
        raise ValueError(f"array of shape {array.shape} does not fit its layout {layout.shape}")
    rows = np.ascontiguousarray(array, dtype=layout.dtype)
    return _encode_chunk(rows) if layout.inner_chunk is None else _encode_shard(rows, layout)


def decode_array(data: bytes, layout: ArrayLayout) -> Array:
    """Inverse of `encode_array`: an array of `layout.shape`, read-only."""
    if layout.inner_chunk is None:
        n_bytes = layout.dtype.itemsize * math.prod(layout.shape)
        return np.frombuffer(decode_zstd(data, n_bytes), layout.dtype).reshape(layout.shape)
    index = decode_index(data[-index_bytes(layout) :], layout, len(data))
    chunks = [decode_inner(data[offset : offset + length], layout) for offset, length in index.tolist()]
    return np.concatenate(chunks)[: layout.shape[0]]


def inner_checksums(shard: bytes, layout: ArrayLayout) -> tuple[int, ...]:
    """The crc32c of each inner chunk of a shard, encoded as it is."""
    index = decode_index(shard[-index_bytes(layout) :], layout, len(shard))
    return tuple(crc32c(shard[offset : offset + length]) for offset, length in index.tolist())


def decode_index(data: bytes, layout: ArrayLayout, shard_bytes: int) -> npt.NDArray[np.uint64]:
    """(inner chunks, 2) offset and length of each inner chunk in the shard, checked to lie inside it."""
    if len(data) != index_bytes(layout):
        raise CorruptBytesError(f"shard of {shard_bytes} bytes is too short for its index")
    body, stored = data[:-_CRC_BYTES], int.from_bytes(data[-_CRC_BYTES:], "little")
    if crc32c(body) != stored:
        raise CorruptBytesError("shard index fails its checksum")
    index = np.frombuffer(body, "<u8").reshape(-1, 2)
    if (index.astype(np.float64).sum(axis=1) > shard_bytes - len(data)).any():
        raise CorruptBytesError("shard index points outside of the shard")
    if (index[:, 1] > _most_encoded(_inner_bytes(layout))).any():
        raise CorruptBytesError("shard index gives a chunk more bytes than it can have")
    return index


def decode_inner(data: bytes, layout: ArrayLayout) -> Array:
    """One whole inner chunk of a shard, (inner_chunk, …) rows."""
    assert layout.inner_chunk is not None
    shape = (layout.inner_chunk, *layout.shape[1:])
    return np.frombuffer(decode_zstd(data, _inner_bytes(layout)), layout.dtype).reshape(shape)


def decode_zstd(data: bytes, expected_bytes: int) -> bytes:
    """Decompress a frame that must hold exactly `expected_bytes`.

    The size is taken from the frame's header before anything is allocated: a
    few bytes can claim gigabytes.
    """
    claimed, blocks = _frame_header(data)
    if claimed != expected_bytes:
        raise CorruptBytesError(f"chunk holds {claimed} bytes, expected {expected_bytes}")
    # A decoder goes on to further frames behind the first, and makes room for what they claim.
    if _frame_end(data, blocks) != len(data):
        raise CorruptBytesError("chunk is cut off, or has more than one frame")
    try:
        decoded = bytes(_ZSTD.decode(data)) if expected_bytes else b""
    except RuntimeError as error:
        raise CorruptBytesError(f"chunk fails to decompress: {error}") from error
    if len(decoded) != expected_bytes:
        raise CorruptBytesError(f"chunk decompressed to {len(decoded)} bytes, expected {expected_bytes}")
    return decoded


def _inner_bytes(layout: ArrayLayout) -> int:
    """Of one inner chunk, decoded."""
    assert layout.inner_chunk is not None
    return layout.dtype.itemsize * layout.inner_chunk * math.prod(layout.shape[1:])


def _most_encoded(n_bytes: int) -> int:
    """zstd stores what it cannot compress, with a few bytes for each block of 128 kB."""
    return n_bytes + n_bytes // 256 + 1024


def _frame_header(data: bytes) -> tuple[int, int]:
    """(content bytes, where the blocks begin) of a zstd frame that states its size and has a checksum.

    Source: RFC 8878, section 3.1.1.1.
    """
    if len(data) < 6 or data[:4] != _ZSTD_MAGIC:
        raise CorruptBytesError("chunk is no zstd frame")
    descriptor = data[4]
    size_flag, single_segment = descriptor >> 6, bool(descriptor & 0x20)
    has_checksum, dictionary_flag = bool(descriptor & 0x04), descriptor & 0x03
    if not has_checksum:
        raise CorruptBytesError("chunk carries no checksum")
    start = 5 + (0 if single_segment else 1) + (0, 1, 2, 4)[dictionary_flag]
    width = (1 if single_segment else 0, 2, 4, 8)[size_flag]
    field = data[start : start + width]
    if width == 0 or len(field) < width:
        raise CorruptBytesError("chunk does not say how large its content is")
    return int.from_bytes(field, "little") + (256 if width == 2 else 0), start + width


def _frame_end(data: bytes, position: int) -> int:
    """Where the frame ends whose blocks begin at `position`. Source: RFC 8878, section 3.1.1.2."""
    last = False
    while not last and position + _BLOCK_HEADER_BYTES <= len(data):
        header = int.from_bytes(data[position : position + _BLOCK_HEADER_BYTES], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        position += _BLOCK_HEADER_BYTES + (1 if kind == _REPEATED else size)
    return position + _ZSTD_CHECKSUM_BYTES if last else -1


def _encode_chunk(rows: Array) -> bytes:
    return bytes(_ZSTD.encode(rows.reshape(-1).view(np.uint8)))


def _encode_shard(rows: Array, layout: ArrayLayout) -> bytes:
    assert layout.inner_chunk is not None
    parts: list[bytes] = []
    index = np.empty((layout.n_inner, 2), "<u8")
    offset = 0
    for i in range(layout.n_inner):
        chunk = rows[i * layout.inner_chunk : (i + 1) * layout.inner_chunk]
        if len(chunk) < layout.inner_chunk:
            # Zarr stores full chunks; what is beyond the array holds the fill value.
            filled = np.full((layout.inner_chunk, *layout.shape[1:]), np.nan, layout.dtype)
            filled[: len(chunk)] = chunk
            chunk = filled
        encoded = _encode_chunk(chunk)
        index[i] = offset, len(encoded)
        offset += len(encoded)
        parts.append(encoded)
    body = index.tobytes()
    return b"".join([*parts, body, crc32c(body).to_bytes(_CRC_BYTES, "little")])
