"""The command line as a whole: what it documents, what it says of errors, what it needs."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

import paramviz
from paramviz.cli import main
from paramviz.cli.failures import FailureReportingGroup
from paramviz.errors import UsageError


def test_every_command_and_option_is_documented(project_root):
    """Each command has its heading in docs/CLI.md, and each of its options is named below it."""
    documented = (project_root / "docs" / "CLI.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `paramviz (\S+)`\n(.*?)(?=^## |\Z)", documented, re.M | re.S))
    assert sections.keys() == main.commands.keys()
    for name, command in main.commands.items():
        options = [option for p in command.params if isinstance(p, click.Option) for option in p.opts]
        assert [option for option in options if f"`{option}`" not in sections[name]] == []


def test_every_documented_option_exists(project_root):
    documented = (project_root / "docs" / "CLI.md").read_text(encoding="utf-8")
    known = {option for c in main.commands.values() for p in c.params for option in p.opts}
    assert set(re.findall(r"^\| `(--[a-z-]+)`", documented, re.M)) <= known


def test_every_option_has_a_help_text():
    silent = [
        (name, p.name)
        for name, command in main.commands.items()
        for p in command.params
        if isinstance(p, click.Option) and not p.help
    ]
    assert silent == []


def test_the_version_is_the_packages_own():
    done = CliRunner().invoke(main, ["--version"])
    assert done.stdout == f"paramviz {paramviz.__version__}\n"


def test_the_module_can_be_run(project_root):
    done = subprocess.run(
        [sys.executable, "-m", "paramviz", "--help"], cwd=project_root, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: paramviz ")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UsageError("Two\nlines."), 2, "paramviz: error: Two lines.\n"),
        (
            PermissionError(13, "Permission denied", "/runs/a"),
            3,
            "paramviz: error: /runs/a: Permission denied. Check the path and its permissions.\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_a_status(error, status, line):
    @click.group(cls=FailureReportingGroup)
    def group():
        """A command line with one command."""

    @group.command()
    def fail():
        raise error

    done = CliRunner().invoke(group, ["fail"])
    assert (done.exit_code, done.stdout, done.stderr) == (status, "", line)


def test_the_commands_need_neither_torch_nor_numba(project_root, tmp_path):
    """Not even where they are installed: a colleague who only looks loads none of it."""
    from tests.store import made_runs

    path = made_runs.make_run(tmp_path / "run", 1)
    code = f"""
import sys
from click.testing import CliRunner
from paramviz.cli import main
import viewer.server
for command in (["info", {str(path)!r}], ["verify", {str(path)!r}], ["view", "-h"]):
    assert CliRunner().invoke(main, command).exit_code == 0, command
assert not {{"torch", "numba"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
