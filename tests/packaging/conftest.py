"""Copies of the project in which things are built without touching the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

BACKEND = """
import sys
sys.path.insert(0, "scripts")
import build_backend
print(build_backend.{call})
"""


class RunBackend(Protocol):
    """Call a hook of the build backend as a frontend does, in the project's root; its answer as text."""

    def __call__(self, checkout: Path, call: str, path: str) -> str: ...


@pytest.fixture
def run_backend() -> RunBackend:
    def run(checkout: Path, call: str, path: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-c", BACKEND.format(call=call)],
            cwd=checkout,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    return run


@pytest.fixture
def checkout(project_root, tmp_path) -> Path:
    """A clean copy of what git has or would take, and nothing that is ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project_root,
        capture_output=True,
        check=True,
    ).stdout.decode()
    copy = tmp_path / "checkout"
    for name in filter(None, listed.split("\0")):
        if (project_root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project_root / name, copy / name)
    return copy


@pytest.fixture
def built_checkout(checkout, project_root) -> Path:
    """The clean copy, with the browser side that scripts/setup has built."""
    stale = subprocess.run([sys.executable, project_root / "scripts" / "browser_side.py", "stale"])
    assert stale.returncode == 1, "viewer/static is not built from these sources: run scripts/setup first"
    shutil.copytree(project_root / "viewer" / "static", checkout / "viewer" / "static")
    return checkout


@pytest.fixture
def web(project_root, tmp_path, monkeypatch) -> ModuleType:
    """scripts/browser_side.py in a project of its own, whose page is built by copying one file."""
    root = tmp_path / "small"
    (root / "scripts").mkdir(parents=True)
    script = shutil.copy2(project_root / "scripts" / "browser_side.py", root / "scripts")
    web = root / "viewer" / "web"
    web.mkdir(parents=True)
    (web / "index.html").write_text("<!doctype html><title>small</title>")
    copy = "mkdir -p ../static && cp index.html ../static/"
    (web / "package.json").write_text(
        json.dumps({"name": "small", "version": "1.0.0", "scripts": {"build": copy}})
    )
    (web / "package-lock.json").write_text(
        json.dumps({"name": "small", "version": "1.0.0", "lockfileVersion": 3, "packages": {}})
    )
    spec = importlib.util.spec_from_file_location("browser_side_of_a_copy", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def old_node(tmp_path) -> Path:
    """A folder for PATH whose Node.js says that it is too old for Vite."""
    folder = tmp_path / "old-node"
    folder.mkdir()
    for name, answer in (("node", "v18.20.4"), ("npm", "10.7.0")):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho {answer}\n")
        program.chmod(0o755)
    return folder
