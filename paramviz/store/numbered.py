"""Groups that are written once and numbered from 0, each kept in memory when it was first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from paramviz.schema import EmbeddingBasis, Probe
from paramviz.store import layout, limits
from paramviz.store.groups import Damaged, read_basis
from paramviz.store.plan_reader import Keep
from paramviz.store.probe_group import read_probe
from paramviz.store.source import Source

Group = TypeVar("Group")


class NumberedGroups(Generic[Group]):
    """The bases or the probes of a run. `arrays_of`: what of a group takes memory."""

    def __init__(
        self,
        key_of: Callable[[int], str],
        most: int,
        read: Callable[[Source, int, Damaged], Group],
        arrays_of: Callable[[Group], Sequence[npt.NDArray[Any]]],
        source: Source,
        damaged: Damaged,
        keep: Keep,
    ) -> None:
        self._key_of = key_of
        self._most = most
        self._read = read
        self._arrays_of = arrays_of
        self._source = source
        self._damaged = damaged
        self._keep = keep
        self._groups: dict[int, Group] = {}
        self._lock = threading.RLock()

    @property
    def count(self) -> int:
        """Number of groups that are there."""
        n = 0
        while n < self._most and self._is_there(n):
            n += 1
        return n

    def numbered(self, number: int) -> Group:
        """Raises DamagedRunError for one that is missing or damaged."""
        with self._lock:
            if number not in self._groups:
                group = self._read(self._source, number, self._damaged)
                self._keep(self._key_of(number), *self._arrays_of(group))
                self._groups[number] = group
            return self._groups[number]

    def _is_there(self, number: int) -> bool:
        return self._source.size(f"{self._key_of(number)}/{layout.GROUP_RECORD}") is not None


def bases(source: Source, damaged: Damaged, keep: Keep) -> NumberedGroups[EmbeddingBasis]:
    return NumberedGroups(
        layout.basis_key, limits.BASES, read_basis, lambda basis: [basis.components], source, damaged, keep
    )


def probes(source: Source, damaged: Damaged, keep: Keep) -> NumberedGroups[Probe]:
    return NumberedGroups(
        layout.probe_key, limits.PROBES, read_probe, lambda probe: [probe.tokens], source, damaged, keep
    )
