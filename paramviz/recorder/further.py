"""From raw sums and float32 samples to the packed arrays of docs/FORMAT.md, "Further quantities".

The writer thread's part: nothing here waits for training, or makes it wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.places import Indices, Packing, Places, normed_columns, normed_rows
from paramviz.quantities import Quantities
from paramviz.recorder import embedding_view
from paramviz.recorder.grids import Grids
from paramviz.recorder.model_plan import ModelPlan
from paramviz.recorder.principal import Rows
from paramviz.recorder.singular import all_values
from paramviz.scaled import to_scaled
from paramviz.schema import HISTOGRAM_BINS, MOMENT_KEYS, NEIGHBOURS, EmbeddingPlan, TensorInfo
from paramviz.statistics import GridSums, measure
from paramviz.store.layout import CELL_ARRAYS, NORM_ARRAYS

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
    packing, of = plan.places.cells, grids.tensors
    arrays: Arrays = {name: np.full(packing.length, np.nan, np.float16) for name in CELL_ARRAYS}
    exponents = np.zeros((packing.entries, len(CELL_ARRAYS)), np.int16)
    for index, place in packing.places.items():
        sums = of.get(index)
        if sums is None:
            continue
        in_order = (sums.mean, sums.rms, sums.largest)
        for k, (name, of_cells) in enumerate(zip(CELL_ARRAYS, in_order, strict=True)):
            arrays[name][place.span], exponents[place.entry, k] = to_scaled(of_cells.reshape(-1))
    return {**arrays, "cell_exponents": exponents}


def norms(plan: ModelPlan, grids: Grids, gradients: Mapping[int, GridSums]) -> Arrays:
    """Norms of rows and columns of weights and of their gradients, and histograms of very many rows."""
    places = plan.places
    exponents = np.zeros((places.rows.entries, len(NORM_ARRAYS)), np.int16)
    axes = ((0, places.rows), (1, places.columns))
    in_order = ((of, axis, packing) for of in (grids.tensors, gradients) for axis, packing in axes)
    arrays: Arrays = {
        name: _norms(plan, packing, of, axis, exponents[:, k])
        for k, (name, (of, axis, packing)) in enumerate(zip(NORM_ARRAYS, in_order, strict=True))
    }
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


def _kept(plan: ModelPlan, tensor: TensorInfo, axis: int) -> Indices | None:
    """The rows or columns of which there are norms; None for all."""
    grid = plan.grids[tensor.index]
    return normed_columns(tensor, grid.columns) if axis else normed_rows(tensor, plan.embedding, grid.rows)


def _histograms(places: Places, grids: Grids) -> npt.NDArray[np.uint32]:
    result, of = np.zeros((places.long.entries, HISTOGRAM_BINS), np.uint32), grids.tensors
    ignored = np.empty(len(MOMENT_KEYS))
    for index, place in places.long.places.items():
        if index in of:
            measure(of[index].row_norms, ignored, result[place.entry])
    return result
