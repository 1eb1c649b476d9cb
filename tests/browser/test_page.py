"""What a person sees: a real run, a real server, a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paramviz.store import open_run
from tests.browser.conftest import Training, WatchedPage

pytestmark = pytest.mark.browser


def test_a_live_run_grows_on_the_page_and_can_be_scrubbed_back(
    watched: WatchedPage, view: Callable[..., str], start_training: Callable[..., Training]
):
    """The whole road: another process trains, the page follows by itself, then goes back in time."""
    training = start_training()
    training.train(3)
    watched.open_model(view(training.run))
    before = watched.state()["views"][0]["iterations"]
    training.train(12)
    watched.wait("window.paramviz.state().views[0].shown === 14")
    state = watched.state()
    assert state["views"][0]["iterations"] == 15 > before
    assert state["views"][0]["status"] == "recording"
    assert state["following"]
    watched.remember_picture("newest")
    watched.seek(2)
    state = watched.state()
    assert state["views"][0]["shown"] == 2
    assert not state["following"]
    watched.remember_picture("early")
    assert watched.differing_share("newest", "early") > 0.005
    training.train(5)
    watched.wait("window.paramviz.state().views[0].iterations === 20")
    assert watched.state()["views"][0]["shown"] == 2, "who scrubbed back stays where they are"
    watched.page.click('[data-test="follow"]')
    watched.wait("window.paramviz.state().views[0].shown === 19")
    training.finish()
    watched.wait('window.paramviz.state().views[0].status === "finished"')


def test_the_same_iteration_gives_the_same_picture(
    watched: WatchedPage, view: Callable[..., str], finished_run: Path
):
    watched.open_model(view(finished_run))
    watched.seek(4)
    watched.remember_picture("first")
    watched.seek(30)
    watched.remember_picture("last")
    assert watched.differing_share("first", "last") > 0.005
    watched.seek(4)
    watched.remember_picture("first again")
    assert watched.differing_share("first", "first again") == 0


def test_two_runs_share_one_cursor(
    watched: WatchedPage, view: Callable[..., str], finished_run: Path, other_run: Path
):
    watched.open_model(view(finished_run, other_run))
    watched.seek(12)
    views = watched.state()["views"]
    assert [v["shown"] for v in views] == [12, 12]
    assert views[0]["run"] != views[1]["run"]
    watched.seek(30)
    assert [v["shown"] for v in watched.state()["views"]] == [30, 20], "the shorter run shows its newest"


def test_typing_an_iteration_jumps_to_it(watched: WatchedPage, view: Callable[..., str], finished_run: Path):
    watched.open(view(finished_run))
    watched.page.fill('[data-test="iteration-box"]', "17")
    watched.page.press('[data-test="iteration-box"]', "Enter")
    watched.wait("window.paramviz.state().views[0].shown === 17")


def test_keys_step_play_and_jump(watched: WatchedPage, view: Callable[..., str], finished_run: Path):
    watched.open_model(view(finished_run))
    watched.page.keyboard.press("Home")
    watched.wait("window.paramviz.state().views[0].shown === 0")
    watched.page.keyboard.press("ArrowRight")
    watched.wait("window.paramviz.state().views[0].shown === 1")
    watched.page.keyboard.press("End")
    watched.wait("window.paramviz.state().views[0].shown === 30")
    watched.page.keyboard.press("Home")
    watched.page.keyboard.press("Space")
    watched.wait("window.paramviz.state().views[0].shown >= 5")
    watched.page.keyboard.press("Space")
    watched.wait("!window.paramviz.state().playing")


def test_hovering_a_matrix_names_it_with_its_exact_value(
    watched: WatchedPage, view: Callable[..., str], finished_run: Path
):
    name = "transformer.h.0.mlp.c_fc.weight"
    watched.open_model(view(finished_run))
    watched.seek(9)
    box = watched.page.evaluate("name => window.paramviz.tensorScreenRect(name, 0)", name)
    watched.page.mouse.move(box["left"] + box["width"] / 2, box["top"] + box["height"] / 2)
    card = watched.page.wait_for_selector('[data-test="hover-card"]:visible')
    assert card is not None
    text = card.inner_text()
    assert name in text
    assert "128 × 32" in text
    recorded = {f"{float(v):.4g}" for v in open_run(finished_run)[9].values(name)}
    shown = watched.page.inner_text('[data-test="hover-value"]').replace("−", "-")
    assert f"{float(shown):.4g}" in recorded


def test_a_damaged_iteration_is_said_and_the_rest_still_shows(
    watched: WatchedPage, view: Callable[..., str], start_training: Callable[..., Training]
):
    training = start_training()
    training.train(6)
    training.finish()
    chunk = training.run / "iterations/00000003/values/c.0"
    damaged = bytearray(chunk.read_bytes())
    damaged[100] ^= 1
    chunk.write_bytes(damaged)
    watched.open_model(view(training.run))
    watched.page.evaluate("void window.paramviz.seek(3)")
    notice = watched.page.wait_for_selector('[data-test="notice-damaged"]:visible')
    assert notice is not None
    assert "iterations/00000003/values/c.0" in notice.inner_text()
    assert watched.state()["views"][0]["failure"]["kind"] == "damaged"
    watched.seek(4)
    assert watched.state()["views"][0]["failure"] is None
    # The browser itself logs the 422 that the page asked for and shows.
    watched.complaints[:] = [c for c in watched.complaints if "422" not in c]


def test_the_page_works_below_a_path_prefix(
    watched: WatchedPage, view: Callable[..., str], finished_run: Path
):
    url = view(finished_run, options=("--path-prefix", "/user/me/proxy/7007"))
    assert "/user/me/proxy/7007/" in url
    watched.open(url)
    watched.seek(3)
    assert watched.state()["views"][0]["shown"] == 3


def test_names_from_a_strangers_run_are_shown_as_text(
    watched: WatchedPage, view: Callable[..., str], tmp_path: Path
):
    from tests.store import made_runs

    name = '<img src=x onerror="window.owned=1">'
    writer = made_runs.start(tmp_path / "run", name=name)
    made_runs.write(writer, 0)
    writer.close("finished")
    watched.open(view(tmp_path / "run"))
    assert watched.page.evaluate("window.owned") is None
    assert name in watched.page.inner_text("body")
