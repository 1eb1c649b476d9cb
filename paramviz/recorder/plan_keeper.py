"""The plan of a model that may grow, shrink, freeze or swap its parameters while it trains."""

from __future__ import annotations

from torch import nn

from paramviz.recorder.glance import Glance
from paramviz.recorder.model_plan import ModelPlan, Selection, build_plan, names_of
from paramviz.recorder.parameters import Entry, Signature, signature, walk
from paramviz.store import collector

Known = tuple[Signature, frozenset[str]]
"""A state of the model, and the tensors that are known to change."""


class PlanKeeper:
    """Looks at the model before each snapshot. What it has seen before gets the plan that it had.

    `moving` are the names of tensors that were trained at any time, or were seen to
    change although they are frozen: the samples of all others are in the plan, and no
    snapshot repeats them. The writer thread adds what it sees.
    """

    def __init__(self, model: nn.Module, selection: Selection) -> None:
        self._model = model
        self._selection = selection
        self._plans: dict[Known, ModelPlan] = {}
        self._seen: Signature | None = None
        self._glance: Glance | None = None
        self._n_moving = 0
        self.moving: set[str] = set()
        self.plan: ModelPlan
        self._look()

    @property
    def idle_patterns(self) -> str | None:
        """What to say of the user's patterns that fit no name in the plan; None if each fits one."""
        return self._selection.idle([tensor.name for tensor in self.plan.tensors])

    def look(self) -> ModelPlan:
        """The plan for the model as it is now: the same object as long as nothing changed.

        Raises UsageError if the budgets cannot be met.
        """
        return self._look()

    def _look(self) -> ModelPlan:
        if self._glance is not None and len(self.moving) == self._n_moving and self._glance.still_holds():
            return self.plan
        self._glance = None
        with collector.paused():
            plan = self._look_closely()
            self._glance = Glance(self._model)
        return plan

    def _look_closely(self) -> ModelPlan:
        entries = self._entries()
        seen = signature(entries)
        if seen == self._seen and len(self.moving) == self._n_moving and _is_bound(self.plan, entries):
            return self.plan
        names = names_of(entries)
        self.moving.update(name for name, entry in zip(names, entries, strict=True) if self._moves(entry))
        moving = frozenset(self.moving)
        known = self._plans.get((seen, moving))
        if known is None:
            plan = build_plan(self._model, entries, self._selection, moving)
        else:
            plan = known.bound_to(entries)
        self._plans[seen, moving] = plan
        self._seen, self._n_moving, self.plan = seen, len(moving), plan
        return plan

    def _entries(self) -> list[Entry]:
        return walk(self._model)

    def _moves(self, entry: Entry) -> bool:
        return entry.tensor.requires_grad


def _is_bound(plan: ModelPlan, entries: list[Entry]) -> bool:
    return all(entries[source.index].tensor is source.tensor for source in plan.sources)
