"""A module that has nothing but the parameters of a checkpoint, under their names."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
"""What a state dict holds beside parameters, in the modules of torch."""


class Conv1D(nn.Module):
    """Stands for the Linear of Hugging Face's GPT-2, which keeps its weight as (in, out)."""


_CONV1D_NAMES = ("c_attn", "c_fc", "c_proj")


def skeleton(class_name: str, settings: Mapping[str, Any]) -> nn.Module:
    """An empty module of a class of that name. settings: what the model says of itself, such as `n_head`."""
    config = SimpleNamespace(**{key: value for key, value in settings.items() if isinstance(key, str)})
    # Where modules of Hugging Face have it, and where the recorder looks for the number of heads.
    root: nn.Module = type(class_name, (nn.Module,), {"config": config})()
    return root


def fill(root: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Let the module have these tensors, and no others. They are not copied."""
    root._modules.clear()
    root._parameters.clear()
    root._buffers.clear()
    is_transposed = _has_conv1d(tensors)
    for name, tensor in tensors.items():
        *path, leaf = name.split(".")
        owner = root
        for part in path:
            # Into the dictionary itself: a part may have any name, that of a method too.
            child = owner._modules.get(part)
            if child is None:
                child = Conv1D() if is_transposed and part in _CONV1D_NAMES else nn.Module()
                owner._modules[part] = child
            owner = child
        if leaf in _BUFFERS or not tensor.is_floating_point():
            owner._buffers[leaf] = tensor
        else:
            owner._parameters[leaf] = nn.Parameter(tensor)


def _has_conv1d(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether weights lie as (in, out): Q, K and V side by side tell it."""
    for name, tensor in tensors.items():
        if name.endswith(".c_attn.weight") and tensor.ndim == 2:
            return tensor.shape[1] == 3 * tensor.shape[0]
    return False
