"""How the benchmarks print what they measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import numpy as np


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


def row(label: str, text: str) -> None:
    print(f"  {label:<44} {text}", flush=True)


def title(text: str) -> None:
    print(f"\n{text}", flush=True)
