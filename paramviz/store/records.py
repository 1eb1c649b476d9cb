"""JSON records in the groups' attributes, to and from the dataclasses of `schema`.

A record comes from a run that may be a stranger's: whatever is missing, of a
wrong type or out of range becomes one `CorruptBytesError`, never a stray KeyError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paramviz.schema import Event, GradientStates, Snapshot
from paramviz.store import limits
from paramviz.store.checked import moment, shown, text, whole
from paramviz.store.codec import CorruptBytesError
from paramviz.store.layout import (
    NAMESPACE,
    SNAPSHOT_ARRAYS,
    decode_number,
    encode_number,
    seal,
    seal_of_bytes,
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
        return frozenset(SNAPSHOT_ARRAYS).intersection(name.split("/", 1)[0] for name in self.files)


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
        found = seal_of_bytes(data)
        if found != stored:
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
            if (kind := type(item)) is dict:
                inner += item.values()
            elif kind is list:
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
