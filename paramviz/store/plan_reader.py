"""The plans of a run, each read when it is first asked for, and the samples that they hold themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import numpy as np

from paramviz.errors import DamagedRunError
from paramviz.schema import FrozenSamples, Plan, TensorInfo
from paramviz.store import layout, limits
from paramviz.store.encoded import DamagedArrayError
from paramviz.store.groups import Array, Damaged, StoredPlan, read_plan, unbacked_bytes
from paramviz.store.source import Source

Keep = Callable[..., None]
"""Called with a key and the arrays under it that stay in memory; raises if they are too many."""


class PlanReader:
    """Catalogues and positions stay in memory; the samples of frozen tensors are read each time."""

    def __init__(self, source: Source, damaged: Damaged, keep: Keep) -> None:
        self._source = source
        self._damaged = damaged
        self._keep = keep
        self._plans: list[StoredPlan] = []
        self._by_name: dict[int, dict[str, TensorInfo]] = {}
        self.unbacked_bytes = 0
        """Of the plans read so far, see `limits.PLAN_UNBACKED_BYTES`."""
        self._lock = threading.RLock()

    @property
    def count(self) -> int:
        """Number of plans that are there."""
        with self._lock:
            while self._source.size(f"{layout.plan_key(len(self._plans))}/{layout.GROUP_RECORD}") is not None:
                self._read_next()
            return len(self._plans)

    def numbered(self, number: int) -> Plan:
        """Raises DamagedRunError for one that is missing or damaged."""
        return self._stored(number).plan

    def by_name(self, plan: Plan) -> Mapping[str, TensorInfo]:
        """The catalogue of a plan of this run."""
        with self._lock:
            known = self._by_name.get(plan.number)
            if known is None or len(known) != len(plan.tensors):
                known = self._by_name[plan.number] = {tensor.name: tensor for tensor in plan.tensors}
            return known

    def frozen(self, number: int) -> FrozenSamples:
        """All samples that plan `number` holds itself. DamagedRunError if they are damaged."""
        values, vectors = (self._frozen_array(number, array) for array in layout.FROZEN_ARRAYS)
        return FrozenSamples(values, vectors)

    def frozen_samples(self, number: int, tensor: TensorInfo) -> Array | None:
        """(samples,) of a tensor that does not change under plan `number`; None if it does, and so has its
        samples in each snapshot. DamagedRunError if they are damaged."""
        plan, files = self._stored(number)
        start = tensor.offset - plan.moving(tensor.array)
        if start < 0 or tensor.samples == 0:
            return None
        name, array_layout = self._frozen_layout(plan, tensor.array)
        try:
            return self._source.read_rows(
                layout.plan_key(number), name, array_layout, files, start, tensor.samples
            )
        except DamagedArrayError as error:
            raise self._damaged(error.key, str(error)) from error

    def _frozen_array(self, number: int, array: str) -> Array:
        plan, files = self._stored(number)
        name, array_layout = self._frozen_layout(plan, array)
        if array_layout.shape == (0,):
            return np.empty(0, array_layout.dtype)
        try:
            return self._source.read_array(layout.plan_key(number), name, array_layout, files)
        except DamagedArrayError as error:
            raise self._damaged(error.key, str(error)) from error

    @staticmethod
    def _frozen_layout(plan: Plan, array: str) -> tuple[str, layout.ArrayLayout]:
        n_frozen = plan.frozen_values if array == "values" else plan.frozen_vectors
        name = layout.FROZEN_ARRAYS[array]
        return name, layout.layout_of(name, (n_frozen,), layout.SNAPSHOT_ARRAYS[array])

    def _stored(self, number: int) -> StoredPlan:
        with self._lock:
            while len(self._plans) <= number:
                self._read_next()
            return self._plans[number]

    def _read_next(self) -> None:
        number = len(self._plans)
        if number >= limits.PLANS:
            raise self._too_many(number)
        stored = read_plan(self._source, number, self._damaged)
        plan = stored.plan
        kept: list[Array] = [plan.positions, plan.vector_positions, plan.cell_edges, plan.neighbour_tokens]
        if plan.sketch_basis is not None:
            kept.append(plan.sketch_basis)
        self._keep(layout.plan_key(number), *kept)
        self.unbacked_bytes += unbacked_bytes(plan, stored.files)
        if self.unbacked_bytes > limits.PLAN_UNBACKED_BYTES:
            raise self._damaged(layout.plan_key(number), "has far more positions than its file has bytes")
        self._plans.append(stored)

    def _too_many(self, number: int) -> DamagedRunError:
        return self._damaged(layout.plan_key(number), f"is one more than the {limits.PLANS} that are read")
