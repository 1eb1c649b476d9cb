"""The training loop, recorded: AdamW, warm-up and cosine decay, validation, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

import paramviz
from train_demo.gpt import GPT, GPTConfig, decay_groups
from train_demo.text import CharacterTokenizer, Corpus, sample_batch

FINAL_LEARNING_RATE_SHARE = 0.1
"""Where the cosine ends, as a share of the peak."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that decides how a run goes. Intervals count iterations."""

    iterations: int = 1000
    batch_size: int = 20
    learning_rate: float = 1e-3
    warmup_iterations: int = 100
    weight_decay: float = 0.1
    gradient_clip: float = 1.0
    validation_interval: int = 100
    validation_batches: int = 8
    checkpoint_interval: int = 250
    seed: int = 1337

    def learning_rate_at(self, iteration: int) -> float:
        """A linear rise to the peak, then half a cosine down to a tenth of it."""
        warmup = min(self.warmup_iterations, self.iterations // 5)
        if iteration < warmup:
            return self.learning_rate * (iteration + 1) / (warmup + 1)
        progress = (iteration - warmup) / max(1, self.iterations - warmup)
        lowest = FINAL_LEARNING_RATE_SHARE * self.learning_rate
        return lowest + (self.learning_rate - lowest) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known after an iteration. Losses are nats per character."""

    iteration: int
    loss: float
    validation_loss: float | None = None


class Trainer:
    """A model, its optimizer and its data; iterating over `train` makes the steps."""

    def __init__(self, settings: TrainingSettings, corpus: Corpus, block_size: int) -> None:
        self.settings = settings
        self.corpus = corpus
        torch.manual_seed(settings.seed)
        self.model = GPT(GPTConfig(vocabulary_size=len(corpus.tokenizer.vocabulary), block_size=block_size))
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.model, settings.weight_decay), lr=settings.learning_rate, betas=(0.9, 0.99)
        )
        self._batches = torch.Generator().manual_seed(settings.seed)

    def config(self) -> dict[str, object]:
        """What the run should say of itself."""
        return {**asdict(self.settings), **asdict(self.model.config)}

    def train(self, recorder: paramviz.Recorder, checkpoints: Path) -> Iterator[Progress]:
        """Make every step, each recorded before it is yielded. Checkpoints are written as torch files."""
        checkpoints.mkdir(parents=True, exist_ok=True)
        for iteration in range(self.settings.iterations):
            learning_rate = self.settings.learning_rate_at(iteration)
            loss, gradient_norm = self._step(learning_rate)
            validation_loss = None
            events: list[Literal["validation", "checkpoint"]] = []
            if self._is_due(iteration, self.settings.validation_interval, at_start=True):
                validation_loss = self.validation_loss()
                events.append("validation")
            if self._is_due(iteration, self.settings.checkpoint_interval, at_start=False):
                self._save_checkpoint(checkpoints / f"iteration-{iteration:08d}.pt", iteration)
                events.append("checkpoint")
            recorder.step(
                iteration,
                loss=loss,
                learning_rate=learning_rate,
                gradient_norm_before_clipping=gradient_norm,
                validation_loss=validation_loss,
                event=events[0] if events else None,
            )
            for event in events[1:]:
                recorder.step(iteration, event=event)
            yield Progress(iteration, float(loss), validation_loss)

    def _is_due(self, iteration: int, interval: int, *, at_start: bool) -> bool:
        """Every `interval` iterations and at the last one."""
        if iteration == 0:
            return at_start
        return iteration % interval == 0 or iteration == self.settings.iterations - 1

    def _step(self, learning_rate: float) -> tuple[Tensor, Tensor]:
        """One update. Returns the loss and the norm of all gradients before they were clipped."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        inputs_BT, targets_BT = sample_batch(
            self.corpus.training_N, self.settings.batch_size, self.model.config.block_size, self._batches
        )
        loss = self.model.loss(inputs_BT, targets_BT)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
        self.optimizer.step()
        return loss.detach(), norm

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean loss over the same held-out batches each time."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        self.model.eval()
        losses = [
            self.model.loss(
                *sample_batch(
                    self.corpus.validation_N,
                    self.settings.batch_size,
                    self.model.config.block_size,
                    generator,
                )
            ).item()
            for _ in range(self.settings.validation_batches)
        ]
        self.model.train()
        return math.fsum(losses) / len(losses)

    def _save_checkpoint(self, path: Path, iteration: int) -> None:
        torch.save(
            {
                "iteration": iteration,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "config": self.config(),
                "vocabulary": list(self.corpus.tokenizer.vocabulary),
            },
            path,
        )

    def sample(self, prompt: str, n_characters: int, temperature: float = 0.8) -> str:
        """The prompt and what the model writes after it."""
        tokenizer: CharacterTokenizer = self.corpus.tokenizer
        generator = torch.Generator().manual_seed(self.settings.seed)
        prompt_BT = torch.tensor([tokenizer.encode(prompt)], dtype=torch.int64)
        written_BT = self.model.generate(
            prompt_BT, n_characters, temperature=temperature, generator=generator
        )
        return tokenizer.decode(written_BT[0].tolist())
