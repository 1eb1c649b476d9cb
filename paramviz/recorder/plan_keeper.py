"""The plan of a model that may grow, shrink, freeze or swap its parameters while it trains."""

from __future__ import annotations

from torch import nn

from paramviz.recorder.model_plan import ModelPlan, Selection, build_plan
from paramviz.recorder.parameters import Entry, Signature, signature, walk


class PlanKeeper:
    """Looks at the model before each snapshot. What it has seen before gets the plan that it had."""

    def __init__(self, model: nn.Module, selection: Selection) -> None:
        self._model = model
        self._selection = selection
        self._plans: dict[Signature, ModelPlan] = {}
        self._seen: Signature | None = None
        self.plan = self.look()

    def look(self) -> ModelPlan:
        """The plan for the model as it is now: the same object as long as nothing changed.

        Raises UsageError if the budgets cannot be met.
        """
        entries = walk(self._model)
        seen = signature(entries)
        if seen == self._seen and _is_bound(self.plan, entries):
            return self.plan
        known = self._plans.get(seen)
        plan = build_plan(self._model, entries, self._selection) if known is None else known.bound_to(entries)
        self._plans[seen] = plan
        self._seen, self.plan = seen, plan
        return plan


def _is_bound(plan: ModelPlan, entries: list[Entry]) -> bool:
    return all(entries[source.index].tensor is source.tensor for source in plan.sources)
