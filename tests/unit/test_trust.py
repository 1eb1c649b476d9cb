"""How far the cloud can be trusted: noise is called noise, structure is seen, shares are those counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.analysis.neighbours import Neighbourhoods, nearest
from paramviz.analysis.projection import EmbeddingProjection, principal_axes, project
from paramviz.analysis.trails import evenly, trails
from paramviz.analysis.trust import (
    axes_above_noise,
    neighbours_kept,
    noise_edge,
    trust,
    variances_of,
)
from paramviz.errors import NotRecordedError
from paramviz.store import open_run
from paramviz.store.holdings import Holdings
from tests.store import cloud_runs

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(30, 200), st.integers(8, 120))


def brute_nearest(points, query, count):
    """Indices of the nearest other points, one distance at a time."""
    apart = [(float(np.linalg.norm(p - points[query])), i) for i, p in enumerate(points) if i != query]
    return [i for _, i in sorted(apart)[:count]]


@given(seeds, st.integers(2, 40), st.integers(1, 12))
def test_the_nearest_are_those_of_brute_force(seed, n, width):
    points = np.random.default_rng(seed).standard_normal((n, width))
    found, distances = nearest(points, np.arange(n), 10)
    for query in range(n):
        expected = brute_nearest(points, query, 10)
        assert found[query, : len(expected)].tolist() == expected
        assert (found[query, len(expected) :] == -1).all()
        known = np.linalg.norm(points[expected] - points[query], axis=1)
        np.testing.assert_allclose(distances[query, : len(expected)], known, rtol=1e-6)
        assert np.isnan(distances[query, len(expected) :]).all()


def test_a_row_that_is_not_finite_has_no_neighbours_and_is_nobodys():
    points = np.array([[0.0, 0], [1, 0], [np.nan, 0], [np.inf, 1]])
    found, _ = nearest(points, np.arange(4), 3)
    assert found.tolist() == [[1, -1, -1], [0, -1, -1], [-1, -1, -1], [-1, -1, -1]]


def leading(rows):
    coordinates, _ = project(rows, principal_axes(rows))
    return variances_of(coordinates), float(rows.var(axis=0).sum())


@pytest.mark.parametrize(("n", "width"), [(96, 128), (60, 40), (1000, 64), (200, 768)])
def test_isotropic_noise_is_taken_for_structure_once_in_a_hundred(n, width):
    """The edge is neither too low (noise is called structure) nor idle: the largest are close below."""
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(60):
        variances, total = leading(rng.standard_normal((n, width)) * 0.02 + rng.standard_normal(width))
        shares.append(variances[0] / total)
    edge = noise_edge(n, width)
    assert np.mean(np.array(shares) > edge) <= 0.05
    assert np.mean(shares) > 0.8 * edge


@given(seeds, shapes, st.integers(0, 3))
def test_as_many_axes_are_above_noise_as_were_planted(seed, shape, planted):
    rng = np.random.default_rng(seed)
    n, width = shape
    rows = rng.standard_normal((n, width))
    directions = np.linalg.qr(rng.standard_normal((width, max(planted, 1)))).Q[:, :planted]
    strength = 8 * np.sqrt(noise_edge(n, width) * width)
    rows = rows + strength * rng.standard_normal((n, planted)) @ directions.T
    variances, total = leading(rows)
    assert axes_above_noise(variances, total, n, width) >= planted


def test_too_few_rows_tell_nothing_from_noise():
    assert noise_edge(3, 100) == noise_edge(100, 1) == 1.0
    assert axes_above_noise(np.array([1.0, 0, 0]), 1.0, 3, 100) == 0
    assert axes_above_noise(np.zeros(3), 0.0, 100, 10) == 0


@given(seeds)
def test_a_picture_that_leaves_nothing_out_keeps_all_neighbours(seed):
    rows = np.random.default_rng(seed).standard_normal((40, 3))
    queries = np.arange(0, 40, 3)
    true, _ = nearest(rows, queries, 10)
    assert neighbours_kept(rows, queries, true) == 1.0


def test_neighbours_kept_is_the_share_that_both_agree_on():
    line = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [4, 0, 0]])
    assert neighbours_kept(line, np.array([0]), np.array([[3, 1]])) == 0.5
    assert neighbours_kept(line, np.array([0]), np.array([[1, -1]])) == 1.0
    assert np.isnan(neighbours_kept(line, np.array([], int), np.empty((0, 10), int)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return open_run(cloud_runs.make_run(tmp_path_factory.mktemp("cloud") / "run"))


def picture_by_hand(iteration, basis):
    """(tokens, 3) float64: the true rows in the leading directions of the true rows at `basis`."""
    anchor = cloud_runs.truth(basis)
    _, _, vt = np.linalg.svd(anchor - anchor.mean(axis=0), full_matrices=False)
    return (cloud_runs.truth(iteration) - anchor.mean(axis=0)) @ vt[:3].T


@pytest.mark.parametrize("iteration", [0, 40])
def test_trust_of_a_snapshot_is_what_its_rows_say(run, iteration):
    found = trust(EmbeddingProjection(run), Neighbourhoods(run), iteration, 40)
    rows, points = cloud_runs.truth(iteration), picture_by_hand(iteration, 40)
    kept = []
    for token in cloud_runs.NEIGHBOUR_TOKENS:
        at = int(np.searchsorted(cloud_runs.TOKENS, token))
        kept.append(len(set(brute_nearest(points, at, 10)) & set(brute_nearest(rows, at, 10))) / 10)
    assert found.iteration == iteration
    assert found.explained == pytest.approx(points.var(axis=0).sum() / rows.var(axis=0).sum(), rel=0.01)
    assert found.kept == pytest.approx(np.mean(kept), abs=0.02)
    assert found.queries == len(kept)
    assert found.axes_above_noise == (3 if iteration == 40 else 0)


def test_a_model_that_learns_nothing_shows_no_structure(tmp_path):
    run = open_run(cloud_runs.make_run(tmp_path / "run", learns=False))
    found = trust(EmbeddingProjection(run), Neighbourhoods(run), 40, None)
    assert found.axes_above_noise == 0
    assert found.largest <= found.noise


def test_between_two_key_snapshots_the_older_one_speaks(run):
    assert trust(EmbeddingProjection(run), Neighbourhoods(run), 24, 40).iteration == 16
    assert trust(EmbeddingProjection(run), Neighbourhoods(run), 10**9, 40).iteration == 40


def test_nothing_is_said_before_anything_is_known(run):
    assert trust(EmbeddingProjection(run), Neighbourhoods(run), -1, None) is None
    assert Neighbourhoods(run, Holdings(run, 0)).truth(40) is None


@pytest.mark.parametrize(("token", "iteration", "at"), [(0, 20, 16), (27, 16, 16), (0, 41, 40)])
def test_recorded_neighbours_are_handed_out_as_they_are(run, token, iteration, at):
    answer = Neighbourhoods(run).of(token, iteration)
    tokens, apart = cloud_runs.nearest(cloud_runs.truth(at), token)
    assert (answer.source, answer.iteration) == ("recorded", at)
    assert answer.tokens.tolist() == tokens.tolist()
    np.testing.assert_allclose(answer.distances, apart, rtol=1e-6)


def test_other_neighbours_come_from_the_rows_where_there_are_any(run):
    answer = Neighbourhoods(run).of(3, 40)
    stored = run[40].array("embedding_rows").astype(np.float64)
    tokens, apart = cloud_runs.nearest(stored, 3)
    assert (answer.source, answer.iteration) == ("rows", 40)
    assert answer.tokens.tolist() == tokens.tolist()
    np.testing.assert_allclose(answer.distances, apart, rtol=1e-6)


def test_other_neighbours_come_from_the_sketch_elsewhere(run):
    """Whoever is nearest by far is found, and the distance is stretched to about the true one."""
    answer = Neighbourhoods(run).of(3, 39)
    tokens, apart = cloud_runs.nearest(cloud_runs.truth(32), 3)
    assert (answer.source, answer.iteration) == ("sketch", 32)
    assert len(set(answer.tokens.tolist()) & set(tokens.tolist())) >= 4
    assert np.mean(answer.distances) == pytest.approx(np.mean(apart), rel=0.4)


@pytest.mark.parametrize("token", [1, 12345])
def test_a_token_that_is_not_recorded_has_no_neighbours(run, token):
    with pytest.raises(NotRecordedError, match=f"token {token}"):
        Neighbourhoods(run).of(token, 40)


def test_the_changed_are_those_with_the_fewest_neighbours_in_common(run):
    neighbourhoods = Neighbourhoods(run)
    assert neighbourhoods.ends() == (0, 40)
    assert all(change.share == 0 for change in neighbourhoods.changed(16, 16))
    changes = neighbourhoods.changed(16, 32)
    for change in changes:
        before, after = (set(cloud_runs.nearest(cloud_runs.truth(i), change.token)[0]) for i in (16, 32))
        assert change.share == pytest.approx(1 - len(before & after) / len(before | after))
    assert sorted(c.token for c in changes) == cloud_runs.NEIGHBOUR_TOKENS.tolist()
    assert [c.share for c in changes] == sorted((c.share for c in changes), reverse=True)
    with pytest.raises(NotRecordedError, match="iteration 4 "):
        neighbourhoods.changed(4, 16)


@pytest.mark.parametrize("basis", [0, 40])
def test_trails_pass_through_the_pictures(run, basis):
    projection = EmbeddingProjection(run)
    asked = [int(cloud_runs.TOKENS[5]), int(cloud_runs.TOKENS[40]), 1]
    found = trails(projection, run.iterations, asked, basis)
    for step, iteration in enumerate(run.iterations.tolist()):
        picture = projection.picture(iteration, basis)
        np.testing.assert_allclose(found.coordinates[:2, step], picture.coordinates[[5, 40]], atol=1e-5)
    assert np.isnan(found.coordinates[2]).all(), "not recorded"


@given(st.integers(0, 3000), st.integers(3, 600))
def test_steps_are_thinned_evenly_and_keep_both_ends(n, most):
    iterations = np.arange(n) * 3
    kept = evenly(iterations, most)
    assert len(kept) == min(n, most)
    assert set(kept) <= set(iterations)
    if n:
        assert (kept[0], kept[-1]) == (0, (n - 1) * 3)
    if n > 2:
        assert np.ptp(np.diff(kept)) <= 3
