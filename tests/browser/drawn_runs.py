"""Runs for pictures: a real model and a real recorder, but every weight is drawn by a formula.

So every machine has the same numbers, whatever its arithmetic, its number of threads and its
version of torch would make of a training.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import paramviz
from train_demo.gpt import GPT, GPTConfig

ITERATIONS = 17
KEY_EVERY = 4
VOCABULARY = [chr(code) for code in range(33, 97)]
CONFIG = GPTConfig(vocabulary_size=len(VOCABULARY), block_size=32, n_layer=3, n_head=4, n_embd=48)


def grain(n: int, seed: int) -> npt.NDArray[np.float64]:
    """`n` numbers of mean 0 and variance 1, spread like a bell: sums of four mixed counters.

    The mixing is the finaliser of SplitMix64 (Steele, Lea and Flood 2014), in whole numbers only.
    """
    counter = np.arange(4 * n, dtype=np.uint64) + np.uint64(seed) * np.uint64(1_000_003)
    mixed = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    uniform = (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return (uniform.reshape(4, n).sum(axis=0) - 2.0) * math.sqrt(3.0)


def drawn(name: str, shape: torch.Size, index: int, learned: float, seed: int) -> torch.Tensor:
    """A tensor whose waves come out of its grain while `learned` goes from 0 to 1."""
    if len(shape) == 1:
        middle = 1.0 if "ln_" in name and name.endswith("weight") else 0.0
        wave = np.sin(np.arange(shape[0]) * (0.21 + 0.05 * (index % 5)))
        return torch.from_numpy((middle + 0.3 * learned * wave).astype(np.float32))
    rows, columns = shape
    r_R1, c_1C = np.arange(rows)[:, None], np.arange(columns)[None, :]
    wave_RC = np.sin(r_R1 * 0.19 + index) * np.cos(c_1C * (0.23 + 0.03 * (index % 4)))
    if "wte" in name:
        # Four kinds of tokens draw apart.
        wave_RC = np.cos((r_R1 // 16) * 1.7 + c_1C * 0.9) + 0.4 * np.sin(r_R1 * 0.5 + c_1C * 0.1)
    grain_RC = grain(rows * columns, 7 * index + seed).reshape(rows, columns)
    return torch.from_numpy((0.02 * grain_RC + 0.05 * learned * wave_RC).astype(np.float32))


def make_run(path: Path, seed: int = 1, pace: float = 1.0) -> Path:
    """Record the run at `path`. Another seed has another grain; `pace` says how fast waves come."""
    model = GPT(CONFIG)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

    def at(iteration: int) -> list[torch.Tensor]:
        learned = 1.0 - math.exp(-pace * iteration / 6)
        return [
            drawn(name, parameter.shape, index, learned, seed)
            for index, (name, parameter) in enumerate(model.named_parameters())
        ]

    with torch.no_grad():
        for parameter, first in zip(model.parameters(), at(0), strict=True):
            parameter.copy_(first)
    with paramviz.Recorder(
        path, model, optimizer, schedule=1, key_every=KEY_EVERY, vocabulary=VOCABULARY
    ) as recorder:
        for iteration in range(ITERATIONS):
            # The step that leads to the next picture, taken by a real optimizer.
            for parameter, goal in zip(model.parameters(), at(iteration), strict=True):
                parameter.grad = parameter.detach() - goal
            optimizer.step()
            recorder.step(iteration, loss=0.5 + 3.0 * math.exp(-pace * iteration / 6))
    return path
