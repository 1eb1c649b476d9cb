"""The record at the root of a run: which run it is, in which format, and what it says of itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from paramviz.errors import FormatVersionError, NotARunError
from paramviz.schema import FORMAT_MAJOR, FORMAT_MINOR, Description
from paramviz.store import limits
from paramviz.store.checked import flag, moment, shown, text
from paramviz.store.codec import CorruptBytesError
from paramviz.store.groups import Damaged, read_record_bytes
from paramviz.store.layout import GROUP_RECORD, NAMESPACE
from paramviz.store.records import Record, load_json, open_record
from paramviz.store.source import Source

_VERSION = re.compile(r"[0-9.]{1,20}")
FORMAT = f"{FORMAT_MAJOR}.{FORMAT_MINOR}"


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
    if found != FORMAT:
        named = found if isinstance(found, str) and _VERSION.fullmatch(found) else shown(found)
        raise FormatVersionError(
            f"{source.path}: format {named}, this paramviz reads {FORMAT}. "
            "Install the paramviz that wrote it, or record again.",
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
            format=FORMAT,
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
