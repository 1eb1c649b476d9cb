"""A run beyond this machine, read with as few requests as there can be."""

from __future__ import annotations

import json
import socket
from typing import Any

from paramviz.store.encoded import EncodedSource
from paramviz.store.layout import LOCK
from paramviz.store.lock import process_exists
from paramviz.store.remote import RemotePlace

LOCK_BYTES = 4096
"""A lock says who holds it in far fewer."""


class RemoteSource(EncodedSource):
    """A run in an object store or on a web server. Each method makes one request."""

    lists_quickly = False
    look_interval_s = 1.0
    """A recorder puts its journal every two seconds, and each look is three requests."""

    def __init__(self, place: RemotePlace) -> None:
        self.path = place.address
        self._place = place

    def writer_alive(self) -> bool | None:
        """By the lock that a writer leaves; a web server need not have it."""
        holder = read_holder(self._place)
        if holder is None:
            return None if not self._place.writable else False
        return None if holder_alive(holder) is not False else False

    def size(self, key: str) -> int | None:
        return self._place.size(key)

    def read(self, key: str, most: int) -> bytes:
        return self._place.get(key, 0, most)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        return self._place.get(key, start, length)

    def list_folder(self, key: str) -> list[str]:
        return self._place.names(key)

    def names_from(self, key: str, first: str, most: int) -> list[str]:
        return self._place.names_from(key, first, most)


def read_holder(place: RemotePlace) -> dict[str, Any] | None:
    """Who says that they write into the run: `pid`, `host`, `since_unix_s`; None if nobody does."""
    try:
        return parse_holder(place.get(LOCK, 0, LOCK_BYTES))
    except FileNotFoundError:
        return None


def parse_holder(text: bytes) -> dict[str, Any]:
    """What the text of a lock says; empty if it makes no sense."""
    try:
        holder = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


def holder_alive(holder: dict[str, Any]) -> bool | None:
    """Whether the process lives, if it is one of this machine; None if that cannot be told."""
    return process_exists(holder.get("pid")) if holder.get("host") == socket.gethostname() else None
