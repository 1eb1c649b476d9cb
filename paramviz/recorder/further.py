"""From raw sums and float32 samples to the packed arrays of docs/FORMAT.md, "Further quantities".

The writer thread's part: nothing here waits for training, or makes it wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.places import Packing, Places, is_long, n_column_norms
from paramviz.quantities import Quantities
from paramviz.recorder import embedding_view
from paramviz.recorder.embedding import Rows
from paramviz.recorder.grids import Grids
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.singular import all_values
from paramviz.scaled import to_scaled
from paramviz.schema import HISTOGRAM_BINS, NEIGHBOURS, EmbeddingPlan, TensorInfo
from paramviz.statistics import GridSums, measure

Arrays = dict[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]


def scaled_samples(plan: ModelPlan, samples: npt.NDArray[np.float32], of: str) -> Arrays:
    """`gradient_values` or `update_values` with their exponents. samples: (N + V,), NaN where unknown."""
    packing = plan.places.moving
    halves = np.empty(packing.length, np.float16)
    exponents = np.zeros(len(plan.tensors), np.int16)
    for index, place in packing.places.items():
        part = samples[plan.span_of(plan.tensors[index])]
        halves[place.span], exponents[index] = to_scaled(part)
    return {f"{of}_values": halves, f"{of}_exponents": exponents}


def cells(plan: ModelPlan, grids: Grids) -> Arrays:
    """Mean, rms and largest magnitude over the cells of the sampled tensors."""
    packing = plan.places.cells
    names = ("cells_mean", "cells_rms", "cells_absmax")
    arrays: Arrays = {name: np.full(packing.length, np.nan, np.float16) for name in names}
    exponents = np.zeros((packing.entries, len(names)), np.int16)
    for index, place in packing.places.items():
        sums = grids.tensors.get(index)
        if sums is None:
            continue
        for k, (name, of_cells) in enumerate(zip(names, (sums.mean, sums.rms, sums.largest), strict=True)):
            arrays[name][place.span], exponents[place.entry, k] = to_scaled(of_cells.reshape(-1))
    return {**arrays, "cell_exponents": exponents}


def norms(plan: ModelPlan, grids: Grids, gradients: Mapping[int, GridSums]) -> Arrays:
    """Norms of rows and columns of weights and of their gradients, and histograms of very many rows."""
    places = plan.places
    exponents = np.zeros((places.rows.entries, 4), np.int16)
    arrays: Arrays = {}
    for k, (prefix, of) in enumerate((("", grids.tensors), ("gradient_", gradients))):
        for axis, packing in enumerate((places.rows, places.columns)):
            name = f"{prefix}{('row', 'column')[axis]}_norms"
            arrays[name] = _norms(plan, packing, of, axis, exponents[:, 2 * k + axis])
    if places.long.entries:
        arrays["row_norm_histograms"] = _histograms(places, grids)
    return {**arrays, "norm_exponents": exponents}


def head_norms(plan: ModelPlan, grids: Grids) -> Arrays:
    """Norms of the equal parts of attention weights."""
    packing = plan.places.heads
    result = np.full(packing.length, np.nan, np.float32)
    for index, place in packing.places.items():
        squares = grids.heads.get(index)
        if squares is not None:
            result[place.span] = np.sqrt(squares).reshape(-1)
    return {"head_norms": result} if packing.length else {}


def spectra(plan: ModelPlan, matrices: Mapping[int, npt.NDArray[np.float32]]) -> Arrays:
    """All singular values of these matrices; NaN for the others."""
    packing = plan.places.spectra
    result = np.full(packing.length, np.nan, np.float32)
    for index, matrix in matrices.items():
        result[packing.places[index].span] = all_values(matrix)
    return {"spectrum": result}


def embedding(plan: EmbeddingPlan, rows_KW: Rows, wanted: Quantities) -> Arrays:
    """Sketch, variance and nearest neighbours of the recorded rows."""
    arrays: Arrays = {}
    if "embedding_sketch" in wanted:
        arrays["embedding_sketch"] = embedding_view.sketch(rows_KW, embedding_view.sketch_basis(plan.width))
        arrays["embedding_variance"] = embedding_view.variance(rows_KW)
    if "embedding_neighbours" in wanted:
        queries = embedding_view.neighbour_tokens(plan)
        found = embedding_view.nearest(rows_KW, plan.tokens, queries, NEIGHBOURS)
        arrays["embedding_neighbours"], arrays["embedding_distances"] = found
    return arrays


def _norms(
    plan: ModelPlan, packing: Packing, of: Mapping[int, GridSums], axis: int, exponents: npt.NDArray[np.int16]
) -> npt.NDArray[np.float16]:
    result = np.full(packing.length, np.nan, np.float16)
    for index, place in packing.places.items():
        if index in of:
            every = of[index].row_norms if axis == 0 else of[index].column_norms
            chosen = _kept(plan, plan.tensors[index], axis)
            norms = every if chosen is None else every[chosen]
            result[place.span], exponents[place.entry] = to_scaled(norms)
    return result


def _kept(plan: ModelPlan, tensor: TensorInfo, axis: int) -> npt.NDArray[np.int64] | None:
    """The rows or columns of which there are norms; None for all."""
    if axis == 0 and is_long(tensor):
        embedding = plan.embedding
        if embedding is not None and embedding.tensor == tensor.name:
            return embedding.tokens.astype(np.int64)
        return plan.grids[tensor.index].rows
    if axis == 1 and n_column_norms(tensor) < tensor.matrix_shape[1]:
        return plan.grids[tensor.index].columns
    return None


def _histograms(places: Places, grids: Grids) -> npt.NDArray[np.uint32]:
    result = np.zeros((places.long.entries, HISTOGRAM_BINS), np.uint32)
    for index, place in places.long.places.items():
        if index in grids.tensors:
            ignored = np.empty(14)
            measure(grids.tensors[index].row_norms, ignored, result[place.entry])
    return result
