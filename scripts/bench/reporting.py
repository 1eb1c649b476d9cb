"""How the benchmarks print what they measured."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

REPEATS = 5
PATIENCE_S = 2.0
"""A question that takes longer is asked once only."""


def machine() -> str:
    """One line about the machine: figures of another one may differ."""
    import torch

    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}, torch {torch.__version__} with {torch.get_num_threads()} thread(s)"
    )


def percentile(values: Sequence[float], share: float) -> float:
    return float(np.percentile(np.asarray(values, np.float64), share))


def spread(values: Sequence[float], unit: str, digits: int = 1) -> str:
    """Median, 95th percentile and the number of measurements."""
    return (
        f"p50 {percentile(values, 50):.{digits}f} {unit}, p95 {percentile(values, 95):.{digits}f} {unit} "
        f"({len(values)} measured)"
    )


def median_ms(question: Callable[[], object], most: int = REPEATS) -> float:
    """Of a question that is asked `most` times, fewer if the answers take long."""
    taken_s: list[float] = []
    while len(taken_s) < most and sum(taken_s) < PATIENCE_S:
        started = time.perf_counter()
        question()
        taken_s.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken_s)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; others may write there meanwhile."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.path.getsize(Path(place, file))
    return total


def row(label: str, text: str) -> None:
    print(f"  {label:<44} {text}", flush=True)


def title(text: str) -> None:
    print(f"\n{text}", flush=True)
