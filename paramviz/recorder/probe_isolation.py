"""Running a model beside its training, without a trace of it: modes, random state, buffers, caches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside of what compiles or distributes it: rank 0 alone must not wait for the others."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def why_not_alone(model: nn.Module) -> str | None:
    """Why the model cannot run beside its training; None if it can."""
    for name, tensor in model.named_parameters():
        if is_lazy(tensor):
            return f"{name} has no shape yet, and a probe would give it one"
        if hasattr(tensor, "device_mesh"):
            return f"{name} is spread over several processes, and all of them would have to run the probe"
    for name, module in model.named_modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            return f"{name or 'the model'} is spread over several processes (FSDP)"
    return None


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; on leaving, everything is as it was.

    Flags are set one by one: a model's own `eval()` may do anything. Buffers are put back
    if the forward replaced them; for what it writes into, see `WriteGuard`.
    """
    modules = list(model.modules())
    in_training = [module for module in modules if module.training]
    buffers = [(module, dict(module._buffers)) for module in modules if module._buffers]
    with ExitStack() as stack:
        for setting in (_random_states(model), _no_caches(), _in_eager_mode()):
            stack.enter_context(setting)
        stack.callback(_put_back, in_training, buffers)
        for module in in_training:
            module.training = False
        with torch.no_grad():
            yield


class WriteGuard:
    """Keeps the storages of a model's tensors as they are before they are first written into."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._own: dict[int, torch.UntypedStorage] | None = None
        self._kept: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def about_to_write(self, tensor: torch.Tensor) -> None:
        if tensor.layout != torch.strided:
            return
        if self._own is None:
            self._own = self._storages()
        address = tensor.untyped_storage().data_ptr()
        if address in self._own and address not in self._kept:
            storage = self._own[address]
            self._kept[address] = storage, storage.clone()

    def put_back(self) -> None:
        """By the storage: no tensor's version says that it was written."""
        for storage, kept in self._kept.values():
            storage.copy_(kept)
        self._kept = {}

    def _storages(self) -> dict[int, torch.UntypedStorage]:
        own = {}
        for tensor in (*self._model.parameters(), *self._model.buffers()):
            if tensor.layout == torch.strided and tensor.device.type != "meta":
                storage = tensor.untyped_storage()
                own[storage.data_ptr()] = storage
        own.pop(0, None)
        return own


def _put_back(
    in_training: Sequence[nn.Module], buffers: Sequence[tuple[nn.Module, dict[str, torch.Tensor | None]]]
) -> None:
    for module in in_training:
        module.training = True
    for module, before in buffers:
        if module._buffers.keys() != before.keys() or any(
            module._buffers[name] is not buffer for name, buffer in before.items()
        ):
            module._buffers.clear()
            module._buffers.update(before)


@contextmanager
def _random_states(model: nn.Module) -> Iterator[None]:
    """Of torch on the CPU and on the model's devices, of numpy and of Python."""
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    kinds = {device.type for device in devices} & {"cuda", "xpu"}
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices=[]))
            for kind in kinds:
                numbers = sorted({device.index or 0 for device in devices if device.type == kind})
                stack.enter_context(torch.random.fork_rng(devices=numbers, device_type=kind))
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _no_caches() -> Iterator[None]:
    """Autocast goes on as it is, but keeps no weights that were cast here, where they have no gradient.

    And the encoder layer's one fused kernel, in which no attention can be seen, is not used.
    """
    cached, fused = torch.is_autocast_cache_enabled(), torch.backends.mha.get_fastpath_enabled()
    torch.set_autocast_cache_enabled(False)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(cached)
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def _in_eager_mode() -> Iterator[None]:
    """Nothing is compiled for the probe, and nothing that was compiled is compiled again because of it."""
    set_stance: Callable[[str], AbstractContextManager[None]] | None = getattr(
        torch.compiler, "set_stance", None
    )
    if set_stance is None:
        yield
        return
    with set_stance("force_eager"):
        yield
