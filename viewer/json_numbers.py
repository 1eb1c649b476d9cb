"""JSON that every browser accepts, whatever numbers a run holds.

JSON has no NaN and no infinity, and Python writes them bare all the same. They
travel as the strings "NaN", "Infinity" and "-Infinity" (docs/HTTP.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from flask import Response


def encode(value: Any) -> str:
    """`value` as compact JSON on one line. Keys keep their order."""
    try:
        # A catalogue of 20,000 tensors: going through it in Python would take four times as long.
        return _compact(value)
    except (ValueError, TypeError):
        return _compact(portable(value))


def json_response(value: Any, status: int = 200, *, cache: str = "no-store") -> Response:
    response = Response(encode(value), status, content_type="application/json")
    response.headers["Cache-Control"] = cache
    return response


def portable(value: Any) -> Any:
    """`value` with nothing in it that JSON does not know: numpy's arrays and numbers, NaN and infinity."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): portable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    return value


def _compact(value: Any) -> str:
    return json.dumps(value, default=portable, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
