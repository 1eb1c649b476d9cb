"""What a run says of itself: the model, the optimizer, the settings, and where it was made."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from paramviz.schema import Description, TensorInfo

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_LONGEST_TEXT = 1_000
_DEEPEST = 8
_GIT_PATIENCE_S = 2.0


def describe_run(
    model: nn.Module,
    tensors: Sequence[TensorInfo],
    optimizers: Sequence[object],
    config: object,
    schedule: object,
) -> Description:
    """JSON values only. It reveals the host, the command line and the commit."""
    return {
        "model": type(model).__name__,
        "parameters": sum(t.size for t in tensors if t.tied_to is None and t.role != "buffer"),
        "tensors": len(tensors),
        "modules": dict(Counter(type(module).__name__ for module in model.modules()).most_common(20)),
        "config": json_value(config),
        "schedule": schedule if isinstance(schedule, str | int) else json_value(schedule),
        "optimizers": [_describe_optimizer(optimizer) for optimizer in optimizers],
        "versions": _versions(),
        "host": platform.node(),
        "platform": platform.platform(),
        "device": sorted({str(parameter.device) for parameter in model.parameters()}),
        "git": _git(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else [],
        "process": os.getpid(),
    }


def json_value(value: object, depth: int = 0) -> Any:
    """The value as JSON can hold it: containers and plain objects by their parts, everything else as text."""
    if depth > _DEEPEST:
        return "…"
    match value:
        case None | bool() | str():
            return value if not isinstance(value, str) else value[:_LONGEST_TEXT]
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else _NOT_FINITE[str(float(value))]
        case np.generic():
            return json_value(value.item(), depth)
        case Mapping():
            return {str(key): json_value(item, depth + 1) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [json_value(item, depth + 1) for item in value]
        case Namespace() | SimpleNamespace():
            return json_value(vars(value), depth)
        case torch.Tensor() if value.numel() == 1 and value.device.type == "cpu":
            return json_value(value.item(), depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: json_value(getattr(value, f.name), depth + 1) for f in dataclasses.fields(value)}
    try:
        if not isinstance(value, type) and callable(to_dict := getattr(value, "to_dict", None)):
            return json_value(to_dict(), depth + 1)
        return str(value)[:_LONGEST_TEXT]
    except Exception:
        # Foreign code: a configuration that cannot be shown must not keep a run from being recorded.
        return f"<{type(value).__name__}>"


def _describe_optimizer(optimizer: object) -> dict[str, Any]:
    groups = getattr(optimizer, "param_groups", [])
    return {
        "class": type(optimizer).__name__,
        "groups": [
            {
                **{name: json_value(value) for name, value in group.items() if name != "params"},
                "parameters": sum(parameter.numel() for parameter in group["params"]),
            }
            for group in groups
        ],
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    try:
        versions["paramviz"] = metadata.version("paramviz")
    except metadata.PackageNotFoundError:
        versions["paramviz"] = "not installed"
    return versions


def _git() -> dict[str, Any] | None:
    """Commit of the script's folder, and whether files differ from it; None outside git."""
    script = Path(sys.argv[0]).resolve().parent if sys.argv and sys.argv[0] else Path.cwd()
    folder = script if script.is_dir() else Path.cwd()
    commit = _ask_git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _ask_git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "modified": None if changes is None else bool(changes)}


def _ask_git(folder: Path, *command: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *command],
            capture_output=True,
            text=True,
            timeout=_GIT_PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
