"""From an error to the answer that says what is wrong: status, kind and message (docs/HTTP.md, Errors)."""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from paramviz.errors import (
    DamagedRunError,
    FormatVersionError,
    IterationNotFoundError,
    NotARunError,
    NotRecordedError,
    ParamvizError,
    TensorNotFoundError,
    UnreachableError,
    UnsafeRunError,
)
from viewer.json_numbers import json_response

_log = logging.getLogger(__name__)

_STATUS = {
    "usage": 400,
    "forbidden": 403,
    "absent": 404,
    "damaged": 422,
    "internal": 500,
    "unreachable": 502,
    "busy": 503,
}

_KINDS: tuple[tuple[type[ParamvizError], str], ...] = (
    (IterationNotFoundError, "absent"),
    (TensorNotFoundError, "absent"),
    (NotRecordedError, "absent"),
    (NotARunError, "absent"),
    (FormatVersionError, "damaged"),
    (DamagedRunError, "damaged"),
    (UnsafeRunError, "damaged"),
    (UnreachableError, "unreachable"),
)

_OUT_OF_REACH = (
    "The place where this run lies does not answer, or refuses; the terminal of `paramviz view` says how. "
    "It is tried again by itself."
)


class RequestError(ParamvizError):
    """A request that the viewer refuses, with the `kind` that names why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def usage(message: str) -> RequestError:
    return RequestError("usage", message)


def absent(message: str) -> RequestError:
    return RequestError("absent", message)


def forbidden(message: str) -> RequestError:
    return RequestError("forbidden", message)


def describe(error: ParamvizError) -> dict[str, Any]:
    """The `error` object of an answer: kind, message and, for damage, the key of the file."""
    if isinstance(error, RequestError):
        return {"kind": error.kind, "message": error.message}
    kind = next((kind for type_, kind in _KINDS if isinstance(error, type_)), "internal")
    # What a server far away says of itself names hosts and buckets, which are none of the page's business.
    message = _OUT_OF_REACH if kind == "unreachable" else without_path(error)
    described: dict[str, Any] = {"kind": kind, "message": message}
    if isinstance(error, DamagedRunError):
        described["key"] = error.key
    return described


def without_path(error: ParamvizError | OSError) -> str:
    """The message, but for where the run lies on the server's disk: a browser need not know."""
    if isinstance(error, OSError):
        return f"It cannot be read ({error.strerror or type(error).__name__}). Check its permissions."
    message = str(error)
    if not error.path:
        return message
    message = message.removeprefix(f"{error.path}: ").replace(error.path, "this run")
    # It begins a sentence now, if it does not begin with the name of a file.
    return message[:1].upper() + message[1:] if message.partition(" ")[0].isalpha() else message


def register(app: Flask) -> None:
    """Answer every error as JSON under api/, and as one plain sentence elsewhere."""

    @app.errorhandler(ParamvizError)
    def on_paramviz_error(error: ParamvizError) -> Response:
        described = describe(error)
        return _worded(described, _STATUS[described["kind"]])

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        status = error.code or 500
        kind = "absent" if status == 404 else "usage" if status < 500 else "internal"
        response = _worded({"kind": kind, "message": error.description or error.name}, status)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    def on_defect(error: Exception) -> Response:
        _log.error("%s %r failed", request.method, request.path, exc_info=error)
        message = f"The viewer failed on this request ({type(error).__name__}). Its log has the details."
        return _worded({"kind": "internal", "message": message}, 500)


def _worded(described: dict[str, Any], status: int) -> Response:
    if request.path.startswith("/api/"):
        return json_response({"error": described}, status)
    response = Response(described["message"] + "\n", status, content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    return response
