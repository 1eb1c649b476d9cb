"""Record a neural network's parameters while it trains, and watch them live in three dimensions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("paramviz")
except PackageNotFoundError:
    # The sources are on the path, but nobody installed them: there is no number to tell.
    __version__ = "unknown"
