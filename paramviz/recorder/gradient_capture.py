"""Gradients measured for one snapshot, with what is known of each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from paramviz.recorder.frames import Gradients
from paramviz.recorder.gather import measure_gradient
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.transfers import Transfers
from paramviz.schema import GRADIENT_KEYS, GradientState

Member = tuple[int, torch.Tensor]
"""A row of the tables and the parameter that it is of."""


@dataclass(slots=True, eq=False)
class Capture:
    """statistics: (tensors, 14) float64, NaN where there is no gradient."""

    plan: ModelPlan
    statistics: npt.NDArray[np.float64]
    transfers: Transfers = field(default_factory=Transfers)
    states: dict[int, GradientState] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    found_inf: list[tuple[torch.Tensor, tuple[int, ...]]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: ModelPlan) -> Capture:
        return cls(plan, np.full((len(plan.tensors), len(GRADIENT_KEYS)), np.nan))

    def take(self, member: Member, state: GradientState, scale: torch.Tensor | None = None) -> None:
        """Measure a parameter's gradient; one that is not there stays unavailable."""
        index, parameter = member
        if parameter.grad is not None:
            measure_gradient(parameter.grad, scale, self.statistics[index], self.transfers)
            self.states[index] = state

    def because(self, reason: str) -> None:
        """A sentence for whoever wonders why a state is not `used`."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def finish(self, hook_s: float) -> Gradients:
        """What the snapshot takes along; hooks spent `hook_s` on it."""
        self.transfers.start()
        return Gradients(
            statistics=self.statistics if self.states else None,
            states=self.states,
            reasons=self.reasons,
            found_inf=self.found_inf,
            transfers=self.transfers,
            hook_s=hook_s,
        )
