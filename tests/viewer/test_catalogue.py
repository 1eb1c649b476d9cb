"""Runs by id: opened once, found again, named harmlessly."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from paramviz.errors import DamagedRunError, FormatVersionError, NotARunError
from paramviz.store import pack_run
from paramviz.store.hdf5_export import export_hdf5
from tests.store import made_runs
from viewer import catalogue as catalogue_module
from viewer.catalogue import Catalogue, UnreadableRun
from viewer.problems import RequestError


def test_a_folder_expands_to_its_runs_by_creation(tmp_path):
    for name in ("zebra", "ant", "mole"):
        made_runs.make_run(tmp_path / name, 1)
    assert [entry.run.name for entry in Catalogue([tmp_path]).all()] == ["zebra", "ant", "mole"]


def test_paths_keep_the_order_in_which_they_were_named(tmp_path):
    paths = [made_runs.make_run(tmp_path / name, 1) for name in ("first", "second")]
    assert [entry.run.name for entry in Catalogue(reversed(paths)).all()] == ["second", "first"]


def test_a_run_named_twice_is_opened_once(tmp_path):
    """By its path, by another spelling of it, by a link, and through its folder."""
    path = made_runs.make_run(tmp_path / "runs" / "a", 1)
    (tmp_path / "link").symlink_to(path)
    catalogue = Catalogue([path, path.parent / "." / "a", tmp_path / "link", path.parent])
    assert len(catalogue.all()) == 1


def test_a_copy_of_a_run_has_an_id_of_its_own(tmp_path):
    path = made_runs.make_run(tmp_path / "a", 1)
    copy = shutil.copytree(path, tmp_path / "b")
    first, second = Catalogue([path, copy]).all()
    assert first.id == first.run.run_id == second.run.run_id
    assert second.id == first.id + "~2"
    assert Catalogue([path, copy]).get(second.id).run.path == copy


def test_a_run_that_appears_in_the_folder_is_offered(tmp_path):
    made_runs.make_run(tmp_path / "early", 1)
    catalogue = Catalogue([tmp_path])
    known = catalogue.all()[0].id
    made_runs.make_run(tmp_path / "late", 1)
    assert [entry.run.name for entry in catalogue.all()] == ["early", "late"]
    assert catalogue.all()[0].id == known


def test_an_unreadable_run_in_a_folder_is_listed_with_its_reason(make_client, tmp_path):
    made_runs.make_run(tmp_path / "good", 1)
    bad = made_runs.make_run(tmp_path / "bad", 1)
    record = (bad / "zarr.json").read_text()
    (bad / "zarr.json").write_text(record.replace('"made"', '"mad"'))
    good, unreadable = Catalogue([tmp_path]).all()
    assert good.run.name == "good"
    assert isinstance(unreadable, UnreadableRun)
    listed = make_client(tmp_path).get("/api/runs").json["runs"]
    assert set(listed[1]) == {"id", "name", "error"}
    assert listed[1]["name"] == "bad"
    assert "checksum" in listed[1]["error"]


def test_what_else_lies_in_a_folder_is_passed_over(tmp_path):
    made_runs.make_run(tmp_path / "run", 1)
    (tmp_path / "notes").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    (tmp_path / "README.txt").write_text("hello")
    assert [entry.run.name for entry in Catalogue([tmp_path]).all()] == ["run"]


@pytest.fixture
def travelled(tmp_path):
    """A folder with one run as a directory, as a zip and as HDF5, each with its copy that was cut off."""
    folder = tmp_path / "runs"
    path = made_runs.make_run(folder / "a", 2)
    pack_run(path, folder / "b.zarr.zip")
    export_hdf5(path, folder / "c.h5")
    for name in ("b.zarr.zip", "c.h5"):
        whole = (folder / name).read_bytes()
        (folder / f"half-{name}").write_bytes(whole[: len(whole) // 2])
    return folder


def test_a_folder_offers_packed_and_exported_runs_too(travelled, make_client):
    client = make_client(travelled)
    listed = client.get("/api/runs").json["runs"]
    assert [run["name"] for run in listed] == ["a", "a", "a", "half-b.zarr.zip", "half-c.h5"]
    for run in listed[:3]:
        assert client.get(f"/api/runs/{run['id']}/frames/1").status_code == 200
    for run in listed[3:]:
        assert run["error"] == "It has no end; it was cut off on its way here. Copy the file again, or " + (
            "pack the run again." if "zip" in run["name"] else "export the run again."
        )


def test_a_folder_of_files_only_is_a_folder_of_runs(travelled, tmp_path):
    shutil.rmtree(travelled / "a")
    assert len(Catalogue([travelled]).all()) == 4


def test_a_file_that_arrives_whole_is_offered_then(travelled):
    """It was listed while it was still being copied; it keeps its id until then."""
    catalogue = Catalogue([travelled])
    refused = {entry.name: entry.id for entry in catalogue.all() if isinstance(entry, UnreadableRun)}
    half = travelled / "half-b.zarr.zip"
    half.write_bytes((travelled / "b.zarr.zip").read_bytes()[:-30])
    again = {entry.name: entry.id for entry in catalogue.all() if isinstance(entry, UnreadableRun)}
    assert again == refused
    half.write_bytes((travelled / "b.zarr.zip").read_bytes())
    entries = catalogue.all()
    assert [type(entry) for entry in entries].count(UnreadableRun) == 1
    assert len(entries) == 5


def test_what_was_refused_is_not_opened_again_until_it_changes(travelled, monkeypatch):
    (travelled / "notes.h5").write_text("no HDF5 at all")
    catalogue = Catalogue([travelled])
    opened = []
    monkeypatch.setattr("viewer.catalogue.open_run", opened.append)
    assert len(catalogue.all()) == len(catalogue.all()) == 5
    assert opened == []


def test_of_many_files_few_stay_open(travelled, make_client, monkeypatch):
    """A process may have some hundred files open; a folder may have thousands. Each still answers."""
    monkeypatch.setattr(catalogue_module, "MOST_OPEN_FILES", 2)
    for index in range(5):
        shutil.copy(travelled / "c.h5", travelled / f"d{index}.h5")
    client = make_client(travelled)
    listed = [run for run in client.get("/api/runs").json["runs"] if run["error"] is None]
    assert len(listed) == 8
    for _ in range(2):
        for run in listed:
            assert run["snapshots"] == 2
            assert client.get(f"/api/runs/{run['id']}/frames/0").status_code == 200
        held = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        assert sum(name.startswith(str(travelled)) for name in held) <= 2


def test_a_link_or_pipe_in_a_folder_holds_nobody_up(travelled):
    os.mkfifo(travelled / "pipe.h5")
    (travelled / "nowhere.zarr.zip").symlink_to(travelled / "gone")
    assert len(Catalogue([travelled]).all()) == 5


@pytest.mark.parametrize("content", ["nothing", "empty", "file", "other zarr", "folder of other zarr"])
def test_what_is_no_run_is_refused(tmp_path, content):
    path = tmp_path / "it"
    if content == "empty":
        path.mkdir()
    elif content == "file":
        path.write_text("text")
    elif content != "nothing":
        place = path if content == "other zarr" else path / "inner"
        place.mkdir(parents=True)
        (place / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    with pytest.raises(NotARunError, match="it"):
        Catalogue([path])


def test_a_damaged_run_that_was_named_is_refused(tmp_path):
    path = made_runs.make_run(tmp_path / "run", 1)
    (path / "zarr.json").write_text((path / "zarr.json").read_text().replace('"made"', '"mad"'))
    with pytest.raises(DamagedRunError):
        Catalogue([path])


def test_a_run_of_a_newer_format_that_was_named_is_refused(tmp_path):
    path = made_runs.make_run(tmp_path / "run", 1)
    (path / "zarr.json").write_text((path / "zarr.json").read_text().replace('"1.0"', '"7.3"'))
    with pytest.raises(FormatVersionError, match=r"7\.3"):
        Catalogue([path])


def test_a_run_whose_recorder_has_only_begun_is_waited_for(tmp_path):
    """Its folder is there a moment before its root record."""
    finished = made_runs.make_run(tmp_path / "finished", 1)
    young = shutil.copytree(finished, tmp_path / "young")
    record = (young / "zarr.json").read_bytes()
    (young / "zarr.json").unlink()

    recorder = threading.Timer(0.1, (young / "zarr.json").write_bytes, [record])
    recorder.start()
    (entry,) = Catalogue([young]).all()
    recorder.join()
    assert entry.run.run_id


def test_an_unknown_id_is_absent(tmp_path):
    catalogue = Catalogue([made_runs.make_run(tmp_path / "run", 1)])
    with pytest.raises(RequestError) as caught:
        catalogue.get("run")
    assert caught.value.kind == "absent"
