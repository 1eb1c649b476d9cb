"""Numbers on their way to a page: raw little-endian bytes inside msgpack (docs/HTTP.md)."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
from flask import Response


def raw(array: npt.NDArray[Any], dtype: str) -> bytes:
    """The elements of `array`, row-major, as little-endian bytes of `dtype`."""
    return np.ascontiguousarray(array, dtype=dtype).tobytes()


def packed_response(content: object, *, cache: str = "no-store") -> Response:
    """The content as msgpack. cache: what Cache-Control says."""
    # A stranger's text may have halves of characters in it, which UTF-8 lacks.
    body: bytes = msgpack.packb(content, unicode_errors="replace")
    response = Response(body, content_type="application/msgpack")
    response.headers["Cache-Control"] = cache
    return response
