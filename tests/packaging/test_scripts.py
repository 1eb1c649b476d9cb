"""What scripts/setup and scripts/chromium say where something is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROGRAMS = ("bash", "cat", "dirname", "env", "id", "sed")
"""What the scripts themselves call."""


@pytest.fixture
def bare_path(tmp_path) -> Path:
    """A folder for PATH with the shell's own tools, no Python and no browser."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in PROGRAMS:
        found = shutil.which(program)
        assert found is not None
        (folder / program).symlink_to(found)
    return folder


@pytest.fixture
def run_script(project_root, tmp_path, bare_path) -> Run:
    """Run a copy of a script in an empty project, with only `bare_path` on PATH."""

    def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        copy = tmp_path / "project" / "scripts" / name
        copy.parent.mkdir(parents=True)
        shutil.copy2(project_root / "scripts" / name, copy)
        return subprocess.run(
            [copy, *arguments],
            env={"PATH": str(bare_path), **environment},
            capture_output=True,
            text=True,
        )

    return run


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def test_setup_refuses_an_old_python_and_says_how_to_name_another(run_script, bare_path):
    program(bare_path / "python3", 'case "$1" in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac')
    done = run_script("setup")
    assert done.returncode == 3
    assert "needs Python 3.11 or newer; python3 here is Python 3.9.2" in done.stderr
    assert "PARAMVIZ_PYTHON=" in done.stderr


def test_setup_without_any_python_says_so(run_script):
    done = run_script("setup")
    assert done.returncode == 3
    assert "needs Python 3.11 or newer; python3 here is" in done.stderr
    assert "missing" in done.stderr


def test_setup_refuses_the_interpreter_named_if_it_is_none(run_script):
    done = run_script("setup", PARAMVIZ_PYTHON="/nonexistent/python")
    assert done.returncode == 3
    assert "PARAMVIZ_PYTHON is /nonexistent/python" in done.stderr


def test_a_missing_browser_is_reported_with_the_cure(run_script):
    done = run_script("chromium")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "apt-get install chromium" in done.stderr
    assert "PARAMVIZ_CHROMIUM" in done.stderr


def test_a_browser_on_path_is_found(run_script, bare_path):
    program(bare_path / "chromium-browser", "exit 0")
    assert run_script("chromium").stdout.strip() == str(bare_path / "chromium-browser")


def test_the_browser_that_was_named_comes_first(run_script, bare_path, tmp_path):
    program(bare_path / "chromium", "exit 0")
    program(tmp_path / "mine", "exit 0")
    assert run_script("chromium", PARAMVIZ_CHROMIUM=str(tmp_path / "mine")).stdout.strip() == str(
        tmp_path / "mine"
    )


def test_a_named_browser_that_is_none_is_refused(run_script):
    done = run_script("chromium", PARAMVIZ_CHROMIUM="/nonexistent/chromium")
    assert done.returncode == 3
    assert "/nonexistent/chromium, which is no program" in done.stderr


@pytest.mark.parametrize("name", ["setup", "chromium", "check", "test", "torture"])
def test_help_prints_the_usage(run_script, name):
    done = run_script(name, "--help")
    assert done.returncode == 0
    assert f"usage: scripts/{name}" in done.stdout
