"""The page says what it refused and why, in words a person understands."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paramviz.store import RunWriter, pack_run
from tests.browser.conftest import WatchedPage
from tests.store import made_runs
from tests.store.servers import Counted, file_server

pytestmark = pytest.mark.browser


def flip(path: Path) -> None:
    """Damage one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One good run, and one of each kind that is refused."""
    folder = tmp_path / "runs"
    good = made_runs.make_run(folder / "good")
    newer = shutil.copytree(good, folder / "newer")
    (newer / "zarr.json").write_text((newer / "zarr.json").read_text().replace('"1.0"', '"9.0"'))
    damaged = shutil.copytree(good, folder / "damaged")
    (damaged / "zarr.json").write_text((damaged / "zarr.json").read_text().replace('"made"', '"mad"'))
    packed = pack_run(good, tmp_path / "whole.zarr.zip").path
    (folder / "cut-off.zarr.zip").write_bytes(packed.read_bytes()[:5000])
    with zipfile.ZipFile(folder / "hostile.zarr.zip", "w") as archive:
        archive.writestr("../../<img src=x onerror=window.owned=1>", b"")
    return folder


REASONS = {
    "newer": ("ormat 9.0", "Install a newer paramviz"),
    "damaged": ("fails its checksum", "copy it again"),
    "cut-off.zarr.zip": ("cut off on its way here", "Copy the file again"),
    "hostile.zarr.zip": ("'../../<img src=x onerror=window.owned=1>'", "not made by"),
}


def test_runs_of_a_folder_that_are_refused_are_listed_with_reason_and_cure(
    watched: WatchedPage, view: Callable[..., str], folder: Path
):
    watched.open(view(folder))
    page = watched.page
    assert page.inner_text('[data-test="open-picker"]') == "5 runs, 4 cannot be opened"
    page.click('[data-test="open-picker"]')
    refused = page.locator('[data-test^="refused-"]')
    assert refused.count() == len(REASONS)
    for text in refused.all_inner_texts():
        name, _, reason = text.partition("\n")
        assert all(part in reason for part in REASONS[name]), text
        assert str(folder) not in text, "where it lies is none of the page's business"
    assert page.evaluate("window.owned") is None
    assert page.locator(".picker input").count() == 1, "what cannot be opened cannot be chosen"


def test_a_folder_in_which_nothing_can_be_opened_says_why(
    watched: WatchedPage, view: Callable[..., str], folder: Path
):
    shutil.rmtree(folder / "good")
    watched.page.goto(view(folder))
    notice = watched.page.wait_for_selector('[data-test="notice-no-run"]:visible')
    assert notice is not None
    text = notice.inner_text()
    assert text.startswith("None of these runs can be opened")
    assert any(name in text and reason in text for name, (reason, _) in REASONS.items())


def test_a_link_to_a_run_that_is_refused_or_elsewhere_says_so(
    watched: WatchedPage, view: Callable[..., str], folder: Path
):
    url = view(folder)
    watched.open(f"{url}?runs=nobody")
    assert "is not on this viewer" in watched.page.inner_text('[data-test="notice-notice"]')
    watched.open(f"{url}?runs=unreadable")
    assert "cannot be opened" in watched.page.inner_text('[data-test="notice-notice"]')


def test_a_run_whose_journal_is_replaced_while_it_is_watched_is_said(
    watched: WatchedPage, view: Callable[..., str], tmp_path: Path
):
    """By a link, which is never followed. What was shown stays."""
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    watched.open_model(view(writer.path))
    segment = writer.path / ".paramviz/journal/000000.log"
    segment.unlink()
    segment.symlink_to("/etc/hostname")
    notice = watched.page.wait_for_selector('[data-test="notice-problem"]:visible')
    assert notice is not None
    assert notice.inner_text().startswith("“run” cannot be followed any more")
    assert "symbolic link" in notice.inner_text()
    assert watched.state()["views"][0]["shown"] == 0
    writer.close("finished")


def test_a_snapshot_that_is_damaged_while_it_is_watched_is_said_and_the_rest_shows(
    watched: WatchedPage, view: Callable[..., str], tmp_path: Path
):
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    watched.open_model(view(writer.path))
    for iteration in range(1, 31):
        made_runs.write(writer, iteration)
    watched.wait("window.paramviz.state().views[0].shown === 30")
    flip(writer.path / "iterations/00000015/values/c.0")
    watched.page.evaluate("void window.paramviz.seek(15)")
    notice = watched.page.wait_for_selector('[data-test="notice-damaged"]:visible')
    assert notice is not None
    assert notice.inner_text().startswith("Iteration 15 is damaged, so it is not shown")
    assert "iterations/00000015/values/c.0" in notice.inner_text()
    watched.seek(30)
    watched.page.wait_for_selector('[data-test="notice-damaged"]', state="detached")
    writer.close("finished")
    watched.complaints[:] = [c for c in watched.complaints if "422" not in c]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Counted, RunWriter]]:
    """A run that is being recorded, on a web server that stops answering while `tmp_path/away` is there."""
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    with file_server(tmp_path, closed=lambda: (tmp_path / "away").exists()) as server:
        yield server, writer
    writer.close("finished")


def test_a_run_that_is_out_of_reach_is_said_until_it_answers(
    web: tuple[Counted, RunWriter], watched: WatchedPage, view: Callable[..., str], tmp_path: Path
):
    # `web` comes first, so that the page is closed before what it asks about goes away for good.
    server, writer = web
    watched.open_model(view(f"{server.address}/run"))
    assert watched.page.inner_text('[data-test="status-0"]') == "recording"
    (tmp_path / "away").touch()
    notice = watched.page.wait_for_selector('[data-test="notice-unreachable"]:visible')
    assert notice is not None
    assert notice.inner_text().startswith("“run” cannot be reached")
    assert server.address not in notice.inner_text()
    assert watched.page.inner_text('[data-test="status-0"]') == "out of reach"
    assert watched.state()["views"][0]["shown"] == 0, "what was loaded can still be looked at"
    made_runs.write(writer, 1)
    (tmp_path / "away").unlink()
    watched.page.wait_for_selector('[data-test="notice-unreachable"]', state="detached")
    watched.wait("window.paramviz.state().views[0].shown === 1")
    assert watched.page.inner_text('[data-test="status-0"]') == "recording"
    watched.complaints[:] = [c for c in watched.complaints if "502" not in c]
