"""What the processes of a distributed training do; see `ranks`."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import paramviz
from tests.recorder.models import ConvNet, gpt

STEPS, BATCH, VOCABULARY = 6, 8, 31
PROBE = torch.arange(26).reshape(2, 13) * 5 % VOCABULARY


def batch_of(iteration: int) -> torch.Tensor:
    """(8, 13) tokens: each follows from the one before."""
    generator = torch.Generator().manual_seed(iteration)
    first = torch.randint(VOCABULARY, (BATCH, 1), generator=generator)
    return (first + 3 * torch.arange(13)) % VOCABULARY


def train(model: nn.Module, path: Path | None, rank: int = 0, n_ranks: int = 1, **settings) -> dict:
    """Weights at the end, after training on this rank's part of each batch; recorded unless path is None."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    recorder = None
    if path is not None:
        recorder = paramviz.Recorder(path, model, optimizer, schedule=1, key_every=2, **settings)
    for iteration in range(STEPS):
        tokens = batch_of(iteration).chunk(n_ranks)[rank]
        optimizer.zero_grad(set_to_none=True)
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if recorder is not None:
            recorder.step(iteration, loss=loss, gradient_norm_before_clipping=norm)
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("paramviz")]
    hooks = len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks)
    snapshots = 0
    if recorder is not None:
        recorder.close()
        snapshots = recorder.report.snapshots
    return {"threads": threads, "hooks": hooks, "snapshots": snapshots}


def data_parallel(folder: Path, rank: int, n_ranks: int) -> dict:
    """A GPT under DDP, with and without a recorder."""
    torch.manual_seed(0)
    model = DistributedDataParallel(gpt())
    said = train(model, folder / "run", rank, n_ranks, probe=PROBE)
    bare = DistributedDataParallel(gpt())
    train(bare, None, rank, n_ranks)
    return {**said, "recorded": model.module.state_dict(), "bare": bare.module.state_dict()}


def buffers(folder: Path, rank: int, n_ranks: int) -> dict:
    """A forward of DDP sends rank 0's buffers to all: a probe of rank 0 alone must not wait for them."""
    torch.manual_seed(0)
    model = DistributedDataParallel(ConvNet())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    probe = torch.randn(2, 3, 8, 8)
    with paramviz.Recorder(
        folder / "run", model, optimizer, probe=probe, schedule=1, key_every=1
    ) as recorder:
        for iteration in range(3):
            loss = model(torch.randn(4, 3, 8, 8)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(iteration, loss=loss)
    return model.module.state_dict()


def dies(folder: Path, rank: int, n_ranks: int) -> dict:
    """The last rank is gone after three steps."""
    model = DistributedDataParallel(gpt())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    try:
        with paramviz.Recorder(folder / "run", model, optimizer, schedule=1) as recorder:
            for iteration in range(STEPS):
                if iteration == 3 and rank == n_ranks - 1:
                    os._exit(0)
                optimizer.zero_grad()
                model(batch_of(iteration)).square().mean().backward()
                optimizer.step()
                recorder.step(iteration)
    except RuntimeError as error:
        return {"error": str(error)}
    return {}


def scalars(folder: Path, rank: int, n_ranks: int) -> dict:
    """Numbers that are whole in each process, and numbers that are a part in each."""
    mesh = init_device_mesh("cpu", (n_ranks,))
    ones = torch.ones(())
    whole, part = (DTensor.from_local(ones, mesh, [kind]) for kind in (Replicate(), Partial()))
    with paramviz.Recorder(folder / "run", gpt()) as recorder:
        recorder.step(0, metrics={"whole": whole, "part": part})
        return {"sum": float(part.full_tensor())}


def launched(folder: Path, rank: int, n_ranks: int) -> dict:
    """Recorders that are made before the processes have found each other."""
    with paramviz.Recorder(folder / "early", gpt()) as recorder:
        recorder.step(0, loss=1.0)
    return {"snapshots": recorder.report.snapshots, "path": str(recorder.run_path)}
