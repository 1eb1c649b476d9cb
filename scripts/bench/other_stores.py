"""The same snapshots kept by others, as their documentation shows it: a group, or a folder, for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import tensorstore
import zarr

from bench.snapshots import N_SAMPLES, N_TENSORS, Keeper, Paramviz, Statistics, Values


def _part(index: int) -> slice:
    return slice(index * N_SAMPLES, (index + 1) * N_SAMPLES)


class ZarrPython:
    """zarr-python used plainly: a group for each snapshot, an array for values and one for statistics."""

    name = "zarr-python"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.zarr"
        self._root: Any = zarr.create_group(self._path, zarr_format=3)

    def append(self, iteration: int, values: Values, statistics: Statistics) -> None:
        group = self._root.create_group(f"{iteration:08d}")
        group.create_array("values", data=values, chunks=(len(values),))
        group.create_array("statistics", data=statistics, chunks=statistics.shape)

    def open(self) -> ZarrPython:
        opened = object.__new__(ZarrPython)
        opened._root = zarr.open_group(self._path, mode="r", zarr_format=3)
        return opened

    def close(self) -> None: ...

    def last(self) -> int:
        return int(max(self._root.group_keys()))

    def values(self, iteration: int) -> Values:
        found: Values = self._root[f"{iteration:08d}/values"][...]
        return found

    def tensor(self, iteration: int, index: int) -> Values:
        found: Values = self._root[f"{iteration:08d}/values"][_part(index)]
        return found

    def statistic(self, index: int, key: int) -> npt.NDArray[np.float64]:
        names = sorted(self._root.group_keys())
        return np.array([self._root[f"{name}/statistics"][index, key] for name in names], np.float64)


class TensorStore:
    """tensorstore: the same arrays by its driver for Zarr v3. It has no groups, so folders are listed."""

    name = "tensorstore"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.zarr"
        self._path.mkdir()

    def append(self, iteration: int, values: Values, statistics: Statistics) -> None:
        for name, array in (("values", values), ("statistics", statistics)):
            codecs = [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1}}]
            metadata = {"shape": array.shape, "data_type": array.dtype.name, "codecs": codecs}
            spec = {**self._spec(f"{iteration:08d}/{name}"), "metadata": metadata, "create": True}
            tensorstore.open(spec).result().write(array).result()

    def open(self) -> TensorStore:
        opened = object.__new__(TensorStore)
        opened._path = self._path
        return opened

    def close(self) -> None: ...

    def last(self) -> int:
        return max(int(path.name) for path in self._path.iterdir())

    def values(self, iteration: int) -> Values:
        found: Values = self._array(f"{iteration:08d}/values").read().result()
        return found

    def tensor(self, iteration: int, index: int) -> Values:
        found: Values = self._array(f"{iteration:08d}/values")[_part(index)].read().result()
        return found

    def statistic(self, index: int, key: int) -> npt.NDArray[np.float64]:
        names = sorted(path.name for path in self._path.iterdir())
        reads = [self._array(f"{name}/statistics")[index, key].read() for name in names]
        return np.array([read.result() for read in reads], np.float64)

    def _spec(self, key: str) -> dict[str, Any]:
        return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{self._path}/{key}/"}}

    def _array(self, key: str) -> Any:
        return tensorstore.open(self._spec(key), open=True, read=True).result()


class OneHdf5File:
    """h5py: one file, a group for each snapshot. Flushed after each, or a crash would take all."""

    name = "one HDF5 file"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.h5"
        self._file = h5py.File(self._path, "w", libver="latest")

    def append(self, iteration: int, values: Values, statistics: Statistics) -> None:
        if not self._file:
            self._file = h5py.File(self._path, "r+", libver="latest")
        group = self._file.create_group(f"{iteration:08d}")
        group.create_dataset("values", data=values, chunks=values.shape, fletcher32=True)
        group.create_dataset("statistics", data=statistics, chunks=statistics.shape, fletcher32=True)
        self._file.flush()

    def open(self) -> OneHdf5File:
        # Nobody else can open it while it is written; the next append opens it for writing again.
        self._file.close()
        opened = object.__new__(OneHdf5File)
        opened._file = h5py.File(self._path, "r")
        return opened

    def close(self) -> None:
        self._file.close()

    def last(self) -> int:
        return int(max(self._file))

    def values(self, iteration: int) -> Values:
        found: Values = self._file[f"{iteration:08d}/values"][...]
        return found

    def tensor(self, iteration: int, index: int) -> Values:
        found: Values = self._file[f"{iteration:08d}/values"][_part(index)]
        return found

    def statistic(self, index: int, key: int) -> npt.NDArray[np.float64]:
        return np.array([self._file[f"{name}/statistics"][index, key] for name in sorted(self._file)])


class FilePerTensor:
    """np.save: a folder for each snapshot, a file for each tensor."""

    name = "np.save per tensor"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run"
        self._path.mkdir()

    def append(self, iteration: int, values: Values, statistics: Statistics) -> None:
        folder = self._path / f"{iteration:08d}"
        folder.mkdir()
        for index in range(N_TENSORS):
            np.save(folder / f"{index}.npy", values[_part(index)])
        np.save(folder / "statistics.npy", statistics)

    def open(self) -> FilePerTensor:
        opened = object.__new__(FilePerTensor)
        opened._path = self._path
        return opened

    def close(self) -> None: ...

    def last(self) -> int:
        return max(int(path.name) for path in self._path.iterdir())

    def values(self, iteration: int) -> Values:
        return np.concatenate([self.tensor(iteration, index) for index in range(N_TENSORS)])

    def tensor(self, iteration: int, index: int) -> Values:
        found: Values = np.load(self._path / f"{iteration:08d}/{index}.npy")
        return found

    def statistic(self, index: int, key: int) -> npt.NDArray[np.float64]:
        folders = sorted(self._path.iterdir())
        return np.array([np.load(folder / "statistics.npy")[index, key] for folder in folders], np.float64)


KEEPERS: tuple[Callable[[Path], Keeper], ...] = (
    Paramviz,
    ZarrPython,
    TensorStore,
    OneHdf5File,
    FilePerTensor,
)
