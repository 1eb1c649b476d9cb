"""A hostile run is refused by name, in bounded time and memory, and nothing outside of it is touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.attacks import hostile_files, hostile_journals, hostile_records
from tests.attacks.payloads import SECRET
from tests.attacks.tampering import Tampered
from tests.store import made_runs

pytestmark = pytest.mark.slow

ATTACKS = hostile_records.ATTACKS | hostile_files.ATTACKS | hostile_journals.ATTACKS
MEGABYTES = 200
"""More memory than before it was opened, at the most at any moment of the visit."""


@pytest.fixture(scope="module")
def visits(tmp_path_factory, project_root):
    """Attack → what a visit to its run told, all of them in one go."""
    folder = tmp_path_factory.mktemp("hostile")
    good = made_runs.make_run(folder / "good", iterations=2)
    paths = {}
    for number, (name, attack) in enumerate(ATTACKS.items()):
        paths[name] = folder / f"{number:03}" / "run"
        shutil.copytree(good, paths[name])
        attack.build(Tampered(paths[name]))
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.visit", *map(str, paths.values())],
        capture_output=True,
        text=True,
        cwd=project_root,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    told = {line["run"]: line for line in map(json.loads, done.stdout.splitlines())}
    return {name: told[str(path)] for name, path in paths.items()}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_run_does_no_harm(visits, name):
    """Only errors of paramviz, bounded memory, no file of anybody else's, no pickle, no codec by name."""
    visit = visits[name]
    assert "died" not in visit, f"ended by signal or memory: {visit}"
    assert visit["stray"] == []
    assert visit["opened"] == []
    assert visit["pickled"] == []
    assert not visit["zarr"], "zarr was imported: its metadata parser and codecs are for runs of our own"
    assert visit["megabytes"] < MEGABYTES
    assert SECRET not in json.dumps(visit)


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.key is not None])
def test_a_hostile_run_is_refused_with_its_place_and_reason(visits, name):
    attack, visit = ATTACKS[name], visits[name]
    assert attack.key is not None
    if attack.key.endswith("Error"):
        named = [r for r in visit["refusals"] if r["type"] == attack.key and r["path"].endswith("/run")]
    else:
        named = [r for r in visit["refusals"] if r["key"].startswith(attack.key)]
    assert named, visit["refusals"][:5]
    assert any(attack.says in r["says"] for r in named), named[:5]
    # Every way of asking comes to it: reading or opening, and verify.
    assert any(r["at"] == "verify" for r in visit["refusals"])
