"""One committed iteration, read lazily: a few kilobytes for one tensor, never the whole run."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from paramviz.errors import NotRecordedError
from paramviz.places import Places
from paramviz.schema import Event, GradientStates, Plan, Probe, TensorInfo, histogram_edges
from paramviz.store import layout
from paramviz.store.encoded import DamagedArrayError
from paramviz.store.probe_view import Attention, ProbeView
from paramviz.store.quantities import Cells, EmbeddingView, Norms, Of, Quantities
from paramviz.store.records import CommitRecord
from paramviz.store.shapes import Shape, probe_shape

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
    def probe(self) -> Probe | None:
        """The fixed batch that attention and activations come from; None if none ran."""
        return None if self.record.probe is None else self._run.probe(self.record.probe)

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
        if tensor.samples == 0:
            return self.table(tensor.array)[:0]
        return self.rows_of(tensor.array, tensor.offset, tensor.samples)

    def statistics(self, name: str) -> dict[str, float]:
        """Statistics of the whole tensor, before any cast; NaN where one is not known."""
        row = self.cached("statistics")[self._recorded(name).index]
        return dict(zip(self._run.statistic_keys, row.tolist(), strict=True))

    def gradient_statistics(self, name: str) -> dict[str, float] | None:
        """The same of the gradient as the optimizer used it; None where there was none."""
        tensor = self._recorded(name)
        if "gradient_statistics" not in self.record.arrays:
            return None
        row = self.cached("gradient_statistics")[tensor.index]
        if self.gradient_states.of(tensor.index) == "unavailable":
            return None
        return dict(zip(self._run.gradient_keys, row.tolist(), strict=True))

    def histogram(self, name: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
        """(counts (64,), edges (65,)) of the whole tensor, in bins that never change."""
        return self.cached("histograms")[self._recorded(name).index], histogram_edges()

    def gradient_values(self, name: str) -> npt.NDArray[np.float32]:
        """(samples,) of the gradient as the optimizer used it, at the positions of the values.

        This and what follows raises NotRecordedError where the snapshot does not hold it: most is in
        key snapshots only.
        """
        return self._quantities.samples(self._recorded(name), "gradient")

    def update_values(self, name: str) -> npt.NDArray[np.float32]:
        """(samples,) by how much each sample moved since the snapshot before."""
        return self._quantities.samples(self._recorded(name), "update")

    def cells(self, name: str) -> Cells:
        """The whole tensor, summed up over the cells of its sampling grid."""
        return self._quantities.cells(self._recorded(name))

    def row_norms(self, name: str, of: Of = "values") -> Norms:
        """Norms of a matrix's rows, of its values or its gradient; of a very long one of some rows."""
        return self._quantities.row_norms(self._recorded(name), of)

    def column_norms(self, name: str, of: Of = "values") -> Norms:
        """Norms of a matrix's columns."""
        return self._quantities.column_norms(self._recorded(name), of)

    def row_norm_histogram(self, name: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
        """(counts (64,), edges (65,)) of the norms of all rows of a very long matrix."""
        return self._quantities.row_norm_histogram(self._recorded(name))

    def head_norms(self, name: str) -> npt.NDArray[np.float32]:
        """(heads,) norms of the parts of an attention weight; (3, heads) of a fused Q, K, V."""
        return self._quantities.head_norms(self._recorded(name))

    def singular_values(self, name: str) -> npt.NDArray[np.float32]:
        """(min(rows, columns),) of the whole matrix, descending; NaN where they were not computed."""
        return self._quantities.singular_values(self._recorded(name))

    def embedding(self) -> EmbeddingView:
        """Sketch, variance and nearest neighbours of the recorded rows of the token embedding."""
        return self._quantities.embedding()

    def attention(self, layer: int | str) -> Attention:
        """Pattern, entropy and largest logit of every head of a layer of `probe`, by number or name."""
        return self._probe_view("attention").attention(layer)

    def activations(self, module: str) -> dict[str, float]:
        """What `probe` tells of a module's output: rms, shares of zeros, of dead and saturated units."""
        return self._probe_view("activations").activations(module)

    def residual_rms(self) -> dict[str, float]:
        """Root mean square of the residual stream by block, led by what flows into the first one."""
        return self._probe_view("residual_rms").residual_rms()

    def array(self, key: str) -> Array | None:
        """A whole array of the snapshot as it lies in the store, None if it was not recorded.

        Shapes: values (N - F,), vectors (V - G,) without what the plan holds
        (`Run.frozen`), statistics and gradient_statistics (tensors, keys),
        histograms (tensors, 64), embedding_rows (K, width), embedding_scores (K, 8); those of the
        further quantities are in docs/FORMAT.md.
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
            raise self._not_recorded(key)
        return table

    def rows_of(self, key: str, start: int, count: int) -> Array:
        """Rows of a sharded array that must be there; NotRecordedError if it was switched off."""
        if key not in self.record.arrays:
            raise self._not_recorded(key)
        try:
            return self._run.source.read_rows(
                self._group, key, self._layout(key), self.record.files, start, count
            )
        except DamagedArrayError as error:
            raise self._run.damaged(error.key, str(error)) from error

    def cached(self, key: str) -> Array:
        """`table`, kept for the next question about this snapshot."""
        return self._run.cached_table(self, key)

    @property
    def places(self) -> Places:
        """Where each tensor's part lies in the packed arrays."""
        return self._run.shapes(self.record.plan).places

    @property
    def path(self) -> Path | str:
        """Where the run is."""
        return self._run.path

    @cached_property
    def _quantities(self) -> Quantities:
        return Quantities(self)

    def _probe_view(self, key: str) -> ProbeView:
        if self.probe is None:
            raise self._not_recorded(key)
        return ProbeView(self, self.probe)

    def _not_recorded(self, key: str) -> NotRecordedError:
        why = "it is no key snapshot" if self.tier == "core" else "they were switched off, or never there"
        return NotRecordedError(
            f"{self.path}: iteration {self.iteration} holds no {key}: {why}.", path=self.path
        )

    def _shape(self, key: str) -> Shape:
        if key in layout.PROBE_ARRAYS:
            return (0,) if self.probe is None else probe_shape(key, self.probe)
        n_scores = 0
        if key == "embedding_scores" and self.basis is not None:
            n_scores = self._run.basis(self.basis).components.shape[0]
        return self._run.shapes(self.record.plan).of(key, n_scores)

    def _layout(self, key: str) -> layout.ArrayLayout:
        return layout.layout_of(key, self._shape(key), layout.SNAPSHOT_ARRAYS[key])
