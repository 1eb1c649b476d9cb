"""Embeddings as points: exact where rows are recorded, steady from basis to basis, whatever the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.analysis.projection import EmbeddingProjection, align, principal_axes, project
from paramviz.errors import IterationNotFoundError, NotRecordedError
from paramviz.schema import EmbeddingPlan, GradientStates, Snapshot, TensorInfo
from paramviz.store import RunWriter, open_run

N_TOKENS, WIDTH = 30, 12
NOTHING = np.empty(0, np.int64)


def cloud(seed, n_tokens=N_TOKENS, width=WIDTH):
    """(n_tokens, width) float64 rows with clearly different variances along hidden directions."""
    rng = np.random.default_rng(seed)
    scales = 2.0 ** -np.arange(width)
    rotation, _ = np.linalg.qr(rng.standard_normal((width, width)))
    return rng.standard_normal((n_tokens, width)) * scales @ rotation + rng.standard_normal(width)


def distances(points):
    """(n, n) distances between points: what stays the same however a picture is turned."""
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_axes_are_those_of_the_singular_value_decomposition(seed):
    rows = cloud(seed)
    axes = principal_axes(rows)
    centred = rows - rows.mean(axis=0)
    _, singular, vt = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(axes.components * vt[:3], axis=1)), 1, atol=1e-6)
    np.testing.assert_allclose(axes.explained, singular[:3] ** 2 / (singular**2).sum(), rtol=1e-6)


@given(seeds, st.integers(1, 40), st.integers(1, 40))
def test_axes_are_orthonormal_or_flat_for_any_shape(seed, n_tokens, width):
    axes = principal_axes(cloud(seed, n_tokens, width))
    gram = axes.components @ axes.components.T
    rank = min(3, width, n_tokens - 1)
    expected = np.diag(np.arange(3) < rank).astype(float)
    np.testing.assert_allclose(gram, expected, atol=1e-5)
    assert 0 <= axes.explained.sum() <= 1 + 1e-9


@given(seeds)
def test_coordinates_are_exactly_the_projected_rows(seed):
    rows = cloud(seed).astype(np.float16)
    axes = principal_axes(rows)
    coordinates, magnitude = project(rows, axes)
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(coordinates, (wide - axes.mean) @ axes.components.T, atol=2e-5)
    np.testing.assert_allclose(magnitude, np.linalg.norm(wide, axis=1), rtol=1e-6)
    assert coordinates.dtype == magnitude.dtype == np.float32


@given(seeds)
def test_turning_the_whole_embedding_changes_no_distance_in_the_picture(seed):
    """Nothing of the model's own axes is in the picture."""
    rows = cloud(seed)
    turn, _ = np.linalg.qr(np.random.default_rng(seed + 1).standard_normal((WIDTH, WIDTH)))
    plain, _ = project(rows, principal_axes(rows))
    turned, _ = project(rows @ turn, principal_axes(rows @ turn))
    np.testing.assert_allclose(distances(turned), distances(plain), atol=1e-4)


@given(seeds)
def test_the_order_of_the_tokens_does_not_matter(seed):
    rows = cloud(seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    plain, _ = project(rows, principal_axes(rows))
    shuffled, _ = project(rows[order], principal_axes(rows[order]))
    np.testing.assert_allclose(shuffled, plain[order], atol=1e-4)


@given(seeds)
def test_the_same_rows_give_the_same_axes_bit_for_bit(seed):
    first, second = principal_axes(cloud(seed)), principal_axes(cloud(seed))
    assert first.components.tobytes() == second.components.tobytes()
    assert (np.abs(first.components).max(axis=1) == first.components.max(axis=1)).all()


@given(seeds)
def test_an_aligned_basis_shows_the_same_picture_turned(seed):
    """Alignment is rigid: it moves nothing relative to anything else, and loses no variance."""
    rows, before = cloud(seed), principal_axes(cloud(seed + 1))
    axes = principal_axes(rows)
    aligned = align(axes, before, rows)
    plain, _ = project(rows, axes)
    turned, _ = project(rows, aligned)
    np.testing.assert_allclose(distances(turned), distances(plain), atol=1e-4)
    np.testing.assert_allclose(aligned.explained.sum(), axes.explained.sum())
    centred = turned.astype(np.float64) - turned.mean(axis=0, dtype=np.float64)
    total = ((rows - rows.mean(axis=0)) ** 2).sum()
    np.testing.assert_allclose(aligned.explained, (centred**2).sum(axis=0) / total, rtol=1e-4, atol=1e-6)


@given(seeds)
def test_an_aligned_basis_is_closer_to_the_one_before_than_any_other_turn(seed):
    rows, before = cloud(seed), principal_axes(cloud(seed + 1))
    aligned = align(principal_axes(rows), before, rows)
    centred = rows - rows.mean(axis=0)
    target = centred @ before.components.T

    def misfit(components):
        return np.linalg.norm(centred @ components.T - target)

    rng = np.random.default_rng(seed)
    for _ in range(5):
        turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        assert misfit(aligned.components) <= misfit(turn @ aligned.components) + 1e-9


@given(seeds)
def test_a_basis_of_a_turned_picture_does_not_jump(seed):
    """Axes that swap or change their signs between two bases are put right."""
    rows = cloud(seed)
    before = principal_axes(rows)
    jumpy = type(before)(before.mean, -before.components[[1, 0, 2]], before.explained[[1, 0, 2]])
    np.testing.assert_allclose(align(jumpy, before, rows).components, before.components, atol=1e-9)


@given(
    seeds,
    st.sets(st.integers(0, N_TOKENS - 1), max_size=N_TOKENS),
    st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_broken_rows_are_nan_and_spoil_no_other_row(seed, broken, value):
    rows = cloud(seed)
    rows[sorted(broken), seed % WIDTH] = value
    sound = np.array([i not in broken for i in range(N_TOKENS)])
    axes = principal_axes(rows)
    coordinates, magnitude = project(rows, axes)
    assert np.isnan(coordinates[~sound]).all()
    assert np.isnan(magnitude[~sound]).all()
    alone, _ = project(rows[sound], principal_axes(rows[sound]))
    np.testing.assert_array_equal(coordinates[sound], alone)
    turned, _ = project(rows, align(axes, principal_axes(cloud(seed + 1)), rows))
    assert np.isfinite(turned[sound]).all()


@pytest.mark.parametrize(
    ("n_tokens", "width"), [(1, 5), (2, 5), (1, 1), (5, 1), (5, 2), (3, 3), (2, 2), (400, 3), (3, 400)]
)
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_degenerate_embeddings_have_a_picture(n_tokens, width, spread):
    """One token, fewer than three columns, all rows equal: flat where there is nothing to see."""
    rows = 1 + spread * np.random.default_rng(0).standard_normal((n_tokens, width))
    axes = principal_axes(rows)
    coordinates, magnitude = project(rows, align(axes, axes, rows))
    assert np.isfinite(coordinates).all()
    assert np.isfinite(magnitude).all()
    if spread == 0 or n_tokens == 1:
        np.testing.assert_allclose(coordinates, 0, atol=1e-6)
        assert axes.explained.sum() == 0
    else:
        np.testing.assert_allclose(
            distances(coordinates), distances(rows) if width <= 3 or n_tokens <= 4 else 0, atol=1e-3
        )


# From here on with real runs.


def rows_at(iteration):
    """An embedding that drifts: iteration by iteration a little further from where it began."""
    return (cloud(1) + 0.02 * iteration * cloud(2)).astype(np.float16)


def begin(path, *, every_snapshot=True):
    """A recorder whose only tensor is the embedding."""
    writer = RunWriter.create(path, description={})
    tensor = TensorInfo(0, "wte", (N_TOKENS, WIDTH), "float32", "token_embedding", None, "embedding")
    tokens = np.arange(N_TOKENS, dtype=np.int32)
    writer.add_plan([tensor], NOTHING, NOTHING, EmbeddingPlan("wte", WIDTH, N_TOKENS, tokens, every_snapshot))
    return writer


def commit(writer, iteration, rows=None, scores=None, basis=None):
    writer.commit(
        Snapshot(
            iteration,
            0,
            "core",
            0.0,
            {},
            [],
            GradientStates(),
            None,
            None,
            None,
            None,
            None,
            rows,
            scores,
            basis,
        )
    )


def test_a_growing_run_recommends_every_doubling_and_an_ended_one_its_last(tmp_path):
    writer = begin(tmp_path / "run")
    run = open_run(tmp_path / "run")
    projection = EmbeddingProjection(run)
    assert projection.recommended_basis() is None
    recommended = []
    for place in range(10):
        commit(writer, 10 * place, rows_at(place))
        run.refresh()
        recommended.append(projection.recommended_basis())
    assert recommended == [0, 10, 10, 30, 30, 30, 30, 70, 70, 70]
    writer.close("finished")
    run.refresh()
    assert projection.recommended_basis() == 90


def test_a_basis_is_the_same_whoever_asks_and_whenever(tmp_path):
    """A server that followed the run and one that was started afterwards show the same picture."""
    writer = begin(tmp_path / "run")
    run = open_run(tmp_path / "run")
    follower, followed = EmbeddingProjection(run), {}
    for iteration in range(9):
        commit(writer, iteration, rows_at(iteration))
        run.refresh()
        followed[iteration] = follower.axes(iteration)
    writer.close("finished")
    late = EmbeddingProjection(open_run(tmp_path / "run"))
    for iteration in reversed(range(9)):
        assert late.axes(iteration).components.tobytes() == followed[iteration].components.tobytes()


def test_recommended_bases_are_chained_without_jumps(tmp_path):
    """When the page changes over from one basis to the next, hardly anything moves."""
    writer = begin(tmp_path / "run")
    for iteration in range(8):
        commit(writer, iteration, rows_at(iteration))
    writer.close("finished")
    projection = EmbeddingProjection(open_run(tmp_path / "run"))
    size = np.abs(projection.picture(7, 7).coordinates).max()
    for before, after in ((0, 1), (1, 3), (3, 7)):
        old, new = (projection.picture(after, basis).coordinates for basis in (before, after))
        centred = [points - points.mean(axis=0) for points in (old, new)]
        assert np.abs(centred[1] - centred[0]).max() < 0.1 * size


def test_a_picture_from_rows_is_exact(tmp_path):
    writer = begin(tmp_path / "run")
    commit(writer, 0, rows_at(0))
    commit(writer, 1, rows_at(1))
    writer.close("finished")
    projection = EmbeddingProjection(open_run(tmp_path / "run"))
    picture = projection.picture(1, 0)
    assert (picture.tensor, picture.basis, picture.exact) == ("wte", 0, True)
    expected, magnitude = project(rows_at(1), projection.axes(0))
    np.testing.assert_array_equal(picture.coordinates, expected)
    np.testing.assert_array_equal(picture.magnitude, magnitude)


def stored_basis(writer, iteration, rows):
    """What the recorder freezes at a snapshot with rows: (number, components (8, width), mean)."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, _, vt = np.linalg.svd(centred, full_matrices=False)
    components, mean = vt[:8].astype(np.float32), rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    number = writer.add_basis(iteration, components, mean, np.full(8, 1 / 8, np.float32))
    return number, components, mean


@pytest.fixture
def sparse(tmp_path):
    """Rows at iterations 0, 5 and 9, scores between, the basis renewed at 5: (run path, scores' axes)."""
    writer = begin(tmp_path / "run", every_snapshot=False)
    for iteration in range(10):
        rows = rows_at(iteration)
        if iteration in (0, 5):
            number, components, mean = stored_basis(writer, iteration, rows)
        scores = ((rows.astype(np.float32) - mean) @ components.T).astype(np.float16)
        commit(writer, iteration, rows if iteration in (0, 5, 9) else None, scores, number)
    writer.close("finished")
    return tmp_path / "run"


def test_a_picture_from_scores_is_close_and_says_that_it_is_no_more(sparse):
    projection = EmbeddingProjection(open_run(sparse))
    for iteration in (1, 4, 7):
        for basis in (0, 5, 9):
            picture = projection.picture(iteration, basis)
            true_coordinates, true_magnitude = project(rows_at(iteration), projection.axes(basis))
            assert not picture.exact
            np.testing.assert_allclose(picture.coordinates, true_coordinates, atol=0.02)
            np.testing.assert_allclose(picture.magnitude, true_magnitude, rtol=0.02)


def test_where_rows_are_rare_the_recorders_own_bases_are_the_milestones(sparse, tmp_path):
    run = open_run(sparse)
    assert EmbeddingProjection(run).recommended_basis() == 9
    writer = RunWriter.resume(sparse)
    run.refresh()
    assert EmbeddingProjection(run).recommended_basis() == 5
    writer.close("finished")


def test_without_the_rows_of_their_basis_scores_give_what_they_hold(tmp_path):
    """The snapshot of the basis was never committed; another one has rows."""
    writer = begin(tmp_path / "run", every_snapshot=True)
    number, components, mean = stored_basis(writer, 99, rows_at(0))
    commit(writer, 0, rows_at(0))
    scores = ((rows_at(1).astype(np.float32) - mean) @ components.T).astype(np.float16)
    commit(writer, 1, None, scores, number)
    writer.close("finished")
    projection = EmbeddingProjection(open_run(tmp_path / "run"))
    picture = projection.picture(1, 0)
    expected, _ = project(mean + scores.astype(np.float32) @ components, projection.axes(0))
    assert not picture.exact
    np.testing.assert_allclose(picture.coordinates, expected, atol=1e-5)


def test_rows_that_went_to_nan_are_never_recommended(tmp_path):
    """A diverged run keeps the picture of its healthy days."""
    writer = begin(tmp_path / "run")
    commit(writer, 0, rows_at(0))
    for iteration in (1, 2, 3):
        commit(writer, iteration, np.full((N_TOKENS, WIDTH), np.nan, np.float16))
    writer.close("crashed")
    projection = EmbeddingProjection(open_run(tmp_path / "run"))
    assert projection.recommended_basis() == 0
    assert np.isnan(projection.picture(3).coordinates).all()


def test_damaged_rows_are_passed_over_as_a_basis(tmp_path):
    writer = begin(tmp_path / "run")
    for iteration in range(4):
        commit(writer, iteration, rows_at(iteration))
    writer.close("finished")
    chunk = next((tmp_path / "run" / "iterations" / "00000003" / "embedding_rows").glob("c*"))
    chunk.write_bytes(b"\x00" * chunk.stat().st_size)
    projection = EmbeddingProjection(open_run(tmp_path / "run"))
    assert projection.recommended_basis() == 1


def test_what_cannot_be_a_basis_is_named(sparse):
    projection = EmbeddingProjection(open_run(sparse))
    with pytest.raises(NotRecordedError, match="iteration 3"):
        projection.axes(3)
    with pytest.raises(IterationNotFoundError):
        projection.axes(77)


def test_a_run_without_an_embedding_has_no_picture(tmp_path):
    writer = RunWriter.create(tmp_path / "run", description={})
    writer.add_plan([], NOTHING, NOTHING)
    commit(writer, 0)
    writer.close("finished")
    projection = EmbeddingProjection(open_run(tmp_path / "run"))
    assert projection.recommended_basis() is None
    assert projection.picture(0) is None
