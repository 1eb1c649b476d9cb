"""What each head of one attention does on a batch, from its logits or from queries and keys.

Nothing of the size of all logits is made: they are taken in parts of a few megabytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

MOST_POSITIONS = 64
"""Queries and keys of the first sequence whose pattern is kept."""

_PART_ELEMENTS = 1 << 21

Rows = Callable[[int, int, int], torch.Tensor]
"""(sequence, first query, end) → (heads, queries, keys) logits in float32 or wider, -inf where masked."""


class HeadTotals:
    """One attention, summed up over a batch.

    pattern: (heads, queries, keys) float16; entropy and max_logit: (heads,), on the device.
    """

    def __init__(self, shape: tuple[int, int, int, int], rows: Rows) -> None:
        """shape: (sequences, heads, queries, keys) of the logits."""
        n_sequences, n_heads, n_queries, n_keys = shape
        self.extents = min(n_queries, MOST_POSITIONS), min(n_keys, MOST_POSITIONS)
        kept = []
        entropy, n_looking, largest = [], [], []
        for sequence, first, end in _parts(n_sequences, n_queries, n_heads * n_keys):
            logits = rows(sequence, first, end)
            p = torch.softmax(logits, dim=-1)
            if sequence == 0 and first < self.extents[0]:
                kept.append(p[:, : self.extents[0] - first, : self.extents[1]].to(torch.float16))
            # A query that may look at nothing has NaN, or the same at all: it has no entropy.
            looks = (logits > -math.inf).any(-1)
            terms = -torch.special.xlogy(p, p).sum(-1)
            entropy.append(torch.where(looks, terms, 0.0).sum(-1))
            n_looking.append(looks.sum(-1))
            largest.append(logits.amax((-2, -1)))
        self.pattern = torch.cat(kept, dim=1)
        self.entropy = torch.stack(entropy).sum(0) / torch.stack(n_looking).sum(0)
        self.max_logit = torch.stack(largest).amax(0)

    @property
    def n_heads(self) -> int:
        return len(self.entropy)


def from_logits(logits: torch.Tensor, heads: int | None) -> HeadTotals | None:
    """Of what goes into a softmax over its last axis; None if that is no attention.

    logits: (sequences, heads, queries, keys), or (sequences * heads, queries, keys) of a module that
    says how many `heads` it has, or of one head, with as many queries as keys.
    """
    if logits.ndim == 3 and heads and len(logits) % heads == 0:
        logits = logits.unflatten(0, (-1, heads))
    elif logits.ndim == 3 and logits.shape[1] == logits.shape[2]:
        logits = logits.unsqueeze(1)
    if logits.ndim != 4 or not logits.numel():
        return None
    sequences, n_heads, queries, keys = logits.shape

    def rows(sequence: int, first: int, end: int) -> torch.Tensor:
        part = wide(logits[sequence, :, first:end])
        # Some hide with a very negative number instead of -inf.
        return part.masked_fill(part <= torch.finfo(logits.dtype).min / 2, -math.inf)

    return HeadTotals((sequences, n_heads, queries, keys), rows)


def from_queries_and_keys(given: Mapping[str, Any]) -> HeadTotals | None:
    """Of a fused attention, from its arguments by name: what it never writes down is computed beside it.

    query: (sequences, heads, queries, width), key: (sequences, key heads, keys, width).
    """
    query, key = given["query"], given["key"]
    if query.is_nested or query.ndim != 4 or not query.numel() or not key.numel():
        return None
    sequences, n_heads, n_queries, width = query.shape
    if key.shape[1] != n_heads:
        key = key.repeat_interleave(n_heads // key.shape[1], dim=1)
    n_keys = key.shape[2]
    scale = given.get("scale")
    factor = 1 / math.sqrt(width) if scale is None else float(scale)
    bias = given.get("attn_bias")
    if bias is None:
        bias = given.get("attn_mask")
    if bias is not None:
        bias = bias.expand(sequences, n_heads, n_queries, n_keys)

    def rows(sequence: int, first: int, end: int) -> torch.Tensor:
        logits = wide(query[sequence, :, first:end]) @ wide(key[sequence]).transpose(-2, -1) * factor
        if bias is not None:
            part = bias[sequence, :, first:end]
            logits = logits.masked_fill(~part, -math.inf) if part.dtype == torch.bool else logits + part
        if given.get("is_causal"):
            behind = torch.arange(n_keys, device=logits.device) > torch.arange(
                first, end, device=logits.device
            ).unsqueeze(1)
            logits = logits.masked_fill(behind, -math.inf)
        return logits.masked_fill(logits <= torch.finfo(torch.float32).min / 2, -math.inf)

    return HeadTotals((sequences, n_heads, n_queries, n_keys), rows)


def wide(x: torch.Tensor) -> torch.Tensor:
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _parts(n_sequences: int, n_queries: int, row_elements: int) -> Iterator[tuple[int, int, int]]:
    """(sequence, first query, end) of each part."""
    step = max(1, _PART_ELEMENTS // max(1, row_elements))
    for sequence in range(n_sequences):
        for first in range(0, n_queries, step):
            yield sequence, first, min(n_queries, first + step)
