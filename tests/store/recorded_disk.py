"""A disk that remembers each operation, can be cut off at any of them, and can lose power.

`RecordedDisk` stands in for the module `os` in `paramviz.store.files`: it does
the real thing and notes it. `after_power_loss` builds a directory as it might
be found after a power failure: operations that were synchronised are there,
of the others any may be missing, whatever the order they were made in.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ProcessKilled(BaseException):
    """The process ends here: nothing that comes after an `except Exception` may run."""


@dataclass(frozen=True, slots=True)
class Operation:
    """kind: mkdir, create, write, fsync, replace or sync_folder. `target` is replace's destination."""

    kind: str
    path: str
    data: bytes = b""
    target: str = ""


class RecordedDisk:
    """The functions of `os` that the store writes with; killed before or after operation `kill_at`."""

    O_RDONLY, O_WRONLY, O_CREAT = os.O_RDONLY, os.O_WRONLY, os.O_CREAT
    O_TRUNC, O_EXCL, O_APPEND = os.O_TRUNC, os.O_EXCL, os.O_APPEND

    def __init__(self, *, kill_at: int = -1, before: bool = True) -> None:
        self.operations: list[Operation] = []
        self._names: dict[int, str] = {}
        self._kill_at, self._before = kill_at, before

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            self._announce(Operation("create", str(path)))
        descriptor = os.open(path, flags, mode)
        self._names[descriptor] = str(path)
        if flags & os.O_CREAT:
            self._done()
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        self._announce(Operation("write", self._names[descriptor], bytes(data)))
        written = os.write(descriptor, data)
        self._done()
        return written

    def fsync(self, descriptor: int) -> None:
        path = self._names[descriptor]
        self._announce(Operation("sync_folder" if os.path.isdir(path) else "fsync", path))
        self._done()

    def mkdir(self, path: Any) -> None:
        if os.path.isdir(path):
            raise FileExistsError(path)
        self._announce(Operation("mkdir", str(path)))
        os.mkdir(path)
        self._done()

    def replace(self, source: Any, target: Any) -> None:
        self._announce(Operation("replace", str(source), target=str(target)))
        os.replace(source, target)
        self._done()

    def _announce(self, operation: Operation) -> None:
        if self._before and len(self.operations) == self._kill_at:
            raise ProcessKilled
        self.operations.append(operation)

    def _done(self) -> None:
        if not self._before and len(self.operations) - 1 == self._kill_at:
            raise ProcessKilled


def after_power_loss(
    operations: list[Operation], root: Path, target: Path, rng: random.Random, *, keep: float
) -> None:
    """Make `target` what a disk may hold of `root` once the power went out behind `operations`.

    keep: the chance that an operation that was not synchronised reached the
    disk all the same. Names (of files and folders) are synchronised by their
    folder, contents by their file, each only for what came before.
    """
    synced_at: dict[tuple[str, str], int] = {}
    for n, operation in enumerate(operations):
        if operation.kind in ("fsync", "sync_folder"):
            synced_at[operation.kind, os.path.abspath(operation.path)] = n

    def survives(n: int, kind: str, path: str) -> bool:
        return synced_at.get((kind, os.path.abspath(path)), -1) > n or rng.random() < keep

    files: dict[str, bytearray] = {}
    names: dict[str, str | None] = {}
    inode_of: dict[str, str] = {}
    for n, operation in enumerate(operations):
        path = os.path.abspath(operation.path)
        parent = os.path.dirname(path)
        if operation.kind == "mkdir" and survives(n, "sync_folder", parent):
            names[path] = None
        elif operation.kind == "create":
            inode = f"{path}#{n}"
            inode_of[path] = inode
            files[inode] = bytearray()
            if survives(n, "sync_folder", parent):
                names[path] = inode
        elif operation.kind == "write":
            # A file's synchronisation covers what was written before it, under whatever name it has later.
            if survives(n, "fsync", path):
                files[inode_of[path]] += operation.data
            else:
                torn = rng.randrange(len(operation.data) + 1)
                files[inode_of[path]] += bytes(torn)
        elif operation.kind == "replace":
            destination = os.path.abspath(operation.target)
            inode_of[destination] = inode_of[path]
            if survives(n, "sync_folder", os.path.dirname(destination)):
                names[destination] = inode_of[path]
                names.pop(path, None)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    base = os.path.abspath(root)
    for name in sorted(names):
        place = Path(str(target) + name[len(base) :])
        inode_name = names[name]
        # What lies in a folder whose own name was lost is lost with it.
        if not place.parent.is_dir():
            continue
        if inode_name is None:
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(bytes(files[inode_name]))
