"""The compiler's own pages, which nobody needs once the loops are loaded.

Loading compiled loops runs a good part of LLVM once, and then none of it: some 55 MB of its
code and tables would stay mapped for as long as training runs. Pages of a file that nobody
wrote to can be let go of at any time. They stay in the system's page cache, and whoever
compiles something later has them mapped again as it goes.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_LIBRARY = "libllvmlite"


def let_go() -> None:
    """Unmap what is unchanged of the compiler's library; nothing where the system is no 64-bit Linux."""
    # Elsewhere the loader may have written into code, and what it wrote would be lost.
    if sys.platform != "linux" or sys.maxsize <= 1 << 32:
        return
    try:
        lines = _MAPS.read_text(errors="replace").splitlines()
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for begin, end in _unchanged(lines):
            advise(begin, end - begin, mmap.MADV_DONTNEED)
    except (OSError, AttributeError):
        return  # no such account of the mappings, or no such call: they stay


def _unchanged(lines: list[str]) -> Iterator[tuple[int, int]]:
    """(begin, end) of the code, and of the library's first segment: symbols and relocations, read at loading.

    lines: as in Linux's /proc/self/maps. Other segments that are read-only now were written by the loader.
    """
    for line in lines:
        span, access, offset, _, _, *path = line.split(maxsplit=5)
        if path and _LIBRARY in path[0] and (access == "r-xp" or (access == "r--p" and int(offset, 16) == 0)):
            begin, end = (int(address, 16) for address in span.split("-"))
            yield begin, end
