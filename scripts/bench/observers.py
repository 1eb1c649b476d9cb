"""Ways of keeping what a model does at every step: paramviz's tiers, and its peers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

import paramviz
from paramviz.quantities import CORE, DEFAULT
from paramviz.schedule import make_schedule

Step = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Observer:
    """after_step(iteration, loss) is called after each step of the optimizer; `drain` waits for the disk."""

    after_step: Step
    drain: Callable[[], None]
    close: Callable[[], None]


Attach = Callable[[Path, nn.Module, torch.optim.Optimizer], Observer]
"""Begin to keep what a model does below a folder."""


def nothing(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Observer:
    return Observer(lambda iteration, loss: None, _no_op, _no_op)


def recording(schedule: int | str, quantities: Iterable[str]) -> Attach:
    """paramviz, with some of its quantities."""
    wanted = tuple(quantities)

    def attach(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Observer:
        recorder = paramviz.Recorder(folder / "run", model, optimizer, schedule=schedule, quantities=wanted)
        is_due, due = make_schedule(schedule), 0

        def after_step(iteration: int, loss: float) -> None:
            nonlocal due
            recorder.step(iteration, loss=loss)
            due += is_due(iteration)

        def drain() -> None:
            while recorder.report.snapshots + recorder.report.lost < due:
                time.sleep(0.0005)

        return Observer(after_step, drain, recorder.close)

    return attach


def watched_by_wandb(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Observer:
    """`wandb.watch("all")` at every step, offline."""
    import wandb

    run = wandb.init(dir=str(folder), mode="offline", project="bench", settings=wandb.Settings(silent=True))
    run.watch(model, log="all", log_freq=1)

    def after_step(iteration: int, loss: float) -> None:
        run.log({"loss": loss}, step=iteration)

    return Observer(after_step, _no_op, run.finish)


def histograms_of_tensorboard(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Observer:
    """A histogram of each parameter and each gradient."""
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(folder))

    def after_step(iteration: int, loss: float) -> None:
        writer.add_scalar("loss", loss, iteration)
        for name, parameter in model.named_parameters():
            writer.add_histogram(name, parameter, iteration)
            if parameter.grad is not None:
                writer.add_histogram(f"{name}.grad", parameter.grad, iteration)

    return Observer(after_step, writer.flush, writer.close)


def saved_by_torch(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Observer:
    """`torch.save` of the state dict, a file for each step."""

    def after_step(iteration: int, loss: float) -> None:
        torch.save(model.state_dict(), folder / f"{iteration}.pt")

    return Observer(after_step, _no_op, _no_op)


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways, what it is called, and the package that it needs."""

    name: str
    attach: Attach
    package: str | None = None

    @property
    def is_installed(self) -> bool:
        return self.package is None or find_spec(self.package) is not None


WAYS = (
    Way("bare", nothing),
    Way("paramviz, every step, core tier", recording(1, CORE)),
    Way("paramviz, every step, core and key tier", recording(1, DEFAULT)),
    Way("paramviz, adaptive, core tier", recording("adaptive", CORE)),
    Way("paramviz, adaptive, core and key tier", recording("adaptive", DEFAULT)),
    Way('wandb.watch("all"), offline', watched_by_wandb, "wandb"),
    Way("TensorBoard histograms", histograms_of_tensorboard, "tensorboard"),
    Way("torch.save of the state dict", saved_by_torch),
)


def tree_cpu_s() -> float:
    """CPU seconds of this process and of its children: wandb writes in a process of its own."""
    own = sum(os.times()[:2])
    ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(place.parent.name)] = int(fields[1])
        seconds[int(place.parent.name)] = (int(fields[11]) + int(fields[12])) / ticks
    me = os.getpid()
    return own + sum(s for pid, s in seconds.items() if pid != me and _descends(pid, me, parents))


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False


def _no_op() -> None:
    pass
