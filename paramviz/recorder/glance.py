"""Whether a model is still what it was: seen in a few calls, however many tensors it has.

A model of experts has tens of thousands of tensors. Walking through all of them by name takes
a tenth of a second, and what it allocates wakes the garbage collector, which takes longer.
"""

from __future__ import annotations

from itertools import chain, compress, repeat
from operator import attrgetter, eq, is_, methodcaller
from typing import Any

import torch
from torch import nn

from paramviz.recorder.parameters import kind

PLAIN = frozenset({nn.Parameter, torch.Tensor})
"""Types of tensors that torch itself answers for; others may run code of their own."""

_OWNED = tuple(map(attrgetter, ("_modules", "_parameters", "_buffers")))
_items = methodcaller("items")
_plain_kind = attrgetter("shape", "dtype", "layout", "is_meta", "is_nested", "requires_grad")


class Glance:
    """A model as it was seen: its modules, what they own under which names, and of which kind that is.

    It holds the model's own objects, which so keep their identity.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modules, self._others, self._tensors = _structure(model)
        self._types = list(map(type, self._tensors))
        plain, odd = self._parted()
        self._plain_kinds = list(map(_plain_kind, plain))
        self._odd_kinds = list(map(kind, odd))

    def still_holds(self) -> bool:
        """Whether nothing has changed that a plan depends on."""
        modules, others, tensors = _structure(self._model)
        if len(modules) != len(self._modules) or len(tensors) != len(self._tensors) or others != self._others:
            return False
        # By identity: whether two tensors are equal is another question, and a costly one.
        if not all(map(is_, modules, self._modules)) or not all(map(is_, tensors, self._tensors)):
            return False
        # A tensor that stays may have been swapped from within, by `.data` or `to()`, or made lazily.
        if list(map(type, tensors)) != self._types:
            return False
        plain, odd = self._parted()
        return all(map(eq, map(_plain_kind, plain), self._plain_kinds)) and all(
            map(eq, map(kind, odd), self._odd_kinds)
        )

    def _parted(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """The tensors of plain types, and the others."""
        plain = [tensor for tensor in self._tensors if type(tensor) in PLAIN]
        odd = [tensor for tensor in self._tensors if tensor is not None and type(tensor) not in PLAIN]
        return plain, odd


def _structure(model: nn.Module) -> tuple[list[nn.Module], list[object], list[Any]]:
    """All modules, what else tells one structure from another, and the tensors; None where one is unset.

    Goes through the model level by level, and makes nothing but lists: every other thing
    that holds objects counts for the garbage collector.
    """
    modules: list[nn.Module] = []
    others: list[object] = []
    tensors: list[Any] = []
    level: list[Any] = [model]
    while level:
        modules += level
        children, parameters, buffers = (list(map(of, level)) for of in _OWNED)
        for owned in (children, parameters, buffers):
            others += map(len, owned)
        for owned in (parameters, buffers):
            named = _flat(owned)
            others += named[::2]
            tensors += named[1::2]
        others += [frozenset(module._non_persistent_buffers_set) for module in compress(level, buffers)]
        named = _flat(children)
        others += named[::2]
        level = named[1::2]
        if None in level:
            others += map(is_, level, repeat(None))
            level = [module for module in level if module is not None]
    return modules, others, tensors


def _flat(owned: list[dict[str, Any]]) -> list[Any]:
    """Names and what they name in turn, of all of these."""
    return list(chain.from_iterable(chain.from_iterable(map(_items, compress(owned, owned)))))
