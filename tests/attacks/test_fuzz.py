"""Random damage to a run: refused by name or read as it was recorded, with nothing in between.

`python -m tests.attacks.fuzz FIRST COUNT` tries further numbers; N is the same damage at any time.
Under scripts/torture a million are tried, on all processors; PARAMVIZ_FUZZ=COUNT in the environment
asks for another number, and PARAMVIZ_FUZZ_FIRST=N begins there instead of at 0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from paramviz.errors import DamagedRunError
from paramviz.store import open_run
from tests.attacks.containers import CONTAINERS, Containers, container_of
from tests.attacks.hdf5_mutations import lookup3
from tests.attacks.reading import Reading
from tests.attacks.specimen import small_chunks
from tests.store import made_runs

QUICK, FULL = 2_000, 1_000_000


@pytest.mark.slow
def test_no_damage_to_a_run_does_harm(torture, project_root, capfd):
    count = int(os.environ.get("PARAMVIZ_FUZZ") or (FULL if torture else QUICK))
    first = int(os.environ.get("PARAMVIZ_FUZZ_FIRST") or 0)
    processes = len(os.sched_getaffinity(0)) if torture else 1
    command = [sys.executable, "-m", "tests.attacks.fuzz", str(first), str(count)]
    command += ["--processes", str(processes)]
    # What it says of its progress goes to the terminal: a million take half an hour.
    with capfd.disabled():
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=project_root)
    assert done.returncode == 0
    told = json.loads(done.stdout)
    print(told)
    assert told["failures"] == []
    assert told["tried"] == count
    for container in CONTAINERS:
        ends = told["ends"][container]
        assert ends["read"], f"no damaged {container} is read"
        assert ends["refused in part"], f"no damaged {container} is refused"


def test_a_damage_is_the_same_each_time_and_is_taken_back(tmp_path):
    with small_chunks():
        containers = Containers(tmp_path)
        before = Reading().of(containers.openings["directory"]).facts
        assert len(before) > 40
        for number in range(150):
            seen = []
            for _ in range(2):
                with containers.damaged(number) as met:
                    files = {p: p.read_bytes() for p in containers.run.rglob("*") if p.is_file()}
                    seen.append((met.told, met.mended, files, Reading().of(met.opening).facts))
            assert seen[0] == seen[1], f"damage {number} is not the same twice"
            if container_of(number) == "directory":
                assert Reading().of(containers.openings["directory"]).facts == before


def test_the_checksum_of_hdf5_is_that_of_its_author():
    """The example of lookup3.c itself."""
    assert lookup3(b"Four score and seven years ago") == 0x17770551


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
