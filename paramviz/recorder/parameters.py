"""The tensors of a model, in the order of its modules, and which of them can be recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from paramviz.recorder.sharded.placement import is_spread, local_of, placements_of, why_not_placed

_UNINITIALISED = (UninitializedParameter, UninitializedBuffer)

HEAD_COUNTS = ("n_head", "n_heads", "num_heads", "num_attention_heads")
"""What models call their number of attention heads."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One name of one parameter or persistent buffer. Tied parameters have several."""

    name: str
    tensor: torch.Tensor
    module: nn.Module
    is_buffer: bool


Signature = tuple[tuple[object, ...], ...]


def walk(model: nn.Module) -> list[Entry]:
    """Every parameter and persistent buffer under every name, each module's own together.

    Buffers that the model does not save (caches, masks) are derived from
    something else and left out.
    """
    return list(_walk(model))


def _walk(model: nn.Module) -> Iterator[Entry]:
    for path, module in model.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for leaf, parameter in module._parameters.items():
            if parameter is not None:
                yield Entry(prefix + leaf, parameter, module, is_buffer=False)
        for leaf, buffer in module._buffers.items():
            if buffer is not None and leaf not in module._non_persistent_buffers_set:
                yield Entry(prefix + leaf, buffer, module, is_buffer=True)


def signature(entries: Sequence[Entry]) -> Signature:
    """What a plan depends on: names, kinds, shapes, dtypes, freezing, spreading and sharing.

    Equal means: same plan."""
    first: dict[int, int] = {}
    return tuple(
        (entry.name, *kind(entry.tensor), first.setdefault(id(entry.tensor), i))
        for i, entry in enumerate(entries)
    )


def kind(tensor: torch.Tensor) -> tuple[object, ...]:
    """What of a tensor itself a plan depends on."""
    return (
        type(tensor),
        shape_of(tensor),
        tensor.dtype,
        tensor.layout,
        tensor.is_meta,
        tensor.requires_grad,
        placements_of(tensor),
    )


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The shape of what is recorded: of a complex tensor with a last axis of (real, imaginary).

    () for what has none yet (lazy modules) or no regular one (nested tensors).
    """
    if isinstance(tensor, _UNINITIALISED) or tensor.is_nested:
        return ()
    return (*tensor.shape, 2) if tensor.is_complex() else tuple(tensor.shape)


def why_skipped(tensor: torch.Tensor) -> str | None:
    """Why a tensor cannot be recorded, in a sentence for the catalogue; None if it can."""
    if isinstance(tensor, _UNINITIALISED):
        return "has no shape yet (a lazy module that saw no input)"
    if tensor.is_nested:
        return "is a nested tensor"
    if tensor.layout != torch.strided:
        return f"is sparse ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_meta:
        return "has no data (meta device)"
    if is_spread(tensor):
        return why_not_placed(tensor) or why_skipped(local_of(tensor))
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        return f"is a {type(tensor).__name__}, whose elements cannot be read in place"
    if not (tensor.is_complex() or tensor.is_quantized or _converts(tensor.dtype)):
        return f"has the dtype {dtype_name(tensor.dtype)}, which torch cannot convert to float32"
    return None


@lru_cache(maxsize=256)
def _converts(dtype: torch.dtype) -> bool:
    try:
        torch.empty(1, dtype=dtype).to(torch.float32)
    except (RuntimeError, TypeError):
        return False
    return True


def storage_key(tensor: torch.Tensor) -> tuple[object, ...] | None:
    """Equal for two tensors that are the same elements of one storage; None without elements.

    None for a DTensor, too: its part may be empty here and not elsewhere.
    """
    if is_spread(tensor) or tensor.numel() == 0 or tensor.data_ptr() == 0:
        return None
    return (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def heads_of(model: nn.Module) -> dict[nn.Module, int | None]:
    """For each module the number of attention heads that it, or the nearest module around it, names."""
    heads: dict[nn.Module, int | None] = {}
    by_path: dict[str, int | None] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        own = _own_heads(module)
        by_path[path] = own if own is not None else by_path.get(path.rpartition(".")[0])
        heads.setdefault(module, by_path[path])
    return heads


def _own_heads(module: nn.Module) -> int | None:
    for holder in (module, getattr(module, "config", None)):
        for attribute in HEAD_COUNTS:
            value = getattr(holder, attribute, None)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return None


def dtype_name(dtype: torch.dtype) -> str:
    """ "float32" and the like, as numpy would say it."""
    return str(dtype).removeprefix("torch.")
