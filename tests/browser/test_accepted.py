"""Five pictures of the page, compared with those that a person has looked at and accepted.

`scripts/pictures --accept` draws them anew. Look at them before they are committed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Playwright

from tests.browser import drawn_runs
from tests.browser.conftest import FLAGS, WatchedPage
from tests.browser.likeness import KEPT_SCALE, Picture, beside, likeness, load, save, shrunk

pytestmark = pytest.mark.browser

ACCEPTED = Path(__file__).parent / "accepted"
HEADER = 48
"""CSS pixels at the top that are left out: how long ago a snapshot came stands there."""


@pytest.fixture(scope="module")
def drawn_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_runs.make_run(tmp_path_factory.mktemp("drawn") / "drawn")


@pytest.fixture(scope="module")
def slower_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_runs.make_run(tmp_path_factory.mktemp("drawn") / "slower", seed=2, pace=0.5)


def picture_of(page: Page, scale: int = 1) -> Picture:
    """What the page shows when nothing moves any more, one pixel for `KEPT_SCALE` CSS pixels."""
    page.mouse.move(2, 2)
    clip = {"x": 0, "y": HEADER, "width": 1280, "height": 720 - HEADER}
    before = b""
    for _ in range(40):
        page.wait_for_timeout(250)
        now = page.screenshot(clip=clip, animations="disabled")
        if now == before:
            with Image.open(io.BytesIO(now)) as image:
                return shrunk(np.asarray(image.convert("RGB"), np.float32), KEPT_SCALE * scale)
        before = now
    raise AssertionError("the page did not come to rest")


def compare(name: str, seen: Picture, tmp_path: Path) -> None:
    accepted = ACCEPTED / f"{name}.png"
    if os.environ.get("PARAMVIZ_ACCEPT"):
        save(seen, accepted)
    found = likeness(seen, load(accepted))
    if not found.is_same:
        shown = tmp_path / f"{name}.png"
        save(beside(load(accepted), seen), shown)
        pytest.fail(
            f"{name}: {found} against {accepted.name}. {shown} shows accepted, seen and the difference, one"
            " under the other. If the new one is better: scripts/pictures --accept."
        )


def address(url: str, **keys: str) -> str:
    return (
        url.rstrip("/") + "/#" + "&".join(f"{name.replace('_', '-')}={value}" for name, value in keys.items())
    )


def test_the_whole_model_looks_as_accepted(
    watched: WatchedPage, view: Callable[..., str], drawn_run: Path, tmp_path: Path
):
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(view(drawn_run))
    compare("model-dark", picture_of(watched.page), tmp_path)


def test_change_since_the_start_looks_as_accepted_in_the_light_scheme(
    watched: WatchedPage, view: Callable[..., str], drawn_run: Path, tmp_path: Path
):
    watched.page.emulate_media(color_scheme="light")
    watched.open_model(address(view(drawn_run), i="8", colour_by="since_start"))
    watched.wait("window.paramviz.state().views.every(v => v.coloured.by === 'since_start')")
    compare("change-light", picture_of(watched.page), tmp_path)


def test_one_attention_layer_near_looks_as_accepted(
    watched: WatchedPage, view: Callable[..., str], drawn_run: Path, tmp_path: Path
):
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(view(drawn_run))
    watched.page.click('[data-test="fly-layer-1"]')
    compare("layer-dark", picture_of(watched.page), tmp_path)


def test_the_cloud_with_trails_looks_as_accepted(
    watched: WatchedPage, view: Callable[..., str], drawn_run: Path, tmp_path: Path
):
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(address(view(drawn_run), tokens="1:5,20,40,60"))
    watched.wait("window.paramviz.state().cloud.trailPieces > 0")
    compare("cloud-dark", picture_of(watched.page), tmp_path)


def test_two_runs_as_a_difference_look_as_accepted(
    watched: WatchedPage, view: Callable[..., str], drawn_run: Path, slower_run: Path, tmp_path: Path
):
    watched.page.emulate_media(color_scheme="light")
    watched.open_model(address(view(drawn_run, slower_run), colour_by="other_run"))
    watched.wait("window.paramviz.state().views.every(v => v.coloured.by === 'other_run')")
    compare("difference-light", picture_of(watched.page), tmp_path)


@dataclass(frozen=True, slots=True)
class Box:
    """Rows and columns of a kept picture."""

    rows: slice
    columns: slice

    @classmethod
    def of(cls, page: Page, what: str) -> Box:
        """The plate of the token embedding, or its name above it."""
        rect = page.evaluate("window.paramviz.tensorScreenRect('transformer.wte.weight')")
        left, top = rect["left"], rect["top"] - HEADER
        right, bottom = left + rect["width"], top + rect["height"]
        if what == "label":
            left, top, bottom = left - 72, top - 22, top - 6
        rows, columns = (
            (round(a / KEPT_SCALE), round(b / KEPT_SCALE)) for a, b in ((top, bottom), (left, right))
        )
        return cls(slice(*rows), slice(*columns))


OTHER_MACHINES = {
    "fonts hinted otherwise": (["--font-render-hinting=none", "--disable-lcd-text"], 1),
    "letters on whole pixels": (["--disable-font-subpixel-positioning"], 1),
    "a finer screen": ([], 2),
}


@pytest.mark.parametrize("machine", OTHER_MACHINES)
def test_a_machine_that_draws_text_and_edges_otherwise_is_not_taken_for_a_change(
    playwright: Playwright, chromium: str, view: Callable[..., str], drawn_run: Path, machine: str
):
    flags, scale = OTHER_MACHINES[machine]
    browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags])
    context = browser.new_context(
        viewport={"width": 1280, "height": 720},
        reduced_motion="reduce",
        color_scheme="dark",
        device_scale_factor=scale,
    )
    watched = WatchedPage(context.new_page())
    watched.open_model(view(drawn_run))
    seen = picture_of(watched.page, scale)
    browser.close()
    found = likeness(seen, load(ACCEPTED / "model-dark.png"))
    assert found.is_same, found


def _without(picture: Picture, box: Box) -> Picture:
    changed = picture.copy()
    changed[box.rows, box.columns] = picture[box.rows.start - 2, box.columns.start - 2]
    return changed


def _recoloured(picture: Picture, box: Box) -> Picture:
    changed = picture.copy()
    changed[box.rows, box.columns] = picture[box.rows, box.columns, ::-1]
    return changed


def _moved(picture: Picture, box: Box) -> Picture:
    changed = _without(picture, box)
    changed[box.rows, slice(box.columns.start + 6, box.columns.stop + 6)] = picture[box.rows, box.columns]
    return changed


CHANGES: dict[str, Callable[[Picture, Box], Picture]] = {
    "gone": _without,
    "in another colour": _recoloured,
    "twelve pixels to the right": _moved,
}

WHITE = ("label", "in another colour")


@pytest.mark.parametrize(
    ("what", "change"),
    [(what, change) for what in ("label", "plate") for change in CHANGES if (what, change) != WHITE],
)
def test_what_is_gone_moved_or_recoloured_is_a_change(
    watched: WatchedPage, view: Callable[..., str], drawn_run: Path, what: str, change: str
):
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(view(drawn_run))
    accepted = picture_of(watched.page)
    assert likeness(accepted, accepted).is_same
    box = Box.of(watched.page, what)
    found = likeness(CHANGES[change](accepted, box), accepted)
    assert not found.is_same, found


def test_a_picture_that_is_paler_shifted_or_of_another_size_is_a_change():
    accepted = load(ACCEPTED / "model-dark.png")
    paler = accepted * np.float32(0.95)
    shifted = np.roll(accepted, 1, axis=1)
    for other in (paler, shifted, accepted[:-8]):
        assert not likeness(other, accepted).is_same
