"""Stores written by earlier versions, kept for ever, and the numbers that must be read from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from paramviz.schema import Event
from paramviz.store import open_run, pack_run, verify_run
from tests.store import frozen_runs, made_runs, rich_runs

GOLDEN = Path(__file__).parent / "golden"

PLAIN = ("format-0.1", "format-1.0")
EVERY = (*PLAIN, "format-1.0-frozen", "format-1.0-key", "format-1.0-dense.zarr.zip")

LOSSES = [4.0, 2.0, 4.0 / 3]


@pytest.mark.parametrize("name", [*PLAIN, "format-1.0-dense.zarr.zip"])
def test_a_golden_store_reads_as_on_the_day_it_was_written(name):
    run = open_run(GOLDEN / name)
    assert run.format == name[7:10]
    assert run.run_id == RUN_IDS[name[7:10]]
    assert run.name == "golden"
    assert run.description == {"model": "made", "config": {"lr": 0.1}}
    assert run.status == "finished"
    assert run.iterations.tolist() == [0, 1, 2]
    assert run.tensors == made_runs.TENSORS
    assert run.vocabulary is not None
    assert run.vocabulary[:3] == ("a", "b", "c")
    assert run.events == (Event(0, "validation", "half way"), Event(2, "checkpoint", "by hand"))
    assert run.scalar_series("loss")[1].tolist() == LOSSES
    for iteration in range(3):
        made_runs.assert_same_snapshot(run[iteration], iteration)
    assert run.basis(0).explained.tolist() == [0.125] * 8


@pytest.mark.parametrize("name", PLAIN)
def test_the_golden_numbers_themselves_have_not_moved(name):
    """The generator of the expected numbers is numpy's; a few of them are pinned, so that it cannot drift."""
    run = open_run(GOLDEN / name)
    assert run[1].values("wte.weight").view(np.uint16)[3:8].tolist() == PINNED_VALUES
    assert run[1].array("histograms")[0, :3].tolist() == PINNED_COUNTS[run.format]


def test_golden_samples_of_frozen_tensors_lie_in_the_plan():
    run = open_run(GOLDEN / "format-1.0-frozen")
    for iteration in frozen_runs.ITERATIONS:
        assert run[iteration].values("still").tobytes() == frozen_runs.FROZEN.values.tobytes()
        assert run[iteration].values("still.b").tobytes() == frozen_runs.FROZEN.vectors.tobytes()
        assert run[iteration].values("moves").tolist() == [iteration] * 20


def test_golden_quantities_of_a_key_snapshot():
    run = open_run(GOLDEN / "format-1.0-key")
    assert run.tensors == rich_runs.make_plan()[0].tensors
    for key, array in (rich_runs.quantities(run.plan, 0) | rich_runs.probed(0)).items():
        assert run[0].array(key).tobytes() == array.tobytes(), key
    assert run[0].array("head_norms")[:3].tolist() == pytest.approx(PINNED_HEADS, rel=1e-6)
    assert run[0].cells("up").row_edges.tolist() == PINNED_EDGES


@pytest.mark.parametrize("name", EVERY)
def test_a_golden_store_passes_verification(name):
    report = verify_run(GOLDEN / name)
    assert report.problems == ()
    assert report.notes == ()


PINNED_VALUES = [48438, 15166, 14116, 47180, 14502]
PINNED_COUNTS = {"0.1": [1196063200, 3868537699, 144600116], "1.0": [244804756, 152500066, 2147605569]}
PINNED_HEADS = [0.04366447776556015, -0.6242141127586365, 1.2346022129058838]
PINNED_EDGES = [0, 4, 7, 10, 13, 16, 19, 22, 25, 29, 32, 35, 38, 41, 44, 47, 50]
RUN_IDS = {"0.1": "246a126f930976a9", "1.0": "625ce18457b6c8ce"}


def make_golden(folder: Path) -> None:
    """Write the golden stores of the present format into a folder."""
    name = folder / "format-1.0"
    writer = made_runs.start(name, name="golden")
    for iteration in range(3):
        made_runs.write(writer, iteration)
    writer.log_event(Event(2, "checkpoint", "by hand"))
    writer.close("finished")
    with pytest.MonkeyPatch.context() as patch:
        # Three snapshots of noise would not be worth a block.
        patch.setattr("paramviz.store.dense_packing._WORTH_WHILE", 100)
        pack_run(name, folder / "format-1.0-dense.zarr.zip", dense=True)
    frozen_runs.make_run(folder / "format-1.0-frozen")
    rich_runs.make_run(folder / "format-1.0-key")


if __name__ == "__main__":
    make_golden(Path(sys.argv[1]))
