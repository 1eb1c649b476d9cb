"""A real training run in a process of its own, told by lines on its standard input when to go on.

usage: python -m tests.browser.training RUN SEED

Each number read trains and records that many more iterations; the end of the
input ends the run.
"""

from __future__ import annotations

import sys

import torch

import paramviz
from train_demo.gpt import GPT, GPTConfig

TEXT = "the quick brown fox jumps over the lazy dog, and the dog does not mind at all; " * 40


def main(path: str, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    vocabulary = sorted(set(TEXT))
    tokens = torch.tensor([vocabulary.index(c) for c in TEXT])
    config = GPTConfig(vocabulary_size=len(vocabulary), block_size=16, n_layer=2, n_head=2, n_embd=32)
    model = GPT(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with paramviz.Recorder(path, model, optimizer, schedule=1, vocabulary=vocabulary) as recorder:
        iteration = 0
        for line in sys.stdin:
            for _ in range(int(line)):
                starts = torch.randint(len(tokens) - 17, (8,)).tolist()
                x = torch.stack([tokens[s : s + 16] for s in starts])
                y = torch.stack([tokens[s + 1 : s + 17] for s in starts])
                loss = model.loss(x, y)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                event = "validation" if iteration % 10 == 0 else None
                recorder.step(iteration, loss=loss, event=event)
                iteration += 1
            print(iteration, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
