"""A fixed batch that runs through the model at key snapshots. docs/PROBE.md is the promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from paramviz.catalogue import canonical_name
from paramviz.errors import UsageError
from paramviz.quantities import Quantities
from paramviz.recorder.device_upload import moved
from paramviz.recorder.failsafe import Complaints, describe
from paramviz.recorder.probe_attention import MOST_POSITIONS
from paramviz.recorder.probe_isolation import WriteGuard, undisturbed, unwrapped, why_not_alone
from paramviz.recorder.probe_watch import ForwardWatch, Sightings
from paramviz.recorder.transfers import Transfers
from paramviz.schema import ACTIVATION_KEYS, AttentionLayer, Probe

ATTENTION_BYTES = 4 << 20
"""All patterns of a snapshot; a model of very many heads gets fewer positions."""

_FEWER = 8
_MOST_NAMED = 8
_TOKEN_INPUTS = ("input_ids", "tokens", "idx")

Batch = torch.Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any] | Callable[[nn.Module], object]


@dataclass(slots=True, eq=False)
class Probed:
    """What came of one run of a probe: its description, unnumbered, and the arrays of the store.

    The arrays hold their numbers once the transfers that they were handed to are finished.
    """

    probe: Probe
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


class Prober:
    """Runs the batch. Never raises: what goes wrong is warned of once, and the probe's reason says it.

    batch: a tensor, a tuple or a mapping of what the forward takes, which are copied; or a function
    that is called with the model and runs its forward.
    """

    def __init__(self, model: nn.Module, batch: Batch, wanted: Quantities, complaints: Complaints) -> None:
        """UsageError if `batch` is none of these."""
        self._model = model
        self._attention, self._activations = "attention" in wanted, "activations" in wanted
        self._complaints = complaints
        self._args, self._kwargs, self._call = _taken(batch)
        inputs = dict(_tensors(self._args, self._kwargs))
        self._inputs = tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())
        self._tokens = _tokens(inputs)

    def run(self, transfers: Transfers) -> Probed | None:
        """Run the forward and queue what came of it. None if nothing of it is wanted."""
        if not (self._attention or self._activations):
            return None
        model = unwrapped(self._model)
        try:
            why_not = why_not_alone(model)
            if why_not is None:
                return self._run(model, transfers)
            reason = f"the probe did not run: {why_not}"
            self._complaints.once("probe", f"{reason}. Training goes on.")
        except Exception as error:
            reason = f"the probe failed ({describe(error)})"
            self._complaints.once("probe", f"{reason}. Training goes on.", error)
        return Probed(self._described((), (), (), reason))

    def _run(self, model: nn.Module, transfers: Transfers) -> Probed:
        modules = {canonical_name(name): module for name, module in model.named_modules()}
        stacks = _stacks(modules)
        guard = WriteGuard(model)
        watch = ForwardWatch(
            {id(module): name for name, module in modules.items()},
            frozenset(blocks[0] for blocks in stacks.values()),
            guard,
            attention=self._attention,
            activations=self._activations,
        )
        try:
            with undisturbed(model):
                args, kwargs = self._batch_for(model)
                with watch:
                    _ = model(*args, **kwargs) if self._call is None else self._call(model)
                del args, kwargs, _
        finally:
            guard.put_back()
        with torch.no_grad():
            return self._gathered(watch.seen, modules, stacks, transfers)

    def _gathered(
        self,
        seen: Sightings,
        modules: Mapping[str, nn.Module],
        stacks: Mapping[str, list[str]],
        transfers: Transfers,
    ) -> Probed:
        most = _positions(len(seen.heads), max((h.n_heads for h in seen.heads.values()), default=0))
        layers = tuple(
            AttentionLayer(name, heads.n_heads, *(min(most, extent) for extent in heads.extents))
            for name, heads in seen.heads.items()
        )
        rows = {name: totals.row() for name, totals in seen.outputs.items()}
        flow = dict(_residuals(stacks, seen, rows))
        reasons = list(seen.problems)
        if self._attention and (unseen := _unseen(seen, modules)):
            reasons.insert(0, unseen)
        probed = Probed(self._described(layers, tuple(flow), tuple(rows), "; ".join(reasons)))
        arrays = probed.arrays
        if layers:
            shape = probed.probe.pattern_shape
            arrays["attention"] = np.full(shape, np.nan, np.float16)
            for key in ("attention_entropy", "attention_max_logit"):
                arrays[key] = np.full(shape[:2], np.nan, np.float32)
        for number, (layer, heads) in enumerate(zip(layers, seen.heads.values(), strict=True)):
            own = (number, slice(layer.heads))
            pattern = heads.pattern[:, : layer.queries, : layer.keys]
            transfers.add(pattern, arrays["attention"][*own, : layer.queries, : layer.keys])
            transfers.add(heads.entropy.to(torch.float32), arrays["attention_entropy"][own])
            transfers.add(heads.max_logit.to(torch.float32), arrays["attention_max_logit"][own])
        if rows:
            arrays["activations"] = np.full((len(rows), len(ACTIVATION_KEYS)), np.nan, np.float32)
        for number, row in enumerate(rows.values()):
            transfers.add(row, arrays["activations"][number])
        if flow:
            arrays["residual_rms"] = np.full(len(flow), np.nan, np.float32)
        for number, rms in enumerate(flow.values()):
            transfers.add(rms.to(torch.float32), arrays["residual_rms"][number : number + 1])
        return probed

    def _described(
        self,
        layers: tuple[AttentionLayer, ...],
        residuals: tuple[str, ...],
        modules: tuple[str, ...],
        reason: str,
    ) -> Probe:
        return Probe(0, self._inputs, self._tokens, layers, residuals, modules, ACTIVATION_KEYS, reason)

    def _batch_for(self, model: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Copies on the device of the model's first parameter; a forward may write into what it takes."""
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        self._args = tuple(_on(device, value) for value in self._args)
        self._kwargs = {name: _on(device, value) for name, value in self._kwargs.items()}
        return tuple(map(_copy, self._args)), {name: _copy(value) for name, value in self._kwargs.items()}


def make_prober(
    model: nn.Module, batch: Batch | None, wanted: Quantities, complaints: Complaints
) -> Prober | None:
    return None if batch is None else Prober(model, batch, wanted, complaints)


def _taken(
    batch: Batch,
) -> tuple[tuple[Any, ...], dict[str, Any], Callable[[nn.Module], object] | None]:
    """(arguments, named arguments, function); tensors are copied, since loaders may use theirs again."""
    match batch:
        case torch.Tensor():
            return (_copy(batch),), {}, None
        case tuple() | list():
            return tuple(_copy(value) for value in batch), {}, None
        case Mapping():
            return (), {str(name): _copy(value) for name, value in batch.items()}, None
    if callable(batch) and not isinstance(batch, nn.Module | type):
        return (), {}, batch
    raise UsageError(
        f"probe={type(batch).__name__}: give a tensor, a tuple or a mapping of what the model's forward "
        "takes, or a function that is called with the model."
    )


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    named = {**{str(position): value for position, value in enumerate(args)}, **kwargs}
    yield from ((name, value) for name, value in named.items() if isinstance(value, torch.Tensor))


def _tokens(inputs: Mapping[str, torch.Tensor]) -> npt.NDArray[np.int64]:
    """Of the first sequence: of the input that is called so, or the first one of whole numbers."""
    known = [inputs[name] for name in _TOKEN_INPUTS if name in inputs]
    for tensor in [*known, *inputs.values()]:
        if tensor.dtype in (torch.int64, torch.int32) and 1 <= tensor.ndim <= 2 and tensor.numel():
            row = tensor if tensor.ndim == 1 else tensor[0]
            return row.cpu().numpy().astype(np.int64)
    return np.empty(0, np.int64)


def _on(device: torch.device, value: Any) -> Any:
    return moved(value, device) if isinstance(value, torch.Tensor) else value


def _stacks(modules: Mapping[str, nn.Module]) -> dict[str, list[str]]:
    """Name of a list of blocks → the names of its blocks; blocks within blocks are none of their own."""
    names = {id(module): name for name, module in modules.items()}
    stacks: dict[str, list[str]] = {}
    for name, module in modules.items():
        children = list(module.children())
        fewest = {nn.ModuleList: 1, nn.Sequential: 2}.get(type(module), 0)
        if not fewest or len(children) < fewest or len({type(child) for child in children}) > 1:
            continue
        if any(name.startswith(f"{block}.") for blocks in stacks.values() for block in blocks):
            continue
        if all(any(True for _ in child.children()) for child in children):
            stacks[name] = [names[id(child)] for child in children]
    return stacks


def _residuals(
    stacks: Mapping[str, list[str]], seen: Sightings, rows: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """What flows into each stack of blocks, then what comes out of each block that ran."""
    for stack, blocks in stacks.items():
        if blocks[0] in seen.inflows and all(block in rows for block in blocks):
            yield stack, seen.inflows[blocks[0]]
            yield from ((block, rows[block][ACTIVATION_KEYS.index("rms")]) for block in blocks)


def _positions(n_layers: int, n_heads: int) -> int:
    """How many positions of a pattern are kept so that all of them fit into `ATTENTION_BYTES`."""
    most = MOST_POSITIONS
    while most > _FEWER and 2 * n_layers * n_heads * most**2 > ATTENTION_BYTES:
        most -= _FEWER
    return most


def _unseen(seen: Sightings, modules: Mapping[str, nn.Module]) -> str:
    """Which modules that call themselves attention ran without any being seen in them; empty if none."""
    if not seen.heads:
        return "no attention was seen: neither scaled_dot_product_attention nor a softmax of its shape ran"
    shown = [name.partition(" #")[0] for name in seen.heads]
    unseen = [
        name
        for name in modules
        if name in seen.entered
        and "attention" in type(modules[name]).__name__.lower()
        and not any(f"{of}.".startswith(f"{name}.") or f"{name}.".startswith(f"{of}.") for of in shown)
    ]
    if not unseen:
        return ""
    more = ", …" if len(unseen) > _MOST_NAMED else ""
    return f"no attention was seen in {', '.join(unseen[:_MOST_NAMED])}{more}"
