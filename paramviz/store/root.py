"""The record at the root of a run: which run it is, in which format, and what it says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass

from paramviz.errors import FormatVersionError, NotARunError
from paramviz.schema import FORMAT_MAJOR, FORMAT_MINOR, Description
from paramviz.store.codec import CorruptBytesError
from paramviz.store.groups import Damaged
from paramviz.store.layout import GROUP_RECORD, NAMESPACE
from paramviz.store.records import Record, open_record
from paramviz.store.source import Source

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
        found = json.loads(data)["attributes"][NAMESPACE]["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotARunError(
            f"{source.path}: is no run of paramviz (its zarr.json does not say so). Name a run.",
            path=source.path,
        ) from error
    if found != FORMAT:
        raise FormatVersionError(
            f"{source.path}: format {found}, this paramviz reads {FORMAT}. "
            "Install the paramviz that wrote it, or record again.",
            path=source.path,
            found=str(found),
        )
    try:
        record = open_record(data)
        return Root(
            format=FORMAT,
            run_id=str(record["run_id"]),
            name=str(record["name"]),
            created_unix_s=float(record["created_unix_s"]),
            description=dict(record["description"]),
            statistic_keys=tuple(str(key) for key in record["statistics"]),
            gradient_keys=tuple(str(key) for key in record["gradient_statistics"]),
            has_vocabulary=bool(record["vocabulary"]),
            record=record,
        )
    except CorruptBytesError as error:
        raise damaged(GROUP_RECORD, str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(GROUP_RECORD, "holds a record that makes no sense") from error


def _read_bytes(source: Source, damaged: Damaged) -> bytes:
    try:
        return source.read(GROUP_RECORD)
    except FileNotFoundError as error:
        raise NotARunError(
            f"{source.path}: holds no run (there is no zarr.json in it). Name the run itself.",
            path=source.path,
        ) from error
    except CorruptBytesError as error:
        raise damaged(GROUP_RECORD, str(error)) from error
