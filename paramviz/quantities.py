"""What a recorder records, by the names that `Recorder(quantities=…)` takes."""

from __future__ import annotations

from collections.abc import Iterable

from paramviz.errors import UsageError

CORE = ("values", "statistics", "histograms", "gradient_statistics", "head_norms", "embedding")
"""In every snapshot. `embedding` are the rows or principal scores of the token embedding."""

KEY = (
    "gradient_values",
    "update_values",
    "cells",
    "norms",
    "moments",
    "sigma_max",
    "embedding_sketch",
    "embedding_neighbours",
)
"""In key snapshots: the first, the forced, the last and one of so many."""

PROBED = ("attention", "activations")
"""In key snapshots too, when a probe is given."""

EXTRA = ("singular_values",)
"""Only on request: at forced snapshots, since they take a while."""

DEFAULT = (*CORE, *KEY, *PROBED)
QUANTITIES = (*DEFAULT, *EXTRA)

Quantities = frozenset[str]


def chosen(names: Iterable[str]) -> Quantities:
    """The set of these names; UsageError for one that does not exist."""
    wanted = frozenset([names] if isinstance(names, str) else names)
    unknown = sorted(wanted.difference(QUANTITIES))
    if unknown:
        raise UsageError(f"quantities: there is no {unknown[0]!r}. Name some of {', '.join(QUANTITIES)}.")
    return wanted
