"""What callers may pass in more than one form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def as_list(optimizer: object) -> list[object]:
    """One optimizer, several or none, as a list."""
    if optimizer is None:
        return []
    if isinstance(optimizer, Iterable) and not hasattr(optimizer, "param_groups"):
        return list(optimizer)
    return [optimizer]


def as_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """One shell pattern or several, as a tuple."""
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)
