"""The embedding cloud as a person uses it: search, trails, neighbours, colours, and how far to trust it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from playwright.sync_api import Route

from tests.browser.conftest import WatchedPage
from tests.store import cloud_runs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def learning_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cloud_runs.make_run(tmp_path_factory.mktemp("cloud") / "learning")


@pytest.fixture(scope="module")
def noise_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cloud_runs.make_run(tmp_path_factory.mktemp("cloud") / "noise", learns=False)


def cloud(watched: WatchedPage) -> dict[str, Any]:
    state: dict[str, Any] = watched.state()["cloud"]
    return state


def find(watched: WatchedPage, text: str) -> None:
    """Search a token by the keyboard alone, and take the first that is found."""
    watched.page.keyboard.press("/")
    watched.page.fill('[data-test="token-search"]', text)
    watched.page.wait_for_selector('[data-test="token-matches"] .row')
    watched.page.keyboard.press("Enter")


def answering(body: bytes) -> Callable[[Route], None]:
    return lambda route: route.fulfill(body=body)


def test_a_token_is_found_by_keyboard_marked_and_followed_through_training(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    watched.open_model(view(learning_run))
    watched.remember_picture("before")
    find(watched, "Cat")
    token = 3
    watched.wait("window.paramviz.state().cloud.trailPieces > 0")
    assert cloud(watched)["chosen"] == [token]
    assert cloud(watched)["trailPieces"] == len(cloud_runs.ITERATIONS) - 1
    mark = watched.page.wait_for_selector('[data-test="mark-1"]:visible')
    assert mark is not None
    assert mark.inner_text() == "Cat"
    watched.page.click('[data-test="reset-view"]')
    watched.remember_picture("with a trail")
    assert watched.differing_share("before", "with a trail") > 0.0002
    assert watched.page.locator('[data-test="chosen-3"]').count() == 1
    watched.page.click('[data-test="drop-3"]')
    watched.wait("window.paramviz.state().cloud.trailPieces === 0")
    assert watched.page.locator('[data-test="mark-1"]').count() == 0


def test_a_trail_ends_at_the_cursor(watched: WatchedPage, view: Callable[..., str], learning_run: Path):
    watched.open_model(view(learning_run))
    calls = watched.page.evaluate("window.paramviz.counters().drawCalls")
    find(watched, "Cat")
    watched.wait("window.paramviz.state().cloud.trailPieces > 0")
    watched.seek(0)
    watched.page.click('[data-test="reset-view"]')
    at_rest = '[data-test="neighbour-source"]:text-is("from a sketch, iteration {}")'
    for name, iteration, known in (("half way", 20, 16), ("later", 36, 32), ("half way again", 20, 16)):
        watched.seek(iteration)
        watched.page.wait_for_selector(at_rest.format(known))
        watched.remember_picture(name)
        assert watched.page.evaluate("window.paramviz.counters().drawCalls") == calls + 1
    assert watched.differing_share("half way", "later") > 0
    assert watched.differing_share("half way", "half way again") == 0


@pytest.mark.parametrize(
    ("text", "iteration", "source"),
    [
        (" the", 40, "exact, full width, iteration 40"),
        ("Cat", 40, "exact, full width, iteration 40"),
        ("Cat", 36, "from a sketch, iteration 32"),
    ],
)
def test_neighbours_are_listed_with_where_they_come_from(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path, text: str, iteration: int, source: str
):
    watched.open_model(view(learning_run))
    watched.seek(iteration)
    find(watched, text)
    watched.page.wait_for_selector(f'[data-test="neighbour-source"]:text-is("{source}")')
    assert watched.page.locator('[data-test="neighbours"] li').count() == 10
    if iteration == 40:
        token = 0 if text == " the" else 3
        near, _ = cloud_runs.nearest(cloud_runs.truth(40).astype(np.float16).astype(float), token)
        first = watched.page.locator('[data-test="neighbours"] li').first
        assert first.get_attribute("data-test") == f"neighbour-{near[0]}"


def test_a_suggested_token_is_chosen_by_a_click(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    watched.open_model(view(learning_run))
    watched.page.click('[data-test="open-cloud"]')
    chip = watched.page.wait_for_selector('[data-test^="suggested-"]')
    assert chip is not None
    token = int((chip.get_attribute("data-test") or "").removeprefix("suggested-"))
    chip.click()
    watched.wait("window.paramviz.state().cloud.chosen.length === 1")
    assert cloud(watched)["chosen"] == [token]


def test_the_legend_says_how_far_the_picture_can_be_trusted(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    watched.open_model(view(learning_run))
    watched.page.wait_for_selector('[data-test="caption-trust"]:has-text("of neighbours")')
    assert not watched.page.is_visible('[data-test="trust"]'), "in full sentences only when asked"
    watched.page.click('[data-test="legend-open"]')
    watched.page.wait_for_selector('[data-test="trust"]:has-text("iteration 40: keeps")')
    legend = watched.page.inner_text('[data-test="cloud-legend"]')
    assert "100 of 300 tokens, 33 % of the vocabulary" in legend
    assert "of all variance" in legend
    assert "of the 10 nearest neighbours" in legend
    assert watched.page.locator('[data-test="noise"]').count() == 0
    watched.seek(0)
    watched.page.wait_for_selector('[data-test="noise"]:has-text("no structure above noise")')


def test_noise_is_called_noise(watched: WatchedPage, view: Callable[..., str], noise_run: Path):
    watched.open_model(view(noise_run))
    watched.page.wait_for_selector('[data-test="cloud-caption"]:has-text("no structure above noise")')
    watched.page.click('[data-test="legend-open"]')
    watched.page.wait_for_selector('[data-test="noise"]:has-text("no structure above noise")')


@pytest.mark.parametrize("colour", ["class", "moved-start", "moved-last"])
def test_points_are_coloured_by_what_is_chosen(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path, colour: str
):
    watched.open_model(view(learning_run))
    watched.seek(20)
    watched.page.click('[data-test="open-cloud"]')
    # Names make room for the panel once it has its size.
    watched.page.wait_for_timeout(300)
    watched.remember_picture("norm")
    watched.page.select_option('[data-test="cloud-colour"]', colour)
    said = {
        "class": "punctuation",
        "moved-start": "moved since iteration 0",
        "moved-last": "moved since iteration 16",
    }
    watched.page.wait_for_selector(f'[data-test="cloud-key"]:has-text("{said[colour]}")', state="attached")
    watched.page.wait_for_timeout(300)
    watched.remember_picture("coloured")
    assert watched.differing_share("norm", "coloured") > 0.0002
    watched.page.select_option('[data-test="cloud-colour"]', "magnitude")
    watched.page.wait_for_timeout(300)
    watched.remember_picture("norm again")
    assert watched.differing_share("norm", "norm again") == 0


def test_what_has_not_been_computed_is_closed_with_the_reason(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    watched.open_model(view(learning_run))
    watched.page.click('[data-test="open-cloud"]')
    assert watched.page.is_disabled('[data-test="cloud-colour"] option[value="cluster"]')
    assert "cluster: none computed" in watched.page.inner_text('[data-test="cloud-reason"]')
    assert watched.page.is_disabled('[data-test="cloud-projection"]')


def test_clusters_and_other_pictures_are_shown_where_a_server_offers_them(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    """The place for both, tested with made data."""
    tokens = cloud_runs.TOKENS
    rng = np.random.default_rng(4)
    answers = {
        "projections": b'{"projections": [{"name": "pca"}, {"name": "tsne"}], "clusters": {"iteration": 40}}',
        "projections/tsne": msgpack.packb(
            {
                "iteration": 40,
                "tokens": tokens.tobytes(),
                "coordinates": rng.standard_normal((len(tokens), 3)).astype("<f4").tobytes(),
            }
        ),
        "projections/clusters": msgpack.packb(
            {
                "iteration": 40,
                "tokens": tokens.tobytes(),
                "numbers": (np.arange(len(tokens), dtype="<i4") % 3 - 1).tobytes(),
            }
        ),
    }
    for path, body in answers.items():
        watched.page.route(f"**/api/runs/*/{path}", answering(body))
    watched.open_model(view(learning_run))
    watched.remember_picture("pca")
    watched.page.click('[data-test="legend-open"]')
    watched.page.click('[data-test="open-cloud"]')
    watched.page.wait_for_selector('[data-test="cloud-projection"]:enabled')
    watched.page.select_option('[data-test="cloud-colour"]', "cluster")
    watched.page.wait_for_selector('[data-test="cloud-key"]:has-text("cluster 1")')
    assert "in none" in watched.page.inner_text('[data-test="cloud-key"]')
    watched.page.select_option('[data-test="cloud-projection"]', "tsne")
    watched.page.wait_for_selector('[data-test="cloud-legend"]:has-text("t-SNE, computed once")')
    assert watched.page.locator('[data-test="trust"]').count() == 0
    watched.remember_picture("tsne")
    assert watched.differing_share("pca", "tsne") > 0.001


def test_the_panel_gives_way_to_a_chosen_tensor(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    watched.open_model(view(learning_run))
    watched.page.click('[data-test="open-cloud"]')
    assert watched.page.is_visible('[data-test="cloud-panel"]')
    watched.page.click('[data-test="tensor-0"]')
    watched.page.wait_for_selector('[data-test="details"]:visible')
    assert not watched.page.is_visible('[data-test="cloud-panel"]')
    watched.page.keyboard.press("/")
    assert watched.page.is_visible('[data-test="cloud-panel"]')
    watched.page.keyboard.press("Escape")
    watched.page.keyboard.press("Escape")
    watched.page.wait_for_selector('[data-test="details"]', state="hidden")


def test_a_link_shows_the_same_tokens_with_their_trails_coloured_alike(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    watched.open_model(view(learning_run))
    for text in ("Cat", " the"):
        find(watched, text)
        watched.wait(f"window.paramviz.state().cloud.chosen.length === {1 if text == 'Cat' else 2}")
    watched.page.select_option('[data-test="cloud-colour"]', "moved-start")
    watched.page.click('[data-test="close-cloud"]')
    pieces = 2 * (len(cloud_runs.ITERATIONS) - 1)
    watched.wait(f"window.paramviz.state().cloud.trailPieces === {pieces}")
    watched.wait(
        "location.href.includes('token-colour=moved-start') && location.href.includes('tokens=1:3,0')"
    )
    mark = "getComputedStyle(document.querySelector('[data-test=\"mark-{}\"]')).getPropertyValue('--mark')"
    told, link = cloud(watched), watched.page.url
    rows = [
        element.get_attribute("data-test") for element in watched.page.query_selector_all(".token.pinned")
    ]
    colours = [watched.page.evaluate(mark.format(str(row).removeprefix("mark-"))) for row in rows]
    assert len(set(colours)) == 2
    watched.page.goto("about:blank")
    watched.open(link)
    watched.wait(f"window.paramviz.state().cloud.trailPieces === {pieces}")
    again = cloud(watched)
    assert [again[key] for key in ("chosen", "focus", "colour")] == [[3, 0], 0, "moved-start"]
    assert again["focus"] == told["focus"]
    assert again["open"], "what was chosen is told"
    assert [watched.page.evaluate(mark.format(str(row).removeprefix("mark-"))) for row in rows] == colours
    watched.page.wait_for_selector(
        '[data-test="cloud-key"]:has-text("moved since iteration 0")', state="attached"
    )


def test_a_link_to_what_a_run_does_not_have_says_so_and_shows_the_rest(
    watched: WatchedPage, view: Callable[..., str], learning_run: Path
):
    url = view(learning_run)
    watched.open(f"{url}#tokens=1:3,999999&projection=umap&token-colour=cluster")
    assert "is not in this one" in watched.page.inner_text('[data-test="notice-notice"]')
    watched.wait("window.paramviz.state().cloud.trailPieces > 0")
    watched.page.wait_for_selector('[data-test="cloud-key"]:has-text("norm")', state="attached")
