"""Random damage to the files of a run, the same for the same number.

Half of it is blind (bits, pieces, whole files); the other half knows the format
and mends every checksum behind itself, so that what lies deeper is reached.
Files are bytes in memory by their keys; what is no file is an `Odd`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

import msgpack
import numpy as np

from paramviz.store.codec import crc32c
from paramviz.store.journal import decode_entries
from paramviz.store.layout import JOURNAL, ArrayLayout, group_document, read_array_metadata
from tests.attacks import frames
from tests.attacks.structures import INTERESTING, change_somewhere, change_text, odd_payload
from tests.attacks.tampering import Change, framed, group_text, seal_of

MOST_BYTES = 1 << 20
"""What a file grows to by being doubled again and again."""


class Odd(Enum):
    """What lies in place of a file."""

    FOLDER = "a folder"
    PIPE = "a pipe"
    LINK_WITHIN = "a link within the run"
    LINK_OUTSIDE = "a link out of the run"
    LINK_DEVICE = "a link to a device"


Files = dict[str, bytes | Odd]


@dataclass(frozen=True, slots=True)
class Damage:
    """`files` of a damaged run, what was done, and whether checksums were mended behind it."""

    files: Files
    told: str
    mended: bool


class Mutator:
    """Makes damages of the run that has the files `good`."""

    def __init__(self, good: dict[str, bytes]) -> None:
        self._good = good
        self._files: Files = {}
        self._keys = sorted(good)
        self._segments = [key for key in self._keys if key.startswith(f"{JOURNAL}/")]
        self._groups = [key[: -len("/zarr.json")] for key in self._keys if _is_record(key, good[key])]
        self._chunks = [key for key in self._keys if "/c.0" in key]
        layouts = {
            key: read_array_metadata(good[key.rpartition("/")[0] + "/zarr.json"]) for key in self._chunks
        }
        self._shards = {key: layout for key, layout in layouts.items() if layout.inner_chunk is not None}

    def damage(self, number: int) -> Damage:
        """Damage number `number`."""
        random = Random(number)
        blind: list[Callable[[Random], str]] = [
            self._flip, self._flip, self._overwrite, self._cut, self._lengthen, self._splice, self._repeat,
            self._remove_piece, self._exchange, self._remove, self._replace_kind, self._replace_folder,
            self._move,
        ]  # fmt: skip
        knowing: list[Callable[[Random], str]] = [
            self._record, self._record, self._record, self._record_text, self._entry, self._entry,
            self._payload, self._entries, self._frame, self._frame, self._index,
        ]  # fmt: skip
        self._files = dict(self._good)
        mended = random.random() < 0.5
        what = random.choice(knowing if mended else blind)
        told = [what(random) for _ in range(random.choice((1, 1, 1, 2, 4)))]
        odd = tuple(f"{key}/" for key, found in self._files.items() if isinstance(found, Odd))
        # Nothing lies in what is no folder any more.
        files = {key: found for key, found in self._files.items() if not (odd and key.startswith(odd))}
        return Damage(files, "; ".join(told), mended)

    # Blind

    def _flip(self, random: Random) -> str:
        key, data = self._pick(random)
        flip_bits(random, data)
        return self._put(key, data, "bits flipped")

    def _overwrite(self, random: Random) -> str:
        key, data = self._pick(random)
        at, n = piece(random, data)
        filler = random.choice((b"\0", b"\xff", b"[", b"9", random.randbytes(1)))
        data[at : at + n] = filler * n
        return self._put(key, data, f"{n} bytes at {at} overwritten")

    def _cut(self, random: Random) -> str:
        key, data = self._pick(random)
        kept = random.randrange(len(data))
        return self._put(key, data[:kept], f"cut to {kept} bytes")

    def _lengthen(self, random: Random) -> str:
        key, data = self._pick(random)
        more = random.choice((b"\0", random.randbytes(20), bytes(data), bytes(4096)))
        return self._put(key, data + more, f"{len(more)} bytes longer")

    def _splice(self, random: Random) -> str:
        key, data = self._pick(random)
        _, other = self._pick(random)
        at, n = piece(random, data)
        begin, length = piece(random, other)
        data[at : at + n] = other[begin : begin + length]
        return self._put(key, data, f"{length} bytes of another file at {at}")

    def _repeat(self, random: Random) -> str:
        key, data = self._pick(random)
        at, n = piece(random, data)
        data[at:at] = data[at : at + n] * random.choice((1, 1, 2, 50))
        return self._put(key, data, f"{n} bytes at {at} repeated")

    def _remove_piece(self, random: Random) -> str:
        key, data = self._pick(random)
        at, n = piece(random, data)
        del data[at : at + n]
        return self._put(key, data, f"{n} bytes at {at} removed")

    def _exchange(self, random: Random) -> str:
        one, other = random.choice(self._keys), random.choice(self._keys)
        self._files[one], self._files[other] = self._good[other], self._good[one]
        return f"{one} exchanged with {other}"

    def _remove(self, random: Random) -> str:
        key = random.choice(self._keys)
        self._files.pop(key, None)
        return f"{key} removed"

    def _replace_kind(self, random: Random) -> str:
        """A file becomes what is no file."""
        key, kind = random.choice(self._keys), random.choice(tuple(Odd))
        self._files[key] = kind
        return f"{key} is {kind.value}"

    def _replace_folder(self, random: Random) -> str:
        """A folder is gone, or becomes what is none."""
        parts = random.choice(self._keys).split("/")
        if len(parts) == 1:
            return "nothing: it lies in no folder"
        folder = "/".join(parts[: random.randrange(1, len(parts))])
        for key in self._keys:
            if key.startswith(f"{folder}/"):
                self._files.pop(key, None)
        kind = random.choice((None, Odd.PIPE, Odd.LINK_WITHIN, Odd.LINK_OUTSIDE))
        if kind is not None:
            self._files[folder] = kind
        return f"folder {folder} is {kind.value if kind else 'gone'}"

    def _move(self, random: Random) -> str:
        """A group stands under another number."""
        group = random.choice([group for group in self._groups if group[-1:].isdigit()])
        folder, _, name = group.rpartition("/")
        other = f"{folder}/{random.choice((0, 1, 2, 5, 10**9)):0{len(name)}d}"
        for key in [key for key in self._keys if key.startswith(f"{group}/")]:
            self._files[f"{other}/{key.removeprefix(group + '/')}"] = self._good[key]
            if other != group and random.random() < 0.5:
                self._files.pop(key, None)
        return f"{group} moved to {other}"

    # With checksums mended

    def _record(self, random: Random) -> str:
        group = random.choice(self._groups)
        told: list[str] = []
        if not self._reseal(group, lambda record: told.append(change_somewhere(random, record))):
            return "a record that cannot be written"
        return f"record of {group or 'the root'}: {told}"

    def _record_text(self, random: Random) -> str:
        """A record with what no JSON of ours has: keys twice, NaN, numbers without end."""
        group = random.choice(self._groups)
        try:
            text, told = change_text(random, json.dumps(self._record_of(group)))
            seal = seal_of(json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return "a record that has no seal"
        sealed = f'{text[:-1]}, "crc32c": {seal}}}'
        self._files[_record_key(group)] = group_document(sealed.encode("utf-8", "surrogatepass"))
        self._tell_journal(group, seal)
        return f"text of the record of {group or 'the root'}: {told}"

    def _entry(self, random: Random) -> str:
        """One entry of the journal."""
        segment = random.choice(self._segments)
        entries = self._entries_of(segment)
        if not entries:
            return "no entries left"
        n = random.randrange(len(entries))
        told = change_somewhere(random, entries[n])
        return self._journal(segment, entries, f"entry {n}: {told}")

    def _payload(self, random: Random) -> str:
        """Bytes in place of an entry, or behind the last, that are not necessarily msgpack."""
        segment = random.choice(self._segments)
        payloads = [msgpack.packb(entry) for entry in self._entries_of(segment)]
        payload, told = odd_payload(random, payloads)
        n = random.randrange(len(payloads) + 1)
        payloads[n : n + random.randrange(2)] = [payload]
        self._files[segment] = b"".join(map(framed, payloads))
        return f"{segment}: payload {n} is {told}"

    def _entries(self, random: Random) -> str:
        """Entries in another order, several times, or not at all."""
        segment = random.choice(self._segments)
        entries = self._entries_of(segment)
        random.shuffle(entries)
        kept = random.randrange(len(entries) + 1)
        return self._journal(segment, entries[:kept] * random.choice((1, 1, 3)), f"{kept} entries shuffled")

    def _frame(self, random: Random) -> str:
        """Bytes of a chunk, its header as often as the rest."""
        key = random.choice(self._chunks)
        data = bytearray(self._good[key])
        for _ in range(random.choice((1, 1, 3))):
            if not data:
                break
            at, n = piece(random, data)
            if random.random() < 0.4:
                at = random.randrange(min(len(data), 20))
                n = min(n, len(data) - at)
            what = random.randrange(5)
            if what == 0:
                data[at] ^= 1 << random.randrange(8)
            elif what == 1:
                data[at : at + n] = random.randbytes(n)
            elif what == 2:
                del data[at : at + n]
            elif what == 3:
                data[at:at] = data[at : at + n]
            else:
                stated = random.choice((len(data), 0, 64, 2**31, 2**63, random.randrange(2000)))
                data = bytearray(frames.claims(stated, random.choice((stated, 1, 64)) % 100_000))
        return self._seal_file(random, key, bytes(data), "other bytes")

    def _index(self, random: Random) -> str:
        """Places in the index of a shard."""
        key = random.choice(sorted(self._shards))
        layout, data = self._shards[key], self._good[key]
        n_bytes = layout.n_inner * 16
        index = np.frombuffer(data[-n_bytes - 4 : -4], "<u8").copy()
        for _ in range(random.choice((1, 1, 2, 5))):
            at, other = random.randrange(len(index)), random.randrange(len(index))
            what = random.randrange(4)
            if what == 0:
                index[at], index[other] = index[other], index[at]
            elif what == 1:
                index[at] = index[other]
            elif what == 2:
                index[at] = (int(index[at]) + random.choice((-1, 1, 4, 1000))) % 2**64
            else:
                index[at] = random.choice([n for n in INTERESTING if type(n) is int and 0 <= n < 2**64])
        body = index.tobytes()
        changed = data[: -n_bytes - 4] + body + crc32c(body).to_bytes(4, "little")
        return self._seal_file(random, key, changed, "another index")

    def _seal_file(self, random: Random, key: str, data: bytes, told: str) -> str:
        """Put `data` under `key`, with a length and checksums in its group's record that fit."""
        array, _, chunk = key.rpartition("/")
        group, _, name = array.rpartition("/")
        self._files[key] = data
        seal: list[Any] = [len(data), crc32c(data)]
        if key in self._shards and random.random() < 0.7:
            seal.append(_chunk_checksums(data, self._shards[key]))
        self._reseal(group, lambda record: record["files"].update({f"{name}/{chunk}": seal}))
        return f"{key}: {told} under right checksums"

    def _reseal(self, group: str, change: Change) -> bool:
        """Whether a record can be written with this change; one changed before may lack what is needed."""
        try:
            record = self._record_of(group)
            change(record)
            text = group_text(record)
            self._files[_record_key(group)] = text
            self._tell_journal(group, seal_of(record))
        except (OverflowError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        return True

    def _record_of(self, group: str) -> dict[str, Any]:
        data = self._files.get(_record_key(group))
        if not isinstance(data, bytes):
            data = self._good[_record_key(group)]
        record: dict[str, Any] = json.loads(data)["attributes"]["paramviz"]
        record.pop("crc32c", None)
        return record

    def _tell_journal(self, group: str, seal: int) -> None:
        """The journal knows the seal of a commit."""
        if not group.startswith("iterations/"):
            return
        iteration = int(group.rpartition("/")[2])
        for segment in self._segments:
            entries = self._entries_of(segment)
            for entry in entries:
                if entry.get("k") == "commit" and entry.get("i") == iteration:
                    entry["crc"] = seal
                    self._journal(segment, entries, "")

    def _entries_of(self, segment: str) -> list[Any]:
        data = self._files.get(segment, b"")
        return decode_entries(data)[0] if isinstance(data, bytes) else []

    def _journal(self, segment: str, entries: list[Any], told: str) -> str:
        try:
            self._files[segment] = b"".join(framed(msgpack.packb(entry)) for entry in entries)
        except (OverflowError, ValueError, TypeError, UnicodeError):
            return "an entry that cannot be written"
        return f"{segment}: {told}"

    def _pick(self, random: Random) -> tuple[str, bytearray]:
        key = random.choice(self._keys)
        data = self._files.get(key)
        return key, bytearray((data if isinstance(data, bytes) else self._good[key]) or b"\0")

    def _put(self, key: str, data: bytes | bytearray, told: str) -> str:
        self._files[key] = bytes(data[:MOST_BYTES])
        return f"{key}: {told}"


def flip_bits(random: Random, data: bytearray) -> None:
    """Of one to eight bytes."""
    for _ in range(random.choice((1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def piece(random: Random, data: bytes | bytearray) -> tuple[int, int]:
    """(begin, length) of a piece, short as a rule."""
    at = random.randrange(len(data))
    return at, random.randint(1, min(len(data) - at, random.choice((1, 4, 8, 64, 4096))))


def _record_key(group: str) -> str:
    return f"{group}/zarr.json" if group else "zarr.json"


def _is_record(key: str, data: bytes) -> bool:
    return key.endswith("zarr.json") and b'"crc32c"' in data and b'"codecs"' not in data


def _chunk_checksums(shard: bytes, layout: ArrayLayout) -> list[int]:
    """The crc32c of what the index of a shard points at, however odd it is."""
    body = shard[-layout.n_inner * 16 - 4 : -4]
    places = np.frombuffer(body[: len(body) // 16 * 16], "<u8").reshape(-1, 2).tolist()
    return [crc32c(shard[offset : offset + length]) for offset, length in places]
