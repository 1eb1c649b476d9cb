"""Odd values, and records and journal entries in which one place is odd."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from random import Random
from typing import Any

import msgpack

INTERESTING: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 8, 255, 256, 16_384, 16_385, 65_536, 2**31, 2**32, 2**53, 2**63, 2**64, 2**70,
    -(2**63), 0.0, -0.0, 0.5, 1.0, 1e308, -1e308, 5e-324, 10**400, True, False, None, "", "0", "1",
    "NaN", "Infinity",
    "values", "vectors", "wte.weight", "../..", "/", "\0", "\ud800", "x" * 5000, "values/c.0", "recording",
    [], {}, [[]], [0, 0], [1, 1], [-1], {"": {}}, {"a": [1]}, {"loss": 1.0}, ["mean"], [None] * 3,
)  # fmt: skip

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_NUMBER_TEXTS = (
    "NaN", "-Infinity", "1e999", "-0", "0.0", "1e2", "1E-400", "9" * 300, "9" * 5000, "true", "null", "[]",
    "0x10",
)  # fmt: skip


def change_somewhere(random: Random, document: Any) -> str:
    """Change one place in a tree of maps and lists, and say where."""
    places = list(_places(document, ""))
    if not places:
        return "nothing to change"
    # Long lists are not to hide the few fields around them.
    holder, key, path = random.choice(random.sample(places, min(len(places), 40)))
    what = random.randrange(6)
    if what == 0:
        del holder[key]
        return f"{path} removed"
    if what == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
        return f"{path} twice"
    if what == 2 and isinstance(holder, dict):
        holder[random.choice([str(value) for value in INTERESTING[:45]])] = holder.pop(key)
        return f"{path} under another key"
    if what == 3 and type(holder[key]) is int:
        holder[key] += random.choice((-1, 1, 8, -holder[key] * 2))
        return f"{path} = {holder[key]}"
    if what == 4:
        other, other_key, other_path = random.choice(places)
        # A copy: a tree that holds itself could not be written.
        holder[key] = copy.deepcopy(other[other_key])
        return f"{path} = {other_path}"
    holder[key] = random.choice(INTERESTING)
    return f"{path} = {str(holder[key])[:40]!r}"


def change_text(random: Random, text: str) -> tuple[str, str]:
    """JSON that `json` would not write: (text, what is odd in it)."""
    what = random.randrange(4)
    if what == 0:
        numbers = list(_NUMBER.finditer(text))
        at, odd = random.choice(numbers), random.choice(_NUMBER_TEXTS)
        return text[: at.start()] + odd + text[at.end() :], f"{odd[:20]} at {at.start()}"
    if what == 1:
        keys = list(re.finditer(r'"([^"\\]*)": ', text))
        key, other = random.choice(keys), random.choice(keys)
        value = json.dumps(random.choice([v for v in INTERESTING if v != 10**400]))
        return f"{text[:-1]}, {key[0]}{value}, {other[0]}1}}", f"{key[1]} twice"
    if what == 2:
        depth = random.choice((10, 63, 64, 65, 500, 5000))
        return f'{text[:-1]}, "deep": {"[" * depth}{"]" * depth}}}', f"{depth} deep"
    at = random.choice([match.start() for match in re.finditer(r"[:,]", text)]) + 1
    space = random.choice((" " * 10_000, "\t\r\n", "\u00a0", "\0", "/**/"))
    return text[:at] + space + text[at:], f"{space[:4]!r} at {at}"


def odd_payload(random: Random, payloads: list[bytes]) -> tuple[bytes, str]:
    """(what stands in place of a journal entry, what it is)."""
    what = random.randrange(5)
    if what == 0 and payloads:
        data = bytearray(random.choice(payloads))
        for _ in range(random.choice((1, 1, 2, 8))):
            data[random.randrange(len(data))] = random.choice(
                (0, 0x7F, 0x80, 0xC1, 0xFF, random.randrange(256))
            )
        return bytes(data), "an entry with other bytes"
    if what == 1 and payloads:
        data = bytearray(random.choice(payloads))
        return bytes(data[: random.randrange(len(data))]) or b"\xc0", "an entry that was cut"
    if what == 2:
        depth = random.choice((2, 100, 512, 1025, 100_000))
        return bytes([random.choice((0x91, 0x81))]) * depth + b"\xc0", f"{depth} deep"
    if what == 3:
        claimed = random.choice((b"\xdd", b"\xdf", b"\xc6", b"\xdb", b"\xc9"))
        return claimed + random.choice((b"\xff\xff\xff\xff", b"\0\x10\0\0")), "shorter than it says"
    return _odd_entry(random), "an entry of odd types"


def _odd_entry(random: Random) -> bytes:
    odd = random.choice(
        (msgpack.ExtType(5, b"x" * 20), msgpack.Timestamp(2**33), b"raw", 2**64 - 1, float("nan"), None)
    )
    fields = {"k": random.choice(("step", "commit", "event", "status", "plan", "block", "segment", odd))}
    names = random.sample(("i", "plan", "crc", "e", "t", "s", "kind", "text", "status", "of", "block"), 6)
    fields |= {name: random.choice((odd, {"loss": odd}, [[odd, odd]], {5: 1}, 1)) for name in names}
    payload: bytes = msgpack.packb(fields)
    return payload


def _places(document: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    """(holder, key, path) of everything in a tree."""
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))
    else:
        return
    for key, value in items:
        yield document, key, f"{path}.{key}"
        yield from _places(value, f"{path}.{key}")
