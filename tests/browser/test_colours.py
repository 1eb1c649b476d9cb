"""What colour a place has, read from the pixels of a real browser, against the maths of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.browser import coloured_runs as made
from tests.browser.colours import Colours, Rgb
from tests.browser.conftest import WatchedPage

pytestmark = pytest.mark.browser

NEAR = 4 / 255
"""Bytes are whole numbers, and a place lies a little beside the middle of its pixel."""


@pytest.fixture(scope="session")
def colours(project_root: Path) -> Colours:
    return Colours(project_root)


@pytest.fixture(scope="session")
def coloured_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.make_run(tmp_path_factory.mktemp("runs") / "coloured")


class Scene:
    """The scene of a page: what it is told to show, and the colour of a place."""

    def __init__(self, watched: WatchedPage) -> None:
        self.watched = watched
        self.page = watched.page

    def look(self, **wishes: str) -> None:
        """Choose in the menu, then wait until that is shown with all that belongs to it."""
        self.page.click('[data-test="look-open"]')
        for name, value in wishes.items():
            self.page.select_option(f'[data-test="{name.replace("_", "-")}"]', value)
        self.page.keyboard.press("Escape")
        shown = {"colour_by": "by", "source": "source", "scale_mode": "scale"}
        for name, value in wishes.items():
            if name in shown:
                self.watched.wait(
                    f"window.paramviz.state().views.every(v => v.coloured.{shown[name]} === '{value}')"
                )
        self.page.evaluate("window.paramviz.seek(window.paramviz.state().cursor)")

    def fly_to(self, index: int) -> None:
        self.page.fill('[data-test="tensor-filter"]', made.TENSORS[index].name)
        self.page.click(f'[data-test="tensor-{index}"]')
        self.page.click('[data-test="close-details"]')
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(400)

    def rect(self, name: str, view: int = 0) -> dict[str, float]:
        box: dict[str, float] = self.page.evaluate(
            "([name, view]) => window.paramviz.tensorScreenRect(name, view)", [name, view]
        )
        return box

    def colour(self, name: str, row: float, column: float, grid: tuple[int, int], view: int = 0) -> Rgb:
        """The pixel in the middle of a drawn cell."""
        return self._pixels(name, row, column, grid, view, reach_px=0)[0]

    def lightest(
        self, name: str, row: float, column: float, grid: tuple[int, int], reach_px: int = 12
    ) -> float:
        """The largest of the darkest channels around a cell: white is 1, and no value comes near it."""
        return max(min(pixel) for pixel in self.around(name, row, column, grid, reach_px))

    def around(
        self, name: str, row: float, column: float, grid: tuple[int, int], reach_px: int = 12
    ) -> list[Rgb]:
        """The pixels around a cell: far away, its place is not known to the pixel."""
        return self._pixels(name, row, column, grid, 0, reach_px)

    def _pixels(
        self, name: str, row: float, column: float, grid: tuple[int, int], view: int, reach_px: int
    ) -> list[Rgb]:
        box = self.rect(name, view)
        x = box["left"] + box["width"] * (column + 0.5) / grid[1]
        y = box["top"] + box["height"] * (row + 0.5) / grid[0]
        pixels = self.page.evaluate(
            """async ([x, y, reach]) => {
              const { width, height, data } = await window.paramviz.readPixels();
              const box = document.querySelector('[data-test="stage"]').getBoundingClientRect();
              const px = Math.floor((x - box.left) * width / box.width);
              const py = height - 1 - Math.floor((y - box.top) * height / box.height);
              const pixels = [];
              for (let dy = -reach; dy <= reach; dy++) {
                for (let dx = -reach; dx <= reach; dx++) {
                  const at = ((py + dy) * width + px + dx) * 4;
                  pixels.push([...data.slice(at, at + 3)]);
                }
              }
              return pixels;
            }""",
            [x, y, reach_px],
        )
        return [(r / 255, g / 255, b / 255) for r, g, b in pixels]

    def small(self, row: int, column: int, view: int = 0) -> Rgb:
        return self.colour("small.weight", row, column, (4, 4), view)

    def coloured(self, view: int = 0) -> dict[str, object]:
        coloured: dict[str, object] = self.watched.state()["views"][view]["coloured"]
        return coloured

    def text(self, test: str) -> str:
        return self.page.inner_text(f'[data-test="{test}"]')


@pytest.fixture
def scene(watched: WatchedPage, view: Callable[..., str], coloured_run: Path) -> Scene:
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(view(coloured_run))
    return Scene(watched)


def distance(a: Rgb, b: Rgb) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


def end_of_scale(numbers: np.ndarray) -> float:
    """3 rms of the finite numbers, or the largest where that is less."""
    finite = numbers[np.isfinite(numbers)].astype(np.float64)
    return float(min(3 * np.sqrt(np.mean(finite**2)), np.abs(finite).max()))


def test_values_have_their_colour_and_what_is_no_number_has_its_own(scene: Scene, colours: Colours):
    scene.fly_to(1)
    scene.watched.seek(0)
    for row in range(4):
        for column in range(4):
            expected = colours.of(float(made.small_at(0)[row, column]), 1.0, "attention")
            assert scene.small(row, column) == pytest.approx(expected, abs=NEAR), (row, column)


def test_another_scale_is_another_colour(scene: Scene, colours: Colours):
    scene.fly_to(1)
    scene.watched.seek(0)
    scene.look(scale_mode="absolute")
    assert scene.small(0, 3) == pytest.approx(colours.of(1.0, made.ABSMAX, "attention"), abs=NEAR)
    scene.look(scale_mode="quantile")
    assert scene.small(0, 3) == pytest.approx(colours.of(1.0, 4.0, "attention"), abs=NEAR)


def test_a_change_is_the_difference_from_the_first_snapshot(scene: Scene, colours: Colours):
    scene.fly_to(1)
    scene.watched.seek(2)
    scene.look(colour_by="since_start")
    with np.errstate(invalid="ignore"):
        change = made.small_at(2) - made.small_at(0)
    scale = end_of_scale(change)
    for row, column in ((0, 0), (0, 1), (0, 3), (3, 2), (1, 0)):
        expected = colours.of(float(change[row, column]), scale, "attention")
        assert scene.small(row, column) == pytest.approx(expected, abs=NEAR), (row, column)
    assert scene.coloured()["second"] == 0
    assert "change since iteration 0" in scene.text("legend-coloured")


def test_a_gradient_comes_from_the_newest_key_snapshot_and_says_so(scene: Scene, colours: Colours):
    scene.fly_to(1)
    scene.watched.seek(2)
    scene.look(colour_by="gradient")
    scale = end_of_scale(made.GRADIENT)
    for row, column in ((0, 0), (1, 3), (2, 0), (3, 3)):
        expected = colours.of(float(made.GRADIENT[row, column]), scale, "attention")
        assert scene.small(row, column) == pytest.approx(expected, abs=NEAR), (row, column)
    assert scene.text("legend-coloured") == "gradient of iteration 0"


def test_what_was_not_recorded_is_hatched_and_said(scene: Scene):
    scene.fly_to(1)
    scene.look(colour_by="update")
    assert scene.coloured()["missing"] == len(made.TENSORS)
    assert scene.text("legend-coloured") == "update: not recorded up to here"
    assert "not recorded" in scene.text("legend")
    lights = {round(scene.small(row, column)[1], 1) for row in range(4) for column in range(4)}
    assert max(lights) < 0.4, "no zeros in place of what is not there"


def test_an_outlier_that_was_not_sampled_is_seen_from_afar_and_under_absmax(scene: Scene, colours: Colours):
    scene.watched.seek(2)
    scene.watched.wait("window.paramviz.state().views[0].coloured.cells === 0")
    grid = (made.GRID, made.GRID)
    row, column = made.OUTLIER

    around = scene.lightest("large.weight", row + 12, column + 12, grid)
    assert scene.lightest("large.weight", row, column, grid) > around + 0.25, "auto shows the extreme"
    assert "extremes of all (iteration 0)" in scene.text("legend-source")
    scene.look(source="samples")
    assert scene.lightest("large.weight", row, column, grid) < around + 0.05, (
        "the sample itself is like all others"
    )
    scene.look(source="cells_absmax")
    assert scene.coloured()["cells"] == 0
    hue, usual = colours.hues["mlp"], scene.colour("large.weight", row + 12, column + 12, grid)
    pixels = scene.around("large.weight", row, column, grid)
    assert min(distance(pixel, hue) for pixel in pixels) < 0.06, (
        "the largest element is at the end of the scale"
    )
    assert distance(usual, hue) > 0.3
    assert scene.text("legend-source") == "cells: largest of all elements (iteration 0)"
    assert scene.text("legend-end") == "4 × typical"
    scene.page.click('[data-test="legend-open"]')
    assert "4 times the typical cell of its tensor" in scene.text("legend-scale-full")
    scene.look(source="cells_mean")
    assert scene.text("legend-end") == "3 rms of means"


def test_no_outlier_falls_between_the_pixels_of_a_far_picture(
    watched: WatchedPage, view: Callable[..., str], tmp_path: Path
):
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(
        view(made.make_run(tmp_path / "scattered", outliers=made.SCATTERED, grid=made.FINE_GRID))
    )
    scene = Scene(watched)
    stage = watched.page.locator('[data-test="stage"]').bounding_box()
    assert stage is not None
    watched.page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)
    for _ in range(8):
        watched.page.mouse.wheel(0, 400)
        watched.page.wait_for_timeout(200)
    assert made.FINE_GRID / scene.rect("large.weight")["width"] > 2.5, "a pixel has several cells"
    grid = (made.FINE_GRID, made.FINE_GRID)

    def lightest() -> list[float]:
        return [scene.lightest("large.weight", *at, grid, reach_px=3) for at in made.SCATTERED]

    assert min(lightest()) > 0.6, "auto shows every extreme"
    scene.look(source="samples")
    assert max(lightest()) < 0.45
    scene.look(source="cells_absmax")
    usual = scene.colour("large.weight", 30, 30, grid)
    for at in made.SCATTERED:
        pixels = scene.around("large.weight", *at, grid, reach_px=3)
        assert max(distance(pixel, usual) for pixel in pixels) > 0.2, at


def test_sorting_puts_the_largest_norm_first_and_names_the_sample_that_it_shows(
    scene: Scene, colours: Colours
):
    scene.fly_to(1)
    scene.watched.seek(0)
    scene.look(sort="rows")
    rows = np.argsort(-made.ROW_NORMS)
    for drawn, row in enumerate(rows):
        expected = colours.of(float(made.small_at(0)[row, 1]), 1.0, "attention")
        assert scene.small(drawn, 1) == pytest.approx(expected, abs=NEAR), (drawn, row)
    box = scene.rect("small.weight")
    scene.page.mouse.move(box["left"] + box["width"] * 0.375, box["top"] + box["height"] * 0.125)
    scene.page.wait_for_selector('[data-test="hover-card"]:visible')
    scene.page.wait_for_selector('[data-test="hover-index"]:has-text("[2, 1]")')
    assert scene.text("hover-value") == "0.75"
    assert "rows sorted by norm (iteration 0)" in scene.text("legend-sort")


def test_norms_stand_at_the_margins(scene: Scene):
    scene.watched.seek(0)
    scene.fly_to(1)
    scene.watched.wait("window.paramviz.state().views[0].coloured.norms === 0")
    reach = 0.06 * 4
    # Row 2 has the largest norm, row 0 a quarter of it: at the same distance from the plate one has a bar.
    lit = scene.colour("small.weight", 2, -0.5 - reach, (4, 4))
    dark = scene.colour("small.weight", 0, -0.5 - reach, (4, 4))
    assert sum(lit) > sum(dark) + 0.3


def test_two_runs_show_their_difference(
    watched: WatchedPage, view: Callable[..., str], coloured_run: Path, tmp_path: Path, colours: Colours
):
    other = made.make_run(tmp_path / "other", iterations=2, shift=0.5)
    watched.page.emulate_media(color_scheme="dark")
    watched.open_model(view(coloured_run, other))
    scene = Scene(watched)
    scene.look(colour_by="other_run")
    scene.fly_to(1)
    watched.seek(1)
    with np.errstate(invalid="ignore"):
        shifted = (made.small_at(1) + np.float32(0.5)).astype(np.float16).astype(np.float32)
        difference = made.small_at(1) - shifted
    scale = end_of_scale(difference)
    for view_index, sign in ((0, 1), (1, -1)):
        for row, column in ((0, 0), (2, 1), (1, 0)):
            expected = colours.of(sign * float(difference[row, column]), scale, "attention")
            assert scene.small(row, column, view_index) == pytest.approx(expected, abs=NEAR)
    watched.seek(2)
    assert scene.coloured(0)["second"] == 1, "the shorter run's newest"
    assert "difference from other at iteration 1" in scene.text("legend-coloured")


def test_while_playing_values_between_two_snapshots_are_mixed_and_marked_as_such(
    scene: Scene, colours: Colours
):
    scene.fly_to(1)
    scene.watched.seek(0)
    assert scene.coloured()["weights"] == [1, 0]
    scene.page.click('[data-test="look-open"]')
    scene.page.check('[data-test="interpolate"]')
    scene.page.keyboard.press("Escape")
    scene.page.select_option('[data-test="speed"]', "0.25")
    scene.page.evaluate("window.paramviz.play()")
    scene.watched.wait(
        "(({second, weights}) => second === 1 && weights[1] > 0.2)(window.paramviz.state().views[0].coloured)"
    )
    assert "interpolated values between 0 and 1" in scene.text("between")
    scene.page.evaluate("window.paramviz.pause()")
    scene.watched.wait("window.paramviz.state().views[0].coloured.second === null")
    iteration = scene.watched.state()["views"][0]["shown"]
    assert not scene.page.is_visible('[data-test="between"]')
    expected = colours.of(float(made.small_at(iteration)[0, 0]), 1.0, "attention")
    assert scene.small(0, 0) == pytest.approx(expected, abs=NEAR), "at rest only what was recorded is shown"


def test_a_link_cannot_ask_for_motion_that_the_reader_does_not_want(
    watched: WatchedPage, view: Callable[..., str], coloured_run: Path
):
    watched.open(f"{view(coloured_run)}#interpolate=on&scale=absolute")
    assert not watched.page.is_checked('[data-test="interpolate"]')
    assert "set to less motion" in watched.page.inner_text('[data-test="notice-notice"]')
    assert watched.state()["views"][0]["coloured"]["scale"] == "absolute", "the rest of the link holds"
