"""One writer per run where the system has no locks: an object that names the writer.

Its creation is exclusive, so of several that begin at once one is the writer. An object store does not end
a lock with its process, so that of a process of this machine that is gone, or of another machine from which
nothing was heard for ten minutes, is taken over. Several may want to: whoever makes the claim on a lock,
an object named after that lock's bytes, is the one who may replace it. That too is an exclusive creation,
which all object stores know; a claim whose maker has died is claimed in its turn.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from typing import Any

from paramviz.errors import RunLockedError
from paramviz.store.history import SILENCE_S, History
from paramviz.store.journal import JournalReader
from paramviz.store.layout import LOCK
from paramviz.store.remote import RemotePlace
from paramviz.store.remote_source import LOCK_BYTES, RemoteSource, holder_alive, parse_holder, read_holder

_MOST_CLAIMS = 32
"""Each is of a writer that died while it took the lock over from the one before."""


class RemoteLock:
    """Held from `acquire` to `release`, or until nothing is heard of its process."""

    def __init__(self, place: RemotePlace, token: str) -> None:
        self._place = place
        self._token = token

    @classmethod
    def acquire(cls, place: RemotePlace) -> RemoteLock:
        """Raises RunLockedError if somebody else may be writing."""
        token = secrets.token_hex(8)
        text = json.dumps(
            {"pid": os.getpid(), "host": socket.gethostname(), "since_unix_s": time.time(), "token": token}
        ).encode()
        if not place.put_new(LOCK, text):
            _take_over(place, text)
        return cls(place, token)

    def release(self) -> None:
        """Remove the lock if it is still ours; a store that does not answer now lets it end by itself."""
        with contextlib.suppress(OSError):
            holder = read_holder(self._place)
            if holder is not None and holder.get("token") == self._token:
                self._place.remove(LOCK)


def _take_over(place: RemotePlace, ours: bytes) -> None:
    """Put `ours` in place of a lock whose holder is gone."""
    stale = held = _read(place, LOCK)
    claims: list[str] = []
    while held is not None and len(claims) < _MOST_CLAIMS:
        if _may_live(place, parse_holder(held)):
            raise _locked(place, held)
        claims.append(f"{LOCK}-after-{hashlib.blake2b(held, digest_size=8).hexdigest()}")
        if place.put_new(claims[-1], ours):
            break
        held = _read(place, claims[-1])
    else:
        # The lock was released or replaced this moment, by somebody who is quicker.
        raise _locked(place, held)
    # A claim is removed when the lock that it is on has been replaced: ours may be one that came too late.
    if (now := _read(place, LOCK)) != stale:
        place.remove(claims[-1])
        raise _locked(place, now)
    place.put({LOCK: ours})
    for claim in claims:
        with contextlib.suppress(OSError):
            place.remove(claim)


def _read(place: RemotePlace, key: str) -> bytes | None:
    """An object of somebody who holds or claims; None if it was taken away this moment."""
    try:
        return place.get(key, 0, LOCK_BYTES)
    except FileNotFoundError:
        return None


def _may_live(place: RemotePlace, holder: dict[str, Any]) -> bool:
    alive = holder_alive(holder)
    if alive is not None:
        return alive
    history = History()
    history.add(JournalReader(RemoteSource(place)).read_new())
    since = holder.get("since_unix_s")
    heard = max(history.last_sign_of_life_unix_s, since if isinstance(since, int | float) else 0.0)
    return time.time() - heard < SILENCE_S


def _locked(place: RemotePlace, held: bytes | None) -> RunLockedError:
    holder = parse_holder(held or b"")
    return RunLockedError(
        f"{place.address}: process {holder.get('pid', '?')} on {holder.get('host', '?')} seems to record "
        "into this run. Stop it first. If it is gone, its lock ends ten minutes after its last sign of life.",
        path=place.address,
    )
