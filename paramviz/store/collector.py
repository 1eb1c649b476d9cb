"""Reading a large catalogue without the garbage collector."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_n_pausing = 0


@contextmanager
def paused() -> Iterator[None]:
    """Nothing is collected meanwhile, unless somebody else has the collector switched off anyway.

    JSON makes a hundred thousand lists and maps at once, none of which is garbage, and the
    collector would look through all of them again and again: a tenth of the time.
    """
    global _n_pausing
    with _lock:
        pauses = _n_pausing > 0 or gc.isenabled()
        if pauses:
            _n_pausing += 1
            gc.disable()
    try:
        yield
    finally:
        if pauses:
            with _lock:
                _n_pausing -= 1
                if _n_pausing == 0:
                    gc.enable()
