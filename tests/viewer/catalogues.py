"""Writes the catalogues of real models that the page's layout is tested with.

usage: python -m tests.viewer.catalogues viewer/web/test/catalogues.json

Real widths, few layers. All parameters of a model are views of one buffer, so that
a wide one needs no memory of its own. Needs transformers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from torch import nn

import paramviz

LLAMA = {"hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 3}


class Lstm(nn.Module):
    """Recurrent, with none of a transformer's names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5000, 256)
        self.lstm = nn.LSTM(256, 512, 2)
        self.out = nn.Linear(512, 5000)


class Convolutional(nn.Module):
    """Kernels few enough to be recorded whole."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 5), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.Conv1d(24, 8, 3)
        )
        self.classifier = nn.Linear(8, 10)


class Experts(nn.Module):
    """Every expert a module of its own, beside their router."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(8000, 256)
        self.layers = nn.ModuleList(self._layer() for _ in range(2))
        self.norm = nn.LayerNorm(256)
        self.head = nn.Linear(256, 8000)

    @staticmethod
    def _layer() -> nn.Module:
        experts = (nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 256)) for _ in range(12))
        return nn.ModuleDict(
            {
                "norm1": nn.LayerNorm(256),
                "attn": nn.MultiheadAttention(256, 8),
                "norm2": nn.LayerNorm(256),
                "router": nn.Linear(256, 12, bias=False),
                "experts": nn.ModuleList(experts),
            }
        )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "GPT-2": lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=3)),
    "Llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA, intermediate_size=8192)),
    "Mixtral": lambda: transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**LLAMA, intermediate_size=4096, num_local_experts=16)
    ),
    "BERT": lambda: transformers.BertForMaskedLM(transformers.BertConfig(num_hidden_layers=3)),
    "ViT": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(num_hidden_layers=3)),
    "T5": lambda: transformers.T5ForConditionalGeneration(
        transformers.T5Config(num_layers=3, d_model=512, d_ff=2048)
    ),
    "ResNet": lambda: transformers.ResNetForImageClassification(
        transformers.ResNetConfig(depths=[2, 2, 1, 1])
    ),
    "LSTM": Lstm,
    "convolutions": Convolutional,
    "experts": Experts,
}


def filled(model: nn.Module) -> nn.Module:
    """The model off the meta device, all its parameters views of one buffer of noise."""
    tensors = [*model.parameters(), *model.buffers()]
    noise = torch.randn(max(t.numel() for t in tensors) + len(tensors))
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            start = len(made)
            view = noise[start : start + parameter.numel()].view(parameter.shape)
            module._parameters[name] = made.setdefault(id(parameter), nn.Parameter(view))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.ones(buffer.shape, dtype=buffer.dtype)
    return model


def catalogue(model: nn.Module) -> list[list[object]]:
    """One row per tensor, in the order of `fromRow` in the page's tests."""
    with tempfile.TemporaryDirectory() as folder:
        with paramviz.Recorder(Path(folder) / "run", model) as recorder:
            recorder.step(0)
        tensors = paramviz.open_run(Path(folder) / "run").tensors
    return [
        [
            *(t.name, t.shape, t.role, t.block, t.layer, t.tied_to, t.samples, t.grid, t.array),
            *(t.row_groups, t.column_groups, int(t.transposed)),
        ]
        for t in tensors
    ]


def main(path: str) -> None:
    torch.set_num_threads(1)
    lines = []
    for name, build in MODELS.items():
        with torch.device("meta"):
            model = build()
        rows = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in catalogue(filled(model)))
        lines.append(f"{json.dumps(name)}: [\n  {rows}\n]")
    Path(path).write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
