"""A cache of arrays that is bounded by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


class ArrayCache:
    """Keeps the arrays used last, at most `capacity_bytes` of them (and at least one)."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._arrays: OrderedDict[Hashable, Array] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> Array | None:
        """The array under `key`, None if it is not there (any more)."""
        with self._lock:
            array = self._arrays.get(key)
            if array is not None:
                self._arrays.move_to_end(key)
            return array

    def keep(self, key: Hashable, array: Array) -> None:
        """Keep `array` under `key`, unless there is one."""
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = array
                self._bytes += array.nbytes
            while self._bytes > self._capacity_bytes and len(self._arrays) > 1:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes

    def get(self, key: Hashable, load: Callable[[], Array]) -> Array:
        """The array under `key`, loaded if it is not there; two threads may load it at once."""
        array = self.find(key)
        if array is None:
            array = load()
            self.keep(key, array)
        return array
