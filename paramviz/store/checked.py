"""One value out of a record, checked to be what it should be.

JSON and msgpack hold anything: true for a number, 1.0 for 1, a number of ten
thousand digits. Each function returns the value as it is or raises a
CorruptBytesError that names it; nothing is converted on the way. Those in the plural
look at a whole column at once, and say what the others say of the first that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from paramviz.store import limits
from paramviz.store.codec import CorruptBytesError


def whole(value: Any, name: str, *, most: int = limits.WHOLE_NUMBER) -> int:
    """A whole number from 0 to `most`."""
    # bool is a subclass of int, and as a count or an offset it is a mistake or a trick.
    if type(value) is not int or not 0 <= value <= most:
        raise CorruptBytesError(f"holds {shown(value)} as {name}, which must be a whole number up to {most}")
    return value


def text(value: Any, name: str, *, most: int = limits.NAME_CHARS) -> str:
    """A text of at most `most` characters."""
    if not isinstance(value, str):
        raise CorruptBytesError(f"holds {shown(value)} as {name}, which must be a text")
    if len(value) > most:
        raise CorruptBytesError(f"holds a text of {len(value)} characters as {name}; at most {most} are read")
    return value


def flag(value: Any, name: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise CorruptBytesError(f"holds {shown(value)} as {name}, which must be true or false")
    return value


def wholes(values: Sequence[Any], name: str) -> Sequence[int]:
    """Whole numbers from 0 to the largest that there may be."""
    is_right = set(map(type, values)) <= {int} and (
        not values or (min(values) >= 0 and max(values) <= limits.WHOLE_NUMBER)
    )
    return values if is_right else [whole(value, name) for value in values]


def texts(values: Sequence[Any], name: str, *, most: int = limits.NAME_CHARS) -> Sequence[str]:
    """Texts of at most `most` characters each."""
    is_right = set(map(type, values)) <= {str} and max(map(len, values), default=0) <= most
    return values if is_right else [text(value, name, most=most) for value in values]


def flags(values: Sequence[Any], name: str) -> Sequence[bool]:
    """True or false each."""
    return values if set(map(type, values)) <= {bool} else [flag(value, name) for value in values]


def moment(value: Any, name: str) -> float:
    """Seconds since 1970, within what calendars know."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= limits.LATEST_UNIX_S
    ):
        raise CorruptBytesError(f"holds {shown(value)} as {name}, which must be a time in seconds since 1970")
    return float(value)


def number(value: Any, name: str) -> float:
    """A number as a float64, NaN and infinities included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _fits(value):
        raise CorruptBytesError(f"holds {shown(value)} as {name}, which must be a number")
    return float(value)


def shown(value: Any) -> str:
    """A stranger's value in an error: short, and nothing in it that drives a terminal."""
    if isinstance(value, str):
        return repr(value[:40])
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if -(10**20) < value < 10**20 else "an enormous number"
    return repr(value) if value is None or isinstance(value, bool | float) else f"a {type(value).__name__}"


def _fits(value: int | float) -> bool:
    return math.isnan(value) or isinstance(value, float) or abs(value) <= 2**1023
