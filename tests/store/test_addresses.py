"""Runs on web servers, and addresses that are refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from paramviz.errors import MissingExtraError, NotARunError, OutputError, UnreachableError, UsageError
from paramviz.store import open_run, pack_run, verify_run
from paramviz.store.hdf5_export import export_hdf5
from tests.store import made_runs
from tests.store.servers import file_server
from tests.store.small_blocks import small_blocks


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    with small_blocks():
        made_runs.make_run(folder / "run", iterations=4)
    pack_run(folder / "run", folder / "run.zarr.zip")
    return folder


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "whole files only"])
@pytest.mark.parametrize("name", ["run", "run.zarr.zip"])
def test_a_web_server_serves_a_run(served, name, ranges):
    with file_server(served, ranges=ranges) as server:
        run = open_run(f"{server.address}/{name}")
        assert run.iterations.tolist() == [0, 1, 2, 3]
        assert run.status == "finished"
        for iteration in range(4):
            made_runs.assert_same_snapshot(run[iteration], iteration)
        assert run[2].values("h.0.fc.weight").tobytes() == made_runs.snapshot(2).values[320:].tobytes()
        assert run.refresh().tolist() == []
        assert run.timeline("wte.weight", "mean")[1] == made_runs.snapshot(1).statistics[0, 0]
        assert run.step_count == 4, "no step was read twice"
        assert verify_run(f"{server.address}/{name}").problems == ()


def test_a_directory_on_a_web_server_opens_with_three_requests(served):
    with file_server(served) as server:
        run = open_run(f"{server.address}/run/")
        assert server.paths == [
            "/run/zarr.json",
            "/run/.paramviz/journal/000000.log",
            "/run/.paramviz/journal/000001.log",
        ]
        assert run.tensors
        server.clear()
        run[3].values("wte.weight")
        assert len(server.requests) == 3


def test_what_a_web_server_does_not_have_is_no_run(served):
    with file_server(served) as server:
        for name in ("nothing", "nothing.zarr.zip"):
            with pytest.raises(NotARunError):
                open_run(f"{server.address}/{name}")
        with pytest.raises(OutputError, match="nothing can be recorded to a web server"):
            made_runs.start(f"{server.address}/new")


def test_a_server_that_does_not_answer_is_no_damage(tmp_path):
    with file_server(tmp_path) as server:
        address = server.address
    with pytest.raises(UnreachableError, match="cannot be reached"):
        open_run(f"{address}/run")


def test_a_connection_that_ends_later_is_no_damage_either(served):
    with file_server(served) as server:
        run = open_run(f"{server.address}/run")
    with pytest.raises(UnreachableError):
        run[0].array("values")


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.org/run",
        "file:///etc",
        "simplecache::s3://bucket/run",
        "s3://bucket/run?versionId=1",
        "github://a:b@c/run",
        "reference://x",
    ],
)
def test_an_address_of_another_kind_is_refused(address):
    with pytest.raises((UsageError, NotARunError)):
        open_run(address)


def test_an_hdf5_file_is_not_read_over_the_network(tmp_path, served):
    export_hdf5(served / "run", tmp_path / "run.h5")
    with pytest.raises(UsageError, match="Copy it"):
        open_run("memory://somewhere/run.h5")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"paramviz\[remote\]") as error:
        open_run("s3://bucket/run")
    assert error.value.extra == "remote"
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match=r"paramviz\[remote\]' gcsfs"):
        open_run("gs://bucket/run")
