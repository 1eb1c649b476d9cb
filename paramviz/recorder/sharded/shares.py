"""What each process has to tell of a plan: its parts of the tensors, and where they lie in the whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from paramviz.recorder.device_layout import Layouts
from paramviz.recorder.device_upload import Indices
from paramviz.recorder.grids import stored_groups
from paramviz.recorder.model_plan import ModelPlan, Source
from paramviz.recorder.sharded.placement import Edges, Index, Part, part_of, placements_of, ranks_of
from paramviz.schema import EmbeddingPlan


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A process's part of one tensor, row `index` of the tables, beside what a snapshot holds of it.

    samples: (n,) where its samples lie among those of the whole plan; positions: (n,) flat
    indices into the part. cells, heads: None if there are none; else which rows and which
    columns of the grid of all of them are here, and the edges of these in the part.
    """

    index: int
    part: Part
    samples: Index
    positions: Index
    cells: tuple[Edges, Edges] | None
    heads: tuple[Edges, Edges] | None


class Share:
    """What one process answers for: the pieces, by ascending index, and its rows of the embedding.

    tokens: which of the recorded tokens and (in columns) which of their coordinates are here, and
    where here; None without an embedding here.
    """

    def __init__(self, plan: ModelPlan, rank: int) -> None:
        self.rank = rank
        self.pieces = tuple(_pieces(plan, rank))
        self.tokens = _tokens(plan, self.pieces)

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """(pieces,) their rows of the tables."""
        return np.array([piece.index for piece in self.pieces], np.int64)

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """(pieces,) how many elements each has."""
        return np.array([piece.part.size for piece in self.pieces], np.int64)

    @cached_property
    def samples(self) -> npt.NDArray[np.int64]:
        """(n,) where all samples of this process lie among those of the plan."""
        return np.concatenate([np.zeros(0, np.int64), *(piece.samples for piece in self.pieces)])


def sharers(plan: ModelPlan) -> list[int]:
    """The processes that the model of a plan is spread over."""
    return sorted(set().union(*(ranks_of(s.tensor) for s in plan.sources if placements_of(s.tensor))))


def own_plan(plan: ModelPlan, share: Share) -> ModelPlan:
    """The plan by which a process reads its share: shapes, positions and rows are those of its parts."""
    tensors, sources, begin = list(plan.tensors), [], 0
    for piece in share.pieces:
        end = begin + len(piece.samples)
        is_kept = plan.tensors[piece.index].whole
        tensors[piece.index] = replace(plan.tensors[piece.index], shape=piece.part.shape)
        sources.append(
            Source(
                piece.index,
                plan.source_of[piece.index].tensor,
                begin,
                end,
                None if is_kept else Indices(piece.positions),
                None if piece.cells is None else (piece.cells[0][1], piece.cells[1][1]),
            )
        )
        begin = end
    embedding, tokens = None, np.zeros(0, np.int64)
    if plan.embedding is not None and share.tokens is not None:
        (_, tokens), (_, columns) = share.tokens
        embedding = replace(plan.embedding, width=len(columns), tokens=tokens.astype(np.int32))
    here = set(share.rows.tolist())
    positions = np.concatenate([np.zeros(0, np.int64), *(piece.positions for piece in share.pieces)])
    return replace(
        plan,
        tensors=tuple(tensors),
        all_positions=positions,
        n_values=len(positions),
        embedding=embedding,
        tokens=Indices(tokens),
        sources=tuple(sources),
        index_of={key: row for key, row in plan.index_of.items() if row in here},
        frozen_values=0,
        frozen_vectors=0,
        layouts=Layouts(),
        whole=plan,
        head_edges={
            piece.index: (piece.heads[0][1], piece.heads[1][1]) for piece in share.pieces if piece.heads
        },
    )


def fingerprint(plan: ModelPlan) -> str:
    """Equal in all processes that see the same model, spread in the same way."""
    said = hashlib.sha256()
    for source in plan.sources:
        tensor = plan.tensors[source.index]
        said.update(repr((tensor.name, tensor.shape, tensor.dtype, placements_of(source.tensor))).encode())
    for positions in (plan.positions, plan.vector_positions):
        said.update(positions.tobytes())
    return said.hexdigest()[:32]


def _pieces(plan: ModelPlan, rank: int) -> list[Piece]:
    pieces = []
    for source in sorted(plan.sources, key=lambda source: source.index):
        part = part_of(source.tensor, rank)
        if part is not None and part.size:
            pieces.append(_piece(plan, source, part))
    return pieces


def _piece(plan: ModelPlan, source: Source, part: Part) -> Piece:
    tensor, grid = plan.tensors[source.index], plan.grids[source.index]
    rows, rows_here = part.rows.among(grid.rows)
    columns, columns_here = part.columns.among(grid.columns)
    cells = heads = None
    if source.edges is not None:
        cells = part.rows.cut(source.edges[0]), part.columns.cut(source.edges[1])
    if source.index in plan.places.heads.places:
        groups = stored_groups(tensor.row_groups, tensor.column_groups, transposed=tensor.transposed)
        edges = [
            np.arange(n + 1, dtype=np.int64) * (extent // n)
            for n, extent in zip(groups, tensor.matrix_shape, strict=True)
        ]
        heads = part.rows.cut(edges[0]), part.columns.cut(edges[1])
    return Piece(
        index=source.index,
        part=part,
        samples=source.begin + _flat(rows, columns, len(grid.columns)),
        positions=_flat(rows_here, columns_here, len(part.columns)),
        cells=cells,
        heads=heads,
    )


def _flat(rows: Index, columns: Index, width: int) -> Index:
    return (rows[:, None] * width + columns).ravel()


def _tokens(plan: ModelPlan, pieces: Sequence[Piece]) -> tuple[Edges, Edges] | None:
    embedding = plan.embedding
    if embedding is None:
        return None
    piece = next((p for p in pieces if plan.tensors[p.index].name == embedding.tensor), None)
    if piece is None:
        return None
    return piece.part.rows.among(embedding.tokens.astype(np.int64)), _all_columns(embedding, piece.part)


def _all_columns(embedding: EmbeddingPlan, part: Part) -> Edges:
    return part.columns.among(np.arange(embedding.width, dtype=np.int64))
