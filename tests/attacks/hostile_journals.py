"""Runs whose journal, right in every checksum, holds what no recorder writes."""

from __future__ import annotations

from typing import Any

import msgpack

from tests.attacks.attack import Attack
from tests.attacks.tampering import Tampered, framed

JOURNAL = ".paramviz/journal/000000.log"
STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**64 - 1,
    1.5,
    float("nan"),
    float("inf"),
    "12",
    b"12",
    [],
    {},
    [[[]]],
    {"a": {}},
    msgpack.ExtType(5, b"x" * 100),
    msgpack.Timestamp(2**33, 0),
    "\x1b[2J\x1b]0;owned\x07",
    "x" * 100_000,
)
"""In place of every field of every kind of entry."""

FIELDS: dict[str, dict[str, Any]] = {
    "step": {"i": 3, "s": {"loss": 1.0}, "t": 1.79e9},
    "commit": {"i": 1, "plan": 0, "crc": 1, "e": [["gap", ""]], "t": 1.79e9},
    "event": {"i": 1, "kind": "gap", "text": "", "t": 1.79e9},
    "plan": {"plan": 0},
    "block": {"of": "timeline", "block": 0},
    "status": {"status": "finished", "t": 1.79e9, "copied": True},
    "unknown": {"x": 1},
}


def _strange(run: Tampered) -> None:
    """Each field of each kind with each strange value, and each field missing."""
    for kind, fields in FIELDS.items():
        for name in fields:
            run.append_journal(msgpack.packb({"k": kind, **{f: v for f, v in fields.items() if f != name}}))
            for value in STRANGE:
                if kind == "commit" and name in ("crc", "t", "e"):
                    # A snapshot that is there, under another seal, is damage; here nothing is.
                    run.append_journal(msgpack.packb({"k": kind, **fields, "i": 1, name: value, "plan": -1}))
                else:
                    run.append_journal(msgpack.packb({"k": kind, **fields, name: value, "crc": None}))
    run.append_journal(*(msgpack.packb(value) for value in STRANGE))
    run.append_journal(*(msgpack.packb({"k": value}) for value in STRANGE))


def _appended(*payloads: bytes, says: str = "checksum") -> Attack:
    """Payloads that end the readable part of the journal, whatever their checksum."""
    return Attack(lambda run: run.append_journal(*payloads), JOURNAL, says)


def _tiny(run: Tampered) -> None:
    with open(run.file(JOURNAL), "ab") as journal:
        journal.write(framed(msgpack.packb({})) * 100_000)


def _many_names(run: Tampered) -> None:
    for start in range(0, 20_000, 10_000):
        names = {f"s{n}": 1.0 for n in range(start, start + 10_000)}
        run.append_journal(msgpack.packb({"k": "step", "i": 1, "s": names, "t": 1.79e9}))


def _unfolding(run: Tampered) -> None:
    """A megabyte that unpacks to a million maps, four times."""
    payload = b"\x82\xa1k\xa1x\xa1l\xdd" + (1_048_000).to_bytes(4, "big") + b"\x80" * 1_048_000
    run.append_journal(*[payload] * 4)


def _absent_commits(run: Tampered) -> None:
    run.append_journal(
        *(
            msgpack.packb({"k": "commit", "i": i, "plan": 0, "crc": 1, "e": [], "t": 1.79e9})
            for i in range(100, 2000)
        )
    )


def _texts(run: Tampered) -> None:
    """Texts that drive a terminal, in everything that `info` and `verify` print."""
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\x08\u202e[bold red][link=http://evil.example]x"
    run.reseal(
        "plans/0000",
        lambda r: (
            [t.update(name=t["name"] + evil, role=evil, block=evil, dtype=evil) for t in r["tensors"]]
            and (
                r["tensors"][3].update(tied_to=r["tensors"][0]["name"]),
                r["tensors"][4].update(skipped=evil),
            )
            and r["embedding"].update(tensor=r["tensors"][0]["name"])
        ),
    )
    run.reseal("", lambda r: r.update(name=evil, run_id=evil))
    run.reseal("", lambda r: r["description"].update({evil: evil, "config": {evil: evil}}))
    run.append_journal(
        msgpack.packb({"k": "step", "i": 9, "s": {evil: 1.0}, "t": 1.79e9}),
        msgpack.packb({"k": "event", "i": 9, "kind": evil, "text": evil, "t": 1.79e9}),
        msgpack.packb({"k": "event", "i": 9, "kind": "gap", "text": evil, "t": 1.79e9}),
    )
    run.file(f"iterations/{evil[:40].replace('/', '')}").mkdir()


ATTACKS: dict[str, Attack] = {
    "entries of every strange type": Attack(_strange),
    "a payload that is no msgpack": _appended(b"\xc1"),
    "a payload that ends within itself": _appended(b"\x81\xa1k"),
    "a payload with bytes behind it": _appended(b"\x80\x80"),
    "a payload that is nested 100,000 deep": _appended(b"\x91" * 100_000 + b"\x90"),
    "a map of four thousand million entries": _appended(b"\xdf\xff\xff\xff\xff"),
    "a list of four thousand million entries": _appended(b"\xdd\xff\xff\xff\xff"),
    "a text of four gigabytes": _appended(b"\xdb\xff\xff\xff\xff"),
    "an extension of four gigabytes": _appended(b"\xc9\xff\xff\xff\xff\x05"),
    "a key that is a list": _appended(b"\x81\x90\x00"),
    "a key that is a map": _appended(b"\x81\x80\x00"),
    "a text that is not UTF-8": _appended(b"\x81\xa1k\xa1\xff"),
    "a payload of no bytes": _appended(b""),
    "a payload of two megabytes": _appended(bytes(2 << 20)),
    "a hundred thousand tiny entries": Attack(_tiny),
    "twenty thousand scalars": Attack(_many_names),
    "entries that unfold": Attack(_unfolding),
    "snapshots that are not there": Attack(_absent_commits, "iterations/00000100/zarr.json", "missing"),
    "texts that drive a terminal": Attack(_texts),
    "a journal of holes": Attack(lambda run: run.sparse(JOURNAL, 300 << 30), JOURNAL, "checksum"),
}
