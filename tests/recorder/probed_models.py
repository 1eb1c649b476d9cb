"""Models in which attention is computed in different ways, and what it should be, by hand in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import paramviz
from paramviz.store import verify_run
from tests.recorder.models import GPT, CausalSelfAttention

Array = np.ndarray


class SlowAttention(CausalSelfAttention):
    """nanoGPT's attention without flash: the softmax is written out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n_batch, n_tokens, width = x.shape
        q, k, v = (
            part.view(n_batch, n_tokens, self.n_head, width // self.n_head).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        logits = (q @ k.transpose(-2, -1)) / math.sqrt(width // self.n_head)
        visible = torch.tril(torch.ones(n_tokens, n_tokens, dtype=torch.bool))
        p = F.softmax(logits.masked_fill(~visible, float("-inf")), dim=-1)
        return self.c_proj((p @ v).transpose(1, 2).reshape(n_batch, n_tokens, width))


def slow_gpt(seed: int = 0, **sizes: int) -> GPT:
    """`gpt` with the same weights, its attention written out."""
    torch.manual_seed(seed)
    model = GPT(**sizes)
    for block in model.transformer["h"]:
        slow = SlowAttention(block.attn.c_attn.in_features, block.attn.n_head)
        slow.load_state_dict(block.attn.state_dict())
        block.attn = slow
    return model


class OneHead(nn.Module):
    """A head of its own, as they are written in courses: (B, T, T) and no axis of heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.query(x) @ self.key(x).transpose(-2, -1) * x.shape[-1] ** -0.5
        return torch.softmax(logits, dim=-1) @ self.value(x)


class Units(nn.Module):
    """Of four units of `act` one is dead, one saturated, two alive; and a forward that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.tanh = nn.ReLU(), nn.Tanh()
        self.scale = nn.Parameter(torch.tensor([1.0, 0.0, 100.0, 1.0]))
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.last = x[0].clone()
        return self.tanh(self.relu(x) * self.scale)


def twin_of(model: nn.Module) -> nn.Module:
    """A copy in float64, for a reference that owes nothing to the recorder."""
    return copy.deepcopy(model).double().eval()


def softmax(logits: Array) -> Array:
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gpt_reference(model: GPT, tokens: torch.Tensor) -> tuple[list[Array], list[Array], list[float]]:
    """Logits and patterns (B, heads, T, T) of each layer, and the rms of the residual stream."""
    twin = twin_of(model)
    n_tokens = tokens.shape[1]
    logits, patterns = [], []
    with torch.no_grad():
        x = twin.transformer["wte"](tokens) + twin.transformer["wpe"](torch.arange(n_tokens))
        stream = [x]
        for block in twin.transformer["h"]:
            attention = block.attn
            q, k, _ = (
                part.unflatten(-1, (attention.n_head, -1)).transpose(1, 2).numpy()
                for part in attention.c_attn(block.ln_1(x)).chunk(3, dim=-1)
            )
            layer = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
            layer = np.where(np.tril(np.ones((n_tokens, n_tokens), bool)), layer, -np.inf)
            logits.append(layer)
            patterns.append(softmax(layer))
            x = block(x)
            stream.append(x)
    return logits, patterns, [float(x.square().mean().sqrt()) for x in stream]


def entropy(p: Array) -> Array:
    """(heads,) in nats, the mean over queries and sequences of (B, heads, T, T)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, -p * np.log(p), 0)
    return terms.sum(-1).mean((0, 2))


def recorded_once(path, model, batch, **settings):
    """A run with one snapshot of the model as it is, and its snapshot."""
    recorder = paramviz.Recorder(path, model, probe=batch, **settings)
    recorder.step(0, loss=1.0)
    recorder.close()
    assert verify_run(path).problems == ()
    return paramviz.open_run(path)[0]
