"""Gradients measured for one snapshot, with what is known of each."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from paramviz.quantities import Quantities
from paramviz.recorder.frames import Gradients
from paramviz.recorder.gather import measure_tensor, plain_gradient, sample_tensor
from paramviz.recorder.grids import sum_matrix
from paramviz.recorder.host_batch import addresses_of
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.transfers import Transfers
from paramviz.schema import GRADIENT_KEYS, GradientState
from paramviz.statistics import GridSums

Indices = npt.NDArray[np.int64]
Member = tuple[int, torch.Tensor]
"""A row of the tables and the parameter that it is of."""


@dataclass(slots=True, eq=False)
class Capture:
    """statistics: (tensors, 14) float64 and samples: (N + V,) float32, NaN where there is no gradient.

    `quantities` are what is measured; norms in key snapshots only, which `is_key` foresees.
    """

    plan: ModelPlan
    quantities: Quantities
    is_key: bool
    statistics: npt.NDArray[np.float64]
    samples: npt.NDArray[np.float32] | None
    grids: dict[int, GridSums] = field(default_factory=dict)
    plain_grids: list[Mapping[int, GridSums]] = field(default_factory=list)
    transfers: Transfers = field(default_factory=Transfers)
    states: dict[int, GradientState] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    found_inf: list[tuple[torch.Tensor, tuple[int, ...]]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: ModelPlan, quantities: Quantities, is_key: bool) -> Capture:
        table = np.full((len(plan.tensors), len(GRADIENT_KEYS)), np.nan)
        wants_samples = "gradient_values" in quantities
        samples = np.full(plan.n_samples, np.nan, np.float32) if wants_samples else None
        return cls(plan, quantities, is_key, table, samples)

    def take(self, member: Member, state: GradientState, scale: torch.Tensor | None = None) -> None:
        """Measure a parameter's gradient; one that is not there stays unavailable."""
        index, parameter = member
        if parameter.grad is None:
            return
        try:
            with torch.no_grad():
                self._measure(index, plain_gradient(parameter.grad, scale))
        except Exception:
            self._forget(index)
            raise
        self.states[index] = state

    def take_all(
        self, members: Sequence[Member], state: GradientState, scale: torch.Tensor | None = None
    ) -> None:
        """Measure the gradients of many parameters: those that lie here as plain float32 in a few calls."""
        batch = self.plan.batch
        # Unknown there: names that share the storage of one whose budget is 0.
        places = batch.places_of(np.array([row for row, _ in members], np.int64))
        if scale is None:
            gradients = [parameter.grad for _, parameter in members]
            addresses = addresses_of(gradients, batch.sizes_at(places))
        else:
            addresses = np.zeros(len(members), np.int64)
        for i in np.flatnonzero(addresses == 0).tolist():
            self.take(members[i], state, scale)
        plain = np.flatnonzero(addresses)
        which, addresses = places[plain], addresses[plain]
        rows = batch.rows[which].tolist()
        try:
            self._measure_plain(which, addresses)
        except Exception:
            for row in rows:
                self._forget(row)
            raise
        self.states.update(dict.fromkeys(rows, state))

    def _measure_plain(self, which: Indices, addresses: Indices) -> None:
        batch = self.plan.batch
        if "gradient_statistics" in self.quantities:
            batch.measure(which, addresses, self.statistics, None)
        if self.samples is not None:
            batch.take(which, addresses, self.samples)
        if self.is_key and "norms" in self.quantities:
            summed = batch.has_norms[which]
            self.plain_grids.append(batch.sums(which[summed], addresses[summed], with_cells=False))

    def _measure(self, index: int, gradient: torch.Tensor) -> None:
        if "gradient_statistics" in self.quantities:
            measure_tensor(gradient, self.statistics[index], None, self.transfers)
        source = self.plan.source_of.get(index)
        if source is not None and self.samples is not None:
            out = self.samples[source.begin : source.end]
            sample_tensor(gradient, source.positions, out, self.transfers)
        if self.is_key and "norms" in self.quantities and index in self.plan.places.rows.places:
            self.grids[index] = sum_matrix(gradient, None, self.transfers)

    def _forget(self, index: int) -> None:
        """Half of a gradient is none."""
        self.statistics[index] = np.nan
        self.grids.pop(index, None)
        source = self.plan.source_of.get(index)
        if source is not None and self.samples is not None:
            self.samples[source.begin : source.end] = np.nan

    def because(self, reason: str) -> None:
        """A sentence for whoever wonders why a state is not `used`."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def finish(self, hook_s: float) -> Gradients:
        """What the snapshot takes along; hooks spent `hook_s` on it."""
        self.transfers.start()
        return Gradients(
            statistics=self.statistics if self.states else None,
            is_measured="gradient_statistics" in self.quantities,
            samples=self.samples if self.states else None,
            grids=ChainMap(self.grids, *self.plain_grids),  # type: ignore[arg-type]  # nothing is written to it
            states=self.states,
            reasons=self.reasons,
            found_inf=self.found_inf,
            transfers=self.transfers,
            hook_s=hook_s,
        )
