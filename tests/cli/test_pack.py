"""`paramviz pack`, `unpack`, `export` and `import`: what they print, and how they end."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from paramviz.cli import main
from tests.store import made_runs


def paramviz(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="paramviz")


@pytest.fixture
def run_path(tmp_path):
    return made_runs.make_run(tmp_path / "run", 8)


def test_a_run_is_packed_looked_at_checked_and_unpacked(run_path, tmp_path):
    packed = tmp_path / "run.zarr.zip"
    done = paramviz("pack", run_path, packed)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{packed}: 8 snapshots, ")
    assert paramviz("verify", packed).exit_code == 0
    done = paramviz("unpack", packed, tmp_path / "again")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'again'}: unpacked\n")
    assert paramviz("verify", tmp_path / "again").exit_code == 0


def test_dense_says_what_it_saves(run_path, tmp_path):
    writer = made_runs.start(tmp_path / "calm")
    for iteration in range(4):
        writer.commit(replace(made_runs.snapshot(0), iteration=iteration))
    writer.close("finished")
    done = paramviz("pack", tmp_path / "calm", tmp_path / "calm.zarr.zip", "--dense")
    assert re.fullmatch(r".*: 4 snapshots, \d+ kB \(\d+ kB without --dense\)\n", done.stdout)
    assert paramviz("verify", tmp_path / "calm.zarr.zip").exit_code == 0
    done = paramviz("pack", run_path, tmp_path / "random.zarr.zip", "--dense")
    assert done.exit_code == 0
    assert done.stdout.endswith("; --dense saves nothing here, so all snapshots are as they were recorded\n")


def test_info_says_that_a_run_was_thinned_and_not_that_this_reveals_anything(run_path, tmp_path):
    packed = tmp_path / "thin.zarr.zip"
    done = paramviz("pack", run_path, packed, "--every", 3, "--anonymous")
    assert "5 snapshots of 8, " in done.stdout
    told = paramviz("info", packed).stdout
    assert "every=3, snapshots=5, of=8" in told
    assert "reveals" not in told


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (["--every", "0"], 2, "--every"),
        (["--max-mb", "0.01"], 2, "Allow more"),
        (["--max-mb", "0"], 2, "--max-mb"),
    ],
)
def test_a_wish_that_cannot_be_met_is_wrong_usage(run_path, tmp_path, options, status, says):
    done = paramviz("pack", run_path, tmp_path / "out.zarr.zip", *options)
    assert done.exit_code == status
    assert says in done.stderr
    assert not (tmp_path / "out.zarr.zip").exists()


def test_damage_stops_packing_with_status_1(run_path, tmp_path):
    (run_path / "iterations/00000001/values/c.0").write_bytes(b"")
    done = paramviz("pack", run_path, tmp_path / "out.zarr.zip")
    assert done.exit_code == 1
    assert "iterations/00000001/values/c.0" in done.stderr


def test_a_file_that_is_there_is_left_alone(run_path, tmp_path):
    done = paramviz("pack", run_path, run_path / "zarr.json")
    assert done.exit_code == 3
    assert "is there already" in done.stderr


def test_a_run_goes_to_hdf5_and_comes_back(run_path, tmp_path):
    exported = tmp_path / "run.h5"
    done = paramviz("export", run_path, exported)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{exported}: ")
    assert "finished" in paramviz("info", exported).stdout
    assert paramviz("verify", exported).exit_code == 0
    done = paramviz("import", exported, tmp_path / "again")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'again'}: imported\n")
    assert paramviz("verify", tmp_path / "again").exit_code == 0


def test_a_format_that_is_not_known_is_wrong_usage(run_path, tmp_path):
    done = paramviz("export", run_path, tmp_path / "run.docx")
    assert done.exit_code == 2
    assert "only .h5" in done.stderr
