"""Names over the scene: none lies on another, wherever the camera stands and however small the window is."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import WatchedPage

pytestmark = pytest.mark.browser

SIZES = ((900, 600), (1280, 720))
LAYER, TENSOR = "5", "transformer.h.1.attn.c_attn.weight"


@pytest.fixture(scope="module", params=["demo", "gpt2"])
def shaped_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, project_root: Path
) -> Path:
    """The demo's model, and GPT-2 in its real shapes."""
    run = tmp_path_factory.mktemp("shapes") / request.param
    path = os.pathsep.join([str(project_root), str(project_root / "scripts")])
    subprocess.run(
        [sys.executable, "-m", "tests.browser.shapes", str(run), request.param],
        check=True,
        cwd=project_root,
        env={**os.environ, "PYTHONPATH": path},
    )
    return run


Rect = dict[str, Any]


def meet(a: Rect, b: Rect) -> bool:
    return bool(
        a["left"] < b["left"] + b["width"]
        and b["left"] < a["left"] + a["width"]
        and a["top"] < b["top"] + b["height"]
        and b["top"] < a["top"] + a["height"]
    )


def names(watched: WatchedPage) -> list[Rect]:
    """Once the camera rests and the names have been chosen for it."""
    watched.wait("!window.paramviz.state().camera.gliding")
    watched.remember_picture("rested")
    watched.page.wait_for_timeout(300)
    found: list[Rect] = watched.page.evaluate("window.paramviz.labels()")
    return found


def assert_apart(watched: WatchedPage, where: str) -> list[str]:
    """Their texts. What the page itself has put over the scene counts, too."""
    found = names(watched)
    assert found, where
    over = watched.page.evaluate(
        """() => ['legend', 'open-cloud', 'open-panel', 'cloud-panel', 'details'].flatMap(test => {
          const element = document.querySelector(`[data-test="${test}"]`);
          const r = element && element.getBoundingClientRect();
          if (!r || r.width === 0) return [];
          return [{text: test, left: r.left, top: r.top, width: r.width, height: r.height}];
        })"""
    )
    for a, b in itertools.combinations(found, 2):
        assert not meet(a, b), (where, a, b)
    for a, b in itertools.product(found, over):
        assert not meet(a, b), (where, a, b)
    return [name["text"] for name in found]


def fly_to(watched: WatchedPage, tensor: str) -> None:
    rect = watched.page.evaluate("n => window.paramviz.tensorScreenRect(n)", tensor)
    watched.page.mouse.dblclick(rect["left"] + rect["width"] / 2, rect["top"] + rect["height"] / 2)
    watched.page.mouse.move(2, 2)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_no_two_names_meet_and_none_lies_under_a_panel(
    watched: WatchedPage, view: Callable[..., str], shaped_run: Path, size: tuple[int, int]
):
    page = watched.page
    page.set_viewport_size({"width": size[0], "height": size[1]})
    watched.open_model(view(shaped_run))

    def texts(where: str) -> list[str]:
        found = []
        for theme in ("dark", "light"):
            page.emulate_media(color_scheme=theme)
            found.append(assert_apart(watched, f"{where}, {theme}"))
        assert found[0] == found[1], "the theme moves nothing"
        return found[0]

    at_home = texts("at home")
    assert {"token embeddings", "caption"} <= set(at_home)
    assert "layer 0" in at_home or "0" in at_home
    page.keyboard.press(LAYER)
    assert "layer 0" in texts("at a layer")
    page.keyboard.press("r")
    fly_to(watched, TENSOR)
    assert any("d_model" in text for text in texts("at a tensor")), "its axes are named"
    page.keyboard.press("Escape")
    assert {"Q", "K", "V"} <= set(texts("at a tensor, alone"))


def test_no_layer_names_some_of_its_plates_only(
    watched: WatchedPage, view: Callable[..., str], shaped_run: Path
):
    watched.open_model(view(shaped_run))
    stage = watched.page.locator('[data-test="stage"]').bounding_box()
    assert stage is not None
    n_named = n_bare = 0
    for _ in range(8):
        found = names(watched)
        for layer in range(4):
            rect = watched.page.evaluate(
                "n => window.paramviz.tensorScreenRect(n)", f"transformer.h.{layer}.attn.c_attn.weight"
            )
            around = {
                "left": rect["left"] - 30,
                "top": rect["top"] - 30,
                "width": rect["width"] + 60,
                "height": rect["height"] + 60,
            }
            if not within(around, stage):
                continue
            here = {name["text"] for name in found if meet(name, around)} & {"Q", "K", "V"}
            assert here in (set(), {"Q", "K", "V"}), (layer, here)
            n_named += len(here) == 3
            n_bare += len(here) == 0
        watched.page.keyboard.press("e")
    assert n_named > 0, "near enough, they are named"
    assert n_bare > 0, "from afar they are not"


def within(a: Rect, b: Rect) -> bool:
    return bool(
        a["left"] >= b["x"]
        and a["top"] >= b["y"]
        and a["left"] + a["width"] <= b["x"] + b["width"]
        and a["top"] + a["height"] <= b["y"] + b["height"]
    )


@pytest.mark.parametrize("shaped_run", ["demo"], indirect=True)
def test_chosen_tokens_keep_their_names_apart(
    watched: WatchedPage, view: Callable[..., str], shaped_run: Path
):
    page = watched.page
    page.set_viewport_size({"width": 900, "height": 600})
    watched.open_model(view(shaped_run))
    page.keyboard.press("/")
    for token in range(6):
        page.fill('[data-test="token-search"]', f"word{token}")
        page.click(f'[data-test="match-{token}"]')
    page.click('[data-test="close-cloud"]')
    page.click('[data-test="reset-view"]')
    texts = assert_apart(watched, "at home")
    assert {f"word{token}" for token in range(6)} <= set(texts), "each is still named"
