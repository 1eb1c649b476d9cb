"""From the shares of all processes to the frame of the whole, as one process would have filled it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.recorder.frames import Frame, Gradients
from paramviz.recorder.grids import Grids, stored_groups
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.sharded.contribution import Contribution
from paramviz.recorder.sharded.shares import Piece, Share
from paramviz.recorder.transfers import Transfers
from paramviz.schema import GRADIENT_KEYS, HISTOGRAM_BINS, MOMENT_KEYS, GradientState
from paramviz.statistics import GridSums, combine, whole_axis

Told = Sequence[tuple[Share, Contribution]]

_WORST: tuple[GradientState, ...] = (
    "skipped",
    "scaled-unknown",
    "per-microbatch",
    "last-evaluation",
    "used",
)
"""Of a tensor whose parts have several states, the first of these counts."""


def added_up(own: Frame, told: Told) -> Frame:
    """The frame of the whole. `own`: that of this process, whose scalars, events and probe stay."""
    plan = own.plan.whole or own.plan
    n = len(plan.tensors)
    frame = Frame(
        plan=plan,
        samples=np.zeros(plan.n_samples, np.float32),
        statistics=np.full((n, len(MOMENT_KEYS)), np.nan),
        histograms=_histograms(n, told),
        embedding_rows=_embedding_rows(plan, told),
        moments=_moments(plan, told),
        sigma_max=np.full(n, np.nan),
        iteration=own.iteration,
        tier="key" if all(given.facts["tier"] == "key" for _, given in told) else "core",
        keeps_rows=own.keeps_rows,
        time_unix_s=own.time_unix_s,
        scalars=own.scalars,
        events=own.events,
        probed=own.probed,
    )
    for share, given in told:
        frame.samples[share.samples] = given.arrays["samples"]
    combine(
        [(share.rows, share.sizes, given.arrays["statistics"]) for share, given in told], frame.statistics
    )
    frame.grids = Grids(others=_sums(plan, told), heads=_heads(plan, told))
    frame.gradients = None if own.gradients is None else _gradients(plan, own.gradients, told)
    return frame


def _histograms(n: int, told: Told) -> npt.NDArray[np.uint32]:
    total = np.zeros((n, HISTOGRAM_BINS), np.int64)
    for share, given in told:
        total[share.rows] += given.arrays["histograms"]
    return np.minimum(total, np.iinfo(np.uint32).max).astype(np.uint32)


def _embedding_rows(plan: ModelPlan, told: Told) -> npt.NDArray[np.float32] | None:
    if plan.embedding is None:
        return None
    rows = np.zeros((len(plan.embedding.tokens), plan.embedding.width), np.float32)
    for share, given in told:
        if share.tokens is not None:
            (tokens, _), (columns, _) = share.tokens
            rows[np.ix_(tokens, columns)] = given.arrays["embedding_rows"]
    return rows


def _moments(plan: ModelPlan, told: Told) -> npt.NDArray[np.float64]:
    """Squares of norms add up, and means are weighted by how many elements they are of."""
    n = len(plan.tensors)
    sums, sizes = np.zeros((n, 3)), np.zeros(n)
    for share, given in told:
        part, count = given.arrays["moments"], share.sizes
        sizes[share.rows] += count
        sums[share.rows] += np.column_stack(
            [np.square(part[:, 0]), count * np.square(part[:, 1]), count * part[:, 2]]
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second, small = sums[:, 0], sums[:, 1] / sizes, sums[:, 2] / sizes
        return np.column_stack([np.where(sizes > 0, np.sqrt(first), np.nan), np.sqrt(second), small])


def _sums(plan: ModelPlan, told: Told) -> dict[int, GridSums]:
    """Of each tensor that was summed up, over its cells, rows and columns."""
    result: dict[int, GridSums] = {}
    for share, given in told:
        _add_axes(plan, result, share, given, "")
        cells = _taker(given.arrays["cells"])
        for piece in _named(share, given.facts["cells"]):
            if piece.cells is not None:
                (rows, _), (columns, _) = piece.cells
                sums, where = result[piece.index], np.ix_(rows, columns)
                shape = len(rows), len(columns)
                for of in (sums.n, sums.total, sums.squares):
                    of[where] += cells(shape)
                sums.absmax[where] = np.maximum(sums.absmax[where], cells(shape))
    return result


def _add_axes(
    plan: ModelPlan, into: dict[int, GridSums], share: Share, given: Contribution, prefix: str
) -> None:
    """Add the sums of squares along rows and columns."""
    of_rows = _taker(given.arrays[f"{prefix}row_squares"])
    of_columns = _taker(given.arrays[f"{prefix}column_squares"])
    for piece in _named(share, given.facts[f"{prefix}sums"]):
        if piece.index not in into:
            shape = plan.tensors[piece.index].matrix_shape
            edges = plan.source_of[piece.index].edges or (whole_axis(shape[0]), whole_axis(shape[1]))
            into[piece.index] = GridSums.zeros(shape, *edges)
        rows, columns = piece.part.rows, piece.part.columns
        into[piece.index].row_squares[rows.span] += of_rows((len(rows),))
        into[piece.index].column_squares[columns.span] += of_columns((len(columns),))


def _heads(plan: ModelPlan, told: Told) -> dict[int, npt.NDArray[np.float64]]:
    result: dict[int, npt.NDArray[np.float64]] = {}
    for share, given in told:
        squares = _taker(given.arrays["head_squares"])
        for piece in _named(share, given.facts["heads"]):
            if piece.heads is not None:
                tensor = plan.tensors[piece.index]
                groups = stored_groups(tensor.row_groups, tensor.column_groups, transposed=tensor.transposed)
                (rows, _), (columns, _) = piece.heads
                of = result.setdefault(piece.index, np.zeros(groups))
                of[np.ix_(rows, columns)] += squares((len(rows), len(columns)))
    return result


def _gradients(plan: ModelPlan, own: Gradients, told: Told) -> Gradients:
    """The gradients of the whole. Of a tensor of which a part is not known nothing is."""
    n = len(plan.tensors)
    states = _states(told)
    statistics = np.full((n, len(GRADIENT_KEYS)), np.nan)
    samples = np.full(plan.n_samples, np.nan, np.float32)
    grids: dict[int, GridSums] = {}
    parts = []
    for share, given in told:
        known = np.array([piece.index in states for piece in share.pieces], bool)
        measured = given.arrays.get("gradient_statistics")
        if measured is not None:
            parts.append((share.rows[known], share.sizes[known], measured[known]))
        taken = given.arrays.get("gradient_samples")
        if taken is not None:
            samples[share.samples] = taken
        if "gradient_sums" in given.facts:
            _add_axes(plan, grids, share, given, "gradient_")
    if own.is_measured:
        combine(parts, statistics)
    for source in plan.sources:
        if source.index not in states:
            samples[source.begin : source.end] = np.nan
    # A snapshot that one process foresaw and another did not.
    unsummed = {
        piece.index
        for share, given in told
        for piece in share.pieces
        if piece.index not in given.facts.get("gradient_sums", ())
    }
    skipped = sorted({row for _, given in told for row in given.facts.get("skipped", ())})
    reasons = dict.fromkeys(reason for _, given in told for reason in given.facts.get("reasons", ()))
    has_samples = bool(states) and any("gradient_samples" in given.arrays for _, given in told)
    return Gradients(
        statistics=statistics if states else None,
        is_measured=own.is_measured,
        samples=samples if has_samples else None,
        grids={index: sums for index, sums in grids.items() if index in states and index not in unsummed},
        states=states,
        reasons=list(reasons),
        found_inf=[(1.0, tuple(skipped))] if skipped else [],
        transfers=Transfers(),
        hook_s=own.hook_s,
    )


def _states(told: Told) -> dict[int, GradientState]:
    """The state of each tensor whose gradient is known in all processes that have a part of it."""
    states: dict[int, GradientState] = {}
    unknown: set[int] = set()
    for share, given in told:
        here: Mapping[int, GradientState] = dict(given.facts.get("states", ()))
        for piece in share.pieces:
            state = here.get(piece.index)
            if state is None:
                unknown.add(piece.index)
            else:
                states[piece.index] = min(state, states.get(piece.index, state), key=_WORST.index)
    return {row: state for row, state in states.items() if row not in unknown}


def _named(share: Share, indices: Sequence[int]) -> Iterator[Piece]:
    wanted = frozenset(indices)
    return (piece for piece in share.pieces if piece.index in wanted)


def _taker(flat: npt.NDArray[Any]) -> Callable[[tuple[int, ...]], npt.NDArray[Any]]:
    """Takes one array after the other from those that were made one."""
    taken = 0

    def take(shape: tuple[int, ...]) -> npt.NDArray[Any]:
        nonlocal taken
        begin, taken = taken, taken + int(np.prod(shape))
        return flat[begin:taken].reshape(shape)

    return take
