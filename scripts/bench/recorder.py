"""What recording costs, as ratios to the same loop without it, measured in one run.

The same model is trained on the same batches once for each way of keeping what it does. The
loops take turns, a block of steps each, and every ratio is taken within a round: a
machine that slows down slows them all. A block ends when its disk has nothing left to do.
CPU is that of the process and of its children.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bench.kernels import print_kernels
from bench.observers import WAYS, Observer, Way, tree_cpu_s
from bench.reporting import folder_bytes, machine, row, title
from paramviz.quantities import CORE, KEY
from train_demo.gpt import GPT, GPTConfig, decay_groups

SMALL = GPTConfig(vocabulary_size=65, block_size=64, n_layer=6, n_head=6, n_embd=192)
GPT2 = GPTConfig(vocabulary_size=50257, block_size=64, n_layer=12, n_head=12, n_embd=768)


@dataclass(slots=True, eq=False)
class Loop:
    """One training loop, and what each of its blocks and steps took."""

    way: Way
    folder: Path
    model: GPT
    optimizer: torch.optim.Optimizer
    batches: torch.Generator
    observer: Observer
    batch: tuple[int, int]
    vocabulary_size: int
    iteration: int = 0
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    step_s: list[float] = field(default_factory=list)
    warm: tuple[int, int] = (0, 0)
    """Steps made and bytes written when the measurement began."""

    @classmethod
    def of(cls, way: Way, folder: Path, config: GPTConfig, batch_size: int, device: str) -> Loop:
        torch.manual_seed(1)
        model = GPT(config).to(device)
        optimizer = torch.optim.AdamW(decay_groups(model, 0.1), lr=1e-3)
        folder.mkdir()
        observer = way.attach(folder, model, optimizer)
        batches = torch.Generator().manual_seed(1)
        shape = (batch_size, config.block_size + 1)
        return cls(way, folder, model, optimizer, batches, observer, shape, config.vocabulary_size)

    def run_block(self, steps: int) -> None:
        wall, cpu = time.perf_counter(), tree_cpu_s()
        for _ in range(steps):
            started = time.perf_counter()
            self._step()
            self.step_s.append(time.perf_counter() - started)
        self.observer.drain()
        self.wall_s.append(time.perf_counter() - wall)
        self.cpu_s.append(tree_cpu_s() - cpu)

    def forget(self) -> None:
        """The first block warmed up, and what a run needs once was written."""
        self.warm = self.iteration, folder_bytes(self.folder)
        self.wall_s.clear()
        self.cpu_s.clear()
        self.step_s.clear()

    def _step(self) -> None:
        device = next(self.model.parameters()).device
        tokens = torch.randint(self.vocabulary_size, self.batch, generator=self.batches).to(device)
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.model.loss(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        self.optimizer.step()
        self.observer.after_step(self.iteration, loss.item())
        self.iteration += 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/recorder", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few iterations, to see that it works")
    parser.add_argument("--iterations", type=int, default=None, help="of the small GPT; 1,000 by default")
    options = parser.parse_args()
    iterations = options.iterations or (48 if options.quick else 1000)
    torch.set_num_threads(1)
    print(machine())
    print(f"core tier: {', '.join(CORE)}")
    print(f"key tier, every 8th snapshot: {', '.join(KEY)}")
    title("Kernels, one core")
    print_kernels()
    print_loops("GPT of 2.7 M parameters (76 tensors) on the CPU", SMALL, iterations, 8, "cpu")
    print_loops(
        "GPT-2 small (148 tensors) on the CPU", GPT2, 2 if options.quick else 16, 1, "cpu", in_pairs=True
    )
    if torch.cuda.is_available():
        print_loops("GPT-2 small (148 tensors) on a GPU", GPT2, iterations, 8, "cuda", in_pairs=True)
    else:
        title("GPT-2 small on a GPU")
        row("", "not measured: torch sees no GPU here")


def print_loops(
    what: str, config: GPTConfig, iterations: int, batch_size: int, device: str, *, in_pairs: bool = False
) -> None:
    """Train once for each way, block by block in turn, and print the ratios to the bare loop.

    in_pairs: one way at a time beside a bare loop of its own, which takes less memory.
    """
    block = max(1, min(8, iterations // 2))
    title(f"{what}: {iterations} steps in blocks of {block}, after a block to warm up")
    bare, ways = WAYS[0], [way for way in WAYS[1:] if way.is_installed]
    for group in [[bare, way] for way in ways] if in_pairs else [[bare, *ways]]:
        with tempfile.TemporaryDirectory() as folder:
            loops = [
                Loop.of(way, Path(folder, str(number)), config, batch_size, device)
                for number, way in enumerate(group)
            ]
            _run(loops, max(1, iterations // block), block)
            row("bare step", f"{1e3 * np.median(loops[0].step_s):.1f} ms")
            for loop in loops[1:]:
                row(loop.way.name, _compared(loop, loops[0]))
    for way in WAYS:
        if not way.is_installed:
            row(way.name, f"not installed: pip install {way.package}")


def _run(loops: Sequence[Loop], rounds: int, block: int) -> None:
    for loop in loops:
        loop.run_block(block)
        loop.forget()
    for turn in range(rounds):
        first = turn % len(loops)
        for loop in [*loops[first:], *loops[:first]]:
            loop.run_block(block)
    for loop in loops:
        loop.observer.close()


def _compared(loop: Loop, bare: Loop) -> str:
    wall = np.array(loop.wall_s) / np.array(bare.wall_s)
    cpu = np.array(loop.cpu_s) / np.maximum(np.array(bare.cpu_s), 1e-9)
    steps, warm_bytes = loop.warm
    stored = (folder_bytes(loop.folder) - warm_bytes) / (loop.iteration - steps)
    slowest = np.percentile(loop.step_s, 99) / np.percentile(bare.step_s, 99)
    return (
        f"wall {np.median(wall):.3f}, CPU {np.median(cpu):.3f} "
        f"(all blocks {sum(loop.cpu_s) / sum(bare.cpu_s):.3f}), "
        f"slowest 1 % of steps {slowest:.3f}, {stored:,.0f} bytes per step"
    )


if __name__ == "__main__":
    main()
