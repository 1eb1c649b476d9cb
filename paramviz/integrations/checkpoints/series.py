"""Which checkpoints there are, in which files each lies, and which iteration it is of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from paramviz.errors import NotARunError, UsageError

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
INDEX_SUFFIX = ".index.json"

_MODEL_NAMES = ("model", "pytorch_model", "adapter_model", "diffusion_pytorch_model", "consolidated")
"""What libraries call the model among the files of one checkpoint, in the order of preference."""

_NO_MODEL = re.compile(r"(?:training_args|optimizer|scheduler|rng_state|random_states|scaler|sampler)\w*")
"""What trainers save beside the model."""

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
_COUNTED = re.compile(r"(?:step|iter|iteration|it)s?[-_=]?(\d+)", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:checkpoint|ckpt|epoch|(?<![A-Za-z0-9]))[-_=]?(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint: the files with its tensors, and the index of these, if there is one.

    iteration: as its name tells; None if that has no number. folder: where a configuration
    may lie beside it.
    """

    name: str
    files: tuple[Path, ...]
    folder: Path
    iteration: int | None
    index: Path | None = None


def find_checkpoints(source: Path) -> list[Checkpoint]:
    """The checkpoints at `source`: a file, the folder of one, or a folder of several.

    A model that lies beside numbered ones without a number of its own, as a trainer leaves it
    at the end, is left out. Raises NotARunError if there is none, UsageError if it cannot be
    told which files belong together.
    """
    if source.is_file():
        if source.suffix not in SUFFIXES:
            raise UsageError(f"{source}: the format is told by the name: {', '.join(SUFFIXES)} or .h5.")
        return [Checkpoint(source.name, (source,), source.parent, iteration_in(source.stem))]
    if not source.is_dir():
        raise NotARunError(f"{source}: there is no such file or folder.", path=source)
    found = _in_folder(source)
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        found += _one_of(folder, _in_folder(folder))
    if not found:
        raise NotARunError(
            f"{source}: holds no checkpoint; looked for files that end with {', '.join(SUFFIXES)}, in it and "
            "in the folders in it.",
            path=source,
        )
    numbered = [checkpoint for checkpoint in found if checkpoint.iteration is not None]
    return numbered or found


def iteration_in(name: str) -> int | None:
    """The number in a name: behind `step` or `iter` if there is that, else the last one that stands alone."""
    counted = _COUNTED.findall(name) or _NUMBERED.findall(name)
    return int(counted[-1]) if counted and len(counted[-1]) <= 15 else None


def _in_folder(folder: Path) -> list[Checkpoint]:
    """What lies directly in a folder; the shards of one checkpoint together."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES and path.is_file() and not _NO_MODEL.fullmatch(path.stem):
            shard = _SHARD.fullmatch(path.stem)
            groups.setdefault(f"{shard[1]}{path.suffix}" if shard else path.name, []).append(path)
    return [_checkpoint(folder, name, files) for name, files in groups.items()]


def _checkpoint(folder: Path, name: str, files: list[Path]) -> Checkpoint:
    shards = [shard for path in files if (shard := _SHARD.fullmatch(path.stem))]
    if shards and {int(shard[2]) for shard in shards} != set(range(1, int(shards[0][3]) + 1)):
        raise UsageError(
            f"{folder / name}: {len(shards)} of its {int(shards[0][3])} parts are there. Bring the others."
        )
    index = folder / f"{name}{INDEX_SUFFIX}"
    return Checkpoint(
        name, tuple(files), folder, iteration_in(Path(name).stem), index if index.is_file() else None
    )


def _one_of(folder: Path, found: list[Checkpoint]) -> Iterable[Checkpoint]:
    """The checkpoint of a folder that is one checkpoint; its number is in the folder's name."""
    order = {name: place for place, name in enumerate(_MODEL_NAMES)}
    known = sorted(
        (checkpoint for checkpoint in found if Path(checkpoint.name).stem in order),
        key=lambda c: (order[Path(c.name).stem], not c.name.endswith(".safetensors")),
    )
    candidates = known[:1] or found
    if len(candidates) > 1:
        raise UsageError(
            f"{folder}: holds {len(candidates)} files that may be the model ("
            f"{', '.join(candidate.name for candidate in candidates[:4])}). Import one of them."
        )
    for one in candidates:
        iteration = iteration_in(folder.name) if one.iteration is None else one.iteration
        yield Checkpoint(folder.name, one.files, folder, iteration, one.index)
