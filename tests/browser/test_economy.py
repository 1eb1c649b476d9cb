"""What the page does not do: draw at rest, build anything while scrubbing, ask for too much at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Training, WatchedPage

pytestmark = pytest.mark.browser

SNAPSHOTS = 200

COUNT_WHAT_IS_BUILT = """
window.built = {};
for (const name of ['createBuffer', 'bufferData', 'createTexture', 'texStorage2D', 'texStorage3D',
                    'createProgram', 'linkProgram', 'createVertexArray', 'createFramebuffer']) {
  const original = WebGL2RenderingContext.prototype[name];
  window.built[name] = 0;
  WebGL2RenderingContext.prototype[name] = function (...given) {
    window.built[name] += 1;
    return original.apply(this, given);
  };
}
"""

SCRUB = """async iterations => {
  for (const iteration of iterations) await window.paramviz.seek(iteration);
}"""

IS_WHOLE = "Object.values(window.paramviz.counters().drawn).every(drawn => drawn.whole_ms !== null)"


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory, project_root: Path) -> Path:
    training = Training(tmp_path_factory.mktemp("runs") / "long", 1, project_root)
    training.train(SNAPSHOTS)
    training.finish()
    return training.run


@pytest.fixture
def counting(watched: WatchedPage, view: Callable[..., str], long_run: Path) -> WatchedPage:
    """The scene of the long run, whole and at rest, with a count of what is built from here on."""
    watched.page.add_init_script(COUNT_WHAT_IS_BUILT)
    watched.open_model(view(long_run))
    watched.seek(3)
    watched.wait(IS_WHOLE)
    return watched


def counters(watched: WatchedPage) -> dict[str, Any]:
    found: dict[str, Any] = watched.page.evaluate("window.paramviz.counters()")
    return found


def test_scrubbing_builds_no_geometry_no_texture_and_no_program(counting: WatchedPage):
    counting.page.evaluate(SCRUB, [0, 1])
    counting.wait(IS_WHOLE)
    before = counting.page.evaluate("({...window.built})")
    assert before["createTexture"] > 0
    assert before["linkProgram"] > 0, "the counters count"
    drawn = counters(counting)["framesDrawn"]
    counting.page.evaluate(SCRUB, [*range(SNAPSHOTS), *range(SNAPSHOTS - 1, 0, -7)])
    counting.wait(IS_WHOLE)
    assert counting.page.evaluate("({...window.built})") == before
    assert counters(counting)["framesDrawn"] >= drawn + SNAPSHOTS


def test_at_rest_nothing_is_drawn(counting: WatchedPage):
    counting.page.wait_for_timeout(500)
    drawn = counters(counting)["framesDrawn"]
    counting.page.wait_for_timeout(1500)
    assert counters(counting)["framesDrawn"] == drawn


def test_jumping_about_keeps_to_six_requests_and_a_handful_of_draw_calls(counting: WatchedPage):
    counting.page.evaluate(
        """async n => {
          for (let step = 0; step < n; step += 1) {
            window.paramviz.seek((step * 83) % n);
            if (step % 3 === 0) await new Promise(done => setTimeout(done, 5));
          }
          await window.paramviz.seek(n - 1);
        }""",
        SNAPSHOTS,
    )
    counting.page.evaluate("window.paramviz.play()")
    counting.page.wait_for_timeout(1000)
    counting.page.evaluate("window.paramviz.pause()")
    counting.wait(IS_WHOLE)
    found = counters(counting)
    assert 1 < found["mostInFlight"] <= 6
    assert found["aborted"] > 0, "what was overtaken is not fetched to its end"
    assert 3 <= found["drawCalls"] <= 8


SCRUB_AND_WEIGH = """async iterations => {
  let most = 0;
  for (const iteration of iterations) {
    await window.paramviz.seek(iteration);
    most = Math.max(most, window.paramviz.counters().cacheBytes);
  }
  return most;
}"""


def test_the_memory_of_snapshots_keeps_its_budget_and_what_has_left_it_comes_back_the_same(
    counting: WatchedPage,
):
    all_of_them = list(range(SNAPSHOTS))
    counting.page.evaluate(SCRUB, [7])
    counting.wait(IS_WHOLE)
    counting.remember_picture("first")
    counting.page.evaluate(SCRUB, all_of_them)
    everything = counters(counting)["cacheBytes"]
    budget = everything // 4
    counting.page.evaluate("bytes => window.paramviz.keepAtMost(bytes)", budget)
    assert counters(counting)["cacheBytes"] <= budget
    most = counting.page.evaluate(SCRUB_AND_WEIGH, all_of_them)
    assert budget / 2 < most <= budget
    asked: list[str] = []
    counting.page.on("request", lambda request: asked.append(request.url))
    counting.page.evaluate(SCRUB, [7])
    assert any("/frames/7?" in url for url in asked), "it had left, and was asked for again"
    counting.wait(IS_WHOLE)
    counting.remember_picture("again")
    assert counting.differing_share("first", "again") == 0
    assert counters(counting)["cacheBytes"] <= budget
