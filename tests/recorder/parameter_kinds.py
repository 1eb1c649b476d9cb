"""The kinds of tensors that models of torch own, each in a model of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils import parametrizations, prune


@dataclass(frozen=True, slots=True)
class Kind:
    """make: a model; tensor: the name of the one that the kind is about.

    change: what happens to the model between its two snapshots. note: what one should know.
    """

    title: str
    make: Callable[[], nn.Module]
    tensor: str = "x"
    change: Callable[[nn.Module], object] = lambda model: None
    note: str = ""


class Owner(nn.Module):
    """Owns one tensor that is asked about and two ordinary ones around it."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.arange(6.0).reshape(2, 3))
        if isinstance(x, nn.Parameter | nn.parameter.UninitializedParameter):
            self.x = x
        else:
            self.register_buffer("x", x)
        self.last = nn.Parameter(torch.full((4,), 7.0))


class Wrapped(torch.Tensor):
    """A tensor that computes by its own rules, as torchao's quantised tensors do."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Wrapped:
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.detach.default:
            return Wrapped(torch.empty(args[0].shape))
        raise AssertionError(f"the recorder computed with a wrapped tensor: {func}")


class LoRA(nn.Module):
    """A frozen Linear with two small matrices beside it, named as peft names them."""

    def __init__(self) -> None:
        super().__init__()
        self.base_layer = nn.Linear(24, 20).requires_grad_(False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(24, 4, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(4, 20, bias=False)})


class StackedExperts(nn.Module):
    """All experts of a layer in one tensor, as transformers keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(8, 6)
        self.experts = nn.Module()
        self.experts.down_proj = nn.Parameter(noise(6, 16, 8))


class ListedExperts(nn.Module):
    """One module for each expert."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 3)
        self.experts = nn.ModuleList([nn.ModuleDict({"w1": nn.Linear(8, 16)}) for _ in range(3)])


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 4


def parameter(x: torch.Tensor, **settings: bool) -> Callable[[], nn.Module]:
    return lambda: Owner(nn.Parameter(x, **settings))


def buffer(x: torch.Tensor) -> Callable[[], nn.Module]:
    return lambda: Owner(x)


def block(module: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.ModuleDict({"mlp": nn.ModuleDict({"c_fc": module})})


def quantised(per_channel: bool) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        x = noise(30, 20)
        if per_channel:
            scales = torch.linspace(0.05, 0.1, 30)
            return Owner(torch.quantize_per_channel(x, scales, torch.zeros(30), 0, torch.qint8))
        return Owner(torch.quantize_per_tensor(x, 0.1, 3, torch.quint8))

    return make


def tied() -> nn.Module:
    model = nn.ModuleDict({"wte": nn.Embedding(40, 12), "lm_head": nn.Linear(12, 40, bias=False)})
    model["lm_head"].weight = model["wte"].weight
    return model


def shared(of: slice) -> Callable[[], nn.Module]:
    """Two parameters of one storage; the second has the rows `of` the first."""

    def make() -> nn.Module:
        storage = noise(30, 40)
        model = Owner(nn.Parameter(storage[of]))
        model.first = nn.Parameter(storage)
        return model

    return make


def sharded() -> nn.Module:
    """A DTensor on a mesh of this process alone."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (1,))
    return Owner(nn.Parameter(distribute_tensor(noise(30, 40), mesh, [Shard(0)])))


def grow(model: nn.Module) -> None:
    model.x = nn.Parameter(noise(30, 40))


def reshape(model: nn.Module) -> None:
    model.x = nn.Parameter(noise(50, 20))


def replace_data(model: nn.Module) -> None:
    model.x.data = noise(30, 40) + 1


def shape_lazily(model: nn.Module) -> None:
    model.lazy(torch.ones(1, 5))


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lazy = nn.LazyLinear(30)


def specials() -> torch.Tensor:
    x = noise(20, 20)
    x[0, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    return x


FLOATS = {
    torch.float32: "",
    torch.float64: "Samples are narrowed; statistics are of the float64",
    torch.float16: "",
    torch.bfloat16: "",
    torch.float8_e4m3fn: "",
    torch.float8_e5m2: "",
    torch.float8_e8m0fnu: "",
}

KINDS = (
    *(
        Kind(f"`{str(dtype).removeprefix('torch.')}`", buffer(noise(30, 40).abs().to(dtype)), note=note)
        for dtype, note in FLOATS.items()
    ),
    Kind("`float4_e2m1fn_x2`", buffer(torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2))),
    *(
        Kind(f"`{str(dtype).removeprefix('torch.')}`", buffer(noise(30, 40).abs().to(dtype)))
        for dtype in (torch.int8, torch.int64, torch.uint8, torch.uint16, torch.bool)
    ),
    Kind(
        "complex",
        parameter(torch.complex(noise(30, 20), noise(30, 20) + 1)),
        note="As real numbers: the last axis, of extent 2, is (real, imaginary). So are its statistics",
    ),
    Kind("conjugate view of a complex tensor", buffer(torch.complex(noise(30, 20), noise(30, 20)).conj())),
    Kind("quantised per tensor", quantised(False), note="As the numbers that it stands for"),
    Kind("quantised per channel", quantised(True), note="As the numbers that it stands for"),
    Kind("sparse COO", buffer(torch.eye(30).to_sparse())),
    Kind("sparse CSR", lambda: Owner(torch.eye(30).to_sparse_csr())),
    Kind("nested", lambda: Owner(torch.nested.nested_tensor([noise(2), noise(3)], layout=torch.jagged))),
    Kind("on the meta device", buffer(torch.zeros(3, device="meta"))),
    Kind("lazy", Lazy, "lazy.weight"),
    Kind("lazy, until it has a shape", Lazy, "lazy.weight", shape_lazily, "Skipped before; then a new plan"),
    Kind("DTensor", sharded, note="Each process looks at its part, see [DISTRIBUTED.md](DISTRIBUTED.md)"),
    Kind("tensor subclass with rules of its own", lambda: Owner(Wrapped(torch.zeros(3)))),
    Kind("tied", tied, "lm_head.weight"),
    Kind("shared storage, all of it", shared(slice(None))),
    Kind("shared storage, a part", shared(slice(3, 20)), note="A tensor of its own"),
    Kind("transposed view", parameter(noise(40, 300).t())),
    Kind("expanded view", parameter(noise(1, 40).expand(30, 40))),
    Kind(
        "frozen", parameter(noise(30, 40), requires_grad=False), note="Its samples are kept once, in the plan"
    ),
    Kind("empty", parameter(torch.zeros(0, 4)), note="Without samples; statistics are 0"),
    Kind("0-d", parameter(torch.tensor(2.5))),
    Kind("NaN and inf in it", parameter(specials()), note="Left out of moments, and counted"),
    Kind("huge", parameter(noise(30, 40) * 1e36), note="inf in float16 samples, and counted"),
    Kind("tiny", parameter(noise(30, 40) * 1e-38), note="0 in float16 samples, and counted; denormals too"),
    Kind(
        "weight_norm",
        lambda: parametrizations.weight_norm(nn.Linear(20, 30)),
        "parametrizations.weight.original1",
        note="What is trained, not what is computed from it",
    ),
    Kind(
        "spectral_norm",
        lambda: parametrizations.spectral_norm(nn.Linear(20, 30)),
        "parametrizations.weight.original",
        note="Its vectors are buffers, and recorded",
    ),
    Kind(
        "orthogonal",
        lambda: parametrizations.orthogonal(nn.Linear(20, 20)),
        "parametrizations.weight.original",
    ),
    Kind("pruned", lambda: prune.random_unstructured(nn.Linear(20, 30), "weight", 0.3), "weight_orig"),
    Kind("LoRA", LoRA, "lora_A.default.weight"),
    Kind("experts in one tensor", StackedExperts, "experts.down_proj"),
    Kind("experts in a list", ListedExperts, "experts.1.w1.weight"),
    Kind("convolution", lambda: nn.Conv2d(8, 16, 3), "weight", note="As a matrix: out × the rest"),
    Kind("transposed convolution", lambda: nn.ConvTranspose1d(8, 16, 3), "weight"),
    Kind("LSTM", lambda: nn.LSTM(8, 16, 2), "weight_hh_l1"),
    Kind("batch normalisation", lambda: nn.BatchNorm1d(8), "running_var", note="Buffers like parameters"),
    Kind("added while it trains", nn.Module, "x", grow, "A new plan; the past stays"),
    Kind("reshaped while it trains", parameter(noise(30, 40)), "x", reshape, "A new plan; the past stays"),
    Kind("its data replaced", parameter(noise(30, 40)), "x", replace_data),
)
