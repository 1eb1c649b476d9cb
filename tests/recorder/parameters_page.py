"""The table of docs/PARAMETERS.md, made by recording each kind of tensor.

usage: python -m tests.recorder.parameters_page
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

import paramviz
from paramviz.store import Run
from tests.recorder.parameter_kinds import KINDS, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "PARAMETERS.md"
COMMAND = ".venv/bin/python -m tests.recorder.parameters_page"
BEGIN, END = "<!-- made by tests/recorder/parameters_page.py -->\n", "<!-- end -->\n"


@contextmanager
def one_process(folder: Path) -> Iterator[None]:
    """A group of this process alone, for DTensors."""
    dist.init_process_group("gloo", store=dist.FileStore(str(folder / "store"), 1), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def record(kind: Kind, path: Path) -> tuple[Run, object]:
    """The run of two snapshots, with everything in it, and the model at the second."""
    with warnings.catch_warnings():
        # torch warns of kinds that it gives up, or is still building.
        warnings.simplefilter("ignore")
        model = kind.make()
    with paramviz.Recorder(path, model, key_every=1, quantities=paramviz.QUANTITIES) as recorder:
        recorder.step(0)
        kind.change(model)
        recorder.step(1, event="checkpoint")
    return paramviz.open_run(path), model


def row(kind: Kind, run: Run) -> str:
    """The line of the table."""
    tensor = next(t for t in run[1].plan.tensors if t.name == kind.tensor)
    if tensor.skipped is not None:
        outcome = f"skipped: {tensor.skipped}"
    elif tensor.tied_to is not None:
        outcome = f"answers from its owner, `{tensor.tied_to}`"
    else:
        outcome = "recorded"
    return f"| {kind.title} | {outcome} | {kind.note} |\n".replace("|  |", "| |")


def table(rows: dict[str, str]) -> str:
    """rows: by the titles of the kinds."""
    lines = "".join(rows[kind.title] for kind in KINDS)
    return f"{BEGIN}| kind of tensor | what becomes of it | mind |\n|---|---|---|\n{lines}{END}"


def with_table(page: str, made: str) -> str:
    """The page with this table in the place of its own."""
    before, _, rest = page.partition(BEGIN)
    return before + made + rest.partition(END)[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, one_process(Path(folder)):
        rows = {kind.title: row(kind, record(kind, Path(folder) / str(i))[0]) for i, kind in enumerate(KINDS)}
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table(rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
