"""Which number a plan has in the store, and the samples of frozen tensors that it holds there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paramviz.quantities import Quantities
from paramviz.recorder.embedding_view import neighbour_tokens, sketch_basis
from paramviz.recorder.model_plan import ModelPlan
from paramviz.schema import FrozenSamples, Plan, TensorInfo
from paramviz.store import Run, RunWriter

Samples = npt.NDArray[np.float32]


class StoredPlan(NamedTuple):
    """A plan of the store, with the samples in it."""

    plan: Plan
    frozen: FrozenSamples


def stored_plans(run: Run) -> list[StoredPlan]:
    """The plans of a run. DamagedRunError if one cannot be read."""
    return [StoredPlan(plan, run.frozen(plan.number)) for plan in run.plans]


@dataclass(frozen=True, slots=True, eq=False)
class _Registered:
    """A plan of this session as it stands in the store."""

    number: int
    frozen: FrozenSamples
    tensors: tuple[TensorInfo, ...]


class PlanRegistry:
    """Writes each plan once.

    A tensor that does not learn keeps its samples, so they are part of the plan. What
    is frozen may be changed all the same (an average of other weights, a checkpoint that
    is loaded). Then the plan is another one, and the tensor's name goes into `moving`, so
    that the next plan that is made leaves its samples to the snapshots.
    """

    def __init__(
        self, writer: RunWriter, earlier: Iterable[StoredPlan], moving: set[str], quantities: Quantities
    ) -> None:
        self._writer = writer
        self._earlier = tuple(earlier)
        self._moving = moving
        self._quantities = quantities
        self._registered: dict[int, _Registered] = {}

    def number(self, plan: ModelPlan, samples: Samples) -> int:
        """The plan's number in the store, where it is written when it is new. OSError if that fails.

        samples: (N + V,), all samples of a snapshot.
        """
        frozen = _frozen(plan, samples)
        known = self._registered.get(id(plan.tensors))
        if known is not None:
            changed = _changed(plan, known.frozen, frozen)
            if not changed:
                return known.number
            self._moving.update(changed)
        further = _further(plan, self._quantities)
        stored = self._stored(plan, frozen, further) or self._writer.add_plan(
            plan.tensors,
            plan.positions,
            plan.vector_positions,
            plan.embedding,
            frozen,
            cell_edges=further.cell_edges,
            sketch_basis=further.sketch_basis,
            neighbour_tokens=further.neighbour_tokens,
        )
        # The catalogue is kept so that its id is given to no other.
        self._registered[id(plan.tensors)] = _Registered(stored.number, frozen, plan.tensors)
        return stored.number

    def _stored(self, plan: ModelPlan, frozen: FrozenSamples, further: _Further) -> Plan | None:
        """The plan of an earlier session that says the same."""
        for past, held in self._earlier:
            if _is_same(past, plan) and _same_bits(held, frozen) and further.is_of(past):
                return past
        return None


@dataclass(frozen=True, slots=True, eq=False)
class _Further:
    """What a plan holds for the quantities of key snapshots."""

    cell_edges: npt.NDArray[np.int64]
    sketch_basis: npt.NDArray[np.float32] | None
    neighbour_tokens: npt.NDArray[np.int32]

    def is_of(self, stored: Plan) -> bool:
        """Whether a plan of the store holds the same. The basis follows from its width."""
        return (
            np.array_equal(self.cell_edges, stored.cell_edges)
            and np.array_equal(self.neighbour_tokens, stored.neighbour_tokens)
            and (self.sketch_basis is None) == (stored.sketch_basis is None)
        )


def _further(plan: ModelPlan, quantities: Quantities) -> _Further:
    embedding = plan.embedding
    basis, tokens = None, np.zeros(0, np.int32)
    if embedding is not None and "embedding_sketch" in quantities:
        basis = sketch_basis(embedding.width)
    if embedding is not None and "embedding_neighbours" in quantities:
        tokens = neighbour_tokens(embedding)
    edges = plan.cell_edges if "cells" in quantities else np.zeros(0, np.int64)
    return _Further(edges, basis, tokens)


def _frozen(plan: ModelPlan, samples: Samples) -> FrozenSamples:
    """The part of a snapshot's samples, (N + V,), that its plan holds. A copy: the buffer is used again."""
    values = samples[plan.moving_values.stop : plan.n_values]
    with np.errstate(over="ignore"):
        return FrozenSamples(values.astype(np.float16), samples[plan.moving_vectors.stop :].copy())


def _changed(plan: ModelPlan, before: FrozenSamples, now: FrozenSamples) -> list[str]:
    """Names of the frozen tensors of which a sample is not what it was."""
    if _same_bits(before, now):
        return []
    starts = {"values": plan.moving_values.stop, "vectors": plan.moving_vectors.stop - plan.n_values}
    names = []
    for source in plan.frozen_sources:
        tensor = plan.tensors[source.index]
        begin = tensor.offset - starts[tensor.array]
        span = slice(begin, begin + tensor.samples)
        if getattr(before, tensor.array)[span].tobytes() != getattr(now, tensor.array)[span].tobytes():
            names.append(tensor.name)
    return names


def _same_bits(one: FrozenSamples, other: FrozenSamples) -> bool:
    """By bits: a NaN that stays is no change, and a zero that gets a sign is one."""
    pairs = ((one.values, other.values), (one.vectors, other.vectors))
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def _is_same(stored: Plan, plan: ModelPlan) -> bool:
    """Whether a plan of an earlier session says the same."""
    ours, theirs = plan.embedding, stored.embedding
    if stored.tensors != plan.tensors or (ours is None) != (theirs is None):
        return False
    if ours is not None and theirs is not None:
        plain = (ours.tensor, ours.width, ours.vocabulary_size, ours.every_snapshot)
        if plain != (theirs.tensor, theirs.width, theirs.vocabulary_size, theirs.every_snapshot):
            return False
        if not np.array_equal(ours.tokens, theirs.tokens):
            return False
    return np.array_equal(stored.positions, plan.positions) and np.array_equal(
        stored.vector_positions, plan.vector_positions
    )
