"""The loss, where nobody hands it over: what `backward()` was called on."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.amp.grad_scaler import GradScaler


class DifferentiatedLoss:
    """The sum of the scalars on which `backward()` was called since the last `take` or `forget`.

    This is what the optimizer's step goes down: of accumulated micro-batches whose losses
    were divided by their number it is the mean. A loss that a GradScaler has scaled counts as
    it was before. While it is attached, `torch.autograd.backward` and `GradScaler.scale` are
    wrapped: they do what they did, and a detached copy of the scalar is kept on its device.
    """

    def __init__(self) -> None:
        self.keeps_last_only = False
        """An optimizer that evaluates its closure again and again goes down the last one."""
        self._total: torch.Tensor | None = None
        self._scaled: tuple[weakref.ref[torch.Tensor], torch.Tensor] | None = None
        self._undo: list[Callable[[], None]] = []

    def attach(self) -> None:
        wrap(torch.autograd, "backward", lambda original: self._noting(original), self._undo)
        wrap(GradScaler, "scale", lambda original: self._remembering(original), self._undo)

    def detach(self) -> None:
        """Put back what was wrapped, unless somebody else has wrapped it since."""
        while self._undo:
            self._undo.pop()()
        self.forget()

    def take(self) -> torch.Tensor | None:
        """The loss, 0-d, where it was computed; None if `backward()` was not called on scalars."""
        total, self._total = self._total, None
        return total

    def forget(self) -> None:
        """What was differentiated so far was another model's."""
        self._total = self._scaled = None

    def _noting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if self._undo and not torch.compiler.is_compiling():
                self._note(tensors)
            return original(tensors, *args, **kwargs)

        return backward

    def _remembering(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def scale(scaler: GradScaler, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            if isinstance(scaled, torch.Tensor) and scaled is not outputs:
                self._scaled = weakref.ref(scaled), outputs.detach()
            return scaled

        return scale

    def _note(self, tensors: Any) -> None:
        try:
            for tensor in (tensors,) if isinstance(tensors, torch.Tensor) else tuple(tensors):
                if tensor.numel() == 1:
                    self._add(self._as_computed(tensor))
        except Exception:
            # Whatever it is, backward() will say what is wrong with it; without us there is only no loss.
            self._total = None

    def _as_computed(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._scaled is not None and self._scaled[0]() is tensor:
            return self._scaled[1]
        return tensor

    def _add(self, tensor: torch.Tensor) -> None:
        # A copy: scripts may go on computing in place.
        loss = tensor.detach().reshape(()).clone()
        if self._total is None or self.keeps_last_only:
            self._total = loss
        else:
            self._total = self._total + loss.to(self._total.device, non_blocking=True)


def wrap(
    owner: Any,
    name: str,
    wrapping: Callable[[Callable[..., Any]], Callable[..., Any]],
    undo: list[Callable[[], None]],
) -> None:
    """Replace a function of `owner`; what puts it back, unless somebody else has wrapped it since, is added
    to `undo`."""
    original = getattr(owner, name)
    wrapper = wrapping(original)
    setattr(owner, name, wrapper)

    def put_back() -> None:
        if getattr(owner, name) is wrapper:
            setattr(owner, name, original)

    undo.append(put_back)
