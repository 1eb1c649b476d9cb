"""Random damage to an HDF5 file: blind, or with the checksum of an object's header mended behind it.

Sources: HDF5 File Format Specification 3.0, sections II.C (superblock 2 and 3), IV.A.1.b (object
headers of version 2); the checksum is lookup3 by Bob Jenkins (2006, public domain), `hashlittle`.
"""

from __future__ import annotations

from random import Random

from tests.attacks.mutations import flip_bits, piece
from tests.attacks.zip_mutations import damage_bytes

_SUPERBLOCK_BYTES = 44
_WORD = 0xFFFFFFFF
_OTHER_BLOCKS = (b"OCHK", b"FADB", b"FAHD", b"EAHD", b"EAIB", b"BTHD", b"BTLF", b"FRHP", b"FHDB", b"FHIB")
"""Blocks whose length is not in themselves: they are damaged too, and fail their checksums."""


class Hdf5Mutator:
    """Makes damages of the file that has the bytes `good`."""

    def __init__(self, good: bytes) -> None:
        self._good = good
        self._headers = [(0, _SUPERBLOCK_BYTES), *object_headers(good)]
        self._others = [at for magic in _OTHER_BLOCKS for at in _places(good, magic)]

    def damage(self, number: int) -> tuple[bytes, str, bool]:
        """Damage number `number`: the file, what it is, and whether checksums were mended."""
        random = Random(number)
        mended = random.random() < 0.6
        if not mended:
            data, told = damage_bytes(random, self._good, self._good)
            if self._others and random.random() < 0.3:
                changed = bytearray(data)
                at = random.choice(self._others) + random.randrange(4, 40)
                if at < len(changed):
                    changed[at] = random.randrange(256)
                return bytes(changed), f"{told}; a byte at {at}", mended
            return data, told, mended
        changed = bytearray(self._good)
        told = "; ".join(self._damage_header(random, changed) for _ in range(random.choice((1, 1, 2))))
        return bytes(changed), told, mended

    def _damage_header(self, random: Random, data: bytearray) -> str:
        begin, length = random.choice(self._headers)
        header = data[begin : begin + length]
        what = random.randrange(4)
        if what == 0:
            flip_bits(random, header)
        elif what == 1:
            at, n = piece(random, header)
            header[at : at + n] = (random.choice((b"\0", b"\xff", b"\1")) * n)[: len(header) - at]
        elif what == 2:
            at = random.randrange(len(header) - 8)
            other, other_length = random.choice(self._headers)
            value = random.choice((0, 1, other, begin, len(data), 2**63, 2**64 - 1, other + other_length))
            header[at : at + 8] = value.to_bytes(8, "little")
        else:
            at, n = piece(random, header)
            start = random.randrange(len(header))
            header[at : at + n] = (header[start : start + n] * 2)[:n].ljust(n, b"\0")
        data[begin : begin + length] = header
        data[begin + length : begin + length + 4] = lookup3(bytes(header)).to_bytes(4, "little")
        return f"header at {begin} changed ({what})"


def lookup3(data: bytes) -> int:
    """The checksum of HDF5's own structures, which is `hashlittle(data, 0)`."""
    a = b = c = 0xDEADBEEF + len(data) & _WORD
    blocks = [data[at : at + 12].ljust(12, b"\0") for at in range(0, len(data), 12)]
    for block in blocks:
        x, y, z = (int.from_bytes(block[at : at + 4], "little") for at in (0, 4, 8))
        a, b, c = a + x & _WORD, b + y & _WORD, c + z & _WORD
        # The three change places from line to line of the original.
        for n in () if block is blocks[-1] else (4, 6, 8, 16, 19, 4):
            a, b, c = b, c + b & _WORD, (a - c & _WORD) ^ _rotated(c, n)
    for n in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, (c ^ b) - _rotated(b, n) & _WORD, a
    return b


def _rotated(word: int, n: int) -> int:
    return (word << n | word >> 32 - n) & _WORD


def object_headers(data: bytes) -> list[tuple[int, int]]:
    """(begin, length up to the checksum) of the first part of each object's header."""
    found = []
    for begin in _places(data, b"OHDR"):
        flags = data[begin + 5]
        at = begin + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        length = at + width + int.from_bytes(data[at : at + width], "little") - begin
        stored = int.from_bytes(data[begin + length : begin + length + 4], "little")
        # What merely looks like a header, in somebody's numbers, has no checksum behind it.
        if lookup3(data[begin : begin + length]) == stored:
            found.append((begin, length))
    return found


def _places(data: bytes, magic: bytes) -> list[int]:
    found, at = [], data.find(magic)
    while at >= 0:
        found.append(at)
        at = data.find(magic, at + 4)
    return found
