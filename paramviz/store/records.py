"""JSON records in the groups' attributes, to and from the dataclasses of `schema`.

A record comes from a run that may be a stranger's: whatever is missing, of a
wrong type or out of range becomes one `CorruptBytesError`, never a stray KeyError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import EmbeddingPlan, Event, GradientStates, Plan, Snapshot, TensorInfo
from paramviz.store import limits
from paramviz.store.checked import flag, moment, shown, text, whole
from paramviz.store.codec import CorruptBytesError
from paramviz.store.layout import (
    FROZEN_ARRAYS,
    NAMESPACE,
    SNAPSHOT_ARRAYS,
    decode_number,
    encode_number,
    seal,
)

Record = dict[str, Any]

_FILE_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}){1,7}")
"""A file below a group: no step up, no absolute path, nothing that any file system reads in its own way."""

_CRC = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class FileSeal:
    """Length and crc32c of one file of a committed group; for a shard, the crc32c of each inner chunk too.

    These tell a chunk that is read alone from a good chunk of another file. A
    shard without them (`chunks` empty) has to be read whole to be trusted.
    """

    length: int
    crc32c: int
    chunks: tuple[int, ...] = ()


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
    probe: int | None
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
            "probe": self.probe,
            "files": write_files(self.files),
        }

    @property
    def arrays(self) -> frozenset[str]:
        """Names of the arrays that this iteration holds."""
        return frozenset(name.split("/", 1)[0] for name in self.files) & SNAPSHOT_ARRAYS.keys()


def open_record(data: bytes) -> Record:
    """Our record in a group's `zarr.json`, its seal checked."""
    document = load_json(data)
    try:
        record = document["attributes"][NAMESPACE]
        if document["zarr_format"] != 3 or document["node_type"] != "group":
            raise CorruptBytesError("is no Zarr v3 group")
        stored = record.pop("crc32c")
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptBytesError("holds no record of paramviz") from error
    try:
        found = seal(record)
    except (ValueError, TypeError) as error:
        raise CorruptBytesError("holds a record that JSON cannot") from error
    if found != stored:
        raise CorruptBytesError("fails its checksum")
    return dict(record)


def load_json(data: bytes) -> Any:
    """The value of a JSON text of bounded size, depth and number of items."""
    if len(data) > limits.RECORD_BYTES:
        raise CorruptBytesError(f"has more than the {limits.RECORD_BYTES:,} bytes that a record may have")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > limits.RECORD_ITEMS:
        raise CorruptBytesError(f"has more than {limits.RECORD_ITEMS:,} items in it")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptBytesError("holds no record of paramviz") from error
    level = [document]
    for _ in range(limits.RECORD_DEPTH):
        # What JSON gives is of these very types, which is quicker to ask than isinstance.
        inner: list[Any] = []
        for item in level:
            if type(item) is dict:
                inner += item.values()
            elif type(item) is list:
                inner += item
        if not inner:
            return document
        level = inner
    raise CorruptBytesError(f"is nested more than {limits.RECORD_DEPTH} deep")


def read_files(record: Record) -> dict[str, FileSeal]:
    """The files that a record vouches for, by key relative to its group."""
    files = record.get("files")
    if not isinstance(files, dict) or len(files) > limits.FILES_PER_GROUP:
        raise CorruptBytesError("holds a list of files that makes no sense")
    return {_file_key(key): _file_seal(sealed) for key, sealed in files.items()}


def write_files(files: Mapping[str, FileSeal]) -> Record:
    """Inverse of `read_files`, for the record's field `files`."""
    return {
        key: [file.length, file.crc32c, *([list(file.chunks)] if file.chunks else [])]
        for key, file in files.items()
    }


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
            "groups": [t.row_groups, t.column_groups],
            "transposed": t.transposed,
        }
        for t in plan.tensors
    ]
    embedding = plan.embedding
    return {
        "plan": plan.number,
        "tensors": tensors,
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


def read_tensors(record: Record) -> tuple[TensorInfo, ...]:
    """The catalogue of a plan record, checked to be consistent with its arrays."""
    lengths = {key: whole(record.get(key), key) for key in FROZEN_ARRAYS}
    frozen = read_frozen_counts(record)
    moving = {key: lengths[key] - frozen[key] for key in lengths}
    try:
        tensors = tuple(_read_tensor(index, t, lengths, moving) for index, t in enumerate(record["tensors"]))
    except (KeyError, TypeError) as error:
        raise CorruptBytesError("holds a catalogue that makes no sense") from error
    by_name = {t.name: t for t in tensors}
    if len(by_name) != len(tensors):
        raise CorruptBytesError("names a tensor twice")
    for tied in (t for t in tensors if t.tied_to is not None):
        owner = by_name.get(tied.tied_to or "")
        # The owner answers for the tied name; one that is tied itself, to whomever, has no answer.
        if owner is None or owner.tied_to is not None:
            raise CorruptBytesError(f"ties {shown(tied.name)} to {shown(tied.tied_to)}, which has no samples")
    return tensors


def read_frozen_counts(record: Record) -> dict[str, int]:
    """How many of a plan's "values" and "vectors" it holds itself; a run of format 0.1 has none."""
    return {
        key: whole(record.get(array, 0), array, most=whole(record.get(key), key))
        for key, array in FROZEN_ARRAYS.items()
    }


def _read_tensor(index: int, t: Record, lengths: Mapping[str, int], moving: Mapping[str, int]) -> TensorInfo:
    name = text(t["name"], "the name of a tensor")
    shape, grid = t["shape"], t["grid"]
    if not isinstance(shape, list) or len(shape) > limits.DIMENSIONS:
        raise CorruptBytesError(f"gives {shown(name)} a shape that no tensor has")
    rows, columns = _pair(grid, "a grid", name)
    # Format 0.1 had no groups.
    row_groups, column_groups = _pair(t.get("groups", [1, 1]), "groups", name)
    tensor = TensorInfo(
        index=index,
        name=name,
        shape=tuple(whole(n, "an extent") for n in shape),
        dtype=text(t["dtype"], "a dtype"),
        role=text(t["role"], "a role"),
        layer=None if t["layer"] is None else whole(t["layer"], "a layer"),
        block=text(t["block"], "a block"),
        tied_to=None if t["tied_to"] is None else text(t["tied_to"], "the owner of a tensor"),
        frozen=flag(t["frozen"], "frozen"),
        skipped=None if t["skipped"] is None else text(t["skipped"], "a reason", most=limits.RECORD_BYTES),
        samples=rows * columns,
        grid=(rows, columns),
        array=text(t["array"], "an array"),
        offset=whole(t["offset"], "an offset"),
        row_groups=row_groups,
        column_groups=column_groups,
        transposed=flag(t.get("transposed", False), "transposed"),
    )
    whole(tensor.size, "the size of a tensor")
    if tensor.array not in lengths:
        raise CorruptBytesError(
            f"puts {shown(name)} into {shown(tensor.array)}, which is no array of samples"
        )
    if tensor.offset + tensor.samples > lengths[tensor.array] or tensor.samples > tensor.size:
        raise CorruptBytesError(f"has samples of {shown(name)} outside of their array")
    if tensor.offset < moving[tensor.array] < tensor.offset + tensor.samples:
        raise CorruptBytesError(f"has samples of {shown(name)} half in the plan, half in the snapshots")
    return tensor


def _pair(value: Any, what: str, tensor: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise CorruptBytesError(f"gives {shown(tensor)} {what} that is no pair of numbers")
    return whole(value[0], what), whole(value[1], what)


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
        probe=snapshot.probe,
        files=files,
        crc32c=0,
    ).to_json()


def read_commit(data: bytes, iteration: int) -> CommitRecord:
    """The commit record in the bytes of an iteration's `zarr.json`."""
    record = open_record(data)
    try:
        state = record["gradient_state"]
        commit = CommitRecord(
            iteration=whole(record["iteration"], "an iteration"),
            plan=whole(record["plan"], "a plan", most=limits.PLANS),
            tier=text(record["tier"], "a tier"),
            sequence=whole(record["sequence"], "a sequence"),
            time_unix_s=moment(record["time_unix_s"], "a time"),
            scalars={k: decode_number(v) for k, v in record["scalars"].items()},
            events=tuple(_read_event(iteration, event) for event in record["events"]),
            gradient_states=GradientStates(
                default=text(state["default"], "a gradient state"),
                exceptions={
                    whole(int(k), "a tensor"): text(v, "a gradient state")
                    for k, v in state["exceptions"].items()
                },
                reason=text(state["reason"], "a reason", most=limits.RECORD_BYTES),
            ),
            basis=_number(record["basis"], "a basis", limits.BASES),
            # Format 0.1 had no probes.
            probe=_number(record.get("probe"), "a probe", limits.PROBES),
            files=read_files(record),
            crc32c=seal(record),
        )
    except CorruptBytesError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorruptBytesError("holds a commit record that makes no sense") from error
    if commit.iteration != iteration:
        raise CorruptBytesError(f"is the record of iteration {commit.iteration}, not of {iteration}")
    return commit


def _number(value: Any, name: str, most: int) -> int | None:
    return None if value is None else whole(value, name, most=most)


def _read_event(iteration: int, event: Record) -> Event:
    kind = text(event["kind"], "the kind of an event")
    return Event(iteration, kind, text(event["text"], "the text of an event", most=limits.RECORD_BYTES))


def _file_key(key: str) -> str:
    if not _FILE_KEY.fullmatch(key):
        raise CorruptBytesError(f"lists {shown(key)}, which is no name of a file of a run")
    return key


def _file_seal(sealed: Any) -> FileSeal:
    if not isinstance(sealed, list) or not 2 <= len(sealed) <= 3:
        raise CorruptBytesError("holds a list of files that makes no sense")
    length = whole(sealed[0], "the length of a file", most=limits.FILE_BYTES)
    chunks = sealed[2] if len(sealed) == 3 else []
    if not isinstance(chunks, list):
        raise CorruptBytesError("holds a list of files that makes no sense")
    checksum, *inner = (whole(n, "a checksum", most=_CRC) for n in (sealed[1], *chunks))
    return FileSeal(length, checksum, tuple(inner))
