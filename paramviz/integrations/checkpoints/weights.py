"""Opening the tensors of one checkpoint: mapped into memory, never loaded, and nothing is executed."""

from __future__ import annotations

import json
import math
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paramviz.errors import DamagedRunError, MissingExtraError, UnsafeRunError
from paramviz.integrations.checkpoints.series import Checkpoint

SAFE_TORCH = (2, 6)
"""Before this version torch.load could be made to run code in spite of weights_only."""

_STATES = ("model", "state_dict", "model_state_dict", "module")
"""What training scripts call the model's part of what they save."""

_COUNTERS = ("iter_num", "global_step", "iteration", "step", "epoch")
_LARGEST_JSON = 64 << 20
_DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors by name, as they lie in their files. iteration: what the file says, or None.
    settings: the model's, such as its number of heads."""

    tensors: Mapping[str, torch.Tensor]
    iteration: int | None
    settings: Mapping[str, Any]


def open_weights(checkpoint: Checkpoint) -> Weights:
    """The tensors of a checkpoint. They are read when they are looked at.

    Raises UnsafeRunError if reading could run code or fill the memory, DamagedRunError if a file
    is not what its name says, MissingExtraError if a library is missing.
    """
    tensors: dict[str, torch.Tensor] = {}
    iteration: int | None = None
    settings = read_json(checkpoint.folder / "config.json")
    for path in checkpoint.files:
        if path.suffix == ".safetensors":
            part: Mapping[str, torch.Tensor] = _open_safetensors(path)
        else:
            loaded = _open_pickle(path)
            part = _state_of(path, loaded)
            iteration = next((loaded[key] for key in _COUNTERS if _is_count(loaded.get(key))), iteration)
            arguments = loaded.get("model_args")
            settings = {**settings, **arguments} if isinstance(arguments, dict) else settings
        for name, tensor in part.items():
            _check(path, name, tensor)
            if name in tensors:
                raise DamagedRunError(f"{path}: holds {name!r}, which another part holds too.", path=path)
        tensors.update(part)
    if checkpoint.index is not None:
        _compare_with_index(checkpoint, checkpoint.index, tensors)
    return Weights(tensors, iteration, settings)


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file beside a checkpoint; empty if there is none, or nothing sensible in it."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _open_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{path}: reading it needs safetensors, which is not installed: "
            "pip install 'paramviz[checkpoints]'.",
            extra="checkpoints",
        ) from error
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in sorted(file.keys(), key=_natural)}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, "safetensors", error) from error


def _open_pickle(path: Path) -> dict[Any, Any]:
    """What torch.save wrote, with its tensors mapped, and nothing in it but tensors and plain values."""
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < SAFE_TORCH:
        raise MissingExtraError(
            f"{path}: reading it safely needs torch {'.'.join(map(str, SAFE_TORCH))} or newer, and this is "
            f"{torch.__version__}. Install a newer one, or save the checkpoint as safetensors.",
            extra="record",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                reason = "compressed"
                raise UnsafeRunError(
                    f"{path}: has compressed parts, which torch.save never writes.", path=path, reason=reason
                )
        loaded = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnsafeRunError(
            f"{path}: holds more than tensors and plain values, and reading that could run code "
            f"({_first_line(error)}). Save the model's state alone: torch.save(model.state_dict(), …).",
            path=path,
            reason="pickle",
        ) from error
    except zipfile.BadZipFile as error:
        raise DamagedRunError(
            f"{path}: is no checkpoint of torch 1.6 or newer ({_first_line(error)}). An older one can be "
            "loaded and saved again.",
            path=path,
            key=path.name,
        ) from error
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, EOFError) as error:
        raise _damaged(path, "torch", error) from error
    if not isinstance(loaded, dict):
        raise _damaged(path, "torch", f"it holds a {type(loaded).__name__}, not tensors by name")
    return loaded


def _state_of(path: Path, loaded: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    parts = [part for key in _STATES if isinstance(part := loaded.get(key), dict)]
    for part in (*parts, loaded):
        tensors = {name: value for name, value in part.items() if isinstance(value, torch.Tensor)}
        if tensors:
            return tensors
    raise _damaged(path, "torch", f"no tensors by name, neither in it nor in its {', '.join(_STATES)}")


def _check(path: Path, name: object, tensor: torch.Tensor) -> None:
    """A name that a module tree can have, and a tensor whose elements are in the file, each once."""
    if not isinstance(name, str) or not name or name.count(".") >= _DEEPEST:
        raise DamagedRunError(f"{path}: {name!r:.80} is no name of a parameter.", path=path, key=path.name)
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_nested:
        return  # not recorded, and the catalogue says why
    n_bytes = math.prod(tensor.shape) * tensor.element_size()
    if n_bytes > min(tensor.untyped_storage().nbytes(), path.stat().st_size):
        raise DamagedRunError(
            f"{path}: {name} of the shape {tuple(tensor.shape)} has {n_bytes:,} bytes, more than there are "
            "in the file for it.",
            path=path,
            key=path.name,
        )


def _compare_with_index(checkpoint: Checkpoint, index: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    listed = read_json(index).get("weight_map")
    names = [path.name for path in checkpoint.files]
    if not isinstance(listed, dict):
        found = "lists no tensors"
    elif any(name not in names for name in listed.values()):
        found = "lists files that are not beside it"
    elif listed.keys() != tensors.keys():
        found = f"lists {len(listed)} tensors, and its files hold {len(tensors)} or others"
    else:
        return
    raise DamagedRunError(f"{index}: {found}. Bring all files of the checkpoint.", path=index, key=index.name)


def _natural(name: str) -> list[tuple[int, str]]:
    """Layers by their numbers: h.2 before h.10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _damaged(path: Path, kind: str, why: object) -> DamagedRunError:
    return DamagedRunError(
        f"{path}: is no {kind} checkpoint, or a damaged one ({_first_line(why)}).", path=path, key=path.name
    )


def _first_line(why: object) -> str:
    lines = str(why).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(why).__name__
