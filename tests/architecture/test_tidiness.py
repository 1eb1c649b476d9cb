"""Files stay small, rooms have names, scripts explain themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LINE_LIMIT = 400

LONG_FILES: dict[str, str] = {}
"""Path → the reason why it may be longer than LINE_LIMIT."""

SOURCE_SUFFIXES = {".py", ".ts", ".tsx", ".css", ".html", ".glsl", ".vert", ".frag", ".sh"}


def project_files() -> list[Path]:
    """Every file that git tracks or would track, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [
        path for name in sorted(filter(None, listed.split("\0"))) if (ROOT / (path := Path(name))).is_file()
    ]


def n_lines(path: Path) -> int:
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def test_no_source_file_is_too_long():
    too_long = {
        str(path): n_lines(path)
        for path in project_files()
        if (path.suffix in SOURCE_SUFFIXES or (path.parts[0] == "scripts" and not path.suffix))
        and n_lines(path) > LINE_LIMIT
        and str(path) not in LONG_FILES
    }
    assert not too_long, f"Longer than {LINE_LIMIT} lines; split them by job: {too_long}"


def test_the_list_of_long_files_holds_only_long_files():
    no_longer = [name for name in LONG_FILES if n_lines(Path(name)) <= LINE_LIMIT]
    assert not no_longer


def test_nothing_is_called_utils():
    """A drawer for everything grows for ever; each thing belongs in a room with a name."""
    drawers = [
        str(path)
        for path in project_files()
        if {part.partition(".")[0].lower() for part in path.parts}
        & {"utils", "util", "helpers", "misc", "common"}
    ]
    assert not drawers


def scripts() -> list[Path]:
    """What stands in scripts/ to be run by name."""
    return [
        ROOT / path
        for path in project_files()
        if path.parts[0] == "scripts" and (not path.suffix or len(path.parts) == 2)
    ]


def test_every_script_says_how_it_is_used():
    silent = [str(path.relative_to(ROOT)) for path in scripts() if "usage:" not in _head(path)]
    assert not silent, f"No line with `usage:` near the top: {silent}"


def test_every_script_can_be_run():
    """Whatever has a `#!` line is executable, and whatever is named without a suffix has one."""
    for path in scripts():
        starts = _head(path).startswith("#!")
        assert starts or path.suffix, f"{path} has no #! line"
        assert not starts or os.access(path, os.X_OK), f"chmod +x {path}"


def _head(path: Path) -> str:
    return path.read_text(encoding="utf-8")[:1500].lower()
