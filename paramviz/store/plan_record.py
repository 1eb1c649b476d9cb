"""The record of a plan: its catalogue, to and from the dataclasses of `schema`.

A model of experts has tens of thousands of tensors, so the catalogue is checked column by
column: a few calls for all of them, and a closer look only where something is wrong.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import chain, repeat
from operator import itemgetter, mul
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from paramviz.schema import EmbeddingPlan, Plan, TensorInfo
from paramviz.store import limits
from paramviz.store.checked import flag, flags, shown, text, texts, whole, wholes
from paramviz.store.codec import CorruptBytesError
from paramviz.store.layout import FROZEN_ARRAYS
from paramviz.store.records import Record

Columns = Mapping[str, Sequence[Any]]
"""What each field of `TensorInfo` is, for all tensors in their order."""

_T = TypeVar("_T")
_ALONE = [1, 1]
"""Groups of a tensor whose record has none."""


def plan_record(plan: Plan) -> Record:
    """The record of a plan, without its files and its seal."""
    embedding = plan.embedding
    return {
        "plan": plan.number,
        "tensors": [_tensor_record(tensor) for tensor in plan.tensors],
        "values": len(plan.positions),
        "vectors": len(plan.vector_positions),
        "frozen_values": plan.frozen_values,
        "frozen_vectors": plan.frozen_vectors,
        "cell_edges": len(plan.cell_edges),
        "sketch": 0 if plan.sketch_basis is None else plan.sketch_basis.shape[1],
        "neighbour_tokens": len(plan.neighbour_tokens),
        "embedding": None
        if embedding is None
        else {
            "tensor": embedding.tensor,
            "width": embedding.width,
            "vocabulary_size": embedding.vocabulary_size,
            "tokens": len(embedding.tokens),
            "every_snapshot": embedding.every_snapshot,
        },
    }


def _tensor_record(t: TensorInfo) -> Record:
    """What most tensors are, alone and not transposed, is left out: reading it takes longer than anything."""
    record: Record = {
        "name": t.name,
        "shape": list(t.shape),
        "dtype": t.dtype,
        "role": t.role,
        "layer": t.layer,
        "block": t.block,
        "tied_to": t.tied_to,
        "frozen": t.frozen,
        "skipped": t.skipped,
        "grid": list(t.grid),
        "array": t.array,
        "offset": t.offset,
    }
    groups = [t.row_groups, t.column_groups]
    if groups != _ALONE:
        record["groups"] = groups
    if t.transposed:
        record["transposed"] = True
    return record


def read_tensors(record: Record) -> tuple[TensorInfo, ...]:
    """The catalogue of a plan record, checked to be consistent with its arrays."""
    lengths = {key: whole(record.get(key), key) for key in FROZEN_ARRAYS}
    frozen = read_frozen_counts(record)
    rows = record.get("tensors")
    if not isinstance(rows, list) or not set(map(type, rows)) <= {dict}:
        raise CorruptBytesError("holds a catalogue that makes no sense")
    try:
        columns = _columns(rows)
    except KeyError as error:
        raise CorruptBytesError("holds a catalogue that makes no sense") from error
    _check_places(columns, lengths, {key: lengths[key] - frozen[key] for key in lengths})
    _check_names(columns["name"], columns["tied_to"])
    return _in_rows(columns)


def read_frozen_counts(record: Record) -> dict[str, int]:
    """How many of a plan's "values" and "vectors" it holds itself; a run of format 0.1 has none."""
    return {
        key: whole(record.get(array, 0), array, most=whole(record.get(key), key))
        for key, array in FROZEN_ARRAYS.items()
    }


def read_embedding(
    record: Record, tensors: Sequence[TensorInfo], tokens: npt.NDArray[np.int32]
) -> EmbeddingPlan | None:
    """The embedding that a plan records. tokens: (K,) rows of it, checked to be rows that it has."""
    embedding = record["embedding"]
    if embedding is None:
        return None
    plan = EmbeddingPlan(
        tensor=text(embedding["tensor"], "the embedding"),
        width=whole(embedding["width"], "the width of the embedding", most=limits.EMBEDDING_WIDTH),
        vocabulary_size=whole(embedding["vocabulary_size"], "the size of the vocabulary", most=2**31),
        tokens=tokens,
        every_snapshot=flag(embedding["every_snapshot"], "every_snapshot"),
    )
    if all(plan.tensor != t.name for t in tensors):
        raise CorruptBytesError(f"records rows of {shown(plan.tensor)}, which is no tensor of it")
    if len(tokens) and (tokens[0] < 0 or tokens[-1] >= plan.vocabulary_size or (np.diff(tokens) <= 0).any()):
        raise CorruptBytesError("records rows that are not ascending, or not rows of the embedding")
    return plan


def _columns(rows: Sequence[Record]) -> Columns:
    """The fields of all tensors, each of the type that it should have. KeyError for one that is missing."""

    def column(key: str) -> list[Any]:
        return list(map(itemgetter(key), rows))

    names = texts(column("name"), "the name of a tensor")
    grids = _pairs(column("grid"), "a grid", names)
    groups = _pairs([row.get("groups", _ALONE) for row in rows], "groups", names)
    return {
        "index": range(len(rows)),
        "name": names,
        "shape": _shapes(column("shape"), names),
        "dtype": texts(column("dtype"), "a dtype"),
        "role": texts(column("role"), "a role"),
        "layer": _given(wholes, column("layer"), "a layer"),
        "block": texts(column("block"), "a block"),
        "tied_to": _given(texts, column("tied_to"), "the owner of a tensor"),
        "frozen": flags(column("frozen"), "frozen"),
        "samples": list(map(mul, grids[0], grids[1])),
        "skipped": _given(texts, column("skipped"), "a reason", most=limits.RECORD_BYTES),
        "grid": _shared(zip(*grids, strict=True)),
        "array": texts(column("array"), "an array"),
        "offset": wholes(column("offset"), "an offset"),
        "row_groups": groups[0],
        "column_groups": groups[1],
        "transposed": flags([row.get("transposed", False) for row in rows], "transposed"),
    }


def _in_rows(columns: Columns) -> tuple[TensorInfo, ...]:
    """One TensorInfo per row, made without a call of its constructor for each."""
    tensors = tuple(map(object.__new__, repeat(TensorInfo, len(columns["name"]))))
    for field in fields(TensorInfo):
        fill = getattr(TensorInfo, field.name).__set__
        deque(map(fill, tensors, columns[field.name]), maxlen=0)
    return tensors


def _given(
    check: Callable[..., Sequence[_T]], values: Sequence[_T | None], what: str, **bounds: int
) -> Sequence[_T | None]:
    """Values of which some may be null; `check` looks at the others."""
    check([value for value in values if value is not None], what, **bounds)
    return values


def _shapes(shapes: Sequence[Any], names: Sequence[str]) -> list[tuple[int, ...]]:
    for name, shape in zip(names, shapes, strict=True):
        if type(shape) is not list or len(shape) > limits.DIMENSIONS:
            raise CorruptBytesError(f"gives {shown(name)} a shape that no tensor has")
    wholes(list(chain.from_iterable(shapes)), "an extent")
    return _shared(map(tuple, shapes))


def _shared(tuples: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Equal ones as one object: thousands of experts have one shape."""
    known: dict[tuple[int, ...], tuple[int, ...]] = {}
    return [known.setdefault(each, each) for each in tuples]


def _pairs(pairs: Sequence[Any], what: str, names: Sequence[str]) -> tuple[Sequence[int], Sequence[int]]:
    """Both numbers of all pairs."""
    for name, pair in zip(names, pairs, strict=True):
        if type(pair) is not list or len(pair) != 2:
            raise CorruptBytesError(f"gives {shown(name)} {what} that is no pair of numbers")
    first, second = (list(map(itemgetter(i), pairs)) for i in (0, 1))
    return wholes(first, what), wholes(second, what)


def _check_places(columns: Columns, lengths: Mapping[str, int], moving: Mapping[str, int]) -> None:
    """The samples of each tensor lie in an array that there is, within it, and not across its border."""
    sizes = wholes(list(map(math.prod, columns["shape"])), "the size of a tensor")
    for name, array, begin, samples, size in zip(
        columns["name"], columns["array"], columns["offset"], columns["samples"], sizes, strict=True
    ):
        if array not in lengths:
            raise CorruptBytesError(f"puts {shown(name)} into {shown(array)}, which is no array of samples")
        end = begin + samples
        if end > lengths[array] or samples > size:
            raise CorruptBytesError(f"has samples of {shown(name)} outside of their array")
        if begin < moving[array] < end:
            raise CorruptBytesError(f"has samples of {shown(name)} half in the plan, half in the snapshots")


def _check_names(names: Sequence[str], owners: Sequence[str | None]) -> None:
    """Each name is there once, and one that is tied has an owner that answers for it."""
    owner_of = dict(zip(names, owners, strict=True))
    if len(owner_of) != len(names):
        raise CorruptBytesError("names a tensor twice")
    for name, owner in owner_of.items():
        # One that is tied itself, to whomever, has no answer.
        if owner is not None and owner_of.get(owner, owner) is not None:
            raise CorruptBytesError(f"ties {shown(name)} to {shown(owner)}, which has no samples")
