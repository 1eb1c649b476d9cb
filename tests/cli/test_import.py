"""`paramviz import` of checkpoints: what it prints, and how it ends. Of HDF5 files: test_pack."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

import paramviz
from paramviz.cli import main
from tests.recorder.models import gpt


def run_import(*arguments):
    return CliRunner().invoke(main, ["import", *map(str, arguments)], prog_name="paramviz")


def test_a_series_is_imported_verified_and_told_of(tmp_path):
    for step in (10, 20):
        torch.save({"model": gpt(step).state_dict()}, tmp_path / f"step_{step}.pt")
    out = tmp_path / "run"
    done = run_import(tmp_path, out, "--name", "old times", "--exclude", "*.bias")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{out}: 2 snapshots imported\n", "")
    run = paramviz.open_run(out)
    assert (run.name, run.iterations.tolist()) == ("old times", [10, 20])
    assert not [t.name for t in run.tensors if t.samples and t.name.endswith(".bias")]
    assert run.description["config"]["imported"] == ["step_10.pt", "step_20.pt"]
    assert CliRunner().invoke(main, ["verify", str(out)]).exit_code == 0


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"not a checkpoint", 1, "step_1.pt: is no checkpoint"),
        (None, 1, "holds no checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_told_in_a_line(content, status, says, tmp_path):
    if content is not None:
        (tmp_path / "step_1.pt").write_bytes(content)
    done = run_import(tmp_path, tmp_path / "run")
    assert done.exit_code == status
    assert done.stderr.startswith("paramviz: error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_format_that_is_not_known_is_wrong_usage(tmp_path):
    (tmp_path / "weights.docx").write_bytes(b"")
    done = run_import(tmp_path / "weights.docx", tmp_path / "run")
    assert done.exit_code == 2
    assert ".safetensors" in done.stderr


def test_options_for_checkpoints_are_not_for_runs(tmp_path):
    done = run_import(tmp_path / "run.h5", tmp_path / "run", "--name", "x")
    assert done.exit_code == 2
    assert "without --name" in done.stderr
