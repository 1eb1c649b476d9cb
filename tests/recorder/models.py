"""Small real models that the recorder's tests train."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


class CausalSelfAttention(nn.Module):
    """Causal self-attention with nanoGPT's names."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.n_head = n_head

    def forward(self, x_BTE: torch.Tensor) -> torch.Tensor:
        n_batch, n_tokens, width = x_BTE.shape
        q, k, v = (
            part.view(n_batch, n_tokens, self.n_head, width // self.n_head).transpose(1, 2)
            for part in self.c_attn(x_BTE).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(n_batch, n_tokens, width))


class MLP(nn.Module):
    """The feed-forward half of a block."""

    def __init__(self, n_embd: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(n_embd, 4 * n_embd)
        self.c_proj = nn.Linear(4 * n_embd, n_embd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class Block(nn.Module):
    """One layer of a GPT."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd)
        self.attn = CausalSelfAttention(n_embd, n_head)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.mlp = MLP(n_embd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """A GPT with nanoGPT's parameter names and a head tied to the token embedding."""

    def __init__(
        self, vocabulary: int = 31, n_layer: int = 2, n_embd: int = 32, n_head: int = 2, block_size: int = 16
    ) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocabulary, n_embd),
                "wpe": nn.Embedding(block_size, n_embd),
                "h": nn.ModuleList([Block(n_embd, n_head) for _ in range(n_layer)]),
                "ln_f": nn.LayerNorm(n_embd),
            }
        )
        self.lm_head = nn.Linear(n_embd, vocabulary, bias=False)
        self.lm_head.weight = self.transformer["wte"].weight
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02 * math.sqrt(2))

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(tokens_BT.shape[1])
        x = self.transformer["wte"](tokens_BT) + self.transformer["wpe"](positions)
        for block in self.transformer["h"]:
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))


def gpt(seed: int = 0, **sizes: int) -> GPT:
    """A GPT with weights that only `seed` decides."""
    torch.manual_seed(seed)
    return GPT(**sizes)


def next_token_loss(model: nn.Module, seed: int, vocabulary: int = 31, n_batch: int = 4) -> torch.Tensor:
    """Loss on a batch of a learnable sequence: each token follows from the one before."""
    generator = torch.Generator().manual_seed(seed)
    first = torch.randint(vocabulary, (n_batch, 1), generator=generator)
    tokens = (first + 3 * torch.arange(13)) % vocabulary
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, iteration: int) -> torch.Tensor:
    """One plain step of training; gradients stay in `.grad`."""
    optimizer.zero_grad(set_to_none=True)
    loss = next_token_loss(model, iteration)
    loss.backward()
    optimizer.step()
    return loss.detach()


class ConvNet(nn.Module):
    """Convolutions with batch normalisation: buffers that training changes."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2)
        )
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean(dim=(2, 3)))


class Recurrent(nn.Module):
    """An LSTM over embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 7, batch_first=True)
        self.out = nn.Linear(7, 11)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.lstm(self.embedding(tokens))[0])
