"""A library that is not installed is named, with what to install; what needs none of them loads none."""

from __future__ import annotations

import pytest

from tests.architecture.test_without_torch import run_without


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("huggingface", "transformers", "huggingface"),
        ("lightning", "lightning", "lightning"),
        ("accelerate", "accelerate", "accelerate"),
    ],
)
def test_a_missing_library_is_named(module, library, extra):
    blocked = {library, "pytorch_lightning"} if library == "lightning" else {library}
    done = run_without(blocked, f"import paramviz.integrations.{module}")
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("paramviz.errors.MissingExtraError: ")
    assert f"needs {library}, which is not installed: pip install 'paramviz[{extra}]'" in last


def test_a_missing_safetensors_is_named(tmp_path):
    (tmp_path / "step_1.safetensors").write_bytes(b"")
    done = run_without(
        {"safetensors"},
        f"from paramviz.cli import main; main(['import', {str(tmp_path)!r}, {str(tmp_path / 'run')!r}])",
    )
    assert done.returncode == 3
    assert "needs safetensors, which is not installed: pip install 'paramviz[checkpoints]'" in done.stderr


def test_without_torch_a_script_runs_and_checkpoints_say_what_is_missing(tmp_path):
    (tmp_path / "script.py").write_text("print('ran')")
    code = "from paramviz.cli import main; main({arguments!r})"
    done = run_without({"torch"}, code.format(arguments=["record", str(tmp_path / "script.py")]))
    assert (done.returncode, done.stdout) == (0, "ran\n")
    done = run_without({"torch"}, code.format(arguments=["import", str(tmp_path), str(tmp_path / "run")]))
    assert done.returncode == 3
    assert "needs torch" in done.stderr
