"""What recording costs a training loop: the same loop bare, adaptive, and with every iteration.

The three loops train the same model on the same batches. They take turns, a
block of iterations each, so that a machine that slows down slows all three,
and the ratio is taken block by block. A recorded block ends when its writer
has nothing left to do: the disk is part of the price.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

import paramviz
from paramviz.schedule import make_schedule
from train_demo.gpt import GPT, GPTConfig, decay_groups
from train_demo.text import Corpus, sample_batch, standard_library_text

BLOCK_SIZE = 64


@dataclass(slots=True)
class Loop:
    """One training loop and how long each of its blocks and steps took."""

    name: str
    step: Callable[[int], None]
    drain: Callable[[], None]
    report: Callable[[], str]
    close: Callable[[], None]
    iteration: int = 0
    block_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def run_block(self, iterations: int) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(iterations):
            self.step(self.iteration)
            self.iteration += 1
        self.drain()
        self.block_s.append(time.perf_counter() - wall)
        self.cpu_s.append(time.process_time() - cpu)


def make_loop(name: str, schedule: str | int | None, folder: Path, batch_size: int) -> Loop:
    """A loop of its own; schedule None records nothing."""
    corpus = Corpus.of(standard_library_text(), BLOCK_SIZE)
    torch.manual_seed(1)
    model = GPT(GPTConfig(vocabulary_size=len(corpus.tokenizer.vocabulary), block_size=BLOCK_SIZE))
    optimizer = torch.optim.AdamW(decay_groups(model, 0.1), lr=1e-3)
    batches = torch.Generator().manual_seed(1)
    recorder = None
    is_due = make_schedule(schedule if schedule is not None else 1)
    due = 0
    if schedule is not None:
        recorder = paramviz.Recorder(folder / name, model, optimizer, schedule=schedule)

    def step(iteration: int) -> None:
        nonlocal due
        inputs_BT, targets_BT = sample_batch(corpus.training_N, batch_size, BLOCK_SIZE, batches)
        loss = model.loss(inputs_BT, targets_BT)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if recorder is not None:
            recorder.step(iteration, loss=loss)
            due += is_due(iteration)

    def drain() -> None:
        while recorder is not None and recorder.report.snapshots + recorder.report.lost < due:
            time.sleep(0.0005)

    def report() -> str:
        if recorder is None:
            return ""
        r = recorder.report
        return (
            f"{r.snapshots} snapshots, {r.lost} lost; bytes per snapshot: "
            f"{r.raw_bytes / r.snapshots:,.0f} raw, {r.stored_bytes / r.snapshots:,.0f} stored"
        )

    return Loop(
        name=name,
        step=step,
        drain=drain,
        report=report,
        close=(lambda: None) if recorder is None else recorder.close,
    )


def measure(folder: Path, iterations: int, batch_size: int, block: int = 50) -> list[Loop]:
    """Run the three loops side by side; the runs are left in `folder`."""
    loops = [
        make_loop("bare", None, folder, batch_size),
        make_loop("adaptive", "adaptive", folder, batch_size),
        make_loop("every", 1, folder, batch_size),
    ]
    for done in range(0, iterations, block):
        turn = done // block % len(loops)
        for loop in loops[turn:] + loops[:turn]:
            loop.run_block(min(block, iterations - done))
    return loops
