"""How a function becomes machine code. Importing this module needs numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Sums may be reordered, which vectorisation needs. NaN and inf keep their meaning.
_FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


def compiled(function: _Function) -> _Function:
    """The function as machine code that needs no interpreter lock; made on its first call, cached on disk."""
    try:
        return cast(_Function, numba.njit(nogil=True, cache=True, fastmath=_FASTMATH)(function))
    except RuntimeError:  # no directory here can hold a cache
        return cast(_Function, numba.njit(nogil=True, fastmath=_FASTMATH)(function))
