"""What a reader sees of a run, finished or growing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from paramviz.errors import (
    FormatVersionError,
    IterationNotFoundError,
    NotARunError,
    NotRecordedError,
    OutputError,
    RunExistsError,
    RunLockedError,
    TensorNotFoundError,
    UsageError,
)
from paramviz.schema import Event, TensorInfo
from paramviz.store import RunWriter, open_run, verify_run
from tests.store import made_runs


def test_every_array_is_read_back_bit_for_bit(tmp_path):
    run = open_run(made_runs.make_run(tmp_path / "run"))
    assert run.iterations.tolist() == [0, 1, 2]
    for iteration in run.iterations:
        made_runs.assert_same_snapshot(run[iteration], int(iteration))


def test_one_tensor_is_the_part_of_the_whole_that_the_plan_says(tmp_path):
    """Across inner chunks too: the second tensor ends in another chunk than it starts in."""
    run = open_run(made_runs.make_run(tmp_path / "run"))
    made = made_runs.snapshot(1)
    for tensor in made_runs.TENSORS[:3]:
        whole = getattr(made, tensor.array)
        expected = whole[tensor.offset : tensor.offset + tensor.samples]
        assert run[1].values(tensor.name).tobytes() == expected.tobytes()
    assert run.positions("h.0.fc.bias").tolist() == list(range(0, 200, 4))


def test_statistics_histograms_and_gradients_are_found_by_name(tmp_path):
    snapshot, made = open_run(made_runs.make_run(tmp_path / "run"))[2], made_runs.snapshot(2)
    assert snapshot.statistics("h.0.fc.weight")["mean"] == made.statistics[1, 0]
    assert snapshot.gradient_statistics("h.0.fc.bias")["mean"] == made.gradient_statistics[2, 0]
    counts, edges = snapshot.histogram("wte.weight")
    assert np.array_equal(counts, made.histograms[0])
    assert len(edges) == len(counts) + 1
    assert (np.diff(edges) > 0).all()


def test_a_tied_name_answers_from_its_owner(tmp_path):
    snapshot = open_run(made_runs.make_run(tmp_path / "run"))[0]
    assert snapshot.values("head.weight").tobytes() == snapshot.values("wte.weight").tobytes()


def test_a_tensor_that_was_skipped_says_why(tmp_path):
    snapshot = open_run(made_runs.make_run(tmp_path / "run"))[0]
    with pytest.raises(NotRecordedError, match="complex numbers"):
        snapshot.values("odd")


def test_an_iteration_that_is_not_there_names_its_neighbours(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    for iteration in (10, 20):
        made_runs.write(writer, iteration)
    run = open_run(tmp_path / "run")
    with pytest.raises(KeyError) as error:
        run[13]
    assert isinstance(error.value, IterationNotFoundError)
    assert error.value.neighbours == (10, 20)
    writer.close("finished")


def test_a_misspelt_tensor_gets_a_suggestion(tmp_path):
    run = open_run(made_runs.make_run(tmp_path / "run"))
    with pytest.raises(TensorNotFoundError, match=r"Did you mean h\.0\.fc\.weight") as error:
        run.tensor("h.0.fc.weigth")
    assert "h.0.fc.weight" in error.value.close


def test_scalars_of_every_step_are_kept_and_the_later_entry_counts(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    for iteration in range(10):
        writer.log_step(iteration, {"loss": float(iteration)}, 0.0)
    writer.log_step(4, {"loss": 40.0, "validation_loss": float("inf")}, 0.0)
    made_runs.write(writer, 10)
    run = open_run(tmp_path / "run")
    iterations, values = run.scalar_series("loss")
    assert iterations.tolist() == list(range(11))
    assert values[4] == 40.0
    assert run.scalar_series("validation_loss")[1].tolist() == [float("inf")]
    assert run.scalars("loss").tolist() == [4.0 / 11]
    assert np.isnan(run.scalars("validation_loss")).all()
    writer.close("finished")


def test_a_growing_run_is_followed_without_opening_it_again(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.status == "recording"
    assert run.refresh().tolist() == []
    made_runs.write(writer, 3)
    made_runs.write(writer, 7)
    assert run.refresh().tolist() == [3, 7]
    assert run.refresh().tolist() == []
    made_runs.assert_same_snapshot(run[7], 7)
    writer.log_event(Event(8, "gap", "2 snapshots were dropped"))
    writer.close("finished")
    run.refresh()
    assert run.status == "finished"
    assert run.events[-1] == Event(8, "gap", "2 snapshots were dropped")


def test_timelines_follow_a_tensor_over_all_snapshots(tmp_path):
    run = open_run(made_runs.make_run(tmp_path / "run", iterations=4))
    expected = [made_runs.snapshot(i).statistics[1, 1] for i in range(4)]
    assert run.timeline("h.0.fc.weight", "std").tolist() == expected
    with pytest.raises(KeyError, match="no statistic of this run"):
        run.timeline("h.0.fc.weight", "median")


def test_a_second_plan_leaves_earlier_snapshots_readable(tmp_path):
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    bigger = writer.add_plan(made_runs.TENSORS[:1], np.arange(320), np.empty(0, np.int64))
    later = made_runs.snapshot(1, plan=bigger.number)
    later.values, later.vectors = later.values[:320], None
    later.statistics, later.histograms = later.statistics[:1], later.histograms[:1]
    later.gradient_statistics, later.embedding_rows, later.embedding_scores = None, None, None
    writer.commit(later)
    writer.close("finished")
    run = open_run(tmp_path / "run")
    made_runs.assert_same_snapshot(run[0], 0)
    assert run[1].values("wte.weight").tobytes() == later.values.tobytes()
    assert [t.name for t in run.tensors] == ["wte.weight"]
    assert len(run.positions("h.0.fc.weight", 0)) == 20_000
    assert np.isnan(run.timeline("wte.weight", "mean", of="gradient_statistics")[1])
    assert verify_run(tmp_path / "run").problems == ()


def test_a_vocabulary_keeps_every_string(tmp_path):
    strings = ["", "\n", "é", "<script>", "\ud800", "a" * 1000]
    RunWriter.create(tmp_path / "run", description={}, vocabulary=strings).close("finished")
    assert list(open_run(tmp_path / "run").vocabulary) == strings


def test_reading_needs_no_torch(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    code = f"""
import sys
sys.modules["torch"] = None  # an import of torch is an ImportError now
import paramviz
run = paramviz.open_run({str(path)!r})
assert run[0].values("wte.weight").shape == (320,)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda p: None, NotARunError, "does not exist"),
        (lambda p: p.mkdir(), NotARunError, "empty directory"),
        (lambda p: p.write_text("hello"), NotARunError, "is a file"),
        (lambda p: (p.mkdir(), (p / "notes.txt").write_text("x")), NotARunError, "holds no run"),
        (lambda p: (p.mkdir(), (p / "zarr.json").write_text("{}")), NotARunError, "is no run of paramviz"),
        (lambda p: (p.mkdir(), (p / "zarr.json").write_text("[" * 9999)), NotARunError, "is no run"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(tmp_path, make, error, says):
    make(tmp_path / "path")
    with pytest.raises(error, match=says) as raised:
        open_run(tmp_path / "path")
    assert "\n" not in str(raised.value)


def test_a_newer_format_is_refused_with_both_versions(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"]["paramviz"]["format"] = "7.2"
    (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(FormatVersionError, match=r"format 7\.2, this paramviz reads 0\.1") as error:
        open_run(path)
    assert error.value.found == "7.2"
    with pytest.raises(FormatVersionError):
        RunWriter.resume(path)


def test_a_run_is_never_overwritten(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    with pytest.raises(RunExistsError, match="resume=True"):
        RunWriter.create(path, description={})
    made_runs.assert_same_snapshot(open_run(path)[0], 0)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        RunWriter.create(tmp_path, description={})
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_path_that_cannot_be_made_is_an_error_that_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        RunWriter.create(tmp_path / "file" / "run", description={})


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path):
    first = made_runs.start(tmp_path / "run")
    with pytest.raises(RunLockedError, match=f"process {os.getpid()} "):
        RunWriter.resume(tmp_path / "run")
    first.close("finished")
    RunWriter.resume(tmp_path / "run").close("finished")


def test_resuming_goes_on_behind_the_last_iteration(tmp_path):
    path = made_runs.make_run(tmp_path / "run", iterations=2)
    writer = RunWriter.resume(path)
    assert writer.last_iteration == 1
    with pytest.raises(ValueError, match="iteration 1 is committed already"):
        writer.commit(made_runs.snapshot(1))
    made_runs.write(writer, 2)
    assert open_run(path).status == "recording"
    writer.close("finished")
    run = open_run(path)
    assert run.iterations.tolist() == [0, 1, 2]
    assert [event.kind for event in run.events] == ["validation", "resume"]
    assert run.scalar_series("loss")[0].tolist() == [0, 1, 2]
    assert verify_run(path).problems == ()


def test_a_start_that_was_interrupted_can_be_made_again(tmp_path):
    """Before the root record there is no run, so nothing can be overwritten."""
    made_runs.start(tmp_path / "run").close("crashed")
    (tmp_path / "run" / "zarr.json").unlink()
    with pytest.raises(NotARunError):
        open_run(tmp_path / "run")
    made_runs.make_run(tmp_path / "run")
    assert verify_run(tmp_path / "run").problems == ()


def test_snapshots_whose_root_record_is_lost_are_not_overwritten(tmp_path):
    path = made_runs.make_run(tmp_path / "run")
    (path / "zarr.json").unlink()
    with pytest.raises(OutputError, match="3 snapshots"):
        RunWriter.create(path, description={})


def test_a_run_moved_elsewhere_is_the_same_run(tmp_path: Path):
    path = made_runs.make_run(tmp_path / "run")
    run_id = open_run(path).run_id
    moved = path.rename(tmp_path / "elsewhere.zarr")
    assert open_run(moved).run_id == run_id
    made_runs.assert_same_snapshot(open_run(moved)[1], 1)


def whole_vectors(n: int, size: int) -> list[TensorInfo]:
    """Tensors that are kept whole, one behind the other."""
    return [
        TensorInfo(
            i, f"w{i}", (size,), "float32", "other", None, "other",
            samples=size, grid=(1, size), offset=i * size,
        )
        for i in range(n)
    ]  # fmt: skip


def test_samples_that_no_reader_would_keep_are_refused_by_the_writer(tmp_path):
    """Positions of tensors that are kept whole compress ten thousand times."""
    writer = made_runs.create(tmp_path / "run")
    n, size = 4_000, 1_000
    tensors = whole_vectors(n, size)
    positions, nothing = np.tile(np.arange(size), n), np.empty(0, np.int64)
    writer.add_plan(tensors, positions, nothing)
    with pytest.raises(UsageError, match="SampleBudgets"):
        writer.add_plan(tensors, positions, nothing)
    writer.close("finished")
    run = open_run(tmp_path / "run")
    assert len(run.plan.positions) == n * size
    resumed = RunWriter.resume(tmp_path / "run")
    with pytest.raises(UsageError, match="SampleBudgets"):
        resumed.add_plan(tensors, positions, nothing)
    resumed.close("finished")


def test_a_plan_that_a_full_disk_keeps_out_is_not_counted_each_time_it_is_tried(tmp_path, monkeypatch):
    """Of what a reader keeps in mind: the recorder tries again with every snapshot."""
    writer = made_runs.create(tmp_path / "run")
    n, size = 1_000, 1_000
    tensors = whole_vectors(n, size)
    arguments = tensors, np.tile(np.arange(size), n), np.empty(0, np.int64)

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(writer._files), "write_group", full)
        for _ in range(10):
            with pytest.raises(OSError, match="No space"):
                writer.add_plan(*arguments)
    assert writer.add_plan(*arguments).number == 0
    writer.close("finished")
