"""One committed iteration, read lazily: a few kilobytes for one tensor, never the whole run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from paramviz.errors import NotRecordedError
from paramviz.schema import HISTOGRAM_BINS, Event, GradientStates, Plan, TensorInfo, histogram_edges
from paramviz.store import layout
from paramviz.store.encoded import DamagedArrayError
from paramviz.store.records import CommitRecord

if TYPE_CHECKING:
    from paramviz.store.reader import Run

Array = npt.NDArray[Any]


class StoredSnapshot:
    """What `run[iteration]` answers. Reading damaged bytes raises DamagedRunError with their `key`."""

    def __init__(self, run: Run, iteration: int, record: CommitRecord) -> None:
        self._run = run
        self.iteration = iteration
        self.record = record
        self._group = layout.iteration_key(iteration)

    def __repr__(self) -> str:
        return f"<snapshot {self.iteration} of {self._run.name!r}: {', '.join(sorted(self.record.arrays))}>"

    @property
    def plan(self) -> Plan:
        return self._run.plan_numbered(self.record.plan)

    @property
    def tier(self) -> str:
        return self.record.tier

    @property
    def time_unix_s(self) -> float:
        """When the snapshot was taken, seconds since 1970."""
        return self.record.time_unix_s

    @property
    def scalars(self) -> dict[str, float]:
        return dict(self.record.scalars)

    @property
    def events(self) -> tuple[Event, ...]:
        return self.record.events

    @property
    def gradient_states(self) -> GradientStates:
        return self.record.gradient_states

    @property
    def basis(self) -> int | None:
        """Number of the basis that `embedding_scores` are in, see `Run.basis`."""
        return self.record.basis

    @property
    def etag(self) -> str:
        """A text that differs whenever the snapshot's bytes do."""
        return f"{self._run.run_id}-{self.iteration}-{self.record.crc32c:08x}"

    def values(self, name: str) -> npt.NDArray[np.float16] | npt.NDArray[np.float32]:
        """Samples of a tensor, (samples,): float16, or float32 for vectors and small tensors."""
        tensor = self._recorded(name)
        frozen = self._run.frozen_samples(self.record.plan, tensor)
        if frozen is not None:
            return frozen
        if tensor.samples == 0 or tensor.array not in self.record.arrays:
            return self.table(tensor.array)[:0]
        try:
            return self._run.source.read_rows(
                self._group,
                tensor.array,
                self._layout(tensor.array),
                self.record.files,
                tensor.offset,
                tensor.samples,
            )
        except DamagedArrayError as error:
            raise self._run.damaged(error.key, str(error)) from error

    def statistics(self, name: str) -> dict[str, float]:
        """Statistics of the whole tensor, before any cast; NaN where one is not known."""
        row = self._cached("statistics")[self._recorded(name).index]
        return dict(zip(self._run.statistic_keys, row.tolist(), strict=True))

    def gradient_statistics(self, name: str) -> dict[str, float] | None:
        """The same of the gradient as the optimizer used it; None where there was none."""
        tensor = self._recorded(name)
        if "gradient_statistics" not in self.record.arrays:
            return None
        row = self._cached("gradient_statistics")[tensor.index]
        if self.gradient_states.of(tensor.index) == "unavailable":
            return None
        return dict(zip(self._run.gradient_keys, row.tolist(), strict=True))

    def histogram(self, name: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
        """(counts (64,), edges (65,)) of the whole tensor, in bins that never change."""
        return self._cached("histograms")[self._recorded(name).index], histogram_edges()

    def array(self, key: str) -> Array | None:
        """A whole array of the snapshot as it lies in the store, None if it was not recorded.

        Shapes: values (N - F,), vectors (V - G,) without what the plan holds
        (`Run.frozen`), statistics and gradient_statistics (tensors, keys),
        histograms (tensors, 64), embedding_rows (K, width), embedding_scores (K, 8).
        """
        if key not in layout.SNAPSHOT_ARRAYS:
            raise KeyError(key)
        if key not in self.record.arrays:
            nothing_to_hold = key in layout.SHARDED and self._shape(key) == (0,)
            return np.empty(0, layout.SNAPSHOT_ARRAYS[key]) if nothing_to_hold else None
        try:
            return self._run.source.read_array(self._group, key, self._layout(key), self.record.files)
        except DamagedArrayError as error:
            raise self._run.damaged(error.key, str(error)) from error

    def raw_bytes(self, key: str) -> int:
        """Bytes of an array of the snapshot as `array` returns it; nothing of the array is read."""
        return math.prod(self._shape(key)) * np.dtype(layout.SNAPSHOT_ARRAYS[key]).itemsize

    def _recorded(self, name: str) -> TensorInfo:
        tensor = self._run.tensor(name, self.record.plan)
        if tensor.skipped is not None:
            raise NotRecordedError(
                f"{self._run.path}: {name} was not recorded: {tensor.skipped}", path=self._run.path
            )
        return tensor

    def table(self, key: str) -> Array:
        """`array` for a table that must be there; NotRecordedError if it was switched off."""
        table = self.array(key)
        if table is None:
            raise NotRecordedError(
                f"{self._run.path}: iteration {self.iteration} holds no {key}; they were switched off.",
                path=self._run.path,
            )
        return table

    def _cached(self, key: str) -> Array:
        return self._run.cached_table(self, key)

    def _shape(self, key: str) -> tuple[int, ...]:
        plan, run = self.plan, self._run
        match key:
            case "values" | "vectors":
                return (plan.moving(key),)
            case "statistics":
                return len(plan.tensors), len(run.statistic_keys)
            case "gradient_statistics":
                return len(plan.tensors), len(run.gradient_keys)
            case "histograms":
                return len(plan.tensors), HISTOGRAM_BINS
        embedding = plan.embedding
        tokens, width = (0, 0) if embedding is None else (len(embedding.tokens), embedding.width)
        if key == "embedding_rows":
            return tokens, width
        return tokens, 0 if self.basis is None else run.basis(self.basis).components.shape[0]

    def _layout(self, key: str) -> layout.ArrayLayout:
        return layout.layout_of(key, self._shape(key), layout.SNAPSHOT_ARRAYS[key])
