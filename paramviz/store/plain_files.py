"""Files of a run that are opened only if they are plain files within it.

A run from elsewhere may have links in it that lead to other files of this
machine, pipes on which opening waits for ever, devices without end. The run's
own root may be reached through links; below it there are none.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from paramviz.store.codec import CorruptBytesError

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
"""So that opening a pipe that nobody writes into returns."""

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


def open_plain(root: Path | str, key: str) -> BinaryIO:
    """The file at `key` below `root`, unbuffered.

    FileNotFoundError if there is none; CorruptBytesError for a link on the way
    to it, for what is no plain file, and for one that cannot be opened.
    """
    path = _contained(root, key)
    try:
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK | _NO_FOLLOW | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{root} holds no {key}") from error
    except OSError as error:
        if os.path.islink(path):
            raise _link(key, path) from error
        raise CorruptBytesError(f"cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CorruptBytesError("is no plain file")
    return open(descriptor, "rb", buffering=0)


def plain_size(root: Path | str, key: str) -> int | None:
    """Bytes of what is at `key`, None if nothing is; 0 for a link and what is behind one, to be refused."""
    try:
        found = os.lstat(_contained(root, key))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except CorruptBytesError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def plain_folder(root: Path | str, key: str) -> list[str]:
    """Names directly below the folder at `key`; empty if there is no such folder within the run."""
    try:
        path = _contained(root, f"{key}/x").removesuffix("/x")
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError, CorruptBytesError):
        return []


def _contained(root: Path | str, key: str) -> str:
    """The path of `key`; CorruptBytesError if a folder on the way is a link."""
    path = str(root)
    folders = key.split("/")
    for folder in folders[:-1]:
        path = f"{path}/{folder}"
        if os.path.islink(path):
            raise _link(key, path)
    return f"{path}/{folders[-1]}"


def _link(key: str, path: str) -> CorruptBytesError:
    what = "is" if path.endswith(f"/{key}") else f"lies behind {os.path.basename(path)}, which is"
    return CorruptBytesError(f"{what} a symbolic link; a run has none, and it is not followed")
