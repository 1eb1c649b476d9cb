"""Samples are submatrices, stratified, nested, and the same for any two runs of one architecture."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paramviz.errors import UsageError
from paramviz.sampling import SampleBudgets, sample_grid
from paramviz.schema import matrix_shape

extents = st.integers(1, 3000)
budgets = st.integers(1, 5000)
seeds = st.integers(-(2**63), 2**64 - 1)


@st.composite
def grouped_shapes(draw):
    """A matrix shape and numbers of groups that divide its axes."""
    row_groups, column_groups = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    shape = (row_groups * draw(st.integers(1, 80)), column_groups * draw(st.integers(1, 80)))
    return shape, {"row_groups": row_groups, "column_groups": column_groups}


def pairs(grid, shape):
    """The sampled (row, column) pairs of a matrix of this shape."""
    return {(int(p) // shape[1], int(p) % shape[1]) for p in grid.positions}


@given(grouped_shapes(), budgets, seeds)
def test_a_sample_is_a_submatrix_in_row_major_order(shape_groups, budget, seed):
    shape, groups = shape_groups
    grid = sample_grid(shape, budget, seed=seed, **groups)
    rows, columns = grid.rows, grid.columns
    assert rows.dtype == columns.dtype == grid.positions.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert (np.diff(columns) > 0).all()
    assert 0 <= rows[0] <= rows[-1] < shape[0]
    assert 0 <= columns[0] <= columns[-1] < shape[1]
    assert np.array_equal(grid.positions, np.add.outer(rows * shape[1], columns).ravel())


@given(grouped_shapes(), budgets, seeds, st.booleans())
def test_edges_cut_the_matrix_into_one_cell_around_each_sample(shape_groups, budget, seed, transposed):
    """And never through a head, once each head has a cell of its own."""
    shape, groups = shape_groups
    stored = shape[::-1] if transposed else shape
    grid = sample_grid(stored, budget, seed=seed, transposed=transposed, **groups)
    per_axis = list(groups.values())[::-1] if transposed else list(groups.values())
    for drawn, edges, extent, n_groups in (
        (grid.rows, grid.row_edges, stored[0], per_axis[0]),
        (grid.columns, grid.column_edges, stored[1], per_axis[1]),
    ):
        assert edges.dtype == np.int64
        assert (edges[0], edges[-1], len(edges)) == (0, extent, len(drawn) + 1)
        assert ((edges[:-1] <= drawn) & (drawn < edges[1:])).all()
        if len(drawn) >= n_groups:
            assert set(np.arange(0, extent + 1, extent // n_groups)) <= set(edges)


@given(grouped_shapes(), budgets)
def test_a_sample_fills_more_than_half_of_its_budget_and_never_exceeds_it(shape_groups, budget):
    shape, groups = shape_groups
    n = len(sample_grid(shape, budget, **groups).positions)
    assert n <= budget
    assert n > budget / 2 or n == math.prod(shape)


@given(grouped_shapes(), budgets, budgets, seeds, st.booleans())
def test_a_smaller_budget_gives_a_subset(shape_groups, budget_a, budget_b, seed, transposed):
    """On both axes, not only of the positions."""
    shape, groups = shape_groups
    if transposed:
        shape = shape[::-1]
    small, large = (
        sample_grid(shape, budget, seed=seed, transposed=transposed, **groups)
        for budget in sorted([budget_a, budget_b])
    )
    assert set(small.rows) <= set(large.rows)
    assert set(small.columns) <= set(large.columns)
    assert set(small.positions) <= set(large.positions)


@given(grouped_shapes(), budgets)
def test_every_group_gives_the_same_power_of_two_of_elements(shape_groups, budget):
    """As soon as the budget reaches every group at all."""
    shape, groups = shape_groups
    grid = sample_grid(shape, budget, **groups)
    for drawn, extent, n_groups in zip((grid.rows, grid.columns), shape, groups.values(), strict=True):
        if len(drawn) < n_groups:
            continue
        per_group = Counter(drawn // (extent // n_groups))
        assert len(per_group) == n_groups
        (count,) = set(per_group.values())
        assert count == extent // n_groups or count & (count - 1) == 0


def test_groups_come_before_a_fine_grid():
    """36 heads of Q, K and V each keep 16 of their 64 rows: none is left to chance."""
    grid = sample_grid((2304, 768), 36 * 16 * 32, row_groups=36)
    assert set(Counter(grid.rows // 64).values()) == {len(grid.rows) // 36}


def test_more_groups_than_budget_are_spread_over():
    """5,000 experts on a budget of 64: 64 experts, from 64 neighbourhoods of experts."""
    grid = sample_grid((5000 * 4, 1), 64, row_groups=5000)
    experts = grid.rows // 4
    assert len(experts) == 64
    assert np.diff(np.concatenate([[-1], experts])).max() <= 2 * (5000 // 64 + 1)


@given(extents, extents, budgets)
def test_each_stratum_gives_one_element(n_rows, n_columns, budget):
    """Strata are halves of halves: their sizes differ by at most one."""
    assume(n_rows * n_columns > budget)
    grid = sample_grid((n_rows, n_columns), budget)
    for drawn, extent in ((grid.rows, n_rows), (grid.columns, n_columns)):
        if len(drawn) == extent:
            continue
        bounds = [0, extent]
        while len(bounds) <= len(drawn):
            middles = [(a + b + 1) // 2 for a, b in pairwise(bounds)]
            bounds = sorted([*bounds, *middles])
        assert np.array_equal(np.searchsorted(bounds, drawn, side="right") - 1, np.arange(len(drawn)))


def test_each_element_of_a_stratum_is_equally_likely():
    """Chi-square of 11 strata positions over 6,000 seeds; the bound is that of p = 1e-6."""
    counts = np.zeros(11)
    for seed in range(6000):
        counts[sample_grid((11, 1), 1, seed=seed).rows[0]] += 1
    expected = 6000 / 11
    assert ((counts - expected) ** 2 / expected).sum() < 46.9


def test_neighbouring_strata_are_drawn_independently():
    """The place within one stratum says nothing of the place within the next."""
    places = sample_grid((2**20, 1), 2**14, seed=3).rows % 64
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.04
    assert abs(places.mean() - 31.5) < 0.8


@given(extents, extents, budgets, st.sampled_from([1, 2, 3, 12]), seeds)
def test_a_transposed_matrix_gives_the_elements_of_the_same_linear(n_out, n_in, budget, groups, seed):
    linear = sample_grid((n_out, n_in), budget, row_groups=groups, seed=seed)
    conv1d = sample_grid((n_in, n_out), budget, row_groups=groups, transposed=True, seed=seed)
    assert np.array_equal(conv1d.rows, linear.columns)
    assert np.array_equal(conv1d.columns, linear.rows)
    assert pairs(conv1d, (n_in, n_out)) == {(c, r) for r, c in pairs(linear, (n_out, n_in))}


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((), 1, 1),
        ((7,), 1, 7),
        ((0,), 1, 0),
        ((5, 0), 5, 0),
        ((0, 5), 0, 5),
        ((4, 3, 2), 4, 6),
        ((5, 1), 5, 1),
    ],
)
def test_a_tensor_within_its_budget_is_taken_whole(shape, rows, columns):
    grid = sample_grid(shape, 100)
    assert matrix_shape(shape) == (len(grid.rows), len(grid.columns)) == (rows, columns)
    assert np.array_equal(grid.positions, np.arange(rows * columns))


def test_a_vector_is_one_row_with_strata_along_it():
    grid = sample_grid((1000,), 64)
    assert np.array_equal(grid.rows, [0])
    assert len(grid.columns) == 64
    assert np.array_equal(grid.positions, grid.columns)


def test_more_dimensions_are_the_first_times_the_rest():
    grid, flat = sample_grid((64, 3, 7, 7), 1024), sample_grid((64, 147), 1024)
    assert np.array_equal(grid.positions, flat.positions)


def test_the_sample_keeps_the_aspect_ratio_of_the_matrix():
    grid = sample_grid((50257, 768), 4096)
    assert (len(grid.rows), len(grid.columns)) == (512, 8)


def test_positions_never_change_between_versions():
    """Runs recorded by any version compare: these numbers are a promise."""
    grid = sample_grid((2304, 768), 64, row_groups=3)
    assert grid.rows.tolist() == [107, 204, 447, 593, 813, 980, 1199, 1397, 1670, 1750, 1987, 2220]
    assert grid.columns.tolist() == [96, 214, 538, 687]


def test_seeds_give_other_positions():
    assert not np.array_equal(sample_grid((999, 999), 64).rows, sample_grid((999, 999), 64, seed=1).rows)


def test_groups_that_do_not_divide_are_left_out_of_account():
    grid, plain = sample_grid((1000, 10), 500, row_groups=7), sample_grid((1000, 10), 500)
    assert np.array_equal(grid.positions, plain.positions)


def test_a_budget_of_zero_takes_nothing():
    grid = sample_grid((10, 10), 0)
    assert len(grid.rows) == len(grid.columns) == len(grid.positions) == 0


def test_shared_arrays_cannot_be_written():
    for array in (sample_grid((9, 9), 16).rows, sample_grid((9, 9), 100).positions):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    "arguments", [{"budget": -1}, {"budget": 9, "row_groups": 0}, {"budget": 9, "column_groups": -2}]
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(UsageError, match=r"-1|0|-2"):
        sample_grid((4, 4), **arguments)


# Budgets


def of(budgets, name="h.3.mlp.c_fc.weight", role="mlp_up", layer=3, n_layers=12, shape=(9, 9)):
    return budgets.of(name=name, role=role, layer=layer, n_layers=n_layers, shape=shape)


@pytest.mark.parametrize(
    ("facts", "budget"),
    [
        ({"role": "token_embedding", "layer": None}, 4096),
        ({"role": "position_embedding", "layer": 5}, 4096),
        ({"layer": 0}, 4096),
        ({"layer": 11}, 4096),
        ({"layer": None}, 4096),
        ({"layer": 5}, 1024),
        ({"layer": 0, "shape": (9,)}, 1024),
        ({"layer": None, "shape": ()}, 1024),
        ({"layer": 5, "shape": (9,)}, 256),
    ],
)
def test_budgets_follow_priority(facts, budget):
    assert of(SampleBudgets(), **facts) == budget


def test_the_first_pattern_that_matches_wins():
    budgets = SampleBudgets(patterns=(("*.c_fc.*", 7), ("h.3.*", 8), ("*.bias", 0)))
    assert of(budgets) == 7
    assert of(budgets, name="h.3.ln_1.weight") == 8
    assert of(budgets, name="h.4.ln_1.bias") == 0
    assert of(budgets, name="h.4.ln_1.weight") == 1024


def test_patterns_mind_upper_and_lower_case_on_every_system():
    assert of(SampleBudgets(patterns=(("H.3.*", 7),))) == 1024


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 9000), st.sampled_from([2, 4])), max_size=40),
    st.integers(0, 400_000),
)
def test_scaled_budgets_fit_and_share_one_power_of_two(tensors, total):
    wanted, sizes, widths = ([t[i] for t in tensors] for i in range(3))

    def needed(budgets):
        return sum(min(b, s) * w for b, s, w in zip(budgets, sizes, widths, strict=True))

    least = [min(w, 1) for w in wanted]
    if needed(least) > total:
        with pytest.raises(UsageError, match=f"total_bytes={total}"):
            SampleBudgets(total_bytes=total).scaled(wanted, sizes, widths)
        return
    scaled = SampleBudgets(total_bytes=total).scaled(wanted, sizes, widths)
    assert needed(scaled) <= total
    shifts = [k for k in range(14) if scaled == [max(w >> k, min(w, 1)) for w in wanted]]
    assert shifts
    if shifts[0] > 0:
        assert needed([max(w >> (shifts[0] - 1), min(w, 1)) for w in wanted]) > total


def test_without_a_total_budgets_stay():
    assert SampleBudgets().scaled([4096, 0, 3], [9, 9, 9], [2, 2, 4]) == [4096, 0, 3]


def test_a_negative_budget_is_refused_by_name():
    with pytest.raises(UsageError, match="middle is -1"):
        SampleBudgets(middle=-1)
    with pytest.raises(UsageError, match=r"pattern '\*\.bias' is -5"):
        SampleBudgets(patterns=(("*.bias", -5),))
