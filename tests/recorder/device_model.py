"""A model whose tensors lie on a device without memory, and what recording it launches there.

The device is torch's "meta": it runs no kernels, but every operation is dispatched to it,
and it refuses to say what a number is, as none can be known without waiting for a GPU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from paramviz.recorder import transfers
from paramviz.recorder.model_plan import ModelPlan, Selection
from paramviz.recorder.plan_keeper import PlanKeeper
from paramviz.sampling import SampleBudgets

VIEWS = frozenset(
    {
        "alias",
        "as_strided",
        "detach",
        "expand",
        "permute",
        "select",
        "slice",
        "t",
        "transpose",
        "unbind",
        "unsqueeze",
        "view",
    }
)
"""Operations that launch nothing."""

WAITING = frozenset(
    {
        "_linalg_eigh",
        "_linalg_eigvals",
        "_linalg_svd",
        "_local_scalar_dense",
        "_unique2",
        "bincount",
        "equal",
        "is_nonzero",
        "item",
        "linalg_cholesky",
        "linalg_eigh",
        "linalg_inv_ex",
        "linalg_svd",
        "masked_select",
        "nonzero",
        "unique_dim",
    }
)
"""Operations that wait for a device: torch's documentation says so, or how large their result is
depends on the numbers."""


class Dispatched(TorchDispatchMode):
    """Counts what is launched; an operation that would wait for a device is an error."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operation.overloadpacket.__name__
        is_there = any(isinstance(x, torch.Tensor) and x.device.type == "meta" for x in args)
        assert not (is_there and name in WAITING), f"{name} waits for the device"
        if name == "index":
            assert all(index is None or index.dtype is torch.int64 for index in args[1]), "a mask waits"
        if name in ("_to_copy", "copy_"):
            self._check_copy(name, args, kwargs or {})
        if name not in VIEWS and name not in WAITING:
            self.launches.append(name)
        return operation(*args, **(kwargs or {}))

    @staticmethod
    def _check_copy(name: str, args: Any, kwargs: Any) -> None:
        source, target = (args[0], kwargs.get("device")) if name == "_to_copy" else (args[1], args[0].device)
        assert not (source.device.type == "meta" and target is not None and target.type == "cpu")


def on_a_device(model: nn.Module) -> ModelPlan:
    """The plan of a model, with its tensors and their gradients elsewhere."""
    plan = PlanKeeper(model, Selection(SampleBudgets())).plan
    sources = []
    for source in plan.sources:
        there = nn.Parameter(source.tensor.detach().to("meta"))
        there.grad = torch.empty_like(there)
        sources.append(replace(source, tensor=there))
    return replace(plan, sources=tuple(sources))


class Copies:
    """Stands for the copies to the host: what they are of, each with its bytes."""

    def __init__(self, monkeypatch: Any) -> None:
        self.n_bytes: list[int] = []
        monkeypatch.setattr(transfers, "_copy_to_host", self._copied)

    def _copied(self, flat: torch.Tensor) -> tuple[torch.Tensor, None]:
        self.n_bytes.append(flat.numel())
        return torch.zeros(flat.shape, dtype=flat.dtype), None
