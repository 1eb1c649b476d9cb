"""A model that is spread over several processes: its plan, and how frames are joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from paramviz.quantities import Quantities
from paramviz.recorder.assembly import Assembler
from paramviz.recorder.failsafe import Complaints
from paramviz.recorder.frames import Frame
from paramviz.recorder.model_plan import ModelPlan, Selection
from paramviz.recorder.parameters import Entry, walk
from paramviz.recorder.plan_keeper import PlanKeeper
from paramviz.recorder.sharded.adding_up import added_up
from paramviz.recorder.sharded.contribution import Contribution
from paramviz.recorder.sharded.exchange import Hub, MissingShareError, meeting_key, meeting_place
from paramviz.recorder.sharded.placement import is_spread, ranks_of
from paramviz.recorder.sharded.shares import Share, fingerprint, own_plan, sharers
from paramviz.store import Run, RunWriter


def is_sharded(model: nn.Module) -> bool:
    """Whether a parameter or buffer of the model is spread over several processes."""
    return any(is_spread(entry.tensor) for entry in walk(model))


def is_shared_with_first(model: nn.Module) -> bool:
    """Whether the first process has a part of it as well."""
    return any(is_spread(entry.tensor) and 0 in ranks_of(entry.tensor) for entry in walk(model))


def plan_keeper(model: nn.Module, selection: Selection) -> PlanKeeper:
    """What looks at a model in the first process, or at the part of it that is there."""
    return SharePlanKeeper(model, selection, 0) if is_sharded(model) else PlanKeeper(model, selection)


class SharePlanKeeper(PlanKeeper):
    """`plan` is that of the whole model; `look` gives the one by which this process reads its share.

    Every tensor counts as moving: the samples of frozen ones are nowhere complete when a plan
    is made, so snapshots hold them.
    """

    def __init__(self, model: nn.Module, selection: Selection, rank: int) -> None:
        self.rank = rank
        self._spread: dict[str, torch.Tensor] = {}
        self._own: ModelPlan | None = None
        self._share: tuple[ModelPlan, Share, str] | None = None
        super().__init__(model, selection)

    def look(self) -> ModelPlan:
        whole = self._look()
        if self._own is None or self._own.whole is not whole:
            self._own = own_plan(whole, self.share_of(whole)[0])
        return self._own

    def share_of(self, whole: ModelPlan) -> tuple[Share, str]:
        """What this process has of a plan, and the plan's fingerprint."""
        known = self._share
        if known is None or known[0] is not whole:
            known = self._share = whole, Share(whole, self.rank), fingerprint(whole)
        return known[1:]

    def told(self, frame: Frame, quantities: Quantities) -> Contribution:
        """What this process can tell of a snapshot."""
        return Contribution.of(frame, *self.share_of(frame.plan.whole or self.plan), quantities)

    def _entries(self) -> list[Entry]:
        """Between a forward and its backward FSDP puts whole parameters in the place of the shards."""
        entries = []
        for entry in walk(self._model):
            if is_spread(entry.tensor):
                self._spread[entry.name] = entry.tensor
            elif (shard := self._spread.get(entry.name)) is not None and shard.shape == entry.tensor.shape:
                entry = replace(entry, tensor=shard)
            entries.append(entry)
        return entries

    def _moves(self, entry: Entry) -> bool:
        return True


class JoiningAssembler(Assembler):
    """Asks the other processes for their shares of a frame, and publishes them together.

    A frame of which a share is missing is not published: MissingShareError says whose.
    """

    def __init__(
        self,
        writer: RunWriter,
        earlier: Run | None,
        plans: SharePlanKeeper,
        quantities: Quantities,
        complaints: Complaints,
    ) -> None:
        super().__init__(writer, earlier, plans.moving, quantities)
        self._keeper = plans
        self._complaints = complaints
        self._hub: Hub | None = None
        self._others: tuple[ModelPlan, list[Share]] | None = None

    def register(self, plan: ModelPlan, samples: npt.NDArray[np.float32]) -> int:
        number = super().register(plan, samples)
        if self._hub is None:
            # Only now: whoever cannot write its run is not to be called.
            others = [rank for rank in sharers(plan) if rank]
            key = meeting_key(self._complaints.run)
            self._hub = Hub(meeting_place(), key, others, self._complaints)
        return number

    def publish(self, frame: Frame) -> dict[str, float]:
        if frame.plan.whole is None or self._hub is None:
            return super().publish(frame)
        own, mark = self._keeper.share_of(frame.plan.whole)
        others = self._others_of(frame.plan.whole)
        told = [(own, self._keeper.told(frame, self._quantities))]
        answers = self._hub.ask([share.rank for share in others], frame.iteration, frame.turn)
        for share in others:
            given = Contribution.from_bytes(answers[share.rank])
            if given.facts["plan"] != mark:
                raise MissingShareError(
                    f"rank {share.rank} sees another model, or one that is spread otherwise"
                )
            told.append((share, given))
        return super().publish(added_up(frame, told))

    def close(self) -> None:
        if self._hub is not None:
            self._hub.close()

    def _others_of(self, plan: ModelPlan) -> list[Share]:
        """The shares of the other processes that have something to tell."""
        if self._others is None or self._others[0] is not plan:
            shares = (Share(plan, rank) for rank in sharers(plan) if rank)
            self._others = plan, [share for share in shares if share.pieces]
        return self._others[1]


def assembler_for(
    writer: RunWriter,
    earlier: Run | None,
    plans: PlanKeeper,
    quantities: Quantities,
    complaints: Complaints,
) -> Assembler:
    """What turns the frames of these plans into snapshots."""
    if isinstance(plans, SharePlanKeeper):
        return JoiningAssembler(writer, earlier, plans, quantities, complaints)
    return Assembler(writer, earlier, plans.moving, quantities)
