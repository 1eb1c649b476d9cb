"""Runs by id: opened once, found again, named harmlessly."""

from __future__ import annotations

import shutil
import threading

import pytest

from paramviz.errors import DamagedRunError, FormatVersionError, NotARunError
from tests.store import made_runs
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
