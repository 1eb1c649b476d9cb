"""`paramviz info`: what a run is, holds and reveals."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from paramviz.cli.printing import print_parts
from paramviz.cli.summary import summarise
from paramviz.cli.wording import bytes_text, counted, duration_text, number_text, plain
from paramviz.store import open_run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_MOST_STRIDES, _MOST_GAPS, _MOST_SKIPPED, _MOST_SCALARS = 6, 5, 5, 100
_COLOURS = {"recording": "green", "finished": "cyan", "crashed": "red"}


@click.command(short_help="Say what a run is, holds and reveals.")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def info(run: str, as_json: bool) -> None:
    """Say what RUN is, what it holds, and what it reveals of the machine that recorded it."""
    summary = summarise(open_run(run))
    if as_json:
        from viewer.json_numbers import portable

        click.echo(json.dumps(portable(summary.content), indent=2))
    else:
        print_parts(_parts(summary.content))
    if summary.damage:
        raise summary.damage[0]


def _parts(run: dict[str, Any]) -> Iterator[RenderableType]:
    from rich.text import Text

    colour = _COLOURS[run["status"]]
    yield Text.assemble(
        (plain(run["name"]), "bold"), "  ", (f"● {run['status']}", colour), f"  {plain(run['path'])}"
    )
    yield _facts(run)
    if run["roles"]:
        yield _roles(run["roles"])
    if run["scalars"]:
        yield _scalars(run["scalars"])
    if run["reveals"]:
        yield Text("\nThis run reveals", style="bold")
        yield _pairs((key, _one_line(value)) for key, value in run["reveals"].items())


def _facts(run: dict[str, Any]) -> Table:
    return _pairs(pair for pair in _fact_pairs(run) if pair[1])


def _fact_pairs(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
    tensors, iterations, size = run["tensors"], run["iterations"], run["bytes"]
    parameters = tensors["elements"] if run["parameters"] is None else run["parameters"]
    yield "run id", f"{run['run_id']}  (format {run['format']})"
    yield "created", _moment(run["created_unix_s"])
    if run["status"] != "finished":
        yield "last sign of life", f"{_ago(run['last_sign_of_life_unix_s'])} ago"
    yield "model", f"{run['model'] or 'not named'}, {parameters:,} parameters"
    for key in run["description"]:
        if key not in ("model", "parameters"):
            yield key, _one_line(run["description"][key])
    yield "tensors", _tensor_text(tensors)
    yield "skipped", _list_text([f"{n}: {why}" for n, why in tensors["skipped"].items()], _MOST_SKIPPED)
    yield "snapshots", _snapshot_text(iterations)
    yield "spacing", _list_text([_stride_text(s) for s in iterations["strides"]], _MOST_STRIDES)
    yield "gaps", _list_text([f"{gap['iteration']}: {gap['text']}" for gap in run["gaps"]], _MOST_GAPS)
    yield "events", ", ".join(f"{n:,} × {kind}" for kind, n in run["events"].items())
    n_snapshots = iterations["snapshots"]
    yield (
        "recorded",
        ", ".join(
            key if n == n_snapshots else f"{key} ({n:,} of {n_snapshots:,})"
            for key, n in run["recorded"].items()
        ),
    )
    yield "size", _size_text(size, n_snapshots)


def _tensor_text(tensors: dict[str, Any]) -> str:
    parts = [f"{tensors['total']:,}", f"{tensors['recorded']:,} recorded in {tensors['samples']:,} samples"]
    if tensors["tied"]:
        parts.append(f"{len(tensors['tied'])} tied")
    if tensors["frozen"]:
        parts.append(f"{tensors['frozen']} frozen")
    return ", ".join(parts)


def _snapshot_text(iterations: dict[str, Any]) -> str:
    steps = counted(iterations["steps"], "step")
    if not iterations["snapshots"]:
        return f"none yet, {steps}"
    span = f"iterations {iterations['first']:,} to {iterations['last']:,}"
    return f"{iterations['snapshots']:,}, {span}, {steps}"


def _stride_text(stride: dict[str, int]) -> str:
    return f"every {stride['every']:,} from {stride['first']:,} to {stride['last']:,}"


def _size_text(size: dict[str, int], n_snapshots: int) -> str:
    if not n_snapshots:
        return ""
    ratio = f", {size['raw'] / size['stored']:.2f}×" if size["stored"] else ""
    each = f"{bytes_text(size['raw'] / n_snapshots)} raw a snapshot"
    return f"{bytes_text(size['stored'])} stored of {bytes_text(size['raw'])} raw{ratio}, {each}"


def _list_text(items: list[str], most: int) -> str:
    more = [f"and {len(items) - most:,} more"] if len(items) > most else []
    return "\n".join([*items[:most], *more])


def _roles(roles: dict[str, dict[str, int]]) -> Table:
    table = _table("role", "tensors", "elements", "samples")
    for role, row in roles.items():
        table.add_row(_plain(role), *(f"{row[key]:,}" for key in ("tensors", "elements", "samples")))
    return table


def _scalars(scalars: dict[str, dict[str, float]]) -> Table:
    table = _table("scalar", "last value", "at iteration", "steps")
    for name, row in islice(scalars.items(), _MOST_SCALARS):
        table.add_row(_plain(name), number_text(row["value"]), f"{row['iteration']:,}", f"{row['steps']:,}")
    if len(scalars) > _MOST_SCALARS:
        table.add_row(f"and {len(scalars) - _MOST_SCALARS:,} more", "", "", "")
    return table


def _table(first: str, *others: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(first)
    for other in others:
        table.add_column(other, justify="right")
    return table


def _pairs(pairs: Iterator[tuple[str, str]]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, text in pairs:
        table.add_row(_plain(label), _plain(text))
    return table


def _plain(text: str) -> RenderableType:
    """Text of a stranger's run, in which nothing is taken for markup either."""
    from rich.text import Text

    return Text(plain(text))


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_one_line(item)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _moment(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s).astimezone():%Y-%m-%d %H:%M:%S %Z}, {_ago(unix_s)} ago"


def _ago(unix_s: float) -> str:
    return duration_text(time.time() - unix_s)
