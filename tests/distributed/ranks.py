"""Runs a program in several processes that have found each other.

    python -m tests.distributed.ranks MODULE PROGRAM FOLDER RANK WORLD_SIZE

Each program is called with a folder, its rank and the number of ranks; what it returns is
saved in FOLDER/RANK.pt. One that is called `launched` runs before they have found each other.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

ROOT = Path(__file__).resolve().parents[2]

DYING = {"dies", "is_killed", "first_is_killed"}
"""Programs in which not all ranks reach the end."""


def run_ranks(program: str, folder: Path, n_ranks: int, module: str = "programs") -> list[dict | None]:
    """What each rank returned; None of one that died. Whoever waits for two minutes is stuck."""
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.distributed.ranks",
                module,
                program,
                str(folder),
                str(rank),
                str(n_ranks),
            ],
            cwd=ROOT,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(n_ranks), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(n_ranks)
    ]
    allowed = (0, -signal.SIGKILL) if program in DYING else (0,)
    try:
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode in allowed, errors
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    saved = (folder / f"{rank}.pt" for rank in range(n_ranks))
    return [torch.load(file) if file.exists() else None for file in saved]


def main(module: str, program: str, folder: Path, rank: int, n_ranks: int) -> None:
    torch.set_num_threads(1)
    run = getattr(importlib.import_module(f"tests.distributed.{module}"), program)
    result = run(folder, rank, n_ranks) if program == "launched" else None
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=n_ranks,
        timeout=timedelta(seconds=60),
    )
    if result is None:
        result = run(folder, rank, n_ranks)
    torch.save(result, folder / f"{rank}.pt")
    if program not in DYING:
        distributed.barrier()
        distributed.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
