"""Random damage to a run: refused by name or read as it was recorded, with nothing in between.

`python -m tests.attacks.fuzz FIRST COUNT` tries further numbers; N is the same damage at any time.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from paramviz.errors import DamagedRunError
from paramviz.store import open_run
from tests.attacks import fuzz
from tests.attacks.mutations import Mutator
from tests.store import made_runs

QUICK, FULL, MEGABYTES = 300, 100_000, 200
CHUNK = 10_000
"""Damages for each process, so that what leaks or grows shows in one of them."""


@pytest.mark.slow
def test_no_damage_to_a_run_does_harm(torture, project_root):
    total = FULL if torture else QUICK
    tried, ends = 0, []
    while tried < total:
        count = min(CHUNK, total - tried)
        command = [sys.executable, "-m", "tests.attacks.fuzz", str(tried), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=project_root)
        assert done.returncode == 0, f"died between {tried} and {tried + count}: {done.stderr[-2000:]}"
        told = json.loads(done.stdout)
        assert told["failures"] == []
        assert told["megabytes"] < MEGABYTES
        ends.append(told["ends"])
        tried += told["tried"]
        print(
            f"{told['tried']} damages in {told['seconds']} s, {told['megabytes']:.0f} MB more: {told['ends']}"
        )
    assert all(end["read"] and end["refused in part"] for end in ends), "one half of the damages is never met"


def test_a_damage_is_the_same_each_time_and_is_taken_back(tmp_path):
    path = fuzz.make_run(tmp_path / "run")
    before = fuzz.Reading().of(path).facts
    mutator = Mutator(path)
    assert len(before) > 50
    for number in range(20):
        first = mutator.mutate(number)
        mutator.undo()
        assert mutator.mutate(number) == first
        mutator.undo()
    assert fuzz.Reading().of(path).facts == before


@pytest.mark.parametrize(
    ("chunk", "ask"),
    [
        ("vectors/c.0", lambda snapshot: snapshot.values("h.0.fc.bias")),
        ("vectors/c.0", lambda snapshot: snapshot.array("vectors")),
        ("statistics/c.0.0", lambda snapshot: snapshot.statistics("wte.weight")),
    ],
)
def test_a_good_chunk_of_another_snapshot_is_not_taken_for_its_own(tmp_path, chunk, ask):
    """Same plan, same length, every checksum in it right: a stale copy, or files that were mixed up."""
    path = made_runs.make_run(tmp_path / "run", iterations=2)
    one, other = (path / f"iterations/0000000{i}/{chunk}" for i in range(2))
    assert one.stat().st_size == other.stat().st_size
    one.write_bytes(other.read_bytes())
    run = open_run(path)
    ask(run[1])
    with pytest.raises(DamagedRunError) as error:
        ask(run[0])
    assert error.value.key == f"iterations/00000000/{chunk}"
