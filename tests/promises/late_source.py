"""A run as another machine may see it: everything comes late, in any order, and bit by bit."""

from __future__ import annotations

import random
from pathlib import Path

from paramviz.store.source import DirectorySource


class LateSource(DirectorySource):
    """Shows names and bytes of a run with a delay of its own for each of them.

    An entry of a folder appears some time after it is there, independently of its
    neighbours; a file is at first shorter than it is, or its newest bytes read as
    zeros. Records, which are renamed into place, appear whole. There are no locks,
    no times, and no order in a listing. Nothing that was seen disappears again.

    chance: of seeing what is new, at each look. `settle` ends all delays.
    """

    def __init__(self, path: Path, rng: random.Random, chance: float = 0.5) -> None:
        super().__init__(path)
        self._rng = rng
        self._chance = chance
        self._names: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._solid: dict[str, int] = {}

    def settle(self) -> None:
        self._chance = 1.0

    def writer_alive(self) -> None:
        """No locks: nobody knows."""

    def size(self, key: str) -> int | None:
        """What is visible of a file by now; each look may show more."""
        there = super().size(key)
        if there is None or not self._appears(key):
            return None
        seen = self._sizes.get(key, 0)
        if key.endswith(".json") or self._chance == 1.0:
            self._sizes[key] = self._solid[key] = there
        elif self._happens():
            self._sizes[key] = self._rng.randint(seen, there)
            self._solid[key] = self._rng.randint(self._solid.get(key, 0), self._sizes[key])
        return self._sizes.setdefault(key, 0)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        size = self.size(key)
        if size is None:
            raise FileNotFoundError(key)
        solid = super().read_range(key, 0, self._solid.get(key, 0))
        return (solid + bytes(size - len(solid)))[start : start + length]

    def list_folder(self, key: str) -> list[str]:
        names = [name for name in super().list_folder(key) if self._appears(f"{key}/{name}")]
        self._rng.shuffle(names)
        return names

    def _appears(self, key: str) -> bool:
        if key not in self._names and self._happens():
            self._names.add(key)
        return key in self._names

    def _happens(self) -> bool:
        return self._rng.random() < self._chance
