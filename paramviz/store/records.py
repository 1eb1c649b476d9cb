"""JSON records in the groups' attributes, to and from the dataclasses of `schema`.

A record comes from a run that may be a stranger's: whatever is missing, of a
wrong type or out of range becomes one `CorruptBytesError`, never a stray KeyError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import EmbeddingPlan, Event, GradientStates, Plan, Snapshot, TensorInfo
from paramviz.store.codec import CorruptBytesError
from paramviz.store.layout import NAMESPACE, SNAPSHOT_ARRAYS, decode_number, encode_number, seal

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileSeal:
    """Length and crc32c of one file of a committed iteration."""

    length: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What the last-written file of an iteration says of it."""

    iteration: int
    plan: int
    tier: str
    sequence: int
    time_unix_s: float
    scalars: dict[str, float]
    events: tuple[Event, ...]
    gradient_states: GradientStates
    basis: int | None
    files: dict[str, FileSeal]
    crc32c: int

    def to_json(self) -> Record:
        """The record as it lies in the group's attributes, without its seal."""
        states = self.gradient_states
        return {
            "iteration": self.iteration,
            "plan": self.plan,
            "tier": self.tier,
            "sequence": self.sequence,
            "time_unix_s": self.time_unix_s,
            "scalars": {name: encode_number(value) for name, value in self.scalars.items()},
            "events": [{"kind": e.kind, "text": e.text} for e in self.events],
            "gradient_state": {
                "default": states.default,
                "exceptions": {str(index): state for index, state in states.exceptions.items()},
                "reason": states.reason,
            },
            "basis": self.basis,
            "files": write_files(self.files),
        }

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the arrays that this iteration holds."""
        return frozenset(name.split("/", 1)[0] for name in self.files) & SNAPSHOT_ARRAYS.keys()


def open_record(data: bytes) -> Record:
    """Our record in a group's `zarr.json`, its seal checked."""
    try:
        document = json.loads(data)
        record = document["attributes"][NAMESPACE]
        if document["zarr_format"] != 3 or document["node_type"] != "group":
            raise CorruptBytesError("is no Zarr v3 group")
        stored = record.pop("crc32c")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptBytesError("holds no record of paramviz") from error
    try:
        found = seal(record)
    except (ValueError, RecursionError) as error:
        raise CorruptBytesError("holds a record that JSON cannot") from error
    if found != stored:
        raise CorruptBytesError("fails its checksum")
    return dict(record)


def read_files(record: Record) -> dict[str, FileSeal]:
    """The files that a record vouches for, by key relative to its group."""
    try:
        files = record["files"].items()
        return {_text(key): FileSeal(int(seal[0]), int(seal[1])) for key, seal in files}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CorruptBytesError("holds a list of files that makes no sense") from error


def write_files(files: Mapping[str, FileSeal]) -> Record:
    """Inverse of `read_files`, for the record's field `files`."""
    return {key: [file.length, file.crc32c] for key, file in files.items()}


def plan_record(plan: Plan) -> Record:
    tensors = [
        {
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
        for t in plan.tensors
    ]
    embedding = plan.embedding
    return {
        "plan": plan.number,
        "tensors": tensors,
        "values": len(plan.positions),
        "vectors": len(plan.vector_positions),
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


def read_tensors(record: Record) -> tuple[TensorInfo, ...]:
    """The catalogue of a plan record, checked to be consistent with its arrays."""
    try:
        lengths = {"values": int(record["values"]), "vectors": int(record["vectors"])}
        tensors = tuple(_read_tensor(index, t, lengths) for index, t in enumerate(record["tensors"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptBytesError(f"holds a catalogue that makes no sense ({error})") from error
    names = {t.name for t in tensors}
    if len(names) != len(tensors):
        raise CorruptBytesError("names a tensor twice")
    if any(t.tied_to is not None and t.tied_to not in names for t in tensors):
        raise CorruptBytesError("ties a tensor to one that is not there")
    return tensors


def _read_tensor(index: int, t: Record, lengths: Mapping[str, int]) -> TensorInfo:
    rows, columns = (int(n) for n in t["grid"])
    tensor = TensorInfo(
        index=index,
        name=_text(t["name"]),
        shape=tuple(int(n) for n in t["shape"]),
        dtype=_text(t["dtype"]),
        role=_text(t["role"]),
        layer=None if t["layer"] is None else int(t["layer"]),
        block=_text(t["block"]),
        tied_to=None if t["tied_to"] is None else _text(t["tied_to"]),
        frozen=bool(t["frozen"]),
        skipped=None if t["skipped"] is None else _text(t["skipped"]),
        samples=rows * columns,
        grid=(rows, columns),
        array=_text(t["array"]),
        offset=int(t["offset"]),
    )
    if tensor.array not in lengths or min(rows, columns, tensor.offset, *tensor.shape, 0) < 0:
        raise ValueError(f"tensor {tensor.name!r}")
    if tensor.offset + tensor.samples > lengths[tensor.array] or tensor.samples > max(tensor.size, 0):
        raise ValueError(f"samples of tensor {tensor.name!r} lie outside of its array")
    return tensor


def read_embedding(record: Record, tokens: npt.NDArray[np.int32]) -> EmbeddingPlan | None:
    embedding = record["embedding"]
    if embedding is None:
        return None
    try:
        return EmbeddingPlan(
            tensor=_text(embedding["tensor"]),
            width=int(embedding["width"]),
            vocabulary_size=int(embedding["vocabulary_size"]),
            tokens=tokens,
            every_snapshot=bool(embedding["every_snapshot"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptBytesError("describes an embedding that makes no sense") from error


def commit_record(snapshot: Snapshot, sequence: int, files: dict[str, FileSeal]) -> Record:
    """The record that publishes `snapshot`, the `sequence`-th commit of its run."""
    return CommitRecord(
        iteration=snapshot.iteration,
        plan=snapshot.plan,
        tier=snapshot.tier,
        sequence=sequence,
        time_unix_s=snapshot.time_unix_s,
        scalars=snapshot.scalars,
        events=tuple(snapshot.events),
        gradient_states=snapshot.gradient_states,
        basis=snapshot.basis,
        files=files,
        crc32c=0,
    ).to_json()


def read_commit(data: bytes, iteration: int) -> CommitRecord:
    """The commit record in the bytes of an iteration's `zarr.json`."""
    record = open_record(data)
    try:
        state = record["gradient_state"]
        commit = CommitRecord(
            iteration=int(record["iteration"]),
            plan=int(record["plan"]),
            tier=_text(record["tier"]),
            sequence=int(record["sequence"]),
            time_unix_s=float(record["time_unix_s"]),
            scalars={_text(k): decode_number(v) for k, v in record["scalars"].items()},
            events=tuple(Event(iteration, _text(e["kind"]), _text(e["text"])) for e in record["events"]),
            gradient_states=GradientStates(
                default=_text(state["default"]),
                exceptions={int(k): _text(v) for k, v in state["exceptions"].items()},
                reason=_text(state["reason"]),
            ),
            basis=None if record["basis"] is None else int(record["basis"]),
            files=read_files(record),
            crc32c=seal(record),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CorruptBytesError("holds a commit record that makes no sense") from error
    if commit.iteration != iteration:
        raise CorruptBytesError(f"is the record of iteration {commit.iteration}, not of {iteration}")
    return commit


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
