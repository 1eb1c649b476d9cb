"""Stores written by earlier versions, kept for ever, and the numbers that must be read from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from paramviz.schema import Event
from paramviz.store import open_run, verify_run
from tests.store import made_runs

GOLDEN = Path(__file__).parent / "golden"

LOSSES = [4.0, 2.0, 4.0 / 3]


def test_a_store_of_format_0_1_reads_as_on_the_day_it_was_written():
    run = open_run(GOLDEN / "format-0.1")
    assert run.format == "0.1"
    assert run.run_id == "246a126f930976a9"
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


def test_the_golden_numbers_themselves_have_not_moved():
    """The generator of the expected numbers is numpy's; a few of them are pinned, so that it cannot drift."""
    run = open_run(GOLDEN / "format-0.1")
    assert run[1].values("wte.weight").view(np.uint16)[3:8].tolist() == PINNED_VALUES
    assert run[1].array("histograms")[0, :3].tolist() == PINNED_COUNTS


def test_the_golden_store_passes_verification():
    report = verify_run(GOLDEN / "format-0.1")
    assert report.problems == ()
    assert report.notes == ()


PINNED_VALUES = [48438, 15166, 14116, 47180, 14502]
PINNED_COUNTS = [1196063200, 3868537699, 144600116]


def make_golden(path: Path) -> None:
    """Write the golden store of the present format."""
    writer = made_runs.start(path, name="golden")
    for iteration in range(3):
        made_runs.write(writer, iteration)
    writer.log_event(Event(2, "checkpoint", "by hand"))
    writer.close("finished")


if __name__ == "__main__":
    make_golden(Path(sys.argv[1]))
