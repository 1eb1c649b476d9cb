"""The shape that each array of a snapshot has: it follows from the plan, for writer and reader alike."""

from __future__ import annotations

from paramviz.places import Places
from paramviz.schema import HISTOGRAM_BINS, NEIGHBOURS, Plan, Probe
from paramviz.store import layout

Shape = tuple[int, ...]


def probe_shape(key: str, probe: Probe) -> Shape:
    """The shape of the array `key` of `layout.PROBE_ARRAYS` in a snapshot that names `probe`."""
    match key:
        case "attention":
            return probe.pattern_shape
        case "attention_entropy" | "attention_max_logit":
            return probe.pattern_shape[:2]
        case "residual_rms":
            return (len(probe.residuals),)
    return len(probe.modules), len(probe.columns)


class Shapes:
    """Shapes of the arrays of snapshots under one plan, in a run whose tables have so many columns."""

    def __init__(self, plan: Plan, n_statistics: int, n_gradient_statistics: int) -> None:
        self.places = Places(plan)
        self._plan = plan
        self._n_statistics = n_statistics
        self._n_gradient_statistics = n_gradient_statistics

    def of(self, key: str, n_scores: int = 0) -> Shape:
        """The shape of the array `key`. n_scores: axes of the basis that the snapshot names."""
        n_tensors = len(self._plan.tensors)
        match key:
            case "values" | "vectors":
                return (self._plan.moving(key),)
            case "statistics":
                return n_tensors, self._n_statistics
            case "gradient_statistics":
                return n_tensors, self._n_gradient_statistics
            case "histograms":
                return n_tensors, HISTOGRAM_BINS
            case "gradient_exponents" | "update_exponents":
                return (n_tensors,)
        return self._embedding(key, n_scores) if key.startswith("embedding_") else self._packed(key)

    def _packed(self, key: str) -> Shape:
        places = self.places
        match key:
            case "gradient_values" | "update_values":
                return (places.moving.length,)
            case "cell_exponents":
                return places.cells.entries, len(layout.CELL_ARRAYS)
            case "norm_exponents":
                return places.rows.entries, len(layout.NORM_ARRAYS)
            case "row_norm_histograms":
                return places.long.entries, HISTOGRAM_BINS
            case "row_norms" | "gradient_row_norms":
                return (places.rows.length,)
            case "column_norms" | "gradient_column_norms":
                return (places.columns.length,)
            case "head_norms":
                return (places.heads.length,)
            case "spectrum":
                return (places.spectra.length,)
        if key not in layout.CELL_ARRAYS:
            raise KeyError(key)
        return (places.cells.length,)

    def _embedding(self, key: str, n_scores: int) -> Shape:
        plan = self._plan
        tokens, width = (
            (0, 0) if plan.embedding is None else (len(plan.embedding.tokens), plan.embedding.width)
        )
        match key:
            case "embedding_rows":
                return tokens, width
            case "embedding_scores":
                return tokens, n_scores
            case "embedding_sketch":
                return tokens, 0 if plan.sketch_basis is None else plan.sketch_basis.shape[1]
            case "embedding_variance":
                return (1,)
        return len(plan.neighbour_tokens), NEIGHBOURS
