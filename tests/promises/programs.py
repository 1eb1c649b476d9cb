"""What the nursery's programs do. Paths come as text; what they print is for the test that started them."""

from __future__ import annotations

import itertools
import os
import random
import resource
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import paramviz
from paramviz.recorder import writer_thread
from tests.promises.training import Training, bare, train, wait_until_handled
from tests.recorder.waiting import wait_for
from tests.store import made_runs
from tests.store.small_blocks import small_blocks


def train_under_a_limit(path: str, limit: str) -> None:
    """Nine steps, of which 3 to 5 meet a limit of the operating system."""
    writer_thread.RETRY_S = 0.0
    kind, least = {
        "files": (resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd"))),
        "bytes": (resource.RLIMIT_FSIZE, 200),
    }[limit]
    before = resource.getrlimit(kind)

    def change(iteration: int) -> None:
        if iteration == 3:
            least_now = max(map(int, os.listdir("/proc/self/fd"))) if limit == "files" else least
            resource.setrlimit(kind, (least_now, before[1]))
        elif iteration == 6:
            resource.setrlimit(kind, before)

    trained = train(Path(path), 9, change)
    assert (trained.losses, trained.state) == bare(9)


def compete(path: str, resume: bool, go: str, answered: str) -> None:
    """Start to record when `go` appears and say what came of it; the winner stays until both have."""
    training = Training()
    while not os.path.exists(go):
        pass
    try:
        recorder = paramviz.Recorder(path, *given(training), resume=resume, schedule=1)
    except paramviz.errors.ParamvizError as error:
        print(type(error).__name__, flush=True)
        return
    with recorder:
        print("won", flush=True)
        wait_for(lambda: os.path.exists(answered))
        first = len(paramviz.open_run(path))
        recorder.step(first, loss=training.step(first))


def hold(path: str, first: int) -> None:
    """Resume a run, record two steps and stay."""
    training = Training()
    recorder = paramviz.Recorder(path, *given(training), resume=True, schedule=1)
    for done, iteration in enumerate((first, first + 1), start=1):
        recorder.step(iteration, loss=training.step(iteration))
        wait_until_handled(recorder, done)
    print("recording", flush=True)
    while True:
        time.sleep(1)


def train_and_end(path: str, how: str) -> None:
    """Five steps, and then one of the ways in which programs end. Nobody calls close()."""
    if how.startswith("with "):
        with paramviz.Recorder(path, *given(training := Training()), schedule=1) as recorder:
            five_steps(training, recorder)
            end(how.removeprefix("with "))
    elif how == "forgotten in a function":
        training = Training()
        five_steps(training, paramviz.Recorder(path, *given(training), schedule=1))
    else:
        # A global, so that nothing but the end of the interpreter ends it.
        global kept
        training = Training()
        kept = paramviz.Recorder(path, *given(training), schedule=1)
        five_steps(training, kept)
        end(how)


kept: paramviz.Recorder


def given(training: Training) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """What a recorder is given."""
    return training.model, training.optimizer


def five_steps(training: Training, recorder: paramviz.Recorder) -> None:
    """Recorded, and written before this returns."""
    for iteration in range(5):
        recorder.step(iteration, loss=training.step(iteration))
        wait_until_handled(recorder, iteration + 1)


def end(how: str) -> None:
    """End the program from where its training stands."""
    if how == "sys.exit(0)":
        sys.exit(0)
    if how == "sys.exit(3)":
        sys.exit(3)
    if how == "exception":
        raise RuntimeError("the loss exploded")
    if how == "os._exit":
        os._exit(7)
    if how in ("SIGINT", "SIGTERM"):
        print("trained", flush=True)
        while True:
            time.sleep(1)


class Rows(Dataset[torch.Tensor]):
    """Rows of numbers that are made in worker processes."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.randn(8, generator=torch.Generator().manual_seed(index))


def train_with_workers(path: str, persistent: bool, how: str) -> None:
    """Two epochs from two forked workers. The recorder exists before them, so that they inherit it."""
    training = Training()
    with paramviz.Recorder(path, *given(training), schedule=1) as recorder:
        loader = DataLoader(
            Rows(),
            batch_size=4,
            num_workers=2,
            persistent_workers=persistent,
            multiprocessing_context="fork",
        )
        iteration = 0
        for _ in range(2):
            for x_BI in loader:
                training.optimizer.zero_grad()
                loss = training.model(x_BI).square().mean()
                loss.backward()
                training.optimizer.step()
                recorder.step(iteration, loss=loss)
                iteration += 1
                wait_until_handled(recorder, iteration)
                if iteration == 9:
                    end(how)


def fork_and_step(path: str) -> None:
    """A child that inherits the recorder steps and closes it, and leaves as it came; the parent goes on."""
    training = Training()
    with paramviz.Recorder(path, *given(training), schedule=1) as recorder:
        recorder.step(0, loss=training.step(0))
        child = os.fork()
        if child == 0:
            recorder.step(1, loss=1e9)
            recorder.close()
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        recorder.step(1, loss=training.step(1))


def train_until_killed(path: str, every: int) -> None:
    """Train for ever, a snapshot in `every` iterations; say each one when its step is made."""
    training = Training()
    with paramviz.Recorder(path, *given(training), schedule=every) as recorder:
        for iteration in itertools.count():
            recorder.step(iteration, loss=training.step(iteration))
            print(iteration, flush=True)
            time.sleep(0.002)


def write_until_told(path: str, iterations: int, until_s: float) -> None:
    """Write snapshots whose every number a reader can check: so many, or for so long."""
    with small_blocks():
        writer = made_runs.start(Path(path))
        begun_s = time.monotonic()
        for iteration in itertools.count():
            if iteration >= iterations and time.monotonic() - begun_s >= until_s:
                break
            made_runs.write(writer, iteration)
        writer.close("finished")


def read_until_finished(path: str, seed: int) -> None:
    """Follow a run to its end; whatever is wrong is an exception. Says how often it looked and read."""
    rng = random.Random(seed)
    wait_for(lambda: (Path(path) / "zarr.json").exists())
    run = paramviz.open_run(path)
    looks = reads = 0
    while True:
        before = run.iterations.tolist()
        ended = run.status != "recording"
        new = run.refresh().tolist()
        iterations = run.iterations.tolist()
        assert iterations == before + new == list(range(len(iterations)))
        looks += 1
        for iteration in {*new[-2:], *rng.sample(iterations, min(2, len(iterations)))}:
            made_runs.assert_same_snapshot(run[iteration], iteration)
            reads += 1
        steps, losses = run.scalar_series("loss")
        assert steps.tolist() == list(range(len(steps)))
        assert losses.tolist() == [4.0 / (i + 1) for i in steps.tolist()]
        if iterations and rng.random() < 0.05:
            at = rng.choice(iterations)
            assert run.timeline("h.0.fc.weight", "std")[at] == made_runs.snapshot(at).statistics[1, 1]
        if rng.random() < 0.1:
            run = paramviz.open_run(path)
            assert set(iterations) <= set(run.iterations.tolist())
        if ended:
            break
        # Machines with fewer processors than readers shall write, too.
        time.sleep(0.002)
    print(looks, reads, len(run.iterations), flush=True)
