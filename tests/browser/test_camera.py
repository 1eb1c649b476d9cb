"""Where one looks: by hand, by key, by finger, to kept views, and through a link."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import WatchedPage

pytestmark = pytest.mark.browser

WEIGHT = "transformer.h.0.mlp.c_fc.weight"
SOME_PIXELS = (
    "window.paramviz.readPixels().then(({ data }) => Array.from(data.filter((_, i) => i % 89 === 0)))"
)


def camera(watched: WatchedPage) -> dict[str, float]:
    pose: dict[str, float] = watched.state()["camera"]
    return pose


def rect(watched: WatchedPage, name: str = WEIGHT) -> dict[str, float]:
    box: dict[str, float] = watched.page.evaluate("name => window.paramviz.tensorScreenRect(name, 0)", name)
    return box


def middle(box: dict[str, float]) -> tuple[float, float]:
    return box["left"] + box["width"] / 2, box["top"] + box["height"] / 2


def stage_point(watched: WatchedPage, name: str) -> tuple[float, float]:
    stage = watched.page.locator('[data-test="stage"]').bounding_box()
    assert stage is not None
    x, y = middle(rect(watched, name))
    return x - stage["x"], y - stage["y"]


def link(watched: WatchedPage, part: str) -> str:
    """The address, once it holds this."""
    watched.wait(f"location.href.includes({part!r})")
    return watched.page.url


@pytest.fixture
def scene(watched: WatchedPage, view: Callable[..., str], finished_run: Path) -> WatchedPage:
    watched.open_model(view(finished_run))
    return watched


def test_the_wheel_zooms_toward_the_pointer(scene: WatchedPage):
    before = middle(rect(scene))
    distance = camera(scene)["distance"]
    scene.page.mouse.move(*before)
    for _ in range(4):
        scene.page.mouse.wheel(0, -240)
    scene.wait(f"window.paramviz.state().camera.distance < {distance} / 3")
    assert middle(rect(scene)) == pytest.approx(before, abs=2), "what is under the pointer stays there"


def test_dragging_turns_and_a_right_drag_moves(scene: WatchedPage):
    home = camera(scene)
    mouse = scene.page.mouse
    mouse.move(700, 300)
    mouse.down()
    mouse.move(760, 330, steps=4)
    mouse.up()
    turned = camera(scene)
    assert turned["yaw"] < home["yaw"]
    assert turned["pitch"] > home["pitch"]
    assert (turned["x"], turned["y"]) == (home["x"], home["y"])
    before = middle(rect(scene))
    mouse.move(700, 300)
    mouse.down(button="right")
    mouse.move(740, 320, steps=4)
    mouse.up(button="right")
    after = middle(rect(scene))
    assert (after[0] - before[0], after[1] - before[1]) == pytest.approx((40, 20), abs=4)


def test_every_move_of_the_camera_has_a_key(scene: WatchedPage):
    press = scene.page.keyboard.press
    home = camera(scene)
    press("d")
    press("w")
    assert camera(scene)["yaw"] > home["yaw"]
    assert camera(scene)["pitch"] > home["pitch"]
    press("a")
    press("x")
    assert camera(scene) == pytest.approx(home)
    press("Shift+d")
    assert camera(scene)["x"] > home["x"]
    press("e")
    assert camera(scene)["distance"] < home["distance"]
    press("q")
    assert camera(scene)["distance"] == pytest.approx(home["distance"])
    press("r")
    assert camera(scene) == pytest.approx(home)


def test_keys_fly_through_parts_and_tensors(scene: WatchedPage):
    press = scene.page.keyboard.press
    home = camera(scene)
    seen = []
    for _ in range(4):
        press("PageDown")
        seen.append(camera(scene))
    assert all(pose["distance"] < home["distance"] for pose in seen)
    assert len({(round(pose["x"]), round(pose["y"])) for pose in seen}) == 4, "each is another part"
    press("PageUp")
    assert camera(scene) == pytest.approx(seen[2])
    press("j")
    assert scene.page.inner_text('[data-test="details-name"]') == "transformer.wte.weight"
    press("j")
    assert scene.page.inner_text('[data-test="details-name"]') == "transformer.wpe.weight"
    press("k")
    assert scene.page.inner_text('[data-test="details-name"]') == "transformer.wte.weight"
    press("Escape")
    assert scene.page.is_hidden('[data-test="details"]')


def test_numbers_go_to_views_that_every_model_has(scene: WatchedPage):
    press = scene.page.keyboard.press
    home = camera(scene)
    poses = []
    for number in "23456":
        press(number)
        poses.append(camera(scene))
    front, side, cloud, first, _last = poses
    assert (front["yaw"], front["pitch"]) == (0, 0)
    assert side["yaw"] > 0.8
    assert max(cloud["distance"], first["distance"]) < home["distance"]
    press("1")
    assert camera(scene) == pytest.approx(home)


def test_a_view_that_is_kept_is_there_after_a_reload_until_it_is_deleted(scene: WatchedPage):
    page = scene.page
    page.keyboard.press("5")
    page.keyboard.press("d")
    kept = camera(scene)
    page.keyboard.press("b")
    page.fill('[data-test="bookmark-name"]', "the <b>odd</b> head")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    link(scene, "runs=")
    page.goto(page.url.split("#")[0])
    scene.wait("window.paramviz?.state().views[0]?.shown != null")
    assert camera(scene) != pytest.approx(kept, rel=0.01)
    page.keyboard.press("b")
    assert page.inner_text('[data-test="bookmarks"]') == "the <b>odd</b> head"
    page.click('[data-test="bookmark-0"]')
    assert camera(scene) == pytest.approx(kept, rel=0.001, abs=0.01)
    page.click('[data-test="bookmark-delete-0"]')
    assert page.locator('[data-test="bookmark-0"]').count() == 0
    assert page.evaluate(
        "Object.keys(localStorage).filter(k => k.includes('bookmarks')).map(k => localStorage[k])"
    ) == ["[]"]


def test_the_help_names_every_key_of_the_camera(scene: WatchedPage):
    scene.page.keyboard.press("?")
    text = scene.page.inner_text('[data-test="help-dialog"]')
    for words in ("A D W X", "E, Q", "Page down, up", "J, K", "1 … 6", "R", "B"):
        assert words in text


def test_a_link_opened_elsewhere_shows_the_same(
    scene: WatchedPage, browser: Browser, view: Callable[..., str], finished_run: Path
):
    page = scene.page
    scene.seek(9)
    page.keyboard.press("5")
    page.keyboard.press("d")
    page.mouse.click(*middle(rect(scene)))
    page.keyboard.press("s")
    page.mouse.move(2, 2)
    url = link(scene, "scale=")
    scene.wait("location.hash.includes('tensor=') && location.hash.includes('i=9')")
    url = page.url
    pose, pixels = camera(scene), page.evaluate(SOME_PIXELS)
    context = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="reduce")
    other = WatchedPage(context.new_page())
    other.open(url)
    assert other.state()["views"][0]["shown"] == 9
    assert other.state()["cursor"] == 9
    assert other.page.inner_text('[data-test="details-name"]') == WEIGHT
    assert camera(other) == pytest.approx(pose, rel=1e-3, abs=0.01)
    again = other.page.evaluate(SOME_PIXELS)
    differing = sum(abs(a - b) > 40 for a, b in zip(pixels, again, strict=True)) / len(pixels)
    assert differing < 0.01
    other.wait(f"location.href === {url!r}")
    with other.page.expect_event("load"):
        other.page.evaluate("location.hash = 'tab=loss&i=4'")
    other.wait("window.paramviz?.state().views[0]?.shown === 4 && window.paramviz.state().tab === 'loss'")
    context.close()
    assert other.complaints == []


def test_a_narrower_window_looks_at_the_same_tensor(scene: WatchedPage, browser: Browser):
    scene.page.dblclick(
        '[data-test="stage"]', position=dict(zip("xy", stage_point(scene, WEIGHT), strict=True))
    )
    url = link(scene, "camera=")
    context = browser.new_context(viewport={"width": 480, "height": 700}, reduced_motion="reduce")
    other = WatchedPage(context.new_page())
    other.open(url)
    box, stage = rect(other), other.page.locator('[data-test="stage"]').bounding_box()
    assert stage is not None
    x, y = middle(box)
    assert stage["x"] < x < stage["x"] + stage["width"]
    assert stage["y"] < y < stage["y"] + stage["height"]
    context.close()


def test_a_link_that_makes_no_sense_is_said_and_harms_nothing(
    watched: WatchedPage, view: Callable[..., str], finished_run: Path
):
    watched.open(f"{view(finished_run)}#i=12&camera=0,1e9,NaN,0,0,0,0&tab=<img>&__proto__=1")
    assert watched.state()["views"][0]["shown"] == 12
    notice = watched.page.inner_text('[data-test="notice-notice"]')
    assert "camera" in notice
    assert "tab" in notice
    assert "img" not in notice


def test_a_link_to_an_iteration_or_tensor_that_is_not_there_says_so(
    watched: WatchedPage, view: Callable[..., str], finished_run: Path
):
    url = view(finished_run)
    watched.open(f"{url}#i=999")
    assert watched.state()["views"][0]["shown"] == 30
    assert "999 was not recorded" in watched.page.inner_text('[data-test="notice-notice"]')
    watched.open(f"{url}?#tensor=1:nobody")
    assert "is not in this one" in watched.page.inner_text('[data-test="notice-notice"]')


@pytest.fixture
def moving(browser: Browser, view: Callable[..., str], finished_run: Path) -> Iterator[WatchedPage]:
    """A page of somebody who likes motion."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, reduced_motion="no-preference")
    watched = WatchedPage(context.new_page())
    watched.open_model(view(finished_run))
    yield watched
    context.close()
    assert watched.complaints == []


def test_a_glide_is_interrupted_by_a_hand_and_by_a_key(moving: WatchedPage):
    page = moving.page
    moving.page.keyboard.press("5")
    moving.wait("window.paramviz.state().camera.gliding")
    page.mouse.move(700, 300)
    page.mouse.down()
    still = camera(moving)
    assert not still["gliding"]
    page.wait_for_timeout(150)
    assert camera(moving) == still
    page.mouse.up()
    page.keyboard.press("6")
    moving.wait("window.paramviz.state().camera.gliding")
    page.keyboard.press("a")
    assert not camera(moving)["gliding"]
    page.keyboard.press("6")
    moving.wait("window.paramviz.state().camera.gliding")
    page.keyboard.press("1")
    moving.wait("!window.paramviz.state().camera.gliding")
    assert page.url.find("camera=") < 0 or link(moving, "runs=")


def test_who_wants_no_motion_is_there_at_once(scene: WatchedPage):
    scene.page.keyboard.press("5")
    pose = camera(scene)
    assert not pose["gliding"]
    scene.page.wait_for_timeout(100)
    assert camera(scene) == pose


class Fingers:
    """Real touches, through the browser's own protocol."""

    def __init__(self, watched: WatchedPage) -> None:
        self._session = watched.page.context.new_cdp_session(watched.page)

    def _send(self, kind: str, *points: tuple[float, float], time_s: float | None = None) -> None:
        touches = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
        stamp = {} if time_s is None else {"timestamp": time_s}
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches, **stamp})

    def double_tap(self, x: float, y: float) -> None:
        """Two taps a tenth of a second apart, however long the page takes to answer the first."""
        begin_s = time.time() + 1
        for tap in range(2):
            self._send("touchStart", (x, y), time_s=begin_s + tap * 0.1)
            self._send("touchEnd", time_s=begin_s + tap * 0.1 + 0.02)

    def drag(self, *paths: tuple[tuple[float, float], tuple[float, float]], steps: int = 8) -> None:
        """Each finger from one point to another, together."""
        self._send("touchStart", *(start for start, _ in paths))
        for step in range(1, steps + 1):
            share = step / steps
            self._send(
                "touchMove",
                *((a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share) for a, b in paths),
            )
        self._send("touchEnd")


@pytest.fixture
def touched(browser: Browser, view: Callable[..., str], finished_run: Path) -> Iterator[WatchedPage]:
    context = browser.new_context(
        viewport={"width": 800, "height": 900}, reduced_motion="reduce", has_touch=True, is_mobile=True
    )
    watched = WatchedPage(context.new_page())
    watched.open_model(view(finished_run))
    yield watched
    context.close()
    assert watched.complaints == []


def test_one_finger_turns(touched: WatchedPage):
    home = camera(touched)
    Fingers(touched).drag(((300, 400), (360, 420)))
    turned = camera(touched)
    assert turned["yaw"] < home["yaw"]
    assert turned["pitch"] > home["pitch"]
    assert turned["distance"] == home["distance"]


def test_two_fingers_zoom_about_their_middle_and_move(touched: WatchedPage):
    home = camera(touched)
    x, y = middle(rect(touched))
    before = rect(touched)
    Fingers(touched).drag(((x - 40, y), (x - 80, y)), ((x + 40, y), (x + 80, y)))
    near = rect(touched)
    assert near["width"] == pytest.approx(2 * before["width"], rel=0.1)
    assert middle(near) == pytest.approx((x, y), abs=4), "what was between the fingers is there still"
    Fingers(touched).drag(((300, 400), (350, 430)), ((380, 400), (430, 430)))
    moved = rect(touched)
    assert moved["width"] == pytest.approx(near["width"], rel=0.02)
    assert (middle(moved)[0] - x, middle(moved)[1] - y) == pytest.approx((50, 30), abs=6)
    now: dict[str, Any] = camera(touched)
    assert (now["yaw"], now["pitch"]) == (home["yaw"], home["pitch"])


def test_a_tap_chooses_a_tensor_and_a_double_tap_flies_there(touched: WatchedPage):
    name = "transformer.h.0.attn.c_proj.weight"
    x, y = middle(rect(touched, name))
    far = camera(touched)
    touched.page.touchscreen.tap(x, y)
    assert touched.page.inner_text('[data-test="details-name"]') == name
    assert camera(touched) == far
    # The panel lies over the scene here.
    touched.page.keyboard.press("Escape")
    touched.page.wait_for_timeout(500)
    Fingers(touched).double_tap(x, y)
    touched.wait(f"window.paramviz.state().camera.distance < {far['distance']}")
