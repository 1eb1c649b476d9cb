"""Watching one forward: which module runs, what comes out of it, and where attention is computed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from paramviz.recorder.failsafe import describe
from paramviz.recorder.parameters import HEAD_COUNTS
from paramviz.recorder.probe_activations import OutputTotals, first_floats, rms_of
from paramviz.recorder.probe_attention import HeadTotals, from_logits, from_queries_and_keys
from paramviz.recorder.probe_isolation import WriteGuard

MOST_LAYERS = 512
MOST_MODULES = 4096
"""What a probe tells of at most; what comes later in the forward is left out, and the run says so."""

_HEAD_COUNTS = (*HEAD_COUNTS, "nhead")
_FUSED = "_scaled_dot_product_"
_SOFTMAX = ("_softmax", "_safe_softmax")


@dataclass(slots=True)
class Sightings:
    """What one forward showed, in the order in which it did. `inflows`: rms of what each block took."""

    heads: dict[str, HeadTotals] = field(default_factory=dict)
    outputs: dict[str, OutputTotals] = field(default_factory=dict)
    inflows: dict[str, torch.Tensor] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    problems: dict[str, None] = field(default_factory=dict)


class ForwardWatch:
    """While it is entered, the forward of this thread is seen; the model itself is not touched.

    names: of the model's modules by id; blocks: names of those whose input counts too.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        blocks: frozenset[str],
        guard: WriteGuard,
        *,
        attention: bool,
        activations: bool,
    ) -> None:
        self.seen = Sightings()
        self._names = names
        self._blocks = blocks
        self._activations = activations
        self._thread = threading.get_ident()
        self._running: list[tuple[str, nn.Module]] = []
        self._operations = _Operations(guard, self._note_attention if attention else None)
        self._stack = ExitStack()

    def __enter__(self) -> ForwardWatch:
        # Hooks on all modules and not on each of them: nothing is left on a model, and 20,000 cost nothing.
        for handle in (
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after),
        ):
            self._stack.callback(handle.remove)
        self._stack.enter_context(self._operations)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _before(self, module: nn.Module, inputs: Any) -> None:
        name = self._name_of(module)
        if name is None:
            return
        self._running.append((name, module))
        self.seen.entered.add(name)
        if not self._activations or name not in self._blocks or name in self.seen.inflows:
            return
        try:
            with self._operations.paused():
                inflow = first_floats(inputs)
                if inflow is not None:
                    self.seen.inflows[name] = rms_of(inflow)
        except Exception as error:
            self._trouble(f"the input of {name} could not be measured", error)

    def _after(self, module: nn.Module, inputs: Any, output: Any) -> None:
        name = self._name_of(module)
        if name is None:
            return
        while self._running and self._running.pop()[1] is not module:
            pass
        if not self._activations or (name not in self.seen.outputs and self._is_full(module)):
            return
        try:
            with self._operations.paused():
                floats = first_floats(output)
                if floats is not None:
                    self.seen.outputs.setdefault(name, OutputTotals(module)).add(floats)
        except Exception as error:
            self._trouble(f"the output of {name} could not be measured", error)

    def _is_full(self, module: nn.Module) -> bool:
        if len(self.seen.outputs) < MOST_MODULES:
            return False
        self.seen.problems[f"only the first {MOST_MODULES} modules are measured"] = None
        return True

    def _note_attention(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = _by_name(function, args, kwargs)
        place = self._attending()
        if place is None or threading.get_ident() != self._thread:
            return
        name, module = place
        if len(self.seen.heads) >= MOST_LAYERS:
            self.seen.problems[f"only the first {MOST_LAYERS} attentions are kept"] = None
            return
        try:
            if "query" in given:
                totals = from_queries_and_keys(given)
                if totals is None:
                    self.seen.problems[f"{name}: its attention has no shape that is known"] = None
            elif given["dim"] % given["self"].ndim == given["self"].ndim - 1:
                totals = from_logits(given["self"], _head_count(module))
            else:
                totals = None
        except Exception as error:
            self._trouble(f"the attention of {name} could not be measured", error)
            return
        if totals is not None:
            self.seen.heads[self._free_name(name)] = totals

    def _attending(self) -> tuple[str, nn.Module] | None:
        """The innermost module that runs, but for one that is only the softmax."""
        return next(
            (place for place in reversed(self._running) if not isinstance(place[1], nn.Softmax)), None
        )

    def _free_name(self, name: str) -> str:
        if name not in self.seen.heads:
            return name
        return next(
            free for n in range(2, MOST_LAYERS + 2) if (free := f"{name} #{n}") not in self.seen.heads
        )

    def _name_of(self, module: nn.Module) -> str | None:
        return self._names.get(id(module)) if threading.get_ident() == self._thread else None

    def _trouble(self, what: str, error: Exception) -> None:
        self.seen.problems[f"{what} ({describe(error)})"] = None


class _Operations(TorchDispatchMode):
    """Sees every operation of torch in this thread, below autocast and whatever the model calls it by."""

    def __init__(self, guard: WriteGuard, on_attention: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._guard = guard
        self._on_attention = on_attention
        self._is_paused = False

    def paused(self) -> _Pause:
        return _Pause(self)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._is_paused:
            return func(*args, **kwargs)
        schema = func._schema
        if schema.is_mutable:
            for argument, value in zip(schema.arguments, _in_order(schema, args, kwargs), strict=True):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    for tensor in value if isinstance(value, list | tuple) else (value,):
                        if isinstance(tensor, torch.Tensor):
                            self._guard.about_to_write(tensor)
        if self._on_attention is not None and _is_attention(schema.name):
            self._on_attention(func, args, kwargs)
        return func(*args, **kwargs)


class _Pause:
    """Our own arithmetic in a hook is none of the model's."""

    def __init__(self, operations: _Operations) -> None:
        self._operations = operations

    def __enter__(self) -> None:
        self._operations._is_paused = True

    def __exit__(self, *exception: object) -> None:
        self._operations._is_paused = False


def _is_attention(name: str) -> bool:
    plain = name.partition("::")[2]
    return plain in _SOFTMAX or (plain.startswith(_FUSED) and not plain.endswith("_backward"))


def _in_order(schema: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """A value for each of the schema's arguments; None where it has its default."""
    return [
        args[k] if k < len(args) else kwargs.get(argument.name) for k, argument in enumerate(schema.arguments)
    ]


def _by_name(function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    schema = function._schema
    values = _in_order(schema, args, kwargs)
    return {argument.name: value for argument, value in zip(schema.arguments, values, strict=True)}


def _head_count(module: nn.Module) -> int | None:
    counts = (getattr(module, name, None) for name in _HEAD_COUNTS)
    return next((count for count in counts if isinstance(count, int)), None)
