"""Which tensors of two models stand for each other: by name, else by role, else by shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from paramviz.catalogue import canonical_name
from paramviz.schema import TensorInfo

PairedBy = Literal["name", "role", "shape"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tensors that stand for each other. `same_shape`: their elements can be compared one by one."""

    a: TensorInfo
    b: TensorInfo
    by: PairedBy

    @property
    def same_shape(self) -> bool:
        return self.a.shape == self.b.shape and self.a.transposed == self.b.transposed


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A tensor without a counterpart, and why."""

    tensor: TensorInfo
    reason: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """In the order of A's model. What is tied answers from its owner, and is not paired by itself."""

    pairs: tuple[Pair, ...]
    only_a: tuple[Unpaired, ...]
    only_b: tuple[Unpaired, ...]


def pair_tensors(a: Sequence[TensorInfo], b: Sequence[TensorInfo]) -> Pairing:
    """Pair the recorded tensors of two models.

    By name, without what wrappers put into it. What is left by role and layer where these
    name one tensor on both sides (another code base's name for the same thing), then by shape
    where one tensor is left of it on both sides. What is ambiguous stays unpaired: a wrong
    pair would show a difference that is none.
    """
    left_a, left_b = _recorded(a), _recorded(b)
    found: list[Pair] = []
    ways: tuple[tuple[PairedBy, Callable[[TensorInfo], Hashable]], ...] = (
        ("name", lambda tensor: plain_name(tensor.name)),
        ("role", _role_of),
        ("shape", lambda tensor: tensor.shape),
    )
    for by, key in ways:
        ours, theirs = _unique(left_a, key), _unique(left_b, key)
        if by == "role":
            ours.pop(None, None)
        found += [Pair(ours[k], theirs[k], by) for k in ours if k in theirs]
        paired_a, paired_b = {pair.a.index for pair in found}, {pair.b.index for pair in found}
        left_a = [tensor for tensor in left_a if tensor.index not in paired_a]
        left_b = [tensor for tensor in left_b if tensor.index not in paired_b]
    found.sort(key=lambda pair: pair.a.index)
    only_a = tuple(Unpaired(tensor, _why(tensor, b)) for tensor in left_a)
    only_b = tuple(Unpaired(tensor, _why(tensor, a)) for tensor in left_b)
    return Pairing(tuple(found), only_a, only_b)


def plain_name(name: str) -> str:
    """A parameter's name without the parts that wrappers add, also those around a part of the model."""
    name = canonical_name(name)
    return ".".join(part for part in name.split(".") if part != "module") or name


def shape_text(shape: tuple[int, ...]) -> str:
    """`768 × 3,072`."""
    return " × ".join(f"{side:,}" for side in shape) or "one number"


def _recorded(tensors: Iterable[TensorInfo]) -> list[TensorInfo]:
    return [tensor for tensor in tensors if tensor.tied_to is None and tensor.skipped is None]


def _role_of(tensor: TensorInfo) -> Hashable:
    """None for the role that says nothing."""
    return None if tensor.role == "other" else (tensor.role, tensor.layer, tensor.block, len(tensor.shape))


def _unique(
    tensors: Iterable[TensorInfo], key: Callable[[TensorInfo], Hashable]
) -> dict[Hashable, TensorInfo]:
    """By key; only what is the one of its key."""
    groups: dict[Hashable, list[TensorInfo]] = defaultdict(list)
    for tensor in tensors:
        groups[key(tensor)].append(tensor)
    return {k: group[0] for k, group in groups.items() if len(group) == 1}


def _why(tensor: TensorInfo, others: Sequence[TensorInfo]) -> str:
    """Why nothing of the other model stands for a tensor."""
    namesake = next((o for o in others if plain_name(o.name) == plain_name(tensor.name)), None)
    if namesake is not None and namesake.tied_to is not None:
        return f"there it is tied to {namesake.tied_to}"
    if namesake is not None and namesake.skipped is not None:
        return f"there it was not recorded: {namesake.skipped}"
    layers = {other.layer for other in others if other.layer is not None}
    if tensor.layer is not None and tensor.layer not in layers:
        return f"the other model has no layer {tensor.layer}"
    alike = [other for other in _recorded(others) if _role_of(other) == _role_of(tensor)]
    if len(alike) > 1 and tensor.role != "other":
        return f"{len(alike)} tensors there are {tensor.role.replace('_', ' ')}"
    same = sum(other.shape == tensor.shape for other in _recorded(others))
    shape = " × ".join(map(str, tensor.shape)) or "one number"
    return f"no such name there, nor one tensor of its role or shape ({shape}" + (
        f": {same})" if same else ")"
    )
