"""What each hostile run is: how a good one is turned into it, and what must be said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.attacks.tampering import Change, Tampered


@dataclass(frozen=True)
class Attack:
    """`says` are words of the refusal and `key` is the file or group that it names, or the type of an error
    that tells of the run as a whole; None: nothing has to be refused, the run is merely to do no harm."""

    build: Callable[[Tampered], object]
    key: str | None = None
    says: str = ""


def record(group: str, change: Change, says: str = "", key: str | None = None) -> Attack:
    """A group's record says something else, under a right seal."""
    return Attack(lambda run: run.reseal(group, change), key or group or "zarr.json", says)


def tensor(says: str = "", index: int = 0, **fields: object) -> Attack:
    """One tensor of the catalogue has other fields."""
    return record("plans/0000", lambda r: r["tensors"][index].update(fields), says)


def field(group: str, name: str, value: object, says: str = "") -> Attack:
    """One field of a record has another value."""
    return record(group, lambda r: r.update({name: value}), says)


def nested(depth: int) -> list[object]:
    """Lists within lists."""
    made: list[object] = []
    for _ in range(depth):
        made = [made]
    return made
