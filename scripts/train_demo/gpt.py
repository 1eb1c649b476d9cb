"""A small GPT with nanoGPT's parameter names.

Shape suffixes: B sequences in a batch, T tokens in a sequence, C channels,
H heads, D = C / H channels of a head, V tokens in the vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class GPTConfig:
    """Sizes of a GPT. `bias` gives biases to every Linear and LayerNorm, as GPT-2 has them."""

    vocabulary_size: int
    block_size: int = 64
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    dropout: float = 0.0
    bias: bool = True

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} cannot be divided among n_head {self.n_head} heads.")


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a token sees itself and what came before it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTC: Tensor) -> Tensor:
        n_sequences, n_tokens, width = x_BTC.shape
        by_head = (n_sequences, n_tokens, self.n_head, width // self.n_head)
        q_BHTD, k_BHTD, v_BHTD = (
            part_BTC.view(by_head).transpose(1, 2) for part_BTC in self.c_attn(x_BTC).split(width, dim=2)
        )
        y_BHTD = F.scaled_dot_product_attention(
            q_BHTD, k_BHTD, v_BHTD, dropout_p=self.dropout if self.training else 0.0, is_causal=True
        )
        y_BTC = y_BHTD.transpose(1, 2).reshape(n_sequences, n_tokens, width)
        out_BTC: Tensor = self.resid_dropout(self.c_proj(y_BTC))
        return out_BTC


class MLP(nn.Module):
    """Two linear layers, four times as wide between them."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BTC: Tensor) -> Tensor:
        out_BTC: Tensor = self.dropout(self.c_proj(self.gelu(self.c_fc(x_BTC))))
        return out_BTC


class Block(nn.Module):
    """One layer: attention, then the MLP, each on a normalised copy and added to the stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x_BTC: Tensor) -> Tensor:
        x_BTC = x_BTC + self.attn(self.ln_1(x_BTC))
        x_BTC = x_BTC + self.mlp(self.ln_2(x_BTC))
        return x_BTC


class GPT(nn.Module):
    """The whole model. Its head shares its weight with the token embedding."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        wte = nn.Embedding(config.vocabulary_size, config.n_embd)
        self.transformer = nn.ModuleDict(
            {
                "wte": wte,
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "drop": nn.Dropout(config.dropout),
                "h": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd, bias=config.bias),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocabulary_size, bias=False)
        self.lm_head.weight = wte.weight
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights of GPT-2's size; what writes to the stream starts smaller, the deeper the model."""
        into_stream = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, parameter in self.named_parameters():
            if name.endswith(".bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() >= 2:
                std = into_stream if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, mean=0.0, std=std)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits (B, T, V) of the token after each. tokens_BT: int64, T at most `block_size`."""
        n_tokens = tokens_BT.shape[1]
        if n_tokens > self.config.block_size:
            raise ValueError(f"{n_tokens} tokens do not fit in block_size {self.config.block_size}.")
        positions_T = torch.arange(n_tokens, device=tokens_BT.device)
        x_BTC = self.transformer["wte"](tokens_BT) + self.transformer["wpe"](positions_T)
        x_BTC = self.transformer["drop"](x_BTC)
        for block in self.transformer["h"].children():
            x_BTC = block(x_BTC)
        logits_BTV: Tensor = self.lm_head(self.transformer["ln_f"](x_BTC))
        return logits_BTV

    def loss(self, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
        """Mean cross-entropy of the targets (B, T), in nats per token."""
        return F.cross_entropy(self(tokens_BT).flatten(0, 1), targets_BT.flatten())

    @torch.no_grad()
    def generate(
        self, tokens_BT: Tensor, n_tokens: int, *, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """(B, T + n_tokens): the given tokens and as many more, drawn one at a time."""
        was_training = self.training
        self.eval()
        for _ in range(n_tokens):
            logits_BTV = self(tokens_BT[:, -self.config.block_size :])
            probabilities_BV = F.softmax(logits_BTV[:, -1] / temperature, dim=-1)
            next_B1 = torch.multinomial(probabilities_BV, 1, generator=generator)
            tokens_BT = torch.cat([tokens_BT, next_B1], dim=1)
        self.train(was_training)
        return tokens_BT


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """AdamW's parameter groups: matrices decay, biases and norms don't. A tied weight counts once."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
