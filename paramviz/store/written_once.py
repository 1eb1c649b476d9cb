"""What becomes of a plan, a basis, a probe or the vocabulary in the store: a group that is written once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paramviz.errors import UsageError
from paramviz.schema import EmbeddingBasis, FrozenSamples, Plan, Probe
from paramviz.store import layout
from paramviz.store.codec import CorruptBytesError
from paramviz.store.group_files import packed_strings
from paramviz.store.plan_record import plan_record, read_tensors
from paramviz.store.probe_group import probe_record
from paramviz.store.records import Record, open_record

Array = npt.NDArray[Any]


NOTHING_FROZEN = FrozenSamples(np.empty(0, np.float16), np.empty(0, np.float32))


class NewGroup(NamedTuple):
    """A group to be written: its key, its arrays, and its record without the list of files."""

    key: str
    arrays: dict[str, Array]
    record: Record


def plan_group(plan: Plan, frozen: FrozenSamples) -> NewGroup:
    """frozen: the samples at the last positions of the plan, which no snapshot repeats."""
    arrays: dict[str, Array] = {
        "positions": plan.positions,
        "vector_positions": plan.vector_positions,
        layout.FROZEN_ARRAYS["values"]: frozen.values,
        layout.FROZEN_ARRAYS["vectors"]: frozen.vectors,
        "cell_edges": plan.cell_edges,
        "neighbour_tokens": plan.neighbour_tokens,
    }
    if plan.sketch_basis is not None:
        arrays["sketch_basis"] = plan.sketch_basis
    if plan.embedding is not None:
        arrays["embedding_tokens"] = plan.embedding.tokens
    return NewGroup(layout.plan_key(plan.number), arrays, plan_record(plan))


def refuse_unreadable(path: Path | str, plan: NewGroup) -> None:
    """UsageError for a plan whose catalogue no reader would take."""
    try:
        read_tensors(open_record(layout.canonical_group(plan.record)))
    except CorruptBytesError as error:
        raise UsageError(
            f"{path}: a catalogue of these {len(plan.record['tensors']):,} tensors could not be read again: "
            f"it {error}. Leave some of them out by their names."
        ) from error


def basis_group(basis: EmbeddingBasis) -> NewGroup:
    scores, width = basis.components.shape
    return NewGroup(
        layout.basis_key(basis.number),
        {"components": basis.components, "mean": basis.mean, "explained": basis.explained},
        {"basis": basis.number, "iteration": basis.iteration, "scores": scores, "width": width},
    )


def probe_group(probe: Probe) -> NewGroup:
    tokens = np.asarray(probe.tokens, np.int64)
    return NewGroup(layout.probe_key(probe.number), {"tokens": tokens}, probe_record(probe))


def vocabulary_group(vocabulary: Sequence[str]) -> NewGroup:
    text, offsets = packed_strings(vocabulary)
    record = {"tokens": len(vocabulary), "bytes": len(text)}
    return NewGroup(layout.VOCABULARY, {"text": text, "offsets": offsets}, record)
