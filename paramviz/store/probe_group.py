"""The group of a probe: what the fixed batch is, and what the arrays that came of it describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paramviz.schema import AttentionLayer, Probe
from paramviz.store import layout, limits
from paramviz.store.checked import text, whole
from paramviz.store.codec import CorruptBytesError
from paramviz.store.groups import Damaged, read_group_record, read_kept_array
from paramviz.store.records import Record
from paramviz.store.source import Source


def probe_record(probe: Probe) -> Record:
    """The record of the group, without its list of files."""
    return {
        "probe": probe.number,
        "inputs": [{"name": name, "shape": list(shape)} for name, shape in probe.inputs],
        "tokens": len(probe.tokens),
        "layers": [
            {"name": layer.name, "heads": layer.heads, "pattern": [layer.queries, layer.keys]}
            for layer in probe.layers
        ],
        "residuals": list(probe.residuals),
        "modules": list(probe.modules),
        "columns": list(probe.columns),
        "reason": probe.reason,
    }


def read_probe(source: Source, number: int, damaged: Damaged) -> Probe:
    """Probe `number`; raises what `damaged` makes of anything wrong."""
    key = layout.probe_key(number)
    record = read_group_record(source, key, damaged)
    try:
        n_tokens = whole(record["tokens"], "tokens")
        return Probe(
            number,
            tuple(_list(record["inputs"], _input)),
            read_kept_array(source, key, "tokens", (n_tokens,), "<i8", record),
            tuple(_list(record["layers"], _layer)),
            tuple(_list(record["residuals"], _name)),
            tuple(_list(record["modules"], _name)),
            tuple(_list(record["columns"], _name, most=limits.TABLE_COLUMNS)),
            text(record["reason"], "a reason", most=limits.RECORD_BYTES),
        )
    except (CorruptBytesError, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(key, f"cannot be read ({error})") from error


def without_tokens(record: Record) -> Record:
    """The record of a probe whose batch is not told."""
    files = {key: seal for key, seal in record["files"].items() if not key.startswith("tokens/")}
    return {**record, "tokens": 0, "files": files}


def _list(value: Any, read: Callable[[Any], Any], most: int = limits.RECORD_ITEMS) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise CorruptBytesError(f"holds no list where one of at most {most:,} must be")
    return [read(item) for item in value]


def _name(value: Any) -> str:
    return text(value, "a name")


def _input(value: Record) -> tuple[str, tuple[int, ...]]:
    shape = _list(value["shape"], lambda extent: whole(extent, "an extent"), most=limits.DIMENSIONS)
    return _name(value["name"]), tuple(shape)


def _layer(value: Record) -> AttentionLayer:
    pattern = _list(
        value["pattern"], lambda n: whole(n, "a pattern", most=limits.ATTENTION_POSITIONS), most=2
    )
    queries, keys = pattern
    heads = whole(value["heads"], "heads", most=limits.ATTENTION_HEADS)
    return AttentionLayer(_name(value["name"]), heads, queries, keys)
