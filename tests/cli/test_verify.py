"""`paramviz verify`: good runs pass, and damage is named file by file."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from paramviz.cli import main
from tests.store import made_runs


def verify(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)], prog_name="paramviz")


@pytest.fixture
def run_path(tmp_path):
    return made_runs.make_run(tmp_path / "run", 3)


def spoil(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def test_a_sound_run_passes(run_path):
    done = verify(run_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"{run_path}: no damage in 3 snapshots" in done.stdout


def test_every_damaged_file_is_named(run_path):
    keys = ["iterations/00000001/values/c.0", "iterations/00000002/statistics/c.0.0"]
    for key in keys:
        spoil(run_path / key)
    done = verify(run_path)
    assert done.exit_code == 1
    named = [line.partition(": ")[0] for line in done.stdout.splitlines()]
    assert named == [*keys, str(run_path)]
    assert "2 problems" in done.stdout


def test_a_live_run_is_checked_as_it_stands(tmp_path):
    writer = made_runs.start(tmp_path / "live")
    made_runs.write(writer, 0)
    done = verify(writer.path)
    assert done.exit_code == 0
    assert "(recording)" in done.stdout
    writer.close("finished")


def test_traces_of_a_crash_are_notes_and_no_damage(run_path):
    (run_path / "iterations" / "00000009").mkdir()
    done = verify(run_path)
    assert done.exit_code == 0
    assert "note: iterations/00000009" in done.stdout


def test_a_program_is_told_the_same_as_json(run_path):
    spoil(run_path / "iterations/00000001/values/c.0")
    done = verify(run_path, "--json")
    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (report["path"], report["status"], report["snapshots"]) == (str(run_path), "finished", 3)
    assert report["files"] > 3
    assert report["bytes"] > 0
    assert [problem["key"] for problem in report["problems"]] == ["iterations/00000001/values/c.0"]


def test_no_run_is_one_line(tmp_path):
    done = verify(tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"paramviz: error: {tmp_path}: is an empty directory")
    assert done.stderr.count("\n") == 1
