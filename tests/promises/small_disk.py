"""A small disk that fills up: a tmpfs where this user may mount one, else the same rule in a shim."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.promises.failing_disk import error_of

PAGE = 4096
PAGES = 512


class SmallDisk(Protocol):
    """2 MB. `leave(n)` fills all but n pages with something else, `relieve` takes that away again."""

    path: Path

    def leave(self, pages: int) -> None: ...

    def relieve(self) -> None: ...


class Tmpfs:
    """A real one, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def leave(self, pages: int) -> None:
        self.relieve()
        free = os.statvfs(self.path).f_bavail
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT, 0o600)
        if free > pages:
            os.posix_fallocate(descriptor, 0, (free - pages) * PAGE)
        os.close(descriptor)

    def relieve(self) -> None:
        self._ballast.unlink(missing_ok=True)


class Quota:
    """The same as a stand-in for `os`: files take whole pages, and a write stops short where they end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = PAGES

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def leave(self, pages: int) -> None:
        self._left = self._used() + pages

    def relieve(self) -> None:
        self._left = PAGES

    def write(self, descriptor: int, data: bytes) -> int:
        size = os.fstat(descriptor).st_size
        room = (self._left - self._used()) * PAGE + -size % PAGE
        if room <= 0:
            raise error_of(errno.ENOSPC)
        return os.write(descriptor, data[:room])

    def _used(self) -> int:
        return sum(
            -(-os.stat(os.path.join(folder, name)).st_size // PAGE)
            for folder, _, names in os.walk(self.path)
            for name in names
        )


@contextmanager
def small_disk(path: Path, *, mounted: bool) -> Iterator[SmallDisk]:
    """A disk of 512 pages at `path`. mounted: OSError if it cannot be a real one."""
    path.mkdir()
    if not mounted:
        with pytest.MonkeyPatch.context() as patch:
            quota = Quota(path)
            patch.setattr("paramviz.store.files.os", quota)
            yield quota
        return
    options = f"size={PAGES * PAGE},nr_inodes=4096"
    mount = ["mount", "-t", "tmpfs", "-o", options, "paramviz-test", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        raise OSError(errno.EPERM, done.stderr.strip())
    try:
        yield Tmpfs(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def can_mount(path: Path) -> bool:
    """Whether this user may mount a tmpfs; containers and ordinary users often may not."""
    try:
        with small_disk(path, mounted=True):
            return True
    except OSError:
        return False
