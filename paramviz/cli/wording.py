"""Numbers and strangers' texts as people read them."""

from __future__ import annotations

import math


def plain(text: str) -> str:
    """`text` without the control characters by which a stranger's run could drive the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def counted(n: int, noun: str) -> str:
    """`1 file`, `12,000 files`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def bytes_text(n: float) -> str:
    """Decimal units, three digits: `450 kB`, `1.23 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if n < 999.5:
            return f"{n:.0f} B" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:,.3g} TB" if n < 999.5 else f"{n:,.0f} TB"


def number_text(value: float) -> str:
    """Five significant digits; NaN and infinity by name."""
    return f"{value:.5g}" if math.isfinite(value) else str(value)


def duration_text(seconds: float) -> str:
    """The two largest units: `3 d 4 h`, `12 s`."""
    left = max(0, round(seconds))
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
