"""Finding the model and its optimizers among everything that lives in this process.

Nothing is hooked and nothing is wrapped for it: the garbage collector knows every module.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from paramviz.recorder.probe_isolation import unwrapped


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What an optimizer trains: the model, and all optimizers of its parameters, the one asked for first.

    `n_strangers`: parameters of that optimizer that belong to no module.
    """

    model: nn.Module
    optimizers: tuple[Optimizer, ...]
    n_strangers: int


def find_training(optimizer: Optimizer, class_name: str | None = None) -> Training | None:
    """The model whose parameters `optimizer` steps: the outermost module around them, without wrappers.

    If there are several (an encoder and a decoder, each by itself), they are put into one
    ModuleDict, by the names of their classes. class_name: only modules of that class are
    looked at. None if no module has any of the parameters.
    """
    wanted = dict.fromkeys(id(parameter) for parameter in _parameters_of(optimizer))
    modules = [module for module in _living(nn.Module) if isinstance(module, nn.Module)]
    if class_name is None:
        candidates = _outermost(modules, wanted)
    else:
        candidates = [module for module in modules if type(module).__name__ == class_name]
    covered = [(module, wanted.keys() & _parameter_ids(module)) for module in candidates]
    covered.sort(key=lambda pair: len(pair[1]), reverse=True)

    chosen: list[nn.Module] = []
    missing = set(wanted)
    for module, ids in covered:
        if ids & missing and (class_name is None or not chosen):
            chosen.append(module)
            missing -= ids
    if not chosen:
        return None
    model = chosen[0] if len(chosen) == 1 else _together(chosen)
    return Training(model, _optimizers_of(model, optimizer), len(missing))


def count_living_modules() -> int:
    return sum(1 for _ in _living(nn.Module))


def _living(kind: type) -> Iterator[object]:
    """By their true types: asking a proxy for its class could run foreign code."""
    return (thing for thing in gc.get_objects() if issubclass(type(thing), kind))


def _outermost(modules: Sequence[nn.Module], wanted: Mapping[int, None]) -> list[nn.Module]:
    """The modules that hold a wanted parameter, at any depth, and that no other module holds."""
    holders: dict[int, list[nn.Module]] = {}
    for module in modules:
        for child in module._modules.values():
            if child is not None:
                holders.setdefault(id(child), []).append(module)
    owners = [m for m in modules if any(id(p) in wanted for p in m._parameters.values())]
    outermost: dict[int, nn.Module] = {}
    seen: set[int] = set()
    while owners:
        module = owners.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        around = holders.get(id(module), [])
        owners += around
        if not around:
            bare = unwrapped(module)
            outermost[id(bare)] = bare
    return list(outermost.values())


def _together(modules: Sequence[nn.Module]) -> nn.ModuleDict:
    together = nn.ModuleDict()
    for number, module in enumerate(modules):
        name = type(module).__name__
        # A name may be taken, by another of its class or by what a dictionary can do.
        together[name if not hasattr(together, name) else f"{name}_{number}"] = module
    return together


def _optimizers_of(model: nn.Module, first: Optimizer) -> tuple[Optimizer, ...]:
    """`first`, and those that step other parameters of the model. What shares a parameter is a
    wrapper of one of them, or has been replaced by it."""
    ids = _parameter_ids(model)
    optimizers = [first]
    taken = {id(parameter) for parameter in _parameters_of(first)}
    for other in _living(Optimizer):
        own = vars(other)
        if "param_groups" not in own or "_optimizer_step_pre_hooks" not in own:
            continue
        theirs = {id(parameter) for parameter in _parameters_of(other)}  # type: ignore[arg-type]
        if theirs & ids and not theirs & taken:
            optimizers.append(other)  # type: ignore[arg-type]
            taken |= theirs
    return tuple(optimizers)


def _parameters_of(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def _parameter_ids(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters()}
