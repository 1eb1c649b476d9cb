"""A hostile run is refused by name, in bounded time and memory, and nothing outside of it is touched."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks import hostile_files, hostile_journals, hostile_records
from tests.attacks.payloads import SECRET
from tests.attacks.tampering import Tampered
from tests.store import made_runs

pytestmark = pytest.mark.slow

ATTACKS = hostile_records.ATTACKS | hostile_files.ATTACKS | hostile_journals.ATTACKS

MEGABYTES = 200
"""More memory than before it was opened, at the most at any moment of the visit."""

SECONDS = 1.0
"""Processor time until it is open or refused, and until what is wrong deeper in it is refused."""

Visit = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return made_runs.make_run(tmp_path_factory.mktemp("good") / "run", iterations=2)


@pytest.fixture(scope="module")
def visit(good, project_root) -> Iterator[Callable[[Path], Visit]]:
    """What a visit to a run told; each is made in a process of its own."""
    command = [sys.executable, "-m", "tests.attacks.visit", str(good)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=project_root
    ) as visitor:
        assert visitor.stdin is not None
        assert visitor.stdout is not None

        def ask(path: Path) -> Visit:
            print(path, file=visitor.stdin, flush=True)
            told: Visit = json.loads(visitor.stdout.readline())
            return told

        yield ask
        visitor.stdin.close()
        assert visitor.wait() == 0


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_run_is_refused_by_name_and_does_no_harm(visit, good, tmp_path, name):
    """Only errors of paramviz, bounded time and memory, no file of anybody else's, no pickle, no codec."""
    attack, path = ATTACKS[name], tmp_path / "hostile" / "run"
    shutil.copytree(good, path)
    attack.build(Tampered(path))
    told = visit(path)
    assert "died" not in told, f"ended by signal or memory: {told}"
    assert told["stray"] == []
    assert told["opened"] == []
    assert told["pickled"] == []
    assert not told["zarr"], "zarr was imported: its metadata parser and codecs are for runs of our own"
    assert told["megabytes"] < MEGABYTES
    assert SECRET not in json.dumps(told)
    assert told["opened_s"] < SECONDS
    if attack.key is not None:
        assert told["refused_s"] < SECONDS
        _assert_named(told["refusals"], attack.key, attack.says)


def _assert_named(refusals: list[dict[str, str]], key: str, says: str) -> None:
    """The place and the reason are in the refusals."""
    if key.endswith("Error"):
        named = [r for r in refusals if r["type"] == key and r["path"].endswith("/run")]
    else:
        named = [r for r in refusals if r["key"].startswith(key)]
    assert named, refusals[:5]
    assert any(says in r["says"] for r in named), named[:5]
    # Every way of asking comes to it: reading or opening, and verify.
    assert any(r["at"] == "verify" for r in refusals)
