"""`paramviz view` as a person runs it: a process, its first line, its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
import zipfile
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from paramviz.store import pack_run
from paramviz.store.hdf5_export import export_hdf5
from tests.store import made_runs
from tests.store.servers import file_server

PATIENCE_S = 60


@pytest.fixture
def command(project_root):
    """Start `paramviz ARGUMENTS…`; give back the process."""

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "paramviz", *map(str, arguments)],
            cwd=project_root,
            env={**os.environ, "PYTHONWARNINGS": "error"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def failing(command):
    """Run to the end; give back (status, stderr). Nothing may be on stdout, nor a traceback anywhere."""

    def run(*arguments):
        out, err = (process := command(*arguments)).communicate(timeout=PATIENCE_S)
        assert out == ""
        assert "Traceback" not in err
        return process.returncode, err

    return run


@contextmanager
def viewing(process):
    """The address on the first line; the process is gone afterwards, whatever happened."""
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def fetched(url):
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return json.load(answer)


@pytest.fixture
def run_path(tmp_path):
    return made_runs.make_run(tmp_path / "runs" / "made", 2)


def test_the_first_line_is_an_address_that_answers(command, run_path):
    with viewing(command("view", run_path, "--port", 0, "--no-browser")) as url:
        assert urlsplit(url).hostname == "127.0.0.1"
        assert [run["name"] for run in fetched(url + "api/runs")["runs"]] == ["made"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_when_it_is_told_to(command, run_path, number):
    """Also while a page is listening."""
    process = command("view", run_path, "--port", 0, "--no-browser")
    with viewing(process) as url:
        run_id = fetched(url + "api/runs")["runs"][0]["id"]
        with urllib.request.urlopen(f"{url}api/tail?runs={run_id}") as stream:
            assert stream.readline()
            process.send_signal(number)
            _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, "")


def test_several_runs_and_folders_are_shown(command, run_path, tmp_path):
    other = made_runs.make_run(tmp_path / "other", 1)
    with viewing(command("view", run_path.parent, other, "--port", 0, "--no-browser")) as url:
        assert [run["name"] for run in fetched(url + "api/runs")["runs"]] == ["made", "other"]


def test_a_run_that_has_nothing_yet_is_waited_for(command, tmp_path):
    writer = made_runs.start(tmp_path / "young")
    with viewing(command("view", writer.path, "--port", 0, "--no-browser")) as url:
        (run,) = fetched(url + "api/runs")["runs"]
        assert (run["status"], run["snapshots"]) == ("recording", 0)
        made_runs.write(writer, 0)
        assert fetched(url + "api/runs/" + run["id"])["iterations"] == [0]
    writer.close("finished")


def test_beyond_this_machine_a_token_is_asked_for(command, run_path):
    with viewing(command("view", run_path, "--host", "0.0.0.0", "--port", 0, "--no-browser")) as url:
        parts = urlsplit(url)
        assert parts.query.startswith("token=")
        local = f"http://127.0.0.1:{parts.port}/api/runs"
        with pytest.raises(HTTPError, match="403"):
            fetched(local)
        authorization = {"Authorization": f"Bearer {parts.query.removeprefix('token=')}"}
        assert fetched(urllib.request.Request(local, headers=authorization))["runs"]


def test_prefix_host_and_token_reach_the_server(command, run_path):
    options = ("--path-prefix", "/lab", "--allow-host", "lab.example", "--token", "a-token-of-mine")
    with viewing(command("view", run_path, "--port", 0, "--no-browser", *options)) as url:
        parts = urlsplit(url)
        assert (parts.path, parts.query) == ("/lab/", "token=a-token-of-mine")
        headers = {"Host": "lab.example", "Authorization": "Bearer a-token-of-mine"}
        address = f"http://127.0.0.1:{parts.port}/lab/api/runs"
        assert fetched(urllib.request.Request(address, headers=headers))["runs"]


def test_a_port_in_use_is_named_with_its_cure(command, failing, run_path):
    with viewing(command("view", run_path, "--port", 0, "--no-browser")) as url:
        port = urlsplit(url).port
        status, err = failing("view", run_path, "--port", port, "--no-browser")
    assert status == 3
    assert err.startswith(f"paramviz: error: Port {port}")
    assert "--port 0" in err
    assert err.count("\n") == 1


def test_a_path_that_is_no_run_is_one_line(failing, tmp_path):
    for content in ("missing", "empty", "file", "folder"):
        path = tmp_path / content
        if content in ("empty", "folder"):
            path.mkdir()
        if content == "file":
            path.write_text("text")
        if content == "folder":
            (path / "notes.txt").write_text("text")
        status, err = failing("view", path, "--port", 0, "--no-browser")
        assert status == 1
        assert err.startswith(f"paramviz: error: {path}: ")
        assert err.count("\n") == 1


def test_an_empty_directory_says_how_to_record(failing, tmp_path):
    (tmp_path / "empty").mkdir()
    _, err = failing("view", tmp_path / "empty", "--no-browser")
    assert "empty" in err
    assert "paramviz.Recorder" in err


def test_an_address_is_viewed(command, run_path):
    with (
        file_server(run_path.parent) as server,
        viewing(command("view", f"{server.address}/made", "--port", 0, "--no-browser")) as url,
    ):
        (run,) = fetched(url + "api/runs")["runs"]
        assert (run["name"], run["snapshots"]) == ("made", 2)


def test_a_server_that_does_not_answer_is_the_environments_fault(failing, tmp_path):
    with file_server(tmp_path) as server:
        address = server.address
    status, err = failing("view", f"{address}/run", "--no-browser")
    assert (status, err.count("\n")) == (3, 1)
    assert err.startswith(f"paramviz: error: {address}/run: cannot be reached")
    assert "docs/REMOTE.md" in err


@pytest.mark.parametrize("address", ["ftp://example.org/run", "file:///etc", "s3://bucket/run?x=1"])
def test_an_address_that_is_not_taken_is_wrong_usage(failing, address):
    status, err = failing("view", address, "--no-browser")
    assert (status, err.count("\n")) == (2, 1)
    assert address in err


def test_a_folder_with_files_only_is_viewed(command, run_path, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    pack_run(run_path, folder / "packed.zarr.zip")
    export_hdf5(run_path, folder / "exported.h5")
    with viewing(command("view", folder, "--port", 0, "--no-browser")) as url:
        runs = fetched(url + "api/runs")["runs"]
        assert [run["snapshots"] for run in runs] == [2, 2]


CURES = {
    "newer": (3, "format 9.0", "Install a newer paramviz"),
    "damaged": (1, "fails its checksum", "copy it again"),
    "cut off.zarr.zip": (1, "cut off on its way", "Copy the file again"),
    "cut off.h5": (1, "cut off on its way", "Copy the file again"),
    "hostile.zarr.zip": (1, "'../../evil'", "not made by `paramviz pack`"),
}
"""Of each way to be refused: exit status, reason, and what can be done about it."""


def refused_run(run_path, folder, name):
    folder.mkdir()
    path = folder / name
    if name == "newer":
        shutil.copytree(run_path, path)
        (path / "zarr.json").write_text((path / "zarr.json").read_text().replace('"1.0"', '"9.0"'))
    elif name == "damaged":
        shutil.copytree(run_path, path)
        (path / "zarr.json").write_text((path / "zarr.json").read_text().replace('"made"', '"mad"'))
    elif name == "hostile.zarr.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../evil", b"")
    else:
        whole = folder / f"whole{path.suffix}"
        make = pack_run if path.suffix == ".zip" else export_hdf5
        make(run_path, whole)
        path.write_bytes(whole.read_bytes()[:5000])
    return path


@pytest.mark.parametrize("name", CURES)
def test_what_is_refused_is_one_line_with_its_reason_and_cure(failing, run_path, tmp_path, name):
    path = refused_run(run_path, tmp_path / "refused", name)
    for command in ("view", "info", "verify"):
        status, err = failing(command, path)
        expected, reason, cure = CURES[name]
        assert (status, err.count("\n")) == (expected, 1), command
        assert err.startswith(f"paramviz: error: {path}: ")
        assert reason in err
        assert cure in err


def test_a_run_of_a_newer_format_is_the_environments_fault(failing, run_path):
    record = run_path / "zarr.json"
    record.write_text(record.read_text().replace('"1.0"', '"9.0"'))
    status, err = failing("view", run_path, "--no-browser")
    assert status == 3
    assert "9.0" in err


@pytest.mark.parametrize("options", [(), ("x", "--port", "-1"), ("x", "--port", "70000"), ("x", "--bogus")])
def test_wrong_usage_has_a_status_of_its_own(failing, options):
    assert failing("view", *options)[0] == 2


def test_a_token_that_cannot_be_one_is_wrong_usage(failing, run_path):
    status, err = failing("view", run_path, "--token", "short", "--no-browser")
    assert (status, err.count("\n")) == (2, 1)
