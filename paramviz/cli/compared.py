"""A comparison as plain data and as the sentences that `compare` prints and writes."""

from __future__ import annotations

import json
from typing import Any

from paramviz.analysis.comparison import Comparison, TensorComparison
from paramviz.cli.wording import counted, number_text
from paramviz.store import Run


def content_of(comparison: Comparison, a: Run, b: Run) -> dict[str, Any]:
    """Everything that was found, fit for JSON but for NaN and infinity."""
    iterations_a, iterations_b = comparison.iterations
    return {
        "a": _run(a),
        "b": _run(b),
        "same": comparison.is_same,
        "same_training": comparison.is_same_training,
        "alignment": comparison.alignment,
        "iterations": {"a": iterations_a.tolist(), "b": iterations_b.tolist()},
        "settings": [{"key": s.key, "a": s.a, "b": s.b} for s in comparison.settings],
        "scalars": [
            {
                "name": s.name,
                "last": {"a": s.last_a, "b": s.last_b},
                "shared": s.shared,
                "differing": s.differing,
            }
            for s in comparison.scalars
        ],
        "scalars_of_one": dict(zip("ab", map(list, comparison.scalars_of_one), strict=True)),
        "tensors": [_tensor(tensor) for tensor in comparison.tensors],
        "unpaired": {
            side: [
                {"name": u.tensor.name, "shape": list(u.tensor.shape), "reason": u.reason} for u in unpaired
            ]
            for side, unpaired in (("a", comparison.pairing.only_a), ("b", comparison.pairing.only_b))
        },
    }


def verdict(comparison: Comparison) -> str:
    """One sentence: are they the same, and if not, where they differ most."""
    n_aligned, n_pairs = len(comparison.iterations[0]), len(comparison.tensors)
    if n_aligned == 0:
        return "No snapshot of A stands beside one of B, so no weights were compared."
    compared = f"{counted(n_aligned, 'snapshot')} of {counted(n_pairs, 'pair')} of tensors"
    if comparison.is_same:
        return f"The same: {compared} and every scalar are equal to the last bit."
    if comparison.is_same_training:
        return f"The same numbers ({compared}), from different settings."
    differing = comparison.differing
    if not differing:
        return (
            f"The weights that both have are the same ({compared}), but not all that was recorded; see below."
        )
    first = min(tensor.first_difference for tensor in differing if tensor.first_difference is not None)
    worst = differing[0]
    most = f", most of all {worst.pair.a.name} ({gap_text(worst)})" if worst.largest == worst.largest else ""
    return f"They differ from iteration {first:,} on, in {len(differing)} of {n_pairs} tensors{most}."


def gap_text(tensor: TensorComparison) -> str:
    """The largest relative difference in words."""
    if tensor.largest != tensor.largest:
        return "of other shapes" if not tensor.pair.same_shape else "not known"
    if tensor.largest == 0:
        return "samples equal, statistics not" if tensor.first_difference is not None else "none"
    return f"{100 * tensor.largest:.3g} % of its rms"


def setting_text(value: Any) -> str:
    """A value of the configuration on one line."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return number_text(value)
    return value if isinstance(value, str) else json.dumps(value)


def _run(run: Run) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "name": run.name,
        "run_id": run.run_id,
        "status": run.status,
        "snapshots": len(run),
        "parameters": run.description.get("parameters"),
    }


def _tensor(tensor: TensorComparison) -> dict[str, Any]:
    a, b = tensor.pair.a, tensor.pair.b
    return {
        "name": a.name,
        "other_name": b.name,
        "paired_by": tensor.pair.by,
        "role": a.role,
        "layer": a.layer,
        "shape": list(a.shape),
        "other_shape": list(b.shape),
        "shared_samples": tensor.shared,
        "first_difference": tensor.first_difference,
        "relative_difference": tensor.relative.tolist(),
        "largest": tensor.largest,
        "cosine": tensor.cosine,
        "rms": dict(zip("ab", tensor.rms, strict=True)),
        "moved": dict(zip("ab", tensor.moved, strict=True)),
    }
