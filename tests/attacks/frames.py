"""zstd frames that were made to do harm. Source of the layout: RFC 8878, section 3.1.1."""

from __future__ import annotations

import numpy as np
from numcodecs.zstd import Zstd

_MAGIC = b"\x28\xb5\x2f\xfd"
_CHECKSUM = 0x04
_BLOCK = 128 << 10


def good(data: bytes) -> bytes:
    return bytes(Zstd(level=1, checksum=True).encode(data))


def without_checksum(data: bytes) -> bytes:
    return bytes(Zstd(level=1, checksum=False).encode(data))


def bomb(n_bytes: int) -> bytes:
    """A frame of `n_bytes` zeros with a true header; its checksum is a guess that is looked at last."""
    return claims(n_bytes, n_bytes)


def claims(stated: int, n_bytes: int) -> bytes:
    """A frame whose header states `stated` bytes, and whose blocks repeat a zero `n_bytes` times."""
    whole, rest = divmod(n_bytes, _BLOCK)
    sizes = [_BLOCK] * whole + [rest] * bool(rest)
    blocks = b"".join(
        ((size << 3) | (1 << 1) | (n == len(sizes) - 1)).to_bytes(3, "little") + b"\0"
        for n, size in enumerate(sizes)
    )
    # Frame content size in 8 bytes, a window of 8 MiB, a checksum.
    return _MAGIC + bytes([0xC0 | _CHECKSUM, 13 << 3]) + stated.to_bytes(8, "little") + blocks + bytes(4)


def with_window(exponent: int, n_bytes: int) -> bytes:
    """A frame that does not say its size, and wants a window of 2 to the power of `exponent` bytes."""
    block = ((n_bytes << 3) | (1 << 1) | 1).to_bytes(3, "little") + b"\0"
    return _MAGIC + bytes([_CHECKSUM, (exponent - 10) << 3]) + block + bytes(4)


def skippable(n_bytes: int) -> bytes:
    """A frame of which a decoder takes no notice."""
    return b"\x50\x2a\x4d\x18" + n_bytes.to_bytes(4, "little") + bytes(n_bytes)


def with_dictionary(data: bytes) -> bytes:
    """A good frame whose header asks for a dictionary."""
    frame = bytearray(good(data))
    frame[4] |= 0x01
    return bytes(frame[:5]) + b"\x07" + bytes(frame[5:])


def shard(chunks: list[bytes], index: list[tuple[int, int]]) -> bytes:
    """A shard of these bytes with any index, its checksum right."""
    from paramviz.store.codec import crc32c

    body = np.array(index, "<u8").tobytes()
    return b"".join(chunks) + body + crc32c(body).to_bytes(4, "little")
