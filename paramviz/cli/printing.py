"""How the parts of a report reach a terminal, a file or another program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType


def print_parts(parts: Iterable[RenderableType]) -> None:
    """Print each part on stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        # A file or another program has no width to fit into.
        console.width = 200
    for part in parts:
        console.print(part)
