"""The demonstration's training loop, recorded for real."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import paramviz
from train_demo.gpt import GPT, GPTConfig
from train_demo.text import Corpus
from train_demo.training import Progress, Trainer, TrainingSettings

pytestmark = pytest.mark.slow

TEXT = "the quick brown fox jumps over the lazy dog and the dog does not mind at all\n" * 60
SETTINGS = TrainingSettings(
    iterations=12, batch_size=4, validation_interval=5, validation_batches=2, checkpoint_interval=5, seed=3
)


def train(folder: Path, settings: TrainingSettings = SETTINGS) -> list[Progress]:
    trainer = Trainer(settings, Corpus.of(TEXT, block_size=16), block_size=16)
    with paramviz.Recorder(folder / "run", trainer.model, trainer.optimizer) as recorder:
        return list(trainer.train(recorder, folder / "checkpoints"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, list[Progress]]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, train(folder)


def test_it_validates_at_its_interval_and_at_the_end(trained):
    _, steps = trained
    assert [step.iteration for step in steps if step.validation_loss is not None] == [0, 5, 10, 11]


def test_losses_and_learning_rates_of_all_steps_are_in_the_run(trained):
    folder, steps = trained
    run = paramviz.open_run(folder / "run")
    iterations, losses = run.scalar_series("loss")
    assert iterations.tolist() == [step.iteration for step in steps]
    assert losses.tolist() == pytest.approx([step.loss for step in steps])
    _, learning_rates = run.scalar_series("learning_rate")
    assert learning_rates.tolist() == pytest.approx([SETTINGS.learning_rate_at(i) for i in range(12)])


def test_validation_losses_and_events_are_in_the_run(trained):
    folder, steps = trained
    run = paramviz.open_run(folder / "run")
    iterations, losses = run.scalar_series("validation_loss")
    assert iterations.tolist() == [0, 5, 10, 11]
    assert losses.tolist() == [step.validation_loss for step in steps if step.validation_loss is not None]
    events = {(event.iteration, event.kind) for event in run.events}
    assert {(0, "validation"), (5, "validation"), (5, "checkpoint"), (11, "checkpoint")} <= events


def test_a_checkpoint_gives_the_model_back(trained):
    folder, _ = trained
    saved = sorted((folder / "checkpoints").iterdir())
    assert [path.name for path in saved] == [f"iteration-{i:08d}.pt" for i in (5, 10, 11)]
    checkpoint = torch.load(saved[-1], weights_only=True)
    model = GPT(GPTConfig(vocabulary_size=len(checkpoint["vocabulary"]), block_size=16))
    model.load_state_dict(checkpoint["model"])
    recorded = paramviz.open_run(folder / "run")[11].values("transformer.wte.weight")
    whole = checkpoint["model"]["transformer.wte.weight"].numpy().ravel()
    positions = paramviz.open_run(folder / "run").positions("transformer.wte.weight")
    assert recorded.tolist() == pytest.approx(whole[positions].tolist(), rel=1e-3, abs=1e-7)


def test_the_same_seed_makes_the_same_run(trained, tmp_path):
    _, first = trained
    assert train(tmp_path) == first


def test_another_seed_makes_another_run(trained, tmp_path):
    _, first = trained
    other = TrainingSettings(iterations=2, batch_size=4, validation_batches=2, seed=4)
    assert [step.loss for step in train(tmp_path, other)] != [step.loss for step in first[:2]]


def test_it_learns(tmp_path):
    settings = TrainingSettings(iterations=60, batch_size=8, validation_interval=59, validation_batches=2)
    steps = train(tmp_path, settings)
    assert steps[-1].validation_loss < 0.8 * steps[0].validation_loss


def test_it_writes_text_of_its_own_vocabulary():
    trainer = Trainer(SETTINGS, Corpus.of(TEXT, block_size=16), block_size=16)
    text = trainer.sample("the ", 30)
    assert text.startswith("the ")
    assert len(text) == 34
    assert set(text) <= set(TEXT)


@given(iterations=st.integers(1, 5000), warmup=st.integers(0, 300), peak=st.floats(1e-6, 1.0))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_tenth(iterations, warmup, peak):
    settings = TrainingSettings(iterations=iterations, warmup_iterations=warmup, learning_rate=peak)
    rates = [settings.learning_rate_at(i) for i in range(iterations)]
    top = rates.index(max(rates))
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert math.isclose(rates[top], peak, rel_tol=0.5)
    assert settings.learning_rate_at(iterations) == pytest.approx(0.1 * peak)
