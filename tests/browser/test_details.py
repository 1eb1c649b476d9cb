"""The chosen tensor's panel: true numbers over time, of now, and by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paramviz.store import open_run
from tests.browser.conftest import WatchedPage

pytestmark = pytest.mark.browser

WEIGHT = "transformer.h.0.mlp.c_fc.weight"


@pytest.fixture
def chosen(watched: WatchedPage, view: Callable[..., str], finished_run: Path) -> WatchedPage:
    watched.open(f"{view(finished_run)}#i=16&tensor=1:{WEIGHT}")
    watched.page.wait_for_selector('[data-test="details"]:visible')
    return watched


def test_the_histogram_over_time_tells_the_recorded_counts(chosen: WatchedPage, finished_run: Path):
    counts, _ = open_run(finished_run)[16].histogram(WEIGHT)
    share = counts.max() / counts.sum()
    chosen.wait("document.querySelector('[data-test=histogram-words]').textContent.includes('Iteration 16')")
    words = chosen.page.inner_text('[data-test="histogram-words"]')
    digits = 1 if share < 0.0995 else 0
    assert f"{share * 100:.{digits}f} %" in words
    line, canvas = (
        chosen.page.locator(f'[data-test="{name}"]').bounding_box()
        for name in ("histogram-cursor", "histogram")
    )
    assert line is not None
    assert canvas is not None
    plot = (canvas["x"] + 62, canvas["width"] - 62 - 14)
    assert line["x"] == pytest.approx(plot[0] + plot[1] * 16 / 30, abs=1.5), "the cursor's column is marked"


def test_pressing_the_histogram_goes_to_that_iteration(chosen: WatchedPage):
    chosen.wait("document.querySelector('[data-test=histogram-words]').textContent.includes('Iteration 16')")
    canvas = chosen.page.locator('[data-test="histogram"]')
    box = canvas.bounding_box()
    assert box is not None
    # The click finds the canvas where it lies by then: the panel fills up, and may move it.
    canvas.click(position={"x": 62 + (box["width"] - 62 - 14) * 5.2 / 30, "y": 40})
    chosen.wait("window.paramviz.state().views[0].shown === 5")
    assert chosen.state()["notice"] is None


def test_every_statistic_can_be_seen_over_time_and_a_gradient_says_what_it_is(
    chosen: WatchedPage, finished_run: Path
):
    run = open_run(finished_run)
    options = chosen.page.eval_on_selector_all(
        '[data-test="details-key"] option', "options => options.map(option => option.value)"
    )
    assert options == [*run.statistic_keys, *(f"gradient {key}" for key in run.gradient_keys)]
    chosen.page.select_option('[data-test="details-key"]', "gradient l2_norm")
    chosen.wait("document.querySelector('[data-test=details-gradient]').textContent !== ''")
    assert "as the optimizer used it" in chosen.page.inner_text('[data-test="details-gradient"]')


def test_the_numbers_are_those_of_the_snapshot(chosen: WatchedPage, finished_run: Path):
    chosen.page.click('[data-test="details-numbers"]')
    text = chosen.page.inner_text('[data-test="details-statistics"]').replace("−", "-")
    snapshot = open_run(finished_run)[16]
    gradient = snapshot.gradient_statistics(WEIGHT)
    assert gradient is not None
    for value in (snapshot.statistics(WEIGHT)["std"], gradient["l2_norm"]):
        assert f"{value:.5g}".rstrip("0") in text


def test_rows_are_told_by_their_norm_and_one_can_be_lit(chosen: WatchedPage, finished_run: Path):
    page = chosen.page
    page.click('[data-test="details-rows"]')
    first = page.wait_for_selector('[data-test="rows"] .norm-row')
    assert first is not None
    run = open_run(finished_run)
    norms = run[16].row_norms(WEIGHT)
    largest = int(norms.indices[np.argmax(norms.norms)])
    assert first.inner_text().split("\n")[0] == f"{largest}"
    before = run[0].row_norms(WEIGHT).norms[largest]
    change = float(norms.norms[largest] / before - 1)
    assert ("+" if change > 0 else "−") in first.inner_text()
    page.mouse.move(1100, 60)
    chosen.remember_picture("dark")
    page.locator('[data-test="rows"] button').first.click()
    assert page.locator('[data-test="rows"] [aria-pressed="true"]').count() >= 1
    page.wait_for_timeout(200)
    chosen.remember_picture("lit")
    assert chosen.differing_share("dark", "lit") > 0
    page.locator('[data-test="rows"] button').first.click()
    page.wait_for_timeout(200)
    chosen.remember_picture("dark again")
    assert chosen.differing_share("dark", "dark again") == 0


def test_what_feeds_a_weight_and_what_it_feeds_is_lit(chosen: WatchedPage):
    """Around sources and targets the picture changes with the choice, around other tensors it does not."""
    page = chosen.page
    page.fill('[data-test="tensor-filter"]', WEIGHT)
    page.locator('[data-test="tensor-list"] .row').first.click()
    for _ in range(6):
        page.locator('[data-test="stage"]').press("q")
    page.mouse.move(1100, 60)
    chosen.remember_picture("chosen")
    page.keyboard.press("Escape")
    chosen.remember_picture("none")
    changed = """name => {
      const stage = document.querySelector('[data-test=stage]').getBoundingClientRect();
      const { left, top, width, height } = window.paramviz.tensorScreenRect(name, 0);
      const [a, b] = [window.pictures.chosen, window.pictures.none];
      let n = 0;
      for (let y = Math.round(top) - 4; y < top + height + 4; y++) {
        for (let x = Math.round(left) - 4; x < left + width + 4; x++) {
          const column = x - Math.round(stage.left);
          const row = Math.round(stage.height) - 1 - (y - Math.round(stage.top));
          const at = (row * Math.round(stage.width) + column) * 4;
          n += column >= 0 && row >= 0 && (a[at] !== b[at] || a[at + 2] !== b[at + 2]);
        }
      }
      return n;
    }"""
    layer = "transformer.h.0"
    for name in (f"{layer}.ln_2.weight", f"{layer}.mlp.c_proj.weight"):
        assert page.evaluate(changed, name) > 20, name
    assert page.evaluate(changed, f"{layer}.ln_1.weight") == 0
