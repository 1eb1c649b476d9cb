"""The pictures of the README, made from a real run; `scripts/pictures` keeps them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import WatchedPage

pytestmark = pytest.mark.browser


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Where pictures go: docs/pictures when they are to be kept."""
    return Path(os.environ.get("PARAMVIZ_PICTURES", tmp_path))


@pytest.fixture
def pictured_run(finished_run: Path) -> Path:
    """The run to show: a short one, unless one is named."""
    return Path(os.environ.get("PARAMVIZ_PICTURED_RUN", finished_run))


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_model_and_the_loss_have_their_picture(
    watched: WatchedPage, view: Callable[..., str], pictured_run: Path, album: Path, theme: str
):
    watched.page.emulate_media(color_scheme=theme)
    watched.open_model(view(pictured_run))
    watched.remember_picture("scene")
    n_colours = watched.page.evaluate("new Set(new Uint32Array(window.pictures.scene.slice().buffer)).size")
    assert n_colours > 500, "the scene is full of values"
    watched.page.screenshot(path=album / f"model-{theme}.png")
    watched.page.click('[data-test="tab-loss"]')
    watched.page.wait_for_selector(".uplot canvas >> nth=0")
    watched.page.screenshot(path=album / f"loss-{theme}.png")
    for name in ("model", "loss"):
        assert (album / f"{name}-{theme}.png").stat().st_size > 20_000


def test_two_runs_have_their_picture(
    watched: WatchedPage, view: Callable[..., str], pictured_run: Path, other_run: Path, album: Path
):
    other = Path(os.environ.get("PARAMVIZ_PICTURED_OTHER_RUN", other_run))
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(view(pictured_run, other))
    watched.remember_picture("scene")
    watched.page.screenshot(path=album / "compare-dark.png")
    assert (album / "compare-dark.png").stat().st_size > 20_000
