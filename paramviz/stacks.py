"""Experts of one layer as what they are together: one tensor with a slice for each expert.

Models keep them in either of two ways: as one parameter with an axis of experts, or as a
module for each. Of the second kind every expert keeps its entry, samples and statistics
(one that died must not hide in a mean); which of them belong together follows from their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from paramviz.schema import TensorInfo

_EXPERT = re.compile(r"^(.*\w*experts?)\.(\d+)\.(.+)$")


@dataclass(frozen=True, slots=True)
class Stack:
    """Experts' parameters of one kind in one layer.

    shape: (experts, …), the shape of the stacked tensor. tensors: the names of the slices, in
    the order of the experts; of a parameter that is stacked itself only its own name. `name`
    has a star for the number of the expert.
    """

    name: str
    shape: tuple[int, ...]
    layer: int | None
    tensors: tuple[str, ...]


def stacks_of(tensors: Sequence[TensorInfo]) -> tuple[Stack, ...]:
    """The stacks among the tensors of a plan, in the order in which they begin there.

    Separate experts are stacked if there are two or more of one shape and dtype.
    """
    found: dict[tuple[str, tuple[int, ...], str], list[tuple[int, TensorInfo]]] = {}
    for tensor in tensors:
        match = _EXPERT.match(tensor.name)
        if match is not None:
            name = f"{match[1]}.*.{match[3]}"
            found.setdefault((name, tensor.shape, tensor.dtype), []).append((int(match[2]), tensor))
        elif tensor.role == "expert" and len(tensor.shape) > 2:
            found[tensor.name, tensor.shape[1:], tensor.dtype] = [(0, tensor)]
    stacks = []
    for (name, shape, _), members in found.items():
        first = members[0][1]
        if "*" not in name:
            stacks.append(Stack(name, first.shape, first.layer, (name,)))
        elif len(members) > 1:
            members.sort(key=lambda member: member[0])
            names = tuple(tensor.name for _, tensor in members)
            stacks.append(Stack(name, (len(members), *shape), first.layer, names))
    return tuple(stacks)
