"""A run of a GPT in its real shapes, to look at; its parameters share one buffer, and need little memory.

usage: python -m tests.browser.shapes RUN demo|gpt2
"""

from __future__ import annotations

import sys

import torch

import paramviz
from train_demo.gpt import GPT, GPTConfig

CONFIGS = {
    "demo": GPTConfig(vocabulary_size=96),
    "gpt2": GPTConfig(vocabulary_size=50257, block_size=1024, n_layer=12, n_head=12, n_embd=768),
}


def main(path: str, shape: str) -> None:
    torch.set_num_threads(1)
    config = CONFIGS[shape]
    with torch.device("meta"):
        model = GPT(config)
    parameters = list(model.named_parameters())
    generator = torch.Generator().manual_seed(0)
    buffer = 0.02 * torch.randn(config.vocabulary_size * config.n_embd + 1_000_000, generator=generator)
    for number, (name, parameter) in enumerate(parameters):
        owner, _, leaf = name.rpartition(".")
        values = buffer[number : number + parameter.numel()].view(parameter.shape)
        setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(values))
    model.lm_head.weight = model.get_parameter("transformer.wte.weight")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    vocabulary = [f"word{number}" for number in range(config.vocabulary_size)]
    with paramviz.Recorder(path, model, optimizer, schedule=1, vocabulary=vocabulary) as recorder:
        recorder.step(0, loss=1.0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
