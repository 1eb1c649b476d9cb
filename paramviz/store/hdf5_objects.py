"""Groups, attributes and datasets of an HDF5 file, opened with bounds and without trust.

HDF5 can do much that a run needs nothing of: links into other files, data that
lies outside of the file, filters of third parties. Each link, attribute and
dataset is looked at before it is followed or read, and what is not of the
plainest kind is refused. Nothing is larger than the file that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t, h5z

from paramviz.errors import DamagedRunError, UnsafeRunError
from paramviz.store.codec import CorruptBytesError

Array = npt.NDArray[Any]
Answer = TypeVar("Answer")

LARGEST_ATTRIBUTE_BYTES = 1 << 26
LARGEST_CHUNK_BYTES = 1 << 24
"""What the library has to hold at a time."""

_FLETCHER_BYTES = 4

_BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What the HDF5 library raises when bytes make no sense to it."""


class Hdf5Objects:
    """The plain objects of one file. FileNotFoundError for what is not there, CorruptBytesError for
    what the library cannot read, UnsafeRunError for what is not of the plain kind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = path.stat().st_size
        self._file = self._open(path)

    def group(self, key: str) -> Any:
        """The group at `key`, reached by hard links only; "" is the root."""
        found = self._read(key, lambda: self._follow(key))
        if not isinstance(found, h5g.GroupID):
            raise FileNotFoundError(f"{self._path} holds no group {key}")
        return found

    def names(self, key: str) -> list[str]:
        """What is directly below a group."""
        group = self.group(key)
        return self._read(key, lambda: [name.decode("utf-8", "replace") for name in group])

    def text(self, owner: Any, name: str) -> bytes | None:
        """An attribute that is text of a fixed length, None if there is no such attribute."""
        attribute = self._attribute(owner, name)
        if attribute is None:
            return None
        kind = attribute.get_type()
        if kind.get_class() != h5t.STRING or kind.is_variable_str():
            raise self._unsafe("attribute", f"has an attribute {name!r} that is no text of fixed length")
        if kind.get_size() > LARGEST_ATTRIBUTE_BYTES:
            raise self._unsafe("size", f"has an attribute {name!r} of {kind.get_size()} bytes")
        value = np.empty((), f"S{kind.get_size()}")
        self._read(name, lambda: attribute.read(value))
        return bytes(value.item())

    def integer(self, owner: Any, name: str) -> int | None:
        """An attribute that is one whole number, None if there is no such attribute."""
        attribute = self._attribute(owner, name)
        if attribute is None:
            return None
        kind = attribute.get_type()
        if kind.get_class() != h5t.INTEGER or kind.get_size() > 8:
            raise self._unsafe("attribute", f"has an attribute {name!r} that is no whole number")
        value = np.empty((), np.int64)
        self._read(name, lambda: attribute.read(value))
        return int(value)

    def dataset(self, key: str) -> Any:
        """The dataset at `key`: numbers in checksummed chunks that all lie in this file."""
        found = self._read(key, lambda: self._follow(key))
        if not isinstance(found, h5d.DatasetID):
            raise FileNotFoundError(f"{self._path} holds no dataset {key}")
        self._read(key, lambda: self._refuse_odd(key, found))
        return found

    def elements(self, key: str, dataset: Any, selection: slice) -> Array:
        """Rows of a dataset; each chunk of them passes the library's checksum."""
        rows: Array = self._read(key, lambda: h5py.Dataset(dataset)[selection])
        return rows

    @staticmethod
    def _open(path: Path) -> h5py.File:
        reason: OSError | None = None
        # Some file systems know no locks; with them, nobody who writes gets in while it is read.
        for locking in (None, False):
            try:
                return h5py.File(path, "r", locking=locking)
            except OSError as error:
                reason = reason or error
        why = f"the HDF5 library cannot open it ({reason})"
        if "truncated file" in str(reason):
            why = "it has no end; it was cut off on its way here"
        raise DamagedRunError(
            f"{path}: {why}. Copy the file again, or export the run again.", path=path
        ) from reason

    def _follow(self, key: str) -> Any:
        place = self._file.id
        for name in filter(None, key.split("/")):
            encoded = name.encode()
            if not isinstance(place, h5g.GroupID | h5py.h5f.FileID) or not place.links.exists(encoded):
                raise FileNotFoundError(f"{self._path} holds no {key}")
            if place.links.get_info(encoded).type != h5l.TYPE_HARD:
                raise self._unsafe("link", f"has a link to elsewhere in place of {key}")
            place = h5o.open(place, encoded)
        return place if place is not self._file.id else h5g.open(place, b"/")

    def _attribute(self, owner: Any, name: str) -> Any:
        encoded = name.encode()
        attribute = self._read(name, lambda: h5a.open(owner, encoded) if h5a.exists(owner, encoded) else None)
        if attribute is not None and attribute.get_space().get_simple_extent_type() != h5s.SCALAR:
            raise self._unsafe("attribute", f"has an attribute {name!r} of more than one value")
        return attribute

    def _refuse_odd(self, key: str, dataset: Any) -> None:
        plan = dataset.get_create_plist()
        if plan.get_external_count() or plan.get_layout() == h5d.VIRTUAL:
            raise self._unsafe("elsewhere", f"has the numbers of {key} in another file")
        if plan.get_layout() != h5d.CHUNKED or plan.get_nfilters() != 1:
            raise self._unsafe("filter", f"has {key} in no chunks with a checksum and nothing else")
        if plan.get_filter(0)[0] != h5z.FILTER_FLETCHER32:
            raise self._unsafe("filter", f"has {key} behind the filter {plan.get_filter(0)[3]!r}")
        kind = dataset.get_type()
        # The library fails on some types only when it is asked for numpy's name of them.
        if kind.get_class() not in (h5t.INTEGER, h5t.FLOAT) or dataset.dtype.kind not in "iuf":
            raise self._unsafe("type", f"has {key} of a type that no array of a run has")
        size = kind.get_size()
        if math.prod(plan.get_chunk()) * size > LARGEST_CHUNK_BYTES:
            raise self._unsafe("size", f"has {key} in chunks of {math.prod(plan.get_chunk()) * size} bytes")
        if math.prod(dataset.shape) * size > self._bytes:
            raise self._unsafe("size", f"claims more numbers in {key} than the file has bytes for")
        # The library would give fill values in place of chunks that are not there.
        if dataset.get_space_status() != h5d.SPACE_STATUS_ALLOCATED:
            raise CorruptBytesError("has chunks missing")
        # The library's filter has crashed on a chunk that states no bytes.
        if not all(plan.get_chunk()) or dataset.get_storage_size() != _stored_bytes(
            dataset.shape, plan.get_chunk(), size
        ):
            raise CorruptBytesError("has chunks of other sizes than its numbers take")

    def _read(self, key: str, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except (FileNotFoundError, CorruptBytesError):
            raise
        except _BROKEN as error:
            raise CorruptBytesError(f"cannot be read by the HDF5 library ({error})") from error

    def _unsafe(self, reason: str, says: str) -> UnsafeRunError:
        return UnsafeRunError(
            f"{self._path}: {says}. It was not made by `paramviz export`, and is not read.",
            path=self._path,
            reason=reason,
        )


def _stored_bytes(shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int) -> int:
    """Of all chunks, each stored full and with its checksum."""
    n_chunks = math.prod(-(-extent // length) for extent, length in zip(shape, chunk, strict=True))
    return n_chunks * (math.prod(chunk) * itemsize + _FLETCHER_BYTES)
