"""Whatever a stranger's run calls itself and its parts: the page shows it as text, and nothing of it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paramviz.schema import (
    GRADIENT_KEYS,
    STATISTIC_KEYS,
    EmbeddingPlan,
    Event,
    GradientStates,
    Snapshot,
    TensorInfo,
)
from paramviz.store import RunWriter
from tests.attacks.payloads import XSS
from tests.browser.conftest import WatchedPage

pytestmark = pytest.mark.browser

WIDTH = 4
NAMES = [f"layers.{index}.{payload}" for index, payload in enumerate(XSS)]
METRICS = [payload for payload in XSS if payload != "__proto__"]
"""A map with that key is no map to the page's decoder, which refuses the answer; test_runs has that case."""

INJECTED = """() => ({
  owned: window.owned ?? null,
  scripts: [...document.scripts].map(s => s.src || s.textContent),
  foreign: [...document.querySelectorAll(
    'img, iframe, object, embed, video, audio, form, base, link:not([rel~=stylesheet]):not([rel~=icon]), '
    + 'meta[http-equiv], template, math, marquee, animate, body style, [onerror], [onload], [onfocus], '
    + '[ontoggle], [onstart], [onbegin], [srcdoc], [href^=javascript], [formaction]'
  )].map(e => e.outerHTML),
})"""


def hostile_run(path: Path) -> Path:
    """Every payload as the name of a tensor, a scalar, a token, an event's text, a key and a value."""
    n = len(XSS)
    description = {
        "model": XSS[0],
        "config": {
            **dict(zip(XSS, reversed(XSS), strict=True)),
            "deep": {XSS[1]: [XSS[2], {XSS[3]: XSS[4]}]},
        },
        "host": XSS[5],
        XSS[6]: XSS[7],
    }
    writer = RunWriter.create(path, name=" ".join(XSS), description=description, vocabulary=XSS)
    tensors = [
        TensorInfo(
            index,
            name,
            shape=(n, WIDTH),
            dtype=XSS[index],
            role="mlp_up",
            layer=index,
            block="mlp",
            samples=n * WIDTH,
            grid=(n, WIDTH),
            offset=index * n * WIDTH,
        )
        for index, name in enumerate(NAMES)
    ]
    tokens = np.arange(n, dtype=np.int32)
    positions = np.tile(np.arange(n * WIDTH), n)
    writer.add_plan(
        tensors, positions, np.empty(0, np.int64), EmbeddingPlan(NAMES[0], WIDTH, n, tokens, True)
    )
    rng = np.random.default_rng(1)
    for iteration, payload in enumerate(METRICS):
        scalars = {metric: 1.0 for metric in METRICS} | {"loss": 2.0 - iteration / n}
        writer.log_step(iteration, scalars, 1_790_000_000.0 + iteration)
        writer.log_event(Event(iteration, "gap", payload))
        if iteration % 30:
            continue
        writer.commit(
            Snapshot(
                iteration=iteration,
                plan=0,
                tier="core",
                time_unix_s=1_790_000_000.0 + iteration,
                scalars=scalars,
                events=[Event(iteration, "validation", payload), Event(iteration, payload, payload)],
                gradient_states=GradientStates(payload, {0: XSS[8]}, payload),
                values=rng.standard_normal(n * n * WIDTH).astype(np.float16),
                statistics=rng.standard_normal((n, len(STATISTIC_KEYS))).astype(np.float32),
                gradient_statistics=np.full((n, len(GRADIENT_KEYS)), np.nan, np.float32),
                embedding_rows=rng.standard_normal((n, WIDTH)).astype(np.float16),
            )
        )
    writer.close("finished")
    return path


def test_no_text_of_a_run_becomes_markup_or_script(
    watched: WatchedPage, view: Callable[..., str], tmp_path: Path
):
    """Both tabs, the picker, the list, a tensor's details and a point's name, all of them with payloads."""
    page, dialogs = watched.page, []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    frames = []
    page.on("frameattached", lambda frame: frames.append(frame.url))
    url = view(hostile_run(tmp_path / "<img src=x onerror=window.owned=1>"))
    watched.open(url)
    scripts = page.evaluate(INJECTED)["scripts"]
    assert [script.startswith(url) for script in scripts] == [True] * len(scripts)

    def is_clean() -> None:
        found = page.evaluate(INJECTED)
        assert found == {"owned": None, "scripts": scripts, "foreign": []}
        assert page.url.startswith(url)

    def is_shown(*texts: str) -> None:
        """In what is there to be read, hovered over or read aloud."""
        content = page.evaluate(
            """() => [...document.querySelectorAll('body *')].map(
                 e => [e.childElementCount ? '' : e.textContent, e.title ?? '', e.ariaLabel ?? ''].join('\\n')
               ).join('\\n')"""
        )
        missing = [text for text in texts if text not in content]
        assert not missing

    is_shown(XSS[0], *METRICS)
    is_clean()
    watched.seek(30)
    is_clean()
    page.click('[data-test="tab-model"]')
    watched.seek(0)
    page.fill('[data-test="tensor-filter"]', "layers")
    is_shown(*NAMES[:60])
    is_clean()
    page.click('[data-test="tensor-0"]')
    page.wait_for_selector('[data-test="details"]:visible')
    is_shown(NAMES[0], METRICS[0])
    for index in (13, 27, 61):
        page.fill('[data-test="tensor-filter"]', f"layers.{index}.")
        page.click(f'[data-test="tensor-{index}"]')
        watched.wait(f"document.querySelector('[data-test=details-name]').textContent === {NAMES[index]!r}")
        is_clean()
    box = page.locator('[data-test="stage"]').bounding_box()
    assert box is not None
    for x in range(1, 8):
        page.mouse.move(box["x"] + box["width"] * x / 8, box["y"] + box["height"] / 2)
        page.wait_for_timeout(50)
        is_clean()
    assert dialogs == []
    assert frames == []
