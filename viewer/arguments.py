"""What a request says: whole numbers and lists of them, or a refusal that names the argument."""

from __future__ import annotations

import re

from flask import request

from viewer.problems import usage

_NUMBER = re.compile(r"\d{1,18}")


def whole_number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or not text.isascii():
        raise usage(f"{name} is {text[:40]!r}; it must be a whole number, 0 or more.")
    return int(text)


def listed(name: str) -> list[str]:
    """The parts of a comma-separated argument; none if it is missing."""
    return [text for text in request.args.get(name, "").split(",") if text]


def optional_number(name: str) -> int | None:
    text = request.args.get(name)
    return None if text is None else whole_number(name, text)
