"""Random damage to a run, the same for the same number, and taken back afterwards.

Half of it is blind (bits, pieces, whole files); the other half knows the format
and mends every checksum behind itself, so that what lies deeper is reached.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgpack

from paramviz.store.codec import crc32c
from paramviz.store.journal import decode_entries
from tests.attacks.tampering import Change, Tampered, framed

JOURNAL = ".paramviz/journal/000000.log"

INTERESTING: tuple[Any, ...] = (
    *(
        0,
        1,
        -1,
        2,
        3,
        7,
        8,
        255,
        256,
        16_384,
        16_385,
        65_536,
        2**31,
        2**32,
        2**53,
        2**63,
        2**64,
        2**70,
        -(2**63),
    ),
    *(
        0.0,
        -0.0,
        0.5,
        1.0,
        1e308,
        -1e308,
        5e-324,
        10**400,
        True,
        False,
        None,
        "",
        "0",
        "1",
        "NaN",
        "Infinity",
    ),
    *("values", "vectors", "wte.weight", "../..", "/", "\0", "\ud800", "x" * 5000, "values/c.0", "recording"),
    *([], {}, [[]], [0, 0], [1, 1], [-1], {"": {}}, {"a": [1]}, {"loss": 1.0}, ["mean"], [None] * 3),
)


class Mutator:
    """Damages the run at `path`; `undo` makes it good again."""

    def __init__(self, path: Path) -> None:
        self.run = Tampered(path)
        self._good = {
            str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
        }
        self._keys = sorted(self._good)
        self._groups = [key[: -len("/zarr.json")] for key in self._keys if self._has_record(key)]
        self._chunks = [key for key in self._keys if "/c.0" in key]
        self._touched: set[str] = set()

    def mutate(self, number: int) -> tuple[str, bool]:
        """Damage number `number`: what it is, and whether checksums were mended behind it."""
        random = Random(number)
        blind: list[Callable[[Random], str]] = [
            self._flip, self._flip, self._overwrite, self._cut, self._lengthen, self._splice, self._repeat,
            self._remove_piece, self._exchange, self._remove, self._replace_kind, self._move,
        ]  # fmt: skip
        knowing: list[Callable[[Random], str]] = [
            self._record, self._record, self._record, self._entry, self._entry, self._frame, self._frame,
            self._entries,
        ]  # fmt: skip
        mended = random.random() < 0.5
        what = random.choice(knowing if mended else blind)
        told = [what(random) for _ in range(random.choice((1, 1, 1, 2, 4)))]
        return "; ".join(told), mended

    def mutate_pieces(self, number: int) -> str:
        """Damage number `number` of those that leave a file a file: for containers, which are one."""
        random = Random(number)
        what = random.choice((self._flip, self._flip, self._overwrite, self._cut, self._splice, self._repeat))
        return "; ".join(what(random) for _ in range(random.choice((1, 1, 2))))

    def undo(self) -> None:
        for key in sorted(self._touched):
            self._clear(key)
            if key in self._good:
                self.run.file(key).parent.mkdir(parents=True, exist_ok=True)
                self.run.file(key).write_bytes(self._good[key])
        self._touched.clear()

    def _flip(self, random: Random) -> str:
        key, data = self._pick(random)
        for _ in range(random.choice((1, 1, 2, 8))):
            at = random.randrange(len(data))
            data[at] ^= 1 << random.randrange(8)
        return self._put(key, data, "bits flipped")

    def _overwrite(self, random: Random) -> str:
        key, data = self._pick(random)
        at, n = self._piece(random, data)
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
        at, n = self._piece(random, data)
        begin, length = self._piece(random, other)
        data[at : at + n] = other[begin : begin + length]
        return self._put(key, data, f"{length} bytes of another file at {at}")

    def _repeat(self, random: Random) -> str:
        key, data = self._pick(random)
        at, n = self._piece(random, data)
        data[at:at] = data[at : at + n] * random.choice((1, 1, 2, 50))
        return self._put(key, data, f"{n} bytes at {at} repeated")

    def _remove_piece(self, random: Random) -> str:
        key, data = self._pick(random)
        at, n = self._piece(random, data)
        del data[at : at + n]
        return self._put(key, data, f"{n} bytes at {at} removed")

    def _exchange(self, random: Random) -> str:
        one, other = random.choice(self._keys), random.choice(self._keys)
        self._put(one, self._good[other], "")
        return self._put(other, self._good[one], f"exchanged with {one}")

    def _remove(self, random: Random) -> str:
        key = random.choice(self._keys)
        self._clear(key)
        return f"{key} removed"

    def _replace_kind(self, random: Random) -> str:
        """A file becomes what is no file."""
        key = random.choice(self._keys)
        self._clear(key)
        file = self.run.file(key)
        if not file.parent.is_dir():
            return f"{key} is gone"
        kind = random.choice(("folder", "pipe", "link within", "link outside", "link to a device"))
        if kind == "folder":
            file.mkdir()
        elif kind == "pipe":
            os.mkfifo(file)
        else:
            inside = self.run.file(random.choice(self._keys))
            file.symlink_to({"link within": inside, "link outside": "/etc/passwd"}.get(kind, "/dev/zero"))
        return f"{key} is a {kind}"

    def _move(self, random: Random) -> str:
        """A group stands under another number."""
        group = random.choice([group for group in self._groups if group[-1:].isdigit()])
        folder, _, name = group.rpartition("/")
        other = f"{folder}/{random.choice((0, 1, 2, 5, 10**9)):0{len(name)}d}"
        for key in [key for key in self._keys if key.startswith(f"{group}/")]:
            self._put(f"{other}/{key.removeprefix(group + '/')}", self._good[key], "")
            if random.random() < 0.5:
                self._clear(key)
        return f"{group} moved to {other}"

    def _record(self, random: Random) -> str:
        group = random.choice(self._groups)
        told: list[str] = []
        if not self._reseal(group, lambda record: told.append(_change_somewhere(random, record))):
            return "a record that cannot be written"
        return f"record of {group or 'the root'}: {told}"

    def _reseal(self, group: str, change: Change) -> bool:
        """Whether a record can be written with this change; one changed before may lack what is needed."""
        self._touched |= {f"{group}/zarr.json" if group else "zarr.json", JOURNAL}
        try:
            self.run.reseal(group, change)
        except (OverflowError, ValueError, TypeError, KeyError, AttributeError):
            return False
        return True

    def _entry(self, random: Random) -> str:
        """One entry of the journal, its checksum mended."""
        entries, _, _ = decode_entries(self.run.file(JOURNAL).read_bytes())
        if not entries:
            return "no entries left"
        n = random.randrange(len(entries))
        told = _change_somewhere(random, entries[n])
        return self._journal(entries, f"entry {n}: {told}")

    def _entries(self, random: Random) -> str:
        """Entries in another order, several times, or not at all."""
        entries, _, _ = decode_entries(self.run.file(JOURNAL).read_bytes())
        random.shuffle(entries)
        kept = random.randrange(len(entries) + 1)
        return self._journal(entries[:kept] * random.choice((1, 1, 3)), f"{kept} entries shuffled")

    def _frame(self, random: Random) -> str:
        """Bytes of a chunk, with a length and a checksum in its group's record that fit."""
        key = random.choice(self._chunks)
        data = bytearray(self._good[key])
        for _ in range(random.choice((1, 1, 3))):
            if not data:
                break
            at, n = self._piece(random, data)
            what = random.randrange(4)
            if what == 0:
                data[at] ^= 1 << random.randrange(8)
            elif what == 1:
                data[at : at + n] = random.randbytes(n)
            elif what == 2:
                del data[at : at + n]
            else:
                data[at:at] = data[at : at + n]
        array, _, chunk = key.rpartition("/")
        group, _, name = array.rpartition("/")
        self._put(key, data, "")
        seal = [len(data), crc32c(bytes(data))]
        self._reseal(group, lambda r: r["files"].update({f"{name}/{chunk}": seal}))
        return f"{key}: other bytes under right checksums"

    def _journal(self, entries: list[Any], told: str) -> str:
        try:
            data = b"".join(framed(msgpack.packb(entry)) for entry in entries)
        except (OverflowError, ValueError, TypeError, UnicodeError):
            return "an entry that cannot be written"
        return self._put(JOURNAL, data, told)

    def _pick(self, random: Random) -> tuple[str, bytearray]:
        key = random.choice(self._keys)
        file = self.run.file(key)
        data = file.read_bytes() if file.is_file() and not file.is_symlink() else self._good[key]
        return key, bytearray(data or b"\0")

    @staticmethod
    def _piece(random: Random, data: bytes | bytearray) -> tuple[int, int]:
        """(begin, length) of a piece, short as a rule."""
        at = random.randrange(len(data))
        return at, random.randint(1, min(len(data) - at, random.choice((1, 4, 8, 64, 4096))))

    def _clear(self, key: str) -> None:
        self._touched.add(key)
        file = self.run.file(key)
        if file.is_dir() and not file.is_symlink():
            shutil.rmtree(file)
        else:
            file.unlink(missing_ok=True)

    def _put(self, key: str, data: bytes | bytearray, told: str) -> str:
        self._clear(key)
        self.run.file(key).parent.mkdir(parents=True, exist_ok=True)
        self.run.file(key).write_bytes(data)
        return f"{key}: {told}"

    def _has_record(self, key: str) -> bool:
        return (
            key.endswith("zarr.json")
            and b'"crc32c"' in self._good[key]
            and b'"codecs"' not in self._good[key]
        )


def _change_somewhere(random: Random, document: Any) -> str:
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
        holder[random.choice([str(value) for value in INTERESTING[:60]])] = holder.pop(key)
        return f"{path} under another key"
    if what == 3 and type(holder[key]) is int:
        holder[key] += random.choice((-1, 1, 8, -holder[key] * 2))
        return f"{path} = {holder[key]}"
    if what == 4:
        other, other_key, other_path = random.choice(places)
        holder[key] = json.loads(json.dumps(other[other_key])) if _is_plain(other[other_key]) else None
        return f"{path} = {other_path}"
    holder[key] = random.choice(INTERESTING)
    return f"{path} = {str(holder[key])[:40]!r}"


def _places(document: Any, path: str) -> Any:
    if isinstance(document, dict):
        items = list(document.items())
    elif isinstance(document, list):
        items = list(enumerate(document))
    else:
        return
    for key, value in items:
        yield document, key, f"{path}.{key}"
        yield from _places(value, f"{path}.{key}")


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None | list | dict)
