"""The record at the root of a run: which run it is, in which format, and what it says of itself."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from paramviz.errors import FormatVersionError, NotARunError, UsageError
from paramviz.schema import FORMAT_MAJOR, FORMAT_MINOR, GRADIENT_KEYS, STATISTIC_KEYS, Description
from paramviz.store import limits
from paramviz.store.checked import flag, moment, shown, text
from paramviz.store.codec import CorruptBytesError
from paramviz.store.groups import Damaged, read_record_bytes
from paramviz.store.layout import GROUP_RECORD, NAMESPACE, group_metadata
from paramviz.store.records import Record, load_json, open_record
from paramviz.store.source import Source

_VERSION = re.compile(r"[0-9.]{1,20}")
FORMAT = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"
"""Of the runs that are written."""

_READABLE = re.compile(rf"0\.1|{FORMAT_MAJOR}\.\d{{1,6}}")
"""A later minor version adds only what a reader may pass over; what is in 0.1 means the same today."""


@dataclass(frozen=True, slots=True)
class Root:
    """What the root record says. `record` is all of it, without its seal."""

    format: str
    run_id: str
    name: str
    created_unix_s: float
    description: Description
    statistic_keys: tuple[str, ...]
    gradient_keys: tuple[str, ...]
    has_vocabulary: bool
    record: Record


def read_root(source: Source, damaged: Damaged) -> Root:
    """The root record of the run in `source`.

    Raises NotARunError if there is none, FormatVersionError if it is of
    another format, and what `damaged` makes of one that fails its seal.
    """
    data = _read_bytes(source, damaged)
    try:
        found = load_json(data)["attributes"][NAMESPACE]["format"]
    except (CorruptBytesError, KeyError, TypeError) as error:
        why = str(error) if isinstance(error, CorruptBytesError) else "does not say so"
        raise NotARunError(
            f"{source.path}: is no run of paramviz (its zarr.json {why}). Name a run.", path=source.path
        ) from error
    if not isinstance(found, str) or not _READABLE.fullmatch(found):
        named = found if isinstance(found, str) and _VERSION.fullmatch(found) else shown(found)
        raise FormatVersionError(
            f"{source.path}: format {named}, this paramviz reads 0.1 and {FORMAT_MAJOR}.x. "
            "Install a newer paramviz, or the one that wrote it.",
            path=source.path,
            found=named,
        )
    try:
        return parse_root(open_record(data))
    except CorruptBytesError as error:
        raise damaged(GROUP_RECORD, str(error)) from error


def parse_root(record: Record) -> Root:
    """What a root record says; CorruptBytesError if it makes no sense."""
    try:
        description = record["description"]
        if not isinstance(description, dict):
            raise CorruptBytesError("holds a description that is no map")
        return Root(
            format=text(record["format"], "format"),
            run_id=text(record["run_id"], "run_id"),
            name=text(record["name"], "name"),
            created_unix_s=moment(record["created_unix_s"], "created_unix_s"),
            description=description,
            statistic_keys=_columns(record["statistics"]),
            gradient_keys=_columns(record["gradient_statistics"]),
            has_vocabulary=flag(record["vocabulary"], "vocabulary"),
            record=record,
        )
    except KeyError as error:
        raise CorruptBytesError(f"holds a record without {error}") from error


def refuse_older(path: Path | str, root: Root) -> None:
    """FormatVersionError for a run that the present format would not continue as it began."""
    same = (root.statistic_keys, root.gradient_keys) == (STATISTIC_KEYS, GRADIENT_KEYS)
    if root.format != FORMAT or not same:
        raise FormatVersionError(
            f"{path}: format {root.format} can be read, but this paramviz records {FORMAT} and does not go "
            "on with it. Record into a new run.",
            path=path,
            found=root.format,
        )


def new_root(path: Path | str, name: str | None, description: Description, *, has_vocabulary: bool) -> Record:
    """The root record of a new run at `path`, named after it unless `name` says otherwise.

    UsageError for one that could not be read again.
    """
    root: Record = {
        "format": FORMAT,
        "run_id": secrets.token_hex(8),
        "name": name or _name_of(path),
        "created_unix_s": time.time(),
        "statistics": list(STATISTIC_KEYS),
        "gradient_statistics": list(GRADIENT_KEYS),
        "vocabulary": has_vocabulary,
        "description": description,
    }
    try:
        parse_root(open_record(group_metadata(root)))
    except CorruptBytesError as error:
        raise UsageError(
            f"{path}: what the run says of itself could not be read again: its record {error}. Leave out "
            "of the configuration what is large."
        ) from error
    return root


def _name_of(path: Path | str) -> str:
    return str(path).rstrip("/").replace("\\", "/").rpartition("/")[2].removesuffix(".zarr")


def _columns(names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or len(names) > limits.TABLE_COLUMNS:
        raise CorruptBytesError(f"holds no list of at most {limits.TABLE_COLUMNS} columns of a table")
    columns = tuple(text(name, "a column") for name in names)
    if len(set(columns)) != len(columns):
        raise CorruptBytesError("names a column of a table twice")
    return columns


def _read_bytes(source: Source, damaged: Damaged) -> bytes:
    try:
        return read_record_bytes(source, GROUP_RECORD)
    except FileNotFoundError as error:
        raise NotARunError(
            f"{source.path}: holds no run (there is no zarr.json in it). Name the run itself.",
            path=source.path,
        ) from error
    except CorruptBytesError as error:
        raise damaged(GROUP_RECORD, str(error)) from error
