"""What recording a large model costs: one of 1.5 billion parameters, and one of 20,000 tensors.

Each is recorded in a process of its own, which makes the model, remembers its memory, and
reports how far the peak went beyond that: compiled code, frames and files included. Weights are
random. Gradients are real in shape and number, but are the weights themselves, so that
they take no memory. The training thread's time is that of the optimizer's hooks and of `step()`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

import paramviz
from bench.reporting import machine, median_ms, row, title
from paramviz.sampling import SampleBudgets
from train_demo.gpt import GPT, GPTConfig

XL = GPTConfig(vocabulary_size=50257, block_size=1024, n_layer=48, n_head=25, n_embd=1600)
SMALL = GPTConfig(vocabulary_size=5000, block_size=128, n_layer=4, n_head=4, n_embd=256)
SNAPSHOTS = 7
KEY_EVERY = 3
"""The first, the fourth and the last are of the key tier; the first warms up, and counts for memory only."""

CASES: dict[str, dict[str, Any]] = {
    "all, default budget": {},
    "budget of 250 kB": {"budgets": SampleBudgets(total_bytes=250_000)},
    "first and last layer": {"include": ["*.h.0.*", "*.h.47.*"]},
    "attention only": {"include": ["*.attn.*"]},
}


class Expert(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)


class Mixture(nn.Module):
    """A layer of attention and many small experts, each a module of its own."""

    def __init__(self, width: int, hidden: int, n_experts: int) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.o_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.norm, self.gate = nn.LayerNorm(width), nn.Linear(width, n_experts)
        self.experts = nn.ModuleList(Expert(width, hidden) for _ in range(n_experts))


def mixture(n_layers: int, n_experts: int) -> nn.Module:
    return nn.ModuleDict({"layers": nn.ModuleList(Mixture(16, 24, n_experts) for _ in range(n_layers))})


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench/scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small models, to see that it works")
    parser.add_argument("--case", nargs=3, metavar=("MODEL", "CASE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        model, case, folder = arguments.case
        print(json.dumps(recorded(MODELS[model](), CASES[case], Path(folder))))
        return
    size = "-quick" if arguments.quick else ""
    torch.set_num_threads(1)
    print(machine())
    for case in CASES:
        title(f"GPT-2 XL{size}: {case}")
        report(f"xl{size}", case)
    title(f"A mixture of many experts{size}")
    report(f"experts{size}", "all, default budget")


def report(model: str, case: str) -> None:
    """Record in a process of its own, and print what it found."""
    with tempfile.TemporaryDirectory(prefix="paramviz-bench-") as folder:
        command = [sys.executable, "-P", "-m", "bench.scale", "--case", model, case, folder]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for label, text in described(found).items():
            row(label, text)
        row("opened, one tensor read (a fresh reader)", f"{opening_ms(Path(folder)):.0f} ms")


def described(found: Mapping[str, Any]) -> dict[str, str]:
    core, key = found["core"], found["key"]
    return {
        "model": f"{found['parameters']:,} parameters in {found['tensors']:,} tensors, "
        f"{found['model_mb']:,.0f} MB; {found['recorded']:,} tensors recorded",
        "Recorder(…)": f"{found['constructor_s']:.2f} s",
        "training thread, core / key snapshot": f"{core['thread_ms']:.0f} / {key['thread_ms']:.0f} ms",
        "until it is on disk, core / key": f"{core['disk_ms']:.0f} / {key['disk_ms']:.0f} ms",
        "bytes raw, core / key": f"{core['raw_mb']:.2f} / {key['raw_mb']:.2f} MB",
        "bytes stored, core / key": f"{core['stored_mb']:.2f} / {key['stored_mb']:.2f} MB",
        "peak memory above the model": f"{found['peak_mb']:.0f} MB, of which "
        f"{found['libraries_mb']:.0f} MB are libraries and compiled loops (numba {found['numba_mb']:.0f} MB)",
    }


def recorded(model: nn.Module, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Record a few snapshots of a model that does not move."""
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    for parameter in model.parameters():
        parameter.grad = parameter.detach()
    model_kb = status_kb("VmRSS")
    forget_peak()
    numba_mb, libraries_mb = loaded_mb(model_kb)
    started = time.perf_counter()
    recorder = paramviz.Recorder(folder / "run", model, optimizer, schedule=1, key_every=KEY_EVERY, **options)
    constructor_s = time.perf_counter() - started
    tiers: dict[str, dict[str, list[float]]] = {"core": {}, "key": {}}
    with recorder:
        for iteration in range(SNAPSHOTS):
            before, started = recorder.report, time.perf_counter()
            optimizer.step()
            recorder.step(iteration)
            while recorder.report.snapshots <= iteration and not recorder.report.lost:
                time.sleep(0.001)
            now = recorder.report
            if iteration:
                measured = {
                    "thread_ms": 1e3 * (now.training_thread_s - before.training_thread_s),
                    "disk_ms": 1e3 * (time.perf_counter() - started),
                    "raw_mb": (now.raw_bytes - before.raw_bytes) / 1e6,
                    "stored_mb": (now.stored_bytes - before.stored_bytes) / 1e6,
                }
                tier = tiers["core" if iteration % KEY_EVERY else "key"]
                for name, value in measured.items():
                    tier.setdefault(name, []).append(value)
    sizes = [parameter.numel() for parameter in model.parameters()]
    tensors = paramviz.open_run(folder / "run").tensors
    return {
        "parameters": sum(sizes),
        "tensors": len(sizes),
        "recorded": sum(tensor.samples > 0 for tensor in tensors),
        "model_mb": model_kb / 1e3,
        "numba_mb": numba_mb,
        "libraries_mb": libraries_mb,
        "peak_mb": (status_kb("VmHWM") - model_kb) / 1e3,
        "constructor_s": constructor_s,
        **{tier: {name: min(values) for name, values in of.items()} for tier, of in tiers.items()},
    }


def loaded_mb(model_kb: int) -> tuple[float, float]:
    """What is loaded before the first number is recorded: numba with its compiled loops, and all of it, MB.

    Where the loops are not in their cache yet, compiling them takes some 60 MB more.
    """
    import numba  # noqa: F401

    from paramviz.statistics import warm_up

    warm_up()
    numba_kb = status_kb("VmRSS") - model_kb
    import paramviz.recorder.recorder  # noqa: F401

    return numba_kb / 1e3, (status_kb("VmRSS") - model_kb) / 1e3


def opening_ms(folder: Path) -> float:
    """Open the run, see its catalogue, and read one tensor."""

    def read() -> None:
        run = paramviz.open_run(folder / "run")
        run[3].values(next(tensor.name for tensor in run.tensors if tensor.samples))

    return median_ms(read)


def status_kb(name: str) -> int:
    """A line of Linux's account of this process, kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


MODELS: dict[str, Callable[[], nn.Module]] = {
    "xl": lambda: GPT(XL),
    "xl-quick": lambda: GPT(SMALL),
    "experts": lambda: mixture(26, 254),
    "experts-quick": lambda: mixture(2, 20),
}


if __name__ == "__main__":
    main()
