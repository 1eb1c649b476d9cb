"""Gradients measured for one snapshot, with what is known of each."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from paramviz.quantities import Quantities
from paramviz.recorder import views
from paramviz.recorder.device_reading import Wanted
from paramviz.recorder.frames import Gradients
from paramviz.recorder.gather import plain_gradient, read
from paramviz.recorder.grids import Summed, sum_matrices
from paramviz.recorder.host_batch import addresses_of
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.sharded.placement import is_alike, local_of
from paramviz.recorder.transfers import Transfers, sent
from paramviz.schema import GRADIENT_KEYS, GradientState
from paramviz.statistics import GridSums

Indices = npt.NDArray[np.int64]
Member = tuple[int, torch.Tensor]
"""A row of the tables and the parameter that it is of."""

_SPREAD_OTHERWISE = "gradients lie in the processes otherwise than their parameters do"


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

    def take_all(
        self, members: Sequence[Member], state: GradientState, scale: torch.Tensor | None = None
    ) -> None:
        """Measure the gradients of many parameters; one that is not there stays unavailable.

        Those that lie here as plain float32, and those on a device, take a few calls.
        """
        if self.plan.whole is not None:
            members = self._spread_alike(members)
            scale = None if scale is None else local_of(scale)
        batch = self.plan.batch
        # Unknown there: names that share the storage of one whose budget is 0.
        places = batch.places_of(np.array([row for row, _ in members], np.int64))
        if scale is None:
            gradients = [parameter.grad for _, parameter in members]
            addresses = addresses_of(gradients, batch.sizes_at(places))
        else:
            addresses = np.zeros(len(members), np.int64)
        self._take_others([members[i] for i in np.flatnonzero(addresses == 0).tolist()], state, scale)
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

    def _spread_alike(self, members: Sequence[Member]) -> list[Member]:
        """Those whose gradients have their elements where they have theirs."""
        alike = [(row, p) for row, p in members if p.grad is None or is_alike(p.grad, p)]
        if len(alike) < len(members):
            self.because(_SPREAD_OTHERWISE)
        return alike

    def _measure_plain(self, which: Indices, addresses: Indices) -> None:
        batch = self.plan.batch
        if "gradient_statistics" in self.quantities:
            batch.measure(which, addresses, self.statistics, None)
        if self.samples is not None:
            batch.take(which, addresses, self.samples)
        if self.is_key and "norms" in self.quantities:
            summed = batch.has_norms[which]
            self.plain_grids.append(batch.sums(which[summed], addresses[summed], with_cells=False))

    def _take_others(
        self, members: Sequence[Member], state: GradientState, scale: torch.Tensor | None
    ) -> None:
        rows = [row for row, parameter in members if parameter.grad is not None]
        try:
            with torch.no_grad():
                self._measure([(row, p.grad) for row, p in members if p.grad is not None], scale)
        except Exception:
            for row in rows:
                self._forget(row)
            raise
        self.states.update(dict.fromkeys(rows, state))

    def _measure(self, gradients: Sequence[Member], scale: torch.Tensor | None) -> None:
        has_statistics = "gradient_statistics" in self.quantities
        wanted, summed = [], []
        for row, gradient in gradients:
            # On a device all are divided together.
            divisor = None if views.is_on_host(gradient) else scale
            plain = plain_gradient(gradient, scale if divisor is None else None)
            source = self.plan.source_of.get(row)
            wanted.append(
                Wanted(
                    plain,
                    statistics=self.statistics[row] if has_statistics else None,
                    samples=self._samples_of(row),
                    positions=None if source is None else source.positions,
                    divisor=divisor,
                )
            )
            if self.is_key and "norms" in self.quantities and row in self.plan.places.rows.places:
                summed.append(Summed(row, plain, divisor=divisor))
        read(wanted, self.plan.layouts, self.transfers)
        self.grids.update(sum_matrices(summed, self.transfers))

    def _samples_of(self, row: int) -> npt.NDArray[np.float32] | None:
        """Where the samples of a row go."""
        source = self.plan.source_of.get(row)
        return None if source is None or self.samples is None else self.samples[source.begin : source.end]

    def _forget(self, index: int) -> None:
        """Half of a gradient is none."""
        self.statistics[index] = np.nan
        self.grids.pop(index, None)
        samples = self._samples_of(index)
        if samples is not None:
            samples[...] = np.nan

    def because(self, reason: str) -> None:
        """A sentence for whoever wonders why a state is not `used`."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def finish(self, hook_s: float) -> Gradients:
        """What the snapshot takes along; hooks spent `hook_s` on it."""
        self.transfers.start()
        flags = sent(flag for flag, _ in self.found_inf)
        return Gradients(
            statistics=self.statistics if self.states else None,
            is_measured="gradient_statistics" in self.quantities,
            samples=self.samples if self.states else None,
            grids=ChainMap(self.grids, *self.plain_grids),  # type: ignore[arg-type]  # nothing is written to it
            states=self.states,
            reasons=self.reasons,
            found_inf=[(flag, rows) for flag, (_, rows) in zip(flags, self.found_inf, strict=True)],
            transfers=self.transfers,
            hook_s=hook_s,
        )
