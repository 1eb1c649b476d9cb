"""The scalars of a step: read at once where that is free, later where it would wait for a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from paramviz.recorder.sharded.placement import is_whole, local_of, placements_of
from paramviz.recorder.transfers import Arriving, sent

Scalar = float | torch.Tensor
"""A number, or a 0-d copy that still lies on its device."""


def take_scalars(given: Mapping[str, object], complain: Callable[[str, str], None]) -> dict[str, Scalar]:
    """Scalars as they are now; None is left out, and what is no number is complained of and left out.

    A tensor on the CPU becomes a float. One on another device is copied there,
    since it may be overwritten before the writer thread reads it.
    """
    taken: dict[str, Scalar] = {}
    for name, value in given.items():
        if value is None:
            continue
        try:
            taken[str(name)] = _take(value)
        except (TypeError, ValueError, RuntimeError) as error:
            cure = "Give a number or a tensor of one element."
            complain(f"scalar {name}", f"the scalar {name!r} is left out: {error}. {cure}")
    return taken


def _take(value: object) -> Scalar:
    if isinstance(value, float | int):
        return float(value)
    if isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise ValueError(f"a tensor of shape {tuple(value.shape)} is not one number")
        detached = _local(value.detach())
        return float(detached) if detached.device.type == "cpu" else detached.clone()
    if isinstance(value, np.generic | np.ndarray):
        if value.size != 1:
            raise ValueError(f"an array of shape {value.shape} is not one number")
        return float(value.item())
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"a {type(value).__name__} is no number")


def _local(value: torch.Tensor) -> torch.Tensor:
    """The tensor itself; of a DTensor the part here, if it is the whole.

    Summing up the others' parts takes all processes, and only one of them records.
    """
    if not is_whole(value):
        placements = placements_of(value)
        raise ValueError(f"a DTensor that is {placements} is not one number here; full_tensor() of it is")
    return local_of(value)


def sent_scalars(scalars: Mapping[str, Scalar]) -> dict[str, float | Arriving]:
    """Those that lie on devices are on their way; nothing waits for them."""
    away = {name: value for name, value in scalars.items() if isinstance(value, torch.Tensor)}
    arriving = dict(zip(away, sent(away.values()), strict=True))
    return {
        name: arriving[name] if isinstance(value, torch.Tensor) else value for name, value in scalars.items()
    }


def read_scalars(scalars: Mapping[str, float | Arriving]) -> dict[str, float]:
    """All as floats. Waits for the devices that they come from: not for the training thread."""
    return {name: float(value) for name, value in scalars.items()}
