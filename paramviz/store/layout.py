"""Where things lie in a run, and the Zarr v3 metadata that describes them.

Pure: names and JSON, no file is touched. `docs/FORMAT.md` is the specification.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from paramviz.store.limits import WHOLE_NUMBER

NAMESPACE = "paramviz"
"""The attribute of each of our groups under which everything of ours stands."""

GROUP_RECORD = "zarr.json"
PLANS, BASES, ITERATIONS, VOCABULARY = "plans", "bases", "iterations", "vocabulary"
PROBES = "probes"
TIMELINE, SCALARS, DENSE = "timeline", "scalars", "dense"
BLOCK_FOLDERS = (TIMELINE, SCALARS)
"""Groups of blocks, which say again what snapshots and journal say, for quick and for foreign readers."""

PRIVATE = ".paramviz"
JOURNAL = f"{PRIVATE}/journal"
LOCK = f"{PRIVATE}/lock"
STAGING = f"{PRIVATE}/tmp"

INNER_CHUNK = 16_384
"""Elements per inner chunk of a sharded array: one small read serves one tensor."""

FROZEN_ARRAYS: dict[str, str] = {"values": "frozen_values", "vectors": "frozen_vectors"}
"""Where in a plan those samples lie that no snapshot repeats, by the array that has the others."""

CELL_ARRAYS = ("cells_mean", "cells_rms", "cells_absmax")
NORM_ARRAYS = ("row_norms", "column_norms", "gradient_row_norms", "gradient_column_norms")
SAMPLE_ARRAYS = ("gradient_values", "update_values")
SHARDED = frozenset(
    {"values", "vectors", *FROZEN_ARRAYS.values(), *SAMPLE_ARRAYS, *CELL_ARRAYS, *NORM_ARRAYS, "spectrum"}
)
"""Arrays from which single tensors are read, so each is one shard of inner chunks."""

PROBE_ARRAYS: dict[str, str] = {
    "attention": "<f2",
    "attention_entropy": "<f4",
    "attention_max_logit": "<f4",
    "residual_rms": "<f4",
    "activations": "<f4",
}
"""What a probe adds to a snapshot; their shapes follow from the probe, not from the plan."""

SNAPSHOT_ARRAYS: dict[str, str] = {
    "values": "<f2",
    "vectors": "<f4",
    "statistics": "<f4",
    "histograms": "<u4",
    "gradient_statistics": "<f4",
    "embedding_rows": "<f2",
    "embedding_scores": "<f2",
    **dict.fromkeys(SAMPLE_ARRAYS, "<f2"),
    "gradient_exponents": "<i2",
    "update_exponents": "<i2",
    **dict.fromkeys(CELL_ARRAYS, "<f2"),
    "cell_exponents": "<i2",
    **dict.fromkeys(NORM_ARRAYS, "<f2"),
    "norm_exponents": "<i2",
    "row_norm_histograms": "<u4",
    "head_norms": "<f4",
    "spectrum": "<f4",
    "embedding_sketch": "<f2",
    "embedding_variance": "<f8",
    "embedding_neighbours": "<i4",
    "embedding_distances": "<f4",
    **PROBE_ARRAYS,
}
"""Arrays that a snapshot may hold, with their dtypes on disk."""

TIMELINE_INNER_CHUNK = 4
"""Tensors per inner chunk of a timeline: 4 times 256 snapshots of 21 statistics make 86 kB."""

_ZARR_DTYPES = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "u1": "uint8",
    "u4": "uint32",
}

ZSTD_LEVEL = 1
"""Sampled float16 weights hardly compress at any level; 1 is the cheapest."""


def plan_key(number: int) -> str:
    return f"{PLANS}/{number:04d}"


def basis_key(number: int) -> str:
    return f"{BASES}/{number:04d}"


def probe_key(number: int) -> str:
    return f"{PROBES}/{number:04d}"


def iteration_key(iteration: int) -> str:
    return f"{ITERATIONS}/{iteration_name(iteration)}"


def iteration_name(iteration: int) -> str:
    """The folder of an iteration below `iterations/`."""
    return f"{iteration:08d}"


def block_key(folder: str, number: int) -> str:
    return f"{folder}/{number:06d}"


def parse_iteration(name: str) -> int | None:
    """The iteration that a folder below `iterations/` stands for, None if it is no such folder."""
    if len(name) < 8 or not name.isascii() or not name.isdigit():
        return None
    iteration = int(name)
    return iteration if name == f"{iteration:08d}" and iteration <= WHOLE_NUMBER else None


def journal_segment(number: int) -> str:
    return f"{JOURNAL}/{number:06d}.log"


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """One array of a group: a single chunk, or a single shard of inner chunks of so many rows each.

    A row is an element of the first axis, with all that is below it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    inner_chunk: int | None = None
    dimension_names: tuple[str, ...] = ()

    @property
    def chunk_name(self) -> str:
        """Key of the only chunk (or shard) of the array, relative to the array."""
        return ".".join(["c", *("0" for _ in self.shape)])

    @property
    def n_inner(self) -> int:
        """Number of inner chunks of the shard; 1 without sharding."""
        return 1 if self.inner_chunk is None else -(-self.shape[0] // self.inner_chunk)


def layout_of(key: str, shape: Sequence[int], dtype: npt.DTypeLike) -> ArrayLayout:
    """The layout that the format prescribes for the array `key` of this shape."""
    dtype = np.dtype(dtype).newbyteorder("<")
    inner = min(INNER_CHUNK, shape[0]) if key in SHARDED else None
    if key == "attention":
        inner = 1  # one small read serves one layer
    return ArrayLayout(tuple(int(n) for n in shape), dtype, inner)


def timeline_layout(shape: tuple[int, ...]) -> ArrayLayout:
    """The layout of a block's statistics, (tensors, keys, snapshots) float32."""
    names = ("tensor", "statistic", "snapshot")
    return ArrayLayout(shape, np.dtype("<f4"), min(TIMELINE_INNER_CHUNK, shape[0]), names)


def array_metadata(layout: ArrayLayout) -> bytes:
    """`zarr.json` of an array, as the bytes to write."""
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    if layout.dtype.itemsize == 1:
        little = {"name": "bytes"}
    compressed: list[dict[str, Any]] = [
        little,
        {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": True}},
    ]
    chunk_shape, codecs = list(layout.shape), compressed
    if layout.inner_chunk is not None:
        below = list(layout.shape[1:])
        chunk_shape = [layout.inner_chunk * layout.n_inner, *below]
        codecs = [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [layout.inner_chunk, *below],
                    "codecs": compressed,
                    "index_codecs": [
                        {"name": "bytes", "configuration": {"endian": "little"}},
                        {"name": "crc32c"},
                    ],
                    "index_location": "end",
                },
            }
        ]
    metadata: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(layout.shape),
        "data_type": _ZARR_DTYPES[layout.dtype.str[1:]],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": "NaN" if layout.dtype.kind == "f" else 0,
        "codecs": codecs,
        "attributes": {},
        "storage_transformers": [],
    }
    if layout.dimension_names:
        metadata["dimension_names"] = list(layout.dimension_names)
    return json.dumps(metadata, separators=(",", ":")).encode()


def read_array_metadata(data: bytes) -> ArrayLayout:
    """Inverse of `array_metadata`; ValueError for metadata that it would not write."""
    try:
        document = json.loads(data)
        inner = None
        if document["codecs"][0]["name"] == "sharding_indexed":
            inner = document["codecs"][0]["configuration"]["chunk_shape"][0]
        dtype = {name: code for code, name in _ZARR_DTYPES.items()}[document["data_type"]]
        names = document.get("dimension_names", ())
        layout = checked_layout(document["shape"], np.dtype(dtype), inner, names)
    except (KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError("is no metadata of an array of a run") from error
    if array_metadata(layout) != data:
        raise ValueError("is not the metadata that an array of a run has")
    return layout


def checked_layout(
    shape: Sequence[int], dtype: np.dtype[Any], inner_chunk: int | None, dimension_names: Sequence[str]
) -> ArrayLayout:
    """A layout from untrusted parts; ValueError if no array of a run can have it."""
    plan = ArrayLayout(
        tuple(int(n) for n in shape),
        dtype.newbyteorder("<"),
        None if inner_chunk is None else int(inner_chunk),
        tuple(str(name) for name in dimension_names),
    )
    if dtype.str[1:] not in _ZARR_DTYPES or not plan.shape or min(plan.shape) < 1:
        raise ValueError(f"no array of a run is {dtype} of the shape {plan.shape}")
    if plan.inner_chunk is not None and not 1 <= plan.inner_chunk <= plan.shape[0]:
        raise ValueError(f"no array of a run has chunks of {plan.inner_chunk} of {plan.shape[0]} rows")
    return plan


_BEFORE_RECORD = b'{"zarr_format":3,"node_type":"group","attributes":{"%s":' % NAMESPACE.encode()
_AFTER_RECORD = b"}}"
_SEAL_AT_THE_END = re.compile(rb',"crc32c":([0-9]{1,10})\}\}\}')


def group_document(record: bytes) -> bytes:
    """`zarr.json` of a group whose record is the JSON text `record`, its seal included."""
    return _BEFORE_RECORD + record + _AFTER_RECORD


def group_metadata(record: dict[str, Any] | None = None) -> bytes:
    """`zarr.json` of a group that carries `record` under our namespace, sealed by its own checksum."""
    attributes = {}
    if record is not None:
        attributes[NAMESPACE] = {**record, "crc32c": seal(record)}
    return json.dumps(
        {"zarr_format": 3, "node_type": "group", "attributes": attributes},
        separators=(",", ":"),
        allow_nan=False,
    ).encode()


def canonical_group(record: dict[str, Any]) -> bytes:
    """The same with the fields in the order of their names, so that its bytes can be checked as they are."""
    canonical = _canonical(record)
    return group_document(b'%s,"crc32c":%d}' % (canonical[:-1], google_crc32c.value(canonical)))


def seal(record: dict[str, Any]) -> int:
    """crc32c of a record as canonical JSON: sorted keys, no white space, ASCII."""
    return int(google_crc32c.value(_canonical(record)))


def seal_of_bytes(data: bytes) -> int | None:
    """The seal of a record in bytes as `canonical_group` makes them; None if they are not such.

    Making a large record's canonical JSON again takes longer than reading it.
    """
    stated = _SEAL_AT_THE_END.fullmatch(data, max(data.rfind(b","), 0))
    if stated is None or not data.startswith(_BEFORE_RECORD):
        return None
    return int(google_crc32c.value(data[len(_BEFORE_RECORD) : stated.start()] + b"}"))


def _canonical(record: dict[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def encode_number(value: float) -> float | str:
    """A float as JSON may hold it: what JSON cannot say becomes the strings that Zarr uses."""
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def decode_number(value: Any) -> float:
    """Inverse of `encode_number`; ValueError for anything else."""
    if isinstance(value, str):
        if value not in ("NaN", "Infinity", "-Infinity"):
            raise ValueError(f"{value!r} is no number")
        return float(value.replace("Infinity", "inf"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value)
