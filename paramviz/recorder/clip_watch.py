"""The norm before clipping, as `torch.nn.utils.clip_grad_norm_` returns it to whoever calls it.

No hook sees gradients before they are clipped. torch's function is one of two: what is
imported turns gradients off and calls an inner one, which it keeps in a closure. The
inner one is replaced there while somebody records, so that every import of the outer
one, early or late, leads through here. Where torch is built otherwise, the norm is not known.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from types import CellType, GeneratorType
from typing import Any

import torch

from paramviz.recorder.failsafe import Complaints, describe
from paramviz.recorder.scalars import Scalar, take_scalars
from paramviz.recorder.sharded.placement import is_whole

Clipped = Callable[[tuple[torch.Tensor, ...], torch.Tensor], None]
"""Is told the parameters of a clipping by the Euclidean norm, and the norm before."""


@dataclass(slots=True, eq=False)
class ClipNote:
    """One clipping of `members`, by id. It left the gradient of the first that had one at `version`."""

    norm: Scalar
    members: frozenset[int]
    gradient: weakref.ref[torch.Tensor]
    version: int


class ClipWatch:
    """Notes the clippings of one model's gradients since `begin`.

    members: the id of each tensor of the model. A clipping that takes in others as well
    tells nothing of this model, and is ignored. Never raises into training.
    """

    def __init__(self, members: frozenset[int], complaints: Complaints) -> None:
        self.members = members
        self.notes: list[ClipNote] = []
        self._complaints = complaints
        self._pid = os.getpid()
        _listeners.add(self._clipped)

    def begin(self) -> None:
        """A new iteration begins."""
        self.notes = []

    def remove(self) -> None:
        """Be told no more; the last who is leaves torch as it was."""
        _listeners.remove(self._clipped)

    @property
    def norm(self) -> Scalar | None:
        """Of everything that was clipped, in the unit in which it was; None if nothing was."""
        norms = [note.norm for note in self.notes]
        return reduce(_hypot, norms) if norms else None

    def _clipped(self, parameters: tuple[torch.Tensor, ...], norm: torch.Tensor) -> None:
        if os.getpid() != self._pid:
            return
        try:
            self._note(parameters, norm)
        except Exception as error:
            self.notes = []
            self._complaints.once(
                "clipping", f"a norm before clipping could not be read ({describe(error)})", error
            )

    def _note(self, parameters: tuple[torch.Tensor, ...], norm: torch.Tensor) -> None:
        members = frozenset(map(id, parameters))
        # A distributed norm is not whole before all processes have met.
        if not is_whole(norm) or not members <= self.members:
            return
        first = next((p for p in parameters if p.grad is not None), None)
        if first is None or first.grad is None:
            return
        gradient = first.grad
        for note in self.notes:
            is_same = note.members == members and note.gradient() is gradient
            if is_same and note.version == gradient._version - 1:
                # Clipped again: the norm before the first time is what counts.
                note.version = gradient._version
                return
        taken = take_scalars({"norm": norm}, self._complaints.once)["norm"]
        # What was clipped before and again since was another step's.
        self.notes = [note for note in self.notes if not note.members & members]
        self.notes.append(ClipNote(taken, members, weakref.ref(gradient), gradient._version))


def _hypot(a: Scalar, b: Scalar) -> Scalar:
    if isinstance(a, float) and isinstance(b, float):
        return math.hypot(a, b)
    on = a if isinstance(a, torch.Tensor) else b
    assert isinstance(on, torch.Tensor)
    return torch.hypot(*(_beside(on, x) for x in (a, b)))


def _beside(on: torch.Tensor, x: Scalar) -> torch.Tensor:
    """A number on the device of another one, without waiting for it."""
    if isinstance(x, torch.Tensor):
        return x.to(on.device, on.dtype, non_blocking=True)
    return torch.full((), x, dtype=on.dtype, device=on.device)


class _Listeners:
    """Everybody who is told of clippings. torch's functions are replaced as long as there is one."""

    def __init__(self) -> None:
        self._told: list[Clipped] = []
        self._replaced: list[tuple[CellType, Callable[..., Any]]] = []
        self._lock = threading.Lock()

    def add(self, listener: Clipped) -> None:
        with self._lock:
            self._told = [*self._told, listener]
            if not self._replaced:
                watched = _Watched(self.tell)
                for name, make in watched.stand_ins.items():
                    cell = _inner_cell(name)
                    if cell is not None:
                        self._replaced.append((cell, cell.cell_contents))
                        cell.cell_contents = make(cell.cell_contents)

    def remove(self, listener: Clipped) -> None:
        with self._lock:
            self._told = [one for one in self._told if one != listener]
            if not self._told:
                for cell, original in self._replaced:
                    cell.cell_contents = original
                self._replaced = []

    def tell(self, parameters: tuple[torch.Tensor, ...], norm: torch.Tensor) -> None:
        for listener in self._told:
            listener(parameters, norm)


_listeners = _Listeners()


def _inner_cell(name: str) -> CellType | None:
    """Where a function of `torch.nn.utils` keeps what does the work; None if it is built otherwise."""
    outer = getattr(torch.nn.utils, name, None)
    inner = getattr(outer, "__wrapped__", None)
    cells: Iterable[CellType] = getattr(outer, "__closure__", None) or ()
    return next((cell for cell in cells if inner is not None and cell.cell_contents is inner), None)


class _Watched(threading.local):
    """What stands in for torch's inner functions: it does what they do, and tells what they found.

    Who takes the norm and clips by it in two calls, to make it whole over all processes
    between them, is told of too, if the norm was Euclidean.
    """

    def __init__(self, tell: Clipped) -> None:
        self._tell = tell
        self._is_inside = False
        self._is_euclidean = False
        self.stand_ins: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
            "clip_grad_norm_": self._clip_grad_norm,
            "get_total_norm": self._get_total_norm,
            "clip_grads_with_norm_": self._clip_grads_with_norm,
        }

    def _clip_grad_norm(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def clip_grad_norm_(
            parameters: Any, max_norm: Any, norm_type: Any = 2.0, *args: Any, **kwargs: Any
        ) -> Any:
            if torch.compiler.is_compiling():
                return inner(parameters, max_norm, norm_type, *args, **kwargs)
            listed = (parameters,) if isinstance(parameters, torch.Tensor) else tuple(parameters)
            if listed or not isinstance(parameters, GeneratorType):
                # Of a generator that is empty torch warns: it gets the one that was given.
                parameters = listed
            self._is_inside = True
            try:
                norm = inner(parameters, max_norm, norm_type, *args, **kwargs)
            finally:
                self._is_inside = False
            if norm_type == 2:
                self._tell(listed, norm)
            return norm

        return clip_grad_norm_

    def _get_total_norm(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def get_total_norm(tensors: Any, norm_type: Any = 2.0, *args: Any, **kwargs: Any) -> Any:
            if not torch.compiler.is_compiling():
                self._is_euclidean = norm_type == 2
            return inner(tensors, norm_type, *args, **kwargs)

        return get_total_norm

    def _clip_grads_with_norm(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def clip_grads_with_norm_(
            parameters: Any, max_norm: Any, total_norm: Any, *args: Any, **kwargs: Any
        ) -> Any:
            if torch.compiler.is_compiling() or self._is_inside:
                return inner(parameters, max_norm, total_norm, *args, **kwargs)
            listed = (parameters,) if isinstance(parameters, torch.Tensor) else tuple(parameters)
            result = inner(listed, max_norm, total_norm, *args, **kwargs)
            if self._is_euclidean and isinstance(total_norm, torch.Tensor):
                self._tell(listed, total_norm)
            # The next norm may be of somebody's own making.
            self._is_euclidean = False
            return result

        return clip_grads_with_norm_
