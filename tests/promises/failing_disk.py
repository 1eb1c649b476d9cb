"""A disk that fails on demand: it stands in for the module `os` where the store writes."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

KINDS = ("open", "write", "fsync", "mkdir", "replace")
"""What the store asks of a file system while it records."""

Fault = Callable[[str, int], OSError | None]
"""(kind, how many of this kind there were before) → what goes wrong."""


class FailingDisk:
    """Does the real thing unless `fault` says otherwise; counts, and notes which threads were here.

    A faulty write of more than one byte first writes half of it, as a disk
    that is filling up does. `delay_s` is spent in every operation.
    """

    def __init__(self) -> None:
        self.fault: Fault = lambda kind, n: None
        self.delay_s = 0.0
        self.counts: Counter[str] = Counter()
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in KINDS:
            return real

        def operation(*args: Any) -> Any:
            error = self._arrive(name)
            if error is None:
                return real(*args)
            if not isinstance(args[0], int):
                error.filename = str(args[0])
            if name == "write" and len(args[1]) > 1:
                real(args[0], args[1][: len(args[1]) // 2])
            raise error

        return operation

    def _arrive(self, kind: str) -> OSError | None:
        self.threads.add(threading.get_ident())
        if self.delay_s:
            time.sleep(self.delay_s)
        n = self.counts[kind]
        self.counts[kind] += 1
        return self.fault(kind, n)


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """All runs in this process are on such a disk."""
    disk = FailingDisk()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paramviz.store.files.os", disk)
        patch.setattr("paramviz.store.lock.os", disk)
        yield disk


def error_of(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def nth(kind: str, n: int, number: int = errno.EIO, *, for_ever: bool = False) -> Fault:
    """The n-th operation of a kind fails, alone or with all of its kind that follow."""

    def fault(asked: str, before: int) -> OSError | None:
        fails = asked == kind and (before >= n if for_ever else before == n)
        return error_of(number) if fails else None

    return fault


def every(number: int, kinds: tuple[str, ...] = KINDS) -> Fault:
    """All operations of these kinds fail."""
    return lambda kind, before: error_of(number) if kind in kinds else None
