"""A run as one HDF5 file, for whoever works with h5py. docs/HDF5.md is the layout.

The file has the tree of the run: a group for a group, its record as JSON in
the attribute `record`, and a plain dataset for an array. So the way back gives
the same records and the same numbers, bit for bit.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from paramviz.schema import Event
from paramviz.store import layout
from paramviz.store.codec import CorruptBytesError, crc32c, decode_array
from paramviz.store.copying import Progress, Selection, copied_files
from paramviz.store.hdf5_names import (
    ABOUT,
    CHECKSUM,
    DIMENSIONS,
    EVENTS,
    INNER_CHUNK,
    JOURNAL,
    RECORD,
)
from paramviz.store.opening import open_run
from paramviz.store.placement import staged_path

_ABOUT = "A training run, recorded by paramviz. docs/HDF5.md of paramviz describes this layout."
_LIBRARY_VERSIONS = ("v110", "v110")
"""These structures of HDF5 carry checksums, and hold attributes of more than 64 kB."""

_CHUNK_BYTES = 1 << 20
_LONGEST_TEXT = 1024
"""Bytes of an event's text in the table; the journal has all of it."""


def export_hdf5(
    path: str | os.PathLike[str], out: str | os.PathLike[str], *, progress: Progress | None = None
) -> Path:
    """Write the run at `path` as one HDF5 file, which is there whole or not at all.

    Raises OutputError if `out` exists or cannot be written, DamagedRunError
    at the first file of the run that is not what was committed.
    """
    run, target = open_run(path), Path(out)
    with staged_path(target) as staged:
        with h5py.File(staged, "w", libver=_LIBRARY_VERSIONS) as file:
            writer = _Hdf5Writer(file)
            for key, data in copied_files(run, Selection(run.iterations), progress):
                try:
                    writer.put(key, data)
                except (CorruptBytesError, ValueError) as error:
                    raise run.damaged(key, f"cannot be exported ({error})") from error
            writer.put_events(run.events)
            file.attrs[ABOUT] = _ABOUT
        with open(staged, "rb+") as written:
            os.fsync(written.fileno())
    return target


class _Hdf5Writer:
    """Takes the files of a copied run one by one."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._chunk = b""

    def put(self, key: str, data: bytes) -> None:
        """A file of the run; an array's chunk comes before its metadata, a record behind its arrays."""
        folder, _, name = key.rpartition("/")
        if folder == layout.JOURNAL:
            self._dataset(JOURNAL, np.frombuffer(data, np.uint8), 0, ())
        elif name != layout.GROUP_RECORD:
            self._chunk = data
        elif json.loads(data)["node_type"] == "array":
            plan = layout.read_array_metadata(data)
            array = decode_array(self._chunk, plan)
            self._dataset(folder, array, plan.inner_chunk or 0, plan.dimension_names)
        else:
            group = self._file.require_group(folder or "/")
            record = json.loads(data)["attributes"].get(layout.NAMESPACE)
            if record is not None:
                text = json.dumps(record, separators=(",", ":"))
                group.attrs.create(RECORD, np.bytes_(text.encode()))

    def put_events(self, events: Iterable[Event]) -> None:
        """A table of the events, for people; the journal is what paramviz reads."""
        rows = list(events)
        texts = [event.text.encode("utf-8", "replace")[:_LONGEST_TEXT] for event in rows]
        kinds = [event.kind.encode("utf-8", "replace")[:_LONGEST_TEXT] for event in rows]
        self._dataset(f"{EVENTS}/iteration", np.array([event.iteration for event in rows], "<i8"), 0, ())
        for column, strings in (("kind", kinds), ("text", texts)):
            width = max([1, *map(len, strings)])
            self._dataset(f"{EVENTS}/{column}", np.array(strings, f"S{width}"), 0, ())

    def _dataset(
        self, key: str, array: npt.NDArray[Any], inner_chunk: int, dimension_names: tuple[str, ...]
    ) -> None:
        if not array.size:
            self._file.require_group(key.rpartition("/")[0] or "/")
            return
        dataset = self._file.create_dataset(
            key, data=array, chunks=_chunks(array), fletcher32=True, track_times=False
        )
        dataset.attrs.create(CHECKSUM, np.uint32(crc32c(array.tobytes())))
        if inner_chunk:
            dataset.attrs.create(INNER_CHUNK, np.int64(inner_chunk))
        if dimension_names:
            dataset.attrs.create(DIMENSIONS, np.bytes_(json.dumps(dimension_names).encode()))


def _chunks(array: npt.NDArray[Any]) -> tuple[int, ...]:
    """Even chunks of whole rows, of bounded size: HDF5 stores each of them full."""
    row_bytes = max(1, array.nbytes // len(array))
    longest = layout.INNER_CHUNK if array.ndim == 1 else max(1, _CHUNK_BYTES // row_bytes)
    n_chunks = math.ceil(len(array) / longest)
    return (math.ceil(len(array) / n_chunks), *array.shape[1:])
