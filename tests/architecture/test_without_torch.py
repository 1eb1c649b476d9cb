"""A colleague who only looks needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked by the test)", name=name)

sys.meta_path.insert(0, Blocked())
sys.path.insert(0, {root!r})
{code}
loaded = sorted(name for name in sys.modules if name.partition(".")[0] in {blocked!r})
assert not loaded, loaded
"""


def run_without(blocked: set[str], code: str) -> subprocess.CompletedProcess[str]:
    source = WITHOUT_TORCH.format(blocked=blocked, root=str(ROOT), code=code)
    return subprocess.run([sys.executable, "-I", "-c", source], capture_output=True, text=True)


@pytest.mark.parametrize(
    "module", ["paramviz", "paramviz.store", "paramviz.analysis", "paramviz.cli", "viewer"]
)
def test_a_reading_room_is_imported_without_torch_and_numba(module):
    done = run_without({"torch", "numba"}, f"import {module}")
    assert done.returncode == 0, done.stderr


def test_the_reader_opens_a_run_without_torch(tmp_path):
    """`paramviz.open_run` is reached, and says what is wrong with a folder that is no run."""
    done = run_without(
        {"torch", "numba"},
        f"import paramviz\nfrom paramviz.errors import NotARunError\n"
        f"try:\n    paramviz.open_run({str(tmp_path)!r})\nexcept NotARunError:\n    pass\n"
        f"else:\n    raise SystemExit('an empty folder was opened as a run')",
    )
    assert done.returncode == 0, done.stderr


def test_a_recorder_without_torch_says_what_to_install():
    done = run_without({"torch"}, "import paramviz\nparamviz.Recorder")
    assert done.returncode != 0
    assert "paramviz[record]" in done.stderr
