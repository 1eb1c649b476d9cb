"""Cells, rows and columns of whole matrices, against sums of their elements one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.statistics import grid, numba_grid, numpy_grid, sum_grid


@st.composite
def edged_matrices(draw):
    """A matrix with edges of cells, now and then with NaN and infinities in it."""
    rows, columns = draw(st.integers(1, 30)), draw(st.integers(1, 40))
    edges = []
    for extent in (rows, columns):
        inner = draw(st.sets(st.integers(1, max(1, extent - 1)), max_size=5)) if extent > 1 else set()
        edges.append(np.array(sorted({0, extent, *inner}), np.int64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.standard_normal((rows, columns)).astype(
        draw(st.sampled_from([np.float32, np.float64, np.float16]))
    )
    x *= x.dtype.type(draw(st.sampled_from([1, 1e-3, 100])))
    for value in draw(st.sets(st.sampled_from([np.nan, np.inf, -np.inf]))):
        x[rng.random(x.shape) < 0.2] = value
    return x, *edges


def reference(x, row_edges, column_edges):
    """Mean, rms and largest magnitude of the finite elements of each cell, in float64."""
    wide = x.astype(np.float64)
    out = np.full((3, len(row_edges) - 1, len(column_edges) - 1), np.nan)
    for r in range(out.shape[1]):
        for c in range(out.shape[2]):
            cell = wide[row_edges[r] : row_edges[r + 1], column_edges[c] : column_edges[c + 1]]
            cell = cell[np.isfinite(cell)]
            if cell.size:
                out[:, r, c] = cell.mean(), np.sqrt((cell**2).mean()), np.abs(cell).max()
    return out


@pytest.fixture(params=[numba_grid, numpy_grid], ids=["numba", "numpy"], autouse=True)
def engine(request, monkeypatch):
    class Engine:
        sum_up = staticmethod(request.param.sum_up)

    monkeypatch.setattr(grid, "current_engine", lambda: Engine)


@pytest.mark.filterwarnings("error")
@given(edged_matrices())
def test_cells_rows_and_columns_are_those_of_the_finite_elements(made):
    x, row_edges, column_edges = made
    sums = sum_grid(x, row_edges, column_edges)
    mean, rms, absmax = reference(x, row_edges, column_edges)
    np.testing.assert_allclose(sums.mean, mean, rtol=1e-9, atol=1e-9 * np.nanmax(absmax, initial=0))
    np.testing.assert_allclose(sums.rms, rms, rtol=1e-12)
    np.testing.assert_array_equal(sums.largest, absmax)
    finite = np.where(np.isfinite(x), x, 0).astype(np.float64)
    np.testing.assert_allclose(sums.row_norms, np.linalg.norm(finite, axis=1), rtol=1e-12)
    np.testing.assert_allclose(sums.column_norms, np.linalg.norm(finite, axis=0), rtol=1e-12)


def test_one_planted_outlier_stands_in_its_cell():
    x = np.random.default_rng(0).standard_normal((768, 300)).astype(np.float32)
    x[413, 77] = 1e4
    edges = np.arange(0, 769, 96), np.arange(0, 301, 30)
    largest = sum_grid(x, *edges).largest
    assert largest[4, 2] == 1e4
    assert np.count_nonzero(largest > 100) == 1


def test_a_strided_matrix_and_integers_are_read_as_they_are():
    x = np.arange(24).reshape(4, 6).T
    sums = sum_grid(x)
    assert sums.mean.tolist() == [[11.5]]
    np.testing.assert_allclose(sums.row_norms, np.linalg.norm(x, axis=1))


def test_a_matrix_without_elements_has_norms_of_zero():
    sums = sum_grid(np.zeros((0, 3), np.float32), np.array([0]), np.array([0, 3]))
    assert sums.column_norms.tolist() == [0, 0, 0]
    assert sums.mean.shape == (0, 1)


def test_squares_of_large_numbers_do_not_overflow():
    x = np.full((3, 5), 3e38, np.float32)
    assert sum_grid(x).rms[0, 0] == pytest.approx(float(x[0, 0]))
