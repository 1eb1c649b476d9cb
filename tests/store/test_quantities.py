"""What a key snapshot holds beyond samples comes back from every container, and damage to it is named."""

from __future__ import annotations

import numpy as np
import pytest

from paramviz.errors import DamagedRunError, NotRecordedError
from paramviz.places import Places
from paramviz.scaled import from_scaled
from paramviz.store import open_run, pack_run, unpack_run, verify_run
from paramviz.store.hdf5_export import export_hdf5
from tests.store import made_runs, rich_runs
from tests.store.rich_runs import HEADS, TOKENS, WIDTH, make_plan, make_run, quantities


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return open_run(make_run(tmp_path_factory.mktemp("rich") / "run"))


def test_every_container_holds_all_quantities_bit_for_bit(tmp_path):
    path = make_run(tmp_path / "run")
    pack_run(path, tmp_path / "run.zarr.zip")
    export_hdf5(path, tmp_path / "run.h5")
    unpack_run(tmp_path / "run.h5", tmp_path / "back")
    plan, _ = make_plan()
    for place in (path, tmp_path / "run.zarr.zip", tmp_path / "run.h5", tmp_path / "back"):
        run = open_run(place)
        for key, array in quantities(plan, 0).items():
            assert run[0].array(key).tobytes() == array.tobytes(), (place, key)
            assert run[1].array(key) is None
        stored = run.plan
        assert stored.tensors == plan.tensors
        np.testing.assert_array_equal(stored.cell_edges, plan.cell_edges)
        np.testing.assert_array_equal(stored.sketch_basis, plan.sketch_basis)
        assert not verify_run(place).problems


@pytest.mark.parametrize("of", ["gradient", "update"])
def test_gradient_and_update_samples_lie_at_the_positions_of_the_values(run, of):
    plan, made = run.plan, quantities(run.plan, 0)
    start = 0
    for array in ("values", "vectors"):
        for tensor in (t for t in plan.tensors if t.array == array and t.samples):
            part = made[f"{of}_values"][start : start + tensor.samples]
            start += tensor.samples
            expected = from_scaled(part, int(made[f"{of}_exponents"][tensor.index]))
            ask = run[0].gradient_values if of == "gradient" else run[0].update_values
            np.testing.assert_array_equal(ask(tensor.name), expected)
    assert start == len(made[f"{of}_values"])


def test_cells_come_with_their_edges(run):
    _, edges = make_plan()
    made, at = quantities(run.plan, 0), 0
    for entry, (index, (row_edges, column_edges)) in enumerate(edges.items()):
        tensor = run.plan.tensors[index]
        cells = run[0].cells(tensor.name)
        np.testing.assert_array_equal(cells.row_edges, row_edges)
        np.testing.assert_array_equal(cells.column_edges, column_edges)
        for k, key in enumerate(("mean", "rms", "absmax")):
            part = made[f"cells_{key}"][at : at + tensor.samples].reshape(tensor.grid)
            expected = from_scaled(part, int(made["cell_exponents"][entry, k]))
            np.testing.assert_array_equal(getattr(cells, key), expected)
        at += tensor.samples


def test_a_tensor_that_is_kept_whole_is_its_own_cells(run):
    cells = run[1].cells("proj")
    values = run[1].values("proj").astype(np.float32).reshape(WIDTH, WIDTH)
    np.testing.assert_array_equal(cells.mean, values)
    np.testing.assert_array_equal(cells.absmax, np.abs(values))
    np.testing.assert_array_equal(cells.row_edges, np.arange(WIDTH + 1))


def test_norms_say_which_rows_and_columns_they_are_of(run):
    np.testing.assert_array_equal(run[0].row_norms("wte").indices, TOKENS)
    np.testing.assert_array_equal(run[0].row_norms("up").indices, np.arange(50))
    np.testing.assert_array_equal(run[0].column_norms("up", "gradient").indices, np.arange(40))
    made, places = quantities(run.plan, 0), Places(run.plan)
    place = places.columns.places[4]
    expected = from_scaled(
        made["gradient_column_norms"][place.span], int(made["norm_exponents"][place.entry, 3])
    )
    np.testing.assert_array_equal(run[0].column_norms("up", "gradient").norms, expected)
    counts, edges = run[0].row_norm_histogram("wte")
    np.testing.assert_array_equal(counts, made["row_norm_histograms"][0])
    assert len(edges) == 65
    with pytest.raises(NotRecordedError, match="each has a norm of its own"):
        run[0].row_norm_histogram("up")


def test_heads_have_norms_by_their_part(run):
    made = quantities(run.plan, 0)["head_norms"]
    np.testing.assert_array_equal(run[0].head_norms("qkv"), made[: 3 * HEADS].reshape(3, HEADS))
    np.testing.assert_array_equal(run[0].head_norms("proj"), made[3 * HEADS :])
    with pytest.raises(NotRecordedError, match="has no heads"):
        run[0].head_norms("up")


def test_embedding_and_singular_values(run):
    made = quantities(run.plan, 0)
    view = run[0].embedding()
    np.testing.assert_array_equal(view.sketch, made["embedding_sketch"].astype(np.float32))
    assert view.variance == made["embedding_variance"][0]
    np.testing.assert_array_equal(view.neighbours, made["embedding_neighbours"])
    place = Places(run.plan).spectra.places[1]
    np.testing.assert_array_equal(run[0].singular_values("qkv"), made["spectrum"][place.span])
    assert len(run[0].singular_values("tied")) == WIDTH, "a tied name answers from its owner"


def test_a_core_snapshot_says_that_it_holds_none_of_it(run):
    for ask in (run[1].gradient_values, run[1].cells, run[1].row_norms, run[1].head_norms):
        with pytest.raises(NotRecordedError, match="no key snapshot"):
            ask("qkv")


@pytest.mark.parametrize(
    "key", ["gradient_values/c.0", "cells_rms/c.0", "norm_exponents/c.0.0", "spectrum/c.0"]
)
def test_damage_to_a_quantity_is_named(tmp_path, key):
    path = make_run(tmp_path / "run")
    file = path / "iterations/00000000" / key
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 64
    file.write_bytes(data)
    run = open_run(path)
    with pytest.raises(DamagedRunError) as error:
        (
            run[0].gradient_values("qkv"),
            run[0].cells("qkv"),
            run[0].row_norms("qkv"),
            run[0].singular_values("qkv"),
        )
    assert error.value.key == f"iterations/00000000/{key}"
    assert [p.key for p in verify_run(path).problems] == [f"iterations/00000000/{key}"]
    assert run[0].values("qkv").size


def test_a_catalogue_without_groups_is_one_of_format_0_1(tmp_path):
    run = open_run(made_runs.make_run(tmp_path / "run"))
    assert {(t.row_groups, t.column_groups, t.transposed) for t in run.tensors} == {(1, 1, False)}
    assert rich_runs.BARE[1].row_groups == 3 * HEADS
