"""Reading many tensors by Triton's kernels where Triton can compile them; else torch does it.

Triton comes with torch's builds for GPUs. It compiles when first used, and needs a C compiler
for that: where this fails, it is said once and torch takes over for good.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import numpy as np
import torch

from paramviz.recorder.device_layout import Found, Integers, Layouts, Sampled, Wishes
from paramviz.recorder.device_upload import upload
from paramviz.schema import HISTOGRAM_BINS
from paramviz.statistics.combining import COLUMNS

_log = logging.getLogger("paramviz.recorder")

SPAN = 1 << 16
"""Elements that a program of `device_kernels.tally_spans` reads."""

BLOCK = 512
"""Of these at a time, four for each thread of four warps; samples that a program takes."""

OPTIONS = {"enable_fp_fusion": True}
"""How both kernels are compiled."""

DTYPES = {torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32"}
"""What the kernels read, by Triton's names. Powers of float64 may leave float64: torch minds that."""


class Spans:
    """What the programs of a launch read of tensors of these sizes, and which samples.

    spans: (3, P) of each program its tensor, where it begins and how many elements it
    has; owner: (P,) its first row. sampled: (2, S) of each sample its tensor and position.
    """

    def __init__(self, sizes: Sequence[int], positions: Sequence[Integers | None]) -> None:
        lengths = np.array(sizes, np.int64)
        programs = np.maximum(1, -(-lengths // SPAN))
        self.owner = np.repeat(np.arange(len(sizes)), programs)
        begins = (np.arange(len(self.owner)) - np.repeat(programs.cumsum() - programs, programs)) * SPAN
        self.spans = np.stack([self.owner, begins, np.minimum(SPAN, lengths[self.owner] - begins)])
        counts = [0 if at is None else len(at) for at in positions]
        at_S = np.concatenate([np.zeros(0, np.int64), *(at for at in positions if at is not None)])
        self.sampled = np.stack([np.repeat(np.arange(len(sizes)), counts), at_S])
        self.order = np.arange(len(at_S))
        self._copies: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """`spans` and `sampled` on a device; they are brought there once."""
        if device not in self._copies:
            self._copies[device] = upload(self.spans, device), upload(self.sampled, device)
        return self._copies[device]


class _Kernels:
    """The kernels, once they are asked for; None if this machine cannot compile them."""

    def __init__(self) -> None:
        self._module: Any = None
        self._are_lost = False

    def get(self) -> Any:
        if self._module is None and not self._are_lost:
            try:
                self._module = import_module("paramviz.recorder.device_kernels")
            except ImportError:
                self._are_lost = True  # torch's builds for some systems come without it
        return None if self._are_lost else self._module

    def lose(self, error: Exception) -> None:
        self._are_lost = True
        _log.warning("Triton's kernels cannot be used (%s): torch reads the tensors, more slowly.", error)


_kernels = _Kernels()


def read(
    tensors: Sequence[torch.Tensor],
    sizes: Sequence[int],
    sampled: Sequence[Sampled | None],
    wishes: Wishes,
    divisor: torch.Tensor | None,
    layouts: Layouts,
) -> Found | None:
    """What is wished of tensors of one device and dtype, in two launches; None if torch must do it."""
    if not _is_for_kernels(tensors[0]):
        return None
    kernels = _kernels.get()
    if kernels is None:
        return None
    try:
        return _launch(kernels, tensors, layouts.of(Spans, sizes, sampled), wishes, divisor)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:
        _kernels.lose(error)
        return None


def _is_for_kernels(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cuda" and tensor.dtype in DTYPES


def _launch(
    kernels: Any, tensors: Sequence[torch.Tensor], spans: Spans, wishes: Wishes, divisor: torch.Tensor | None
) -> Found:
    device, n = tensors[0].device, len(tensors)
    # Copies of what is not contiguous live until the launches are queued; their memory is used again after.
    flat = [tensor.contiguous() for tensor in tensors]
    addresses = upload(np.array([tensor.data_ptr() for tensor in flat], np.int64), device)
    spans_3P, sampled_2S = spans.on(device)
    dtype, is_scaled = getattr(kernels.tl, DTYPES[flat[0].dtype]), divisor is not None
    scale = addresses if divisor is None else divisor
    parts = torch.empty((len(spans.owner), COLUMNS), dtype=torch.float64, device=device)
    counts = torch.zeros((n, HISTOGRAM_BINS), dtype=torch.int64, device=device)
    samples = torch.empty(len(spans.order), dtype=torch.float32, device=device)
    with _on(device):
        if wishes.statistics or wishes.histogram:
            kernels.tally_spans[(len(spans.owner),)](
                addresses, *spans_3P, scale, parts, counts, dtype, is_scaled, *wishes[:2], BLOCK, **OPTIONS
            )
        if wishes.samples and len(samples):
            kernels.take_samples[(-(-len(samples) // BLOCK),)](
                addresses, *sampled_2S, len(samples), scale, samples, dtype, is_scaled, BLOCK, **OPTIONS
            )
    return Found(
        owner=spans.owner,
        order=spans.order,
        parts=parts if wishes.statistics else None,
        counts=counts if wishes.histogram else None,
        samples=samples if wishes.samples and len(samples) else None,
    )


def _on(device: torch.device) -> Any:
    """Triton launches on the current device, whatever the tensors'."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
