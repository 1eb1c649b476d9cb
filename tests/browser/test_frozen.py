"""What a person sees of a fine-tuning: frozen weights, sent once and shown in every snapshot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import paramviz
from paramviz.store import open_run
from tests.browser.conftest import WatchedPage

pytestmark = pytest.mark.browser

FROZEN = "transformer.h.0.mlp.c_fc.weight"


@pytest.fixture(scope="module")
def fine_tuning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small GPT of which only the head and the last norm learn."""
    import torch

    from train_demo.gpt import GPT, GPTConfig

    torch.manual_seed(4)
    model = GPT(GPTConfig(vocabulary_size=32, block_size=8, n_layer=2, n_head=2, n_embd=32))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("h.1." in name)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    path = tmp_path_factory.mktemp("fine-tuning") / "run"
    with paramviz.Recorder(path, model, optimizer, schedule=1) as recorder:
        for iteration in range(6):
            x = torch.randint(32, (4, 9))
            loss = model.loss(x[:, :-1], x[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(iteration, loss=loss)
    return path


def hover(watched: WatchedPage, name: str) -> str:
    box = watched.page.evaluate("name => window.paramviz.tensorScreenRect(name, 0)", name)
    watched.page.mouse.move(box["left"] + box["width"] / 2, box["top"] + box["height"] / 2)
    card = watched.page.wait_for_selector('[data-test="hover-card"]:visible')
    assert card is not None
    return card.inner_text()


def test_a_frozen_weight_shows_its_value_in_every_snapshot_and_is_asked_for_once(
    watched: WatchedPage, view: Callable[..., str], fine_tuning: Path
):
    asked = []
    watched.page.on("request", lambda request: asked.append(request.url))
    watched.open_model(view(fine_tuning))
    recorded = {f"{float(v):.4g}" for v in open_run(fine_tuning)[0].values(FROZEN)}
    for iteration in (0, 3, 5):
        watched.seek(iteration)
        assert FROZEN in hover(watched, FROZEN)
        shown = watched.page.inner_text('[data-test="hover-value"]').replace("−", "-")
        assert f"{float(shown):.4g}" in recorded
        watched.page.mouse.move(2, 2)
    assert len([url for url in asked if url.endswith("/plans/0/frozen")]) == 1


def test_damaged_frozen_samples_are_told_and_the_trained_ones_still_show(
    watched: WatchedPage, view: Callable[..., str], fine_tuning: Path, tmp_path: Path
):
    import shutil

    run = shutil.copytree(fine_tuning, tmp_path / "run")
    chunk = run / "plans/0000/frozen_values/c.0"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    watched.open_model(view(run))
    assert "frozen" in watched.page.inner_text('[data-test="notice-notice"]')
    watched.seek(4)
    trained = "transformer.h.1.mlp.c_fc.weight"
    assert trained in hover(watched, trained)
    assert watched.page.query_selector('[data-test="hover-value"]') is not None
    assert "its samples are damaged" in hover(watched, FROZEN)
    assert watched.page.query_selector('[data-test="hover-value"]') is None
    watched.complaints[:] = [c for c in watched.complaints if "422" not in c]
