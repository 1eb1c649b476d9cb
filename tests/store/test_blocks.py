"""Blocks say what snapshots and journal say, only quicker; without them nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from paramviz.errors import DamagedRunError
from paramviz.schema import STATISTIC_KEYS, TensorInfo
from paramviz.store import RunWriter, open_run, pack_run, unpack_run, verify_run
from paramviz.store.blocks import BLOCK_BYTES, SMALLEST_BLOCK, ScalarBuilder, TimelineBuilder
from tests.store import made_runs
from tests.store.small_blocks import small_blocks
from tests.store.test_interoperability import _tensorstore_array

TENSOR, KEY, ROW = "h.0.fc.weight", "std", 1
COLUMN = STATISTIC_KEYS.index(KEY)


def expected(iterations) -> list[float]:
    return [float(made_runs.snapshot(i).statistics[ROW, COLUMN]) for i in iterations]


def spoil_groups(path: Path) -> None:
    """Without these, only blocks can tell a statistic."""
    for chunk in path.glob("iterations/*/statistics/c.0.0"):
        chunk.write_bytes(b"gone")


@pytest.fixture
def run_path(tmp_path) -> Path:
    with small_blocks():
        return made_runs.make_run(tmp_path / "run", iterations=5)


def test_a_timeline_comes_out_of_blocks_where_there_are_any(run_path):
    assert sorted(p.name for p in run_path.glob("timeline/0*")) == ["000000", "000001", "000002"]
    spoil_groups(run_path)
    assert open_run(run_path).timeline(TENSOR, KEY).tolist() == expected(range(5))


def test_the_tail_that_no_block_holds_yet_is_read_from_the_groups(tmp_path):
    with small_blocks():
        writer = made_runs.start(tmp_path / "run")
        for iteration in range(5):
            made_runs.write(writer, iteration)
        run = open_run(tmp_path / "run")
        assert run.timeline(TENSOR, KEY).tolist() == expected(range(5))
        spoil_groups(tmp_path / "run")
        with pytest.raises(DamagedRunError, match="00000004/statistics"):
            open_run(tmp_path / "run").timeline(TENSOR, KEY)
        writer.close("finished")


@given(data=st.data())
def test_a_damaged_block_is_passed_over_and_named_by_verify(pristine, tmp_path, data):
    path = tmp_path / "run"
    if not path.exists():
        shutil.copytree(pristine, path)
    files = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
    file = data.draw(st.sampled_from([f for f in files if f.parts[0] in ("timeline", "scalars")]))
    good = (path / file).read_bytes()
    content = bytearray(good)
    at = data.draw(st.integers(0, len(content) * 8 - 1))
    content[at // 8] ^= 1 << at % 8
    (path / file).write_bytes(content)
    run = open_run(path)
    assert run.timeline(TENSOR, KEY).tolist() == expected(range(5))
    assert run.scalar_series("loss")[1].tolist() == [4.0 / (i + 1) for i in range(5)]
    assert [problem.key for problem in verify_run(path).problems] == [file.as_posix()]
    if data.draw(st.sampled_from(range(8))) == 0:
        healed = unpack_run(path, tmp_path / "healed")
        assert verify_run(healed).problems == (), "a copy has its blocks made anew"
        shutil.rmtree(healed)
    (path / file).write_bytes(good)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    with small_blocks():
        return made_runs.make_run(tmp_path_factory.mktemp("pristine") / "run", iterations=5)


def test_a_run_without_blocks_loses_nothing_but_time(run_path):
    shutil.rmtree(run_path / "timeline")
    shutil.rmtree(run_path / "scalars")
    run = open_run(run_path)
    assert run.timeline(TENSOR, KEY).tolist() == expected(range(5))
    missing = {problem.key for problem in verify_run(run_path).problems}
    assert "timeline/000000/zarr.json" in missing


def test_a_block_that_a_crash_kept_from_the_journal_is_used_all_the_same(run_path):
    shutil.rmtree(run_path / ".paramviz")
    spoil_groups(run_path)
    assert open_run(run_path).timeline(TENSOR, KEY).tolist() == expected(range(5))


def test_resuming_after_a_crash_seals_what_was_waiting(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    for iteration in range(3):
        made_runs.write(writer, iteration)
    writer._lock.release()
    assert not (tmp_path / "run/timeline").exists()
    writer = RunWriter.resume(tmp_path / "run")
    made_runs.write(writer, 3)
    writer.close("finished")
    assert stored_scalars(tmp_path / "run")["loss"] == {i: 4.0 / (i + 1) for i in range(4)}
    spoil_groups(tmp_path / "run")
    assert open_run(tmp_path / "run").timeline(TENSOR, KEY).tolist() == expected(range(4))


def test_a_thinned_copy_has_blocks_of_its_own(run_path, tmp_path):
    thin = unpack_run(pack_run(run_path, tmp_path / "thin.zarr.zip", every=3).path, tmp_path / "thin")
    spoil_groups(thin)
    run = open_run(thin)
    assert run.iterations.tolist() == [0, 3, 4]
    assert run.timeline(TENSOR, KEY).tolist() == expected([0, 3, 4])


def test_blocks_of_snapshots_that_a_run_does_not_hold_are_no_harm(run_path):
    """Somebody deleted an iteration by hand, journal and all."""
    shutil.rmtree(run_path / "iterations/00000002")
    shutil.rmtree(run_path / ".paramviz")
    run = open_run(run_path)
    assert run.iterations.tolist() == [0, 1, 3, 4]
    assert run.timeline(TENSOR, KEY).tolist() == expected([0, 1, 3, 4])


def test_snapshots_out_of_order_and_of_two_plans_keep_their_places(tmp_path):
    """Tensor 0 of the second plan is tensor 1 of the first."""
    small = (TensorInfo(0, TENSOR, (200, 100), "float32", "mlp_up", 0, "mlp", samples=320, grid=(32, 10)),)
    with small_blocks(snapshots=4):
        writer = made_runs.start(tmp_path / "run")
        for iteration in (30, 10):
            made_runs.write(writer, iteration)
        plan = writer.add_plan(small, np.arange(320), np.empty(0, np.int64)).number
        for iteration in (40, 20):
            made = made_runs.snapshot(iteration, plan=plan)
            made.values, made.vectors, made.embedding_rows, made.embedding_scores = (
                made.values[:320],
                None,
                None,
                None,
            )
            made.statistics, made.histograms, made.gradient_statistics = made.statistics[ROW:2], None, None
            writer.commit(made)
        writer.close("finished")
    for with_blocks in (True, False):
        if not with_blocks:
            shutil.rmtree(tmp_path / "run/timeline")
        run = open_run(tmp_path / "run")
        assert run.timeline(TENSOR, KEY).tolist() == expected([10, 20, 30, 40])
        gradients = run.timeline(TENSOR, "mean", of="gradient_statistics")
        assert np.isnan(gradients).tolist() == [False, True, False, True]
        with pytest.raises(KeyError):
            run.timeline("wte.weight", KEY)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 1), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1)), max_size=12
    ),
    capacity=st.integers(1, 5),
)
def test_a_builder_gives_back_every_bit_it_was_given(rows, capacity):
    """Any mixture of plans and of missing tables; NaN payloads too."""
    given_rows, found = {}, {}
    with small_blocks(snapshots=capacity):
        builder = TimelineBuilder()
        blocks = []
        for iteration, (plan, *has, seed) in enumerate(rows):
            bits = np.random.default_rng(seed).integers(0, 2**32, (2, 3, 4), dtype=np.uint32)
            tables = {
                name: bits[n].view(np.float32) if has[n] else None
                for n, name in enumerate(("statistics", "gradient_statistics"))
            }
            given_rows[iteration] = (plan, tables)
            blocks += [builder.add(iteration, plan, tables)]
        blocks += [builder.take(), builder.take()]
    for block in filter(None, blocks):
        assert block.record["snapshots"] <= capacity
        stacks = {key: laid.array for key, laid in block.arrays.items() if key != "iterations"}
        for at, iteration in enumerate(block.arrays["iterations"].array.tolist()):
            found[iteration] = block.record["plan"], {key: stack[..., at] for key, stack in stacks.items()}
    for iteration, (plan, tables) in given_rows.items():
        if all(table is None for table in tables.values()):
            assert iteration not in found
            continue
        assert found[iteration][0] == plan
        for key, table in tables.items():
            read = found[iteration][1].get(key)
            if table is None:
                assert read is None or np.isnan(read).all()
            else:
                assert read.tobytes() == table.tobytes()


def test_a_model_of_very_many_tensors_has_shorter_blocks():
    builder, table = TimelineBuilder(), np.zeros((20_000, 21), np.float32)
    added = 1
    while builder.add(added, 0, {"statistics": table}) is None:
        added += 1
    assert added >= SMALLEST_BLOCK
    assert (added - 1) * table.nbytes <= BLOCK_BYTES


# Scalars


def stored_scalars(path: Path) -> dict[str, dict[int, float]]:
    """What zarr-python alone reads: name → iteration → value, later blocks over earlier ones."""
    scalars: dict[str, dict[int, float]] = {}
    root = zarr.open_group(path / "scalars", mode="r", zarr_format=3)
    for _, block in sorted(root.groups()):
        iterations = block["iterations"][...].tolist()
        for name, values in zip(block.attrs["paramviz"]["names"], block["values"][...].tolist(), strict=True):
            known = {i: v for i, v in zip(iterations, values, strict=True) if v == v}
            scalars.setdefault(name, {}).update(known)
    return scalars


def test_other_zarr_readers_see_every_scalar_and_statistic(tmp_path):
    with small_blocks(snapshots=3):
        writer = made_runs.start(tmp_path / "run")
        for iteration in range(7):
            made_runs.write(writer, iteration)
            writer.log_step(iteration, {"accuracy": iteration / 7}, 0.0)
        writer.close("finished")
    path = tmp_path / "run"
    assert stored_scalars(path) == {
        "loss": {i: 4.0 / (i + 1) for i in range(7)},
        "accuracy": {i: i / 7 for i in range(7)},
        "strange": {},
    }
    statistics = zarr.open_array(path / "timeline/000001/statistics", mode="r", zarr_format=3)
    assert statistics.metadata.dimension_names == ("tensor", "statistic", "snapshot")
    made = np.stack([made_runs.snapshot(i).statistics for i in (3, 4, 5)], axis=-1)
    assert statistics[...].tobytes() == made.tobytes()
    assert _tensorstore_array(path / "timeline/000001/statistics").tobytes() == made.tobytes()


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 9), st.dictionaries(st.sampled_from("abc"), st.floats(allow_nan=False)))
    )
)
def test_blocks_of_scalars_hold_what_the_steps_gave_last(steps):
    expected_values: dict[tuple[int, str], float] = {}
    found: dict[tuple[int, str], float] = {}
    with small_blocks(steps=3):
        builder = ScalarBuilder()
        blocks = [builder.add(iteration, scalars) for iteration, scalars in steps]
        blocks.append(builder.take())
    for iteration, scalars in steps:
        expected_values.update({(iteration, name): value for name, value in scalars.items()})
    for block in filter(None, blocks):
        for name, row in zip(block.record["names"], block.arrays["values"].array, strict=True):
            for iteration, value in zip(block.arrays["iterations"].array.tolist(), row.tolist(), strict=True):
                if value == value:
                    found[iteration, name] = value
    assert found == expected_values
