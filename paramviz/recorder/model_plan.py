"""From a model to what each snapshot of it holds: catalogue, positions, and where the samples go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from paramviz.catalogue import ParameterFacts, Placement, Roles, canonical_name, checked_roles, place
from paramviz.places import Places
from paramviz.recorder.arguments import as_patterns
from paramviz.recorder.device_layout import Layouts
from paramviz.recorder.device_upload import Indices
from paramviz.recorder.embedding import plan_embedding
from paramviz.recorder.host_batch import HostBatch
from paramviz.recorder.parameters import Entry, dtype_name, heads_of, shape_of, storage_key, why_skipped
from paramviz.sampling import SampleBudgets, SampleGrid, sample_grid
from paramviz.schema import EmbeddingPlan, TensorInfo

SMALL = 256
"""A tensor of at most so many elements is kept in float32, as vectors are."""

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tensors are recorded, by shell patterns on their names, with how many samples, and as what."""

    budgets: SampleBudgets
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    roles: Roles = ()

    @classmethod
    def of(
        cls,
        budgets: SampleBudgets | None,
        include: Sequence[str],
        exclude: Sequence[str],
        roles: Mapping[str, str] | None,
    ) -> Selection:
        """What a user asks for. UsageError for a role that does not exist."""
        patterns = as_patterns(include), as_patterns(exclude)
        return cls(budgets or SampleBudgets(), *patterns, checked_roles(roles or {}))

    def why_left_out(self, name: str) -> str | None:
        """The reason why no tensor of that name is recorded; None if it may be."""
        for pattern in self.exclude:
            if fnmatchcase(name, pattern):
                return f"is excluded by the pattern {pattern!r}"
        if not any(fnmatchcase(name, pattern) for pattern in self.include):
            return f"matches no pattern of include={list(self.include)}"
        return None

    def idle(self, names: Sequence[str]) -> str | None:
        """What to say of patterns that fit none of these names; None if each fits one.

        A model may get what they are for later, so this is no error.
        """
        given = {"include": self.include, "exclude": self.exclude, "roles": [p for p, _ in self.roles]}
        unfit = [
            f"{argument} {pattern!r}"
            for argument, patterns in given.items()
            for pattern in patterns
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names)
        ]
        if not unfit:
            return None
        like = ", ".join([*names[:3], *(["…"] if len(names) > 3 else [])])
        return f"no parameter has a name that fits {'; '.join(unfit)}. The names are: {like or 'none'}"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A recorded tensor: row `index` of the tables, samples [begin, end) of the snapshot.

    `positions` are flat indices into the tensor; None if it is kept whole. `edges` cut
    it into cells, rows first.
    """

    index: int
    tensor: torch.Tensor
    begin: int
    end: int
    positions: Indices | None
    edges: tuple[Positions, Positions] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ModelPlan:
    """What a snapshot of one state of the model holds.

    All samples of a snapshot are one (N + V,) array: the N = `n_values` that become float16,
    then the V that stay float32. `all_positions` (N + V,) are their flat indices. Of each, the
    last ones, `frozen_values` and `frozen_vectors` of them, belong to tensors that do not change.
    `tokens` are the rows that `embedding` names. `index_of` maps id(parameter) to its row in the
    tables, `grids` rows to what is sampled of them. `members` are the ids of all tensors, left
    out or not.

    Of a model that is spread over several processes, each reads by a plan of its own part:
    `whole` is that of all, and `head_edges` cut attention weights into what is here of each head.
    """

    tensors: tuple[TensorInfo, ...]
    all_positions: Positions
    n_values: int
    embedding: EmbeddingPlan | None
    tokens: Indices
    sources: tuple[Source, ...]
    index_of: Mapping[int, int]
    members: frozenset[int]
    frozen_values: int = 0
    frozen_vectors: int = 0
    grids: Mapping[int, SampleGrid] = field(default_factory=dict)
    whole: ModelPlan | None = None
    head_edges: Mapping[int, tuple[Positions, Positions]] = field(default_factory=dict)
    places: Places = field(init=False)
    source_of: Mapping[int, Source] = field(init=False)
    batch: HostBatch = field(init=False)
    layouts: Layouts = field(default_factory=Layouts)

    def __post_init__(self) -> None:
        object.__setattr__(self, "places", Places(self.whole or self))
        object.__setattr__(self, "source_of", {source.index: source for source in self.sources})
        batch = HostBatch(self.sources, self.tensors, self.places, self.all_positions)
        object.__setattr__(self, "batch", batch)

    def moving(self, array: str) -> int:
        """How many samples of "values" or "vectors" each snapshot stores."""
        span = self.moving_values if array == "values" else self.moving_vectors
        return int(span.stop - span.start)

    @property
    def cell_edges(self) -> Positions:
        """Edges of the cells of all tensors that have some, as a plan of the store holds them."""
        grids = (self.grids[index] for index in self.places.cells.places)
        nothing = np.zeros(0, np.int64)
        return np.concatenate([nothing, *(edges for g in grids for edges in (g.row_edges, g.column_edges))])

    @property
    def positions(self) -> Positions:
        """(N,) flat indices of the samples that become float16."""
        return self.all_positions[: self.n_values]

    @property
    def vector_positions(self) -> Positions:
        """(V,) flat indices of the samples that stay float32."""
        return self.all_positions[self.n_values :]

    @property
    def n_samples(self) -> int:
        return len(self.all_positions)

    @property
    def embedding_tensor(self) -> torch.Tensor | None:
        """The tensor whose rows are recorded at full width."""
        if self.embedding is None:
            return None
        return next(s.tensor for s in self.sources if self.tensors[s.index].name == self.embedding.tensor)

    @property
    def moving_values(self) -> slice:
        """Where the samples lie that each snapshot stores as float16; (N - F,) of them."""
        return slice(0, self.n_values - self.frozen_values)

    @property
    def moving_vectors(self) -> slice:
        """Where the samples lie that each snapshot stores as float32; (V - G,) of them."""
        return slice(self.n_values, self.n_samples - self.frozen_vectors)

    @property
    def frozen_sources(self) -> tuple[Source, ...]:
        """The tensors whose samples the plan holds, since they do not change."""
        ends = (self.moving_values.stop, self.moving_vectors.stop)
        return tuple(s for s in self.sources if s.begin >= ends[1] or ends[0] <= s.begin < self.n_values)

    def span_of(self, tensor: TensorInfo) -> slice:
        """Where the samples of `tensor` lie in the one array of all samples."""
        return _span(tensor, self.n_values)

    def bound_to(self, entries: Sequence[Entry]) -> ModelPlan:
        """The same plan for other tensors: those of `entries`, whose signature is the same."""
        sources = tuple(replace(source, tensor=entries[source.index].tensor) for source in self.sources)
        return replace(
            self, sources=sources, index_of=_index_of(self.tensors, entries), members=_members(entries)
        )


def build_plan(
    model: nn.Module, entries: Sequence[Entry], selection: Selection, moving: Collection[str] = ()
) -> ModelPlan:
    """The plan for the model as it is now; `entries` is its `walk`.

    moving: names of tensors that are known to change, frozen or not. Raises
    UsageError if the budgets cannot be met.
    """
    names = names_of(entries)
    placements = place(_facts(model, entries, names), selection.roles)
    tensors = _catalogue(entries, names, placements, selection)
    budgets = _budgets(tensors, selection.budgets)
    tensors = [
        replace(tensor, skipped="has a sampling budget of 0") if budgets.get(tensor.index) == 0 else tensor
        for tensor in tensors
    ]
    grids = _grids(tensors, budgets)
    still = frozenset(t.index for t in tensors if t.frozen and t.name not in moving)
    laid_out, all_positions, n_values = _lay_out(tensors, grids, still)
    embedding = plan_embedding(laid_out, still)
    return ModelPlan(
        tensors=laid_out,
        all_positions=all_positions,
        n_values=n_values,
        embedding=embedding,
        tokens=Indices(np.zeros(0, np.int64) if embedding is None else embedding.tokens.astype(np.int64)),
        sources=_sources(laid_out, all_positions, n_values, grids, entries),
        index_of=_index_of(laid_out, entries),
        members=_members(entries),
        frozen_values=sum(t.samples for t in laid_out if t.index in still and t.array == "values"),
        frozen_vectors=sum(t.samples for t in laid_out if t.index in still and t.array == "vectors"),
        grids=grids,
    )


def names_of(entries: Sequence[Entry]) -> list[str]:
    """Names as the catalogue has them: without what wrappers put in, unless that would make two equal."""
    canonical = [canonical_name(entry.name) for entry in entries]
    count = Counter(canonical)
    return [c if count[c] == 1 else entry.name for c, entry in zip(canonical, entries, strict=True)]


def _facts(model: nn.Module, entries: Sequence[Entry], names: Sequence[str]) -> list[ParameterFacts]:
    heads = heads_of(model)
    return [
        ParameterFacts(
            name=name,
            shape=shape_of(entry.tensor),
            module_type=type(entry.module).__name__,
            is_buffer=entry.is_buffer,
            heads=heads.get(entry.module),
        )
        for entry, name in zip(entries, names, strict=True)
    ]


def _catalogue(
    entries: Sequence[Entry], names: Sequence[str], placements: Sequence[Placement], selection: Selection
) -> list[TensorInfo]:
    """One TensorInfo per name, with ties and reasons; samples are not given out yet.

    The owner of a tied tensor is its first name that is recorded.
    """
    owners: dict[object, str] = {}
    tensors = []
    for index, (entry, name, placement) in enumerate(zip(entries, names, placements, strict=True)):
        tensor = entry.tensor
        reason = why_skipped(tensor)
        keys: list[object] = [id(tensor)]
        if reason is None and (storage := storage_key(tensor)) is not None:
            keys.append(storage)
        tied_to = next((owners[key] for key in keys if key in owners), None)
        if tied_to is None:
            reason = reason or selection.why_left_out(name)
            if reason is None:
                owners.update(dict.fromkeys(keys, name))
        tensors.append(
            TensorInfo(
                index=index,
                name=name,
                shape=shape_of(tensor),
                dtype=dtype_name(tensor.dtype),
                role=placement.role,
                layer=placement.layer,
                block=placement.block,
                tied_to=tied_to,
                frozen=not entry.is_buffer and not tensor.requires_grad,
                skipped=reason,
                row_groups=placement.row_groups,
                column_groups=placement.column_groups,
                transposed=placement.transposed,
            )
        )
    return tensors


def _budgets(tensors: Sequence[TensorInfo], budgets: SampleBudgets) -> dict[int, int]:
    """Samples for each tensor that has any of its own, by index."""
    recorded = [tensor for tensor in tensors if tensor.tied_to is None and tensor.skipped is None]
    n_layers = 1 + max((tensor.layer for tensor in tensors if tensor.layer is not None), default=-1)
    wanted = [
        budgets.of(name=t.name, role=t.role, layer=t.layer, n_layers=n_layers, shape=t.shape)
        for t in recorded
    ]
    scaled = budgets.scaled(
        wanted, [t.size for t in recorded], [4 if _array_of(t) == "vectors" else 2 for t in recorded]
    )
    return {tensor.index: budget for tensor, budget in zip(recorded, scaled, strict=True)}


def _grids(tensors: Sequence[TensorInfo], budgets: Mapping[int, int]) -> dict[int, SampleGrid]:
    """What is sampled of each tensor that has a budget. Those alike share one: experts are thousands."""
    made: dict[tuple[object, ...], SampleGrid] = {}
    grids = {}
    for index, budget in budgets.items():
        if budget == 0:
            continue
        tensor = tensors[index]
        alike = (tensor.shape, budget, tensor.row_groups, tensor.column_groups, tensor.transposed)
        if alike not in made:
            made[alike] = sample_grid(
                tensor.shape,
                budget,
                row_groups=tensor.row_groups,
                column_groups=tensor.column_groups,
                transposed=tensor.transposed,
            )
        grids[index] = made[alike]
    return grids


def _array_of(tensor: TensorInfo) -> str:
    """A float16 step near 1.0 hides most moves of a norm; vectors and small tensors stay float32."""
    return "vectors" if len(tensor.shape) <= 1 or tensor.size <= SMALL else "values"


def _lay_out(
    tensors: Sequence[TensorInfo], grids: Mapping[int, SampleGrid], still: Collection[int]
) -> tuple[tuple[TensorInfo, ...], Positions, int]:
    """Gives each tensor its place in `values` or `vectors`; all positions, (N + V,), and N beside it.

    still: indices of the tensors that do not change, which come last.
    """
    positions: dict[str, list[Positions]] = {"values": [], "vectors": []}
    used = {"values": 0, "vectors": 0}
    laid_out = list(tensors)
    for index, grid in sorted(grids.items(), key=lambda item: item[0] in still):
        array = _array_of(tensors[index])
        laid_out[index] = replace(
            tensors[index],
            samples=len(grid.positions),
            grid=(len(grid.rows), len(grid.columns)),
            array=array,
            offset=used[array],
        )
        positions[array].append(grid.positions)
        used[array] += len(grid.positions)
    nothing = np.zeros(0, np.int64)
    in_turn = np.concatenate([nothing, *positions["values"], *positions["vectors"]])
    return tuple(laid_out), in_turn, used["values"]


def _span(tensor: TensorInfo, n_values: int) -> slice:
    begin = tensor.offset + (n_values if tensor.array == "vectors" else 0)
    return slice(begin, begin + tensor.samples)


def _sources(
    tensors: Sequence[TensorInfo],
    all_positions: Positions,
    n_values: int,
    grids: Mapping[int, SampleGrid],
    entries: Sequence[Entry],
) -> tuple[Source, ...]:
    sources = []
    for index, grid in grids.items():
        tensor = tensors[index]
        span = _span(tensor, n_values)
        positions = None if tensor.whole else Indices(all_positions[span])
        edges = None if tensor.whole else (grid.row_edges, grid.column_edges)
        sources.append(Source(index, entries[index].tensor, span.start, span.stop, positions, edges))
    return tuple(sources)


def _index_of(tensors: Sequence[TensorInfo], entries: Sequence[Entry]) -> dict[int, int]:
    """id(parameter) → row of its owner. Distinct parameters of one storage share that row."""
    rows = {tensor.name: tensor.index for tensor in tensors}
    return {
        id(entry.tensor): tensor.index if tensor.tied_to is None else rows[tensor.tied_to]
        for tensor, entry in zip(tensors, entries, strict=True)
        if tensor.skipped is None
    }


def _members(entries: Sequence[Entry]) -> frozenset[int]:
    return frozenset(id(entry.tensor) for entry in entries)
