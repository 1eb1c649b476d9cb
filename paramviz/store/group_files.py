"""The files of a group: what its arrays become, and the list of them that its record seals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paramviz.store import layout
from paramviz.store.codec import crc32c, encode_array, inner_checksums
from paramviz.store.layout import ArrayLayout
from paramviz.store.records import FileSeal, Record, write_files

Array = npt.NDArray[Any]


class LaidOutArray(NamedTuple):
    """An array and how it is to lie in the store."""

    array: Array
    layout: ArrayLayout


def laid_out(arrays: Mapping[str, Array]) -> dict[str, LaidOutArray]:
    """Arrays with the layouts that the format prescribes for their names.

    One without elements is left out: it would have no chunk that could be damaged.
    """
    return {
        name: LaidOutArray(
            array, layout.layout_of(name, array.shape, layout.SNAPSHOT_ARRAYS.get(name, array.dtype))
        )
        for name, array in arrays.items()
        if array.size
    }


class GroupEncoder:
    """Encodes groups; keeps the metadata of layouts that it has met, which come again in each snapshot."""

    def __init__(self) -> None:
        self._metadata: dict[ArrayLayout, bytes] = {}

    def files(self, arrays: Mapping[str, LaidOutArray]) -> dict[str, bytes]:
        """Key relative to the group → bytes, for each array its chunk and its metadata."""
        files: dict[str, bytes] = {}
        for name, (array, plan) in arrays.items():
            metadata = self._metadata.get(plan)
            if metadata is None:
                metadata = self._metadata[plan] = layout.array_metadata(plan)
            files[f"{name}/{plan.chunk_name}"] = encode_array(array, plan)
            files[f"{name}/{layout.GROUP_RECORD}"] = metadata
        return files


def seals(files: Mapping[str, bytes]) -> dict[str, FileSeal]:
    """Length and checksums of each file."""
    collector = SealCollector()
    for key, data in files.items():
        collector.add(key, data)
    return collector.seals


class SealCollector:
    """Makes the list of a group's files one by one, each array's chunk before its metadata."""

    def __init__(self) -> None:
        self.seals: dict[str, FileSeal] = {}
        self._chunk_key, self._chunk = "", b""

    def add(self, key: str, data: bytes) -> None:
        """Take a file of the group; `key` is relative to it."""
        self.seals[key] = FileSeal(len(data), crc32c(data))
        name, _, file = key.rpartition("/")
        if file != layout.GROUP_RECORD:
            self._chunk_key, self._chunk = key, data
        elif b"sharding_indexed" in data and self._chunk_key.startswith(f"{name}/"):
            plan = layout.read_array_metadata(data)
            inner = inner_checksums(self._chunk, plan)
            self.seals[self._chunk_key] = replace(self.seals[self._chunk_key], chunks=inner)


def sealed_record(record: Record, files: Mapping[str, bytes]) -> bytes:
    """A group's `zarr.json`, whose record vouches for its files."""
    return layout.canonical_group({**record, "files": write_files(seals(files))})


def packed_strings(strings: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Strings as (bytes,) uint8 of UTF-8 and (n + 1,) int64 offsets. Lone surrogates survive."""
    encoded = [s.encode("utf-8", "surrogatepass") for s in strings]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets
