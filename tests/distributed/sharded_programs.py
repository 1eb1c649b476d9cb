"""Models that are spread over several processes, and what becomes of them; see `ranks`."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional as F

import paramviz
from paramviz.recorder import frames
from paramviz.recorder.sharded import exchange
from paramviz.recorder.sharded.placement import local_of, part_of, why_not_placed
from paramviz.store import RunWriter
from tests.distributed.programs import PROBE, batch_of
from tests.recorder.models import GPT, gpt

STEPS = 4

SETTINGS = {
    "schedule": 1,
    "key_every": 2,
    "budgets": paramviz.SampleBudgets(embeddings=256, outer=300, middle=128, outer_vectors=32),
}


def uneven_gpt() -> GPT:
    """Extents that neither 2 nor 4 divide, and heads that no shard ends with."""
    return gpt(n_embd=30, n_head=3)


class Perceptron(nn.Module):
    """Something for tensor parallelism, with a part that is not spread."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(31, 22)
        self.fc1 = nn.Linear(22, 52)
        self.fc2 = nn.Linear(52, 22)
        self.norm = nn.LayerNorm(22)
        self.head = nn.Linear(22, 31)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        x = x + self.fc2(F.gelu(self.fc1(x)))
        return self.head(self.norm(x))


def perceptron() -> Perceptron:
    torch.manual_seed(0)
    return Perceptron()


def fully_sharded(n_ranks: int) -> nn.Module:
    model = uneven_gpt()
    for block in model.transformer["h"]:
        fully_shard(block)
    return fully_shard(model)


def in_columns_and_rows(n_ranks: int) -> nn.Module:
    mesh = init_device_mesh("cpu", (n_ranks,))
    plan = {"fc1": ColwiseParallel(), "fc2": RowwiseParallel()}
    return parallelize_module(perceptron(), mesh, plan)


def in_two_dimensions(n_ranks: int) -> nn.Module:
    mesh = init_device_mesh("cpu", (n_ranks // 2, 2), mesh_dim_names=("data", "tensor"))
    plan = {"fc1": ColwiseParallel(), "fc2": RowwiseParallel()}
    model = parallelize_module(perceptron(), mesh["tensor"], plan)
    return fully_shard(model, mesh=mesh["data"])


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of it, in every process."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def train(model: nn.Module, path: Path | None, rank: int, n_ranks: int, **settings) -> dict:
    """Four steps; what stood in the model after each, if it is recorded."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    recorder = None
    if path is not None:
        recorder = paramviz.Recorder(path, model, optimizer, **{**SETTINGS, **settings})
    stood = []
    for iteration in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        tokens = batch_of(iteration)
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        # torch has no norm of tensors that lie on several meshes.
        if len({getattr(p, "device_mesh", None) for p in model.parameters()}) == 1:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if recorder is not None:
            recorder.step(iteration, loss=loss)
            states = {
                name: (whole(p), whole(p.grad), {k: whole(v) for k, v in optimizer.state[p].items()})
                for name, p in model.named_parameters()
            }
            stood.append(states)
    said = {
        "stood": stood,
        "bits": {name: local_of(p).detach().clone() for name, p in model.named_parameters()},
    }
    if recorder is not None:
        recorder.close()
        said |= {"kind": type(recorder).__name__, "snapshots": recorder.report.snapshots}
        said["keys"] = list(model.state_dict())
    said["threads"] = [t.name for t in threading.enumerate() if t.name.startswith("paramviz")]
    return said


def both(make, folder: Path, rank: int, n_ranks: int, **settings) -> dict:
    """The same training with and without a recorder."""
    said = train(make(n_ranks), folder / "run", rank, n_ranks, **settings)
    bare = train(make(n_ranks), None, rank, n_ranks)
    for name, bits in bare["bits"].items():
        assert torch.equal(bits, said["bits"][name]), f"recording changed {name}"
    return said if rank == 0 else {**said, "stood": []}


def fsdp(folder: Path, rank: int, n_ranks: int) -> dict:
    return both(fully_sharded, folder, rank, n_ranks, probe=PROBE)


def tensor_parallel(folder: Path, rank: int, n_ranks: int) -> dict:
    return both(in_columns_and_rows, folder, rank, n_ranks)


def two_dimensions(folder: Path, rank: int, n_ranks: int) -> dict:
    return both(in_two_dimensions, folder, rank, n_ranks)


def placements(folder: Path, rank: int, n_ranks: int) -> dict:
    """Every way to lay tensors of several shapes over two meshes; each part is where it is said to be."""
    tried = 0
    flat, square = init_device_mesh("cpu", (4,)), init_device_mesh("cpu", (2, 2))
    for shape in ((7,), (3,), (9, 5), (2, 6), (5, 3, 4), (4, 2, 3, 3)):
        every = torch.arange(math.prod(shape)).reshape(shape)
        kinds = [Replicate(), *(Shard(dim) for dim in range(len(shape)))]
        laid_out = [(flat, (kind,)) for kind in kinds]
        laid_out += [(square, pair) for pair in itertools.product(kinds, repeat=2)]
        for mesh, kind in laid_out:
            tensor = distribute_tensor(every, mesh, kind)
            assert why_not_placed(tensor) is None
            owners = np.zeros(every.numel(), int)
            for other in range(n_ranks):
                part = part_of(tensor, other)
                if part is not None and part.size:
                    matrix = every.numpy().reshape(shape[0] if len(shape) > 1 else 1, -1)
                    chosen = matrix[part.rows.span][:, part.columns.span]
                    owners[chosen.ravel()] += 1
                    if other == rank:
                        np.testing.assert_array_equal(chosen.ravel(), local_of(tensor).numpy().ravel())
            assert (owners == 1).all(), (shape, kind)
            tried += 1
    partial = DTensor.from_local(torch.ones(3), flat, [Partial()])
    return {"tried": tried, "partial": why_not_placed(partial)}


def between_forward_and_backward(folder: Path, rank: int, n_ranks: int) -> dict:
    """FSDP leaves whole parameters in the model between a forward and its backward."""
    model = uneven_gpt()
    for block in model.transformer["h"]:
        fully_shard(block, reshard_after_forward=False)
    fully_shard(model, reshard_after_forward=False)
    with paramviz.Recorder(folder / "run", model, **SETTINGS) as recorder:
        recorder.step(0)
        loss = model(batch_of(0)).square().mean()
        is_whole = [type(p).__name__ for p in model.transformer["h"][0].parameters()]
        recorder.step(1, event="validation")
        loss.backward()
    return {"kinds": is_whole}


def only_the_first_forces(folder: Path, rank: int, n_ranks: int) -> dict:
    """The first process marks a checkpoint of which the others were not told."""
    model = fully_sharded(n_ranks)
    with paramviz.Recorder(folder / "run", model, **{**SETTINGS, "schedule": 3}) as recorder:
        for iteration in range(13):
            recorder.step(iteration, event="checkpoint" if rank == 0 and iteration == 4 else None)
            # As in a training whose steps take longer than telling.
            _wait_until(partial(_has_told, recorder, 1 + iteration // 3))
    return {"snapshots": recorder.report.snapshots}


def only_the_first_records(folder: Path, rank: int, n_ranks: int) -> dict:
    """Nobody else makes a recorder: nobody waits for long."""
    exchange.ANSWER_S = 2.0
    said = {}
    model = fully_sharded(n_ranks)
    if rank == 0:
        recorder = paramviz.Recorder(folder / "run", model, **SETTINGS)
        for iteration in range(5):
            recorder.step(iteration, loss=iteration)
        try:
            recorder.close()
        except paramviz.OutputError as error:
            said["error"] = str(error)
    return said


def only_the_others_record(folder: Path, rank: int, n_ranks: int) -> dict:
    """The first process has no recorder."""
    exchange.MEETING_S = 1.0
    model = fully_sharded(n_ranks)
    if rank:
        with paramviz.Recorder(folder / "run", model, **SETTINGS) as recorder:
            for iteration in range(5):
                recorder.step(iteration)
        return {"snapshots": recorder.report.snapshots}
    return {}


def is_killed(folder: Path, rank: int, n_ranks: int) -> dict:
    """The last rank is killed after three steps; the others, who do not wait for it, train on alone."""
    model = fully_sharded(n_ranks)
    recorder = paramviz.Recorder(folder / "run", model, **SETTINGS)
    for iteration in range(3):
        model(batch_of(iteration)).square().mean().backward()
        recorder.step(iteration)
    done = folder / "three are recorded"
    if rank == 0:
        # What was gathered is told before the process ends.
        _wait_until(partial(_has_told, recorder, 3))
        done.touch()
    _wait_until(done.exists)
    if rank == n_ranks - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    for iteration in range(3, 8):
        recorder.step(iteration, loss=iteration)
    recorder.__exit__(None, None, None)
    return {"snapshots": recorder.report.snapshots}


def first_is_killed(folder: Path, rank: int, n_ranks: int) -> dict:
    """The first process is killed: the others end all the same."""
    model = fully_sharded(n_ranks)
    recorder = paramviz.Recorder(folder / "run", model, **SETTINGS)
    for iteration in range(3):
        recorder.step(iteration)
    (folder / f"{rank} is there").touch()
    _wait_until(lambda: all((folder / f"{other} is there").exists() for other in range(n_ranks)))
    if rank == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    for iteration in range(3, 8):
        recorder.step(iteration)
    recorder.close()
    return {"closed": True}


def slow_disk(folder: Path, rank: int, n_ranks: int) -> dict:
    """A disk that takes nothing until training is over: every step is made all the same."""
    frames.MOST = 4
    trained = threading.Event()
    commit = RunWriter.commit

    def later(writer, snapshot):
        assert trained.wait(100)
        return commit(writer, snapshot)

    RunWriter.commit = later
    model = fully_sharded(n_ranks)
    with paramviz.Recorder(folder / "run", model, **SETTINGS) as recorder:
        for iteration in range(40):
            recorder.step(iteration)
        trained.set()
    report = recorder.report
    return {"snapshots": report.snapshots, "lost": report.lost}


def _has_told(recorder: paramviz.Recorder, snapshots: int) -> bool:
    return recorder.report.snapshots >= snapshots


def _wait_until(is_so) -> None:
    patience = threading.Event()
    for _ in range(600):
        if is_so():
            return
        patience.wait(0.1)
    raise TimeoutError("waited for a minute")
