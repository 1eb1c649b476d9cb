"""`paramviz compare`: are two runs the same, and where do they differ?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paramviz.analysis.alignment import ALIGNMENTS, Alignment
from paramviz.analysis.comparison import Comparison, TensorComparison, compare
from paramviz.analysis.pairing import shape_text
from paramviz.cli.compared import content_of, gap_text, setting_text, verdict
from paramviz.cli.printing import print_parts
from paramviz.cli.progress import progress_bar
from paramviz.cli.wording import number_text, plain
from paramviz.store import Run, open_run

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_DIFFER = 1


@click.command("compare", short_help="Say whether two runs are the same, and where they differ.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--align",
    "alignment",
    type=click.Choice(ALIGNMENTS),
    default="iteration",
    show_default=True,
    help="Which snapshots stand beside each other.",
)
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(min=0), help="How many tensors to print."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page that needs nothing else.",
)
def compare_(a: str, b: str, alignment: Alignment, top: int, as_json: bool, html: Path | None) -> None:
    """Compare the runs A and B: settings, scalars, and the weights sample by sample.

    Exit status 0 if nothing that was recorded differs, 1 if something does.
    """
    run_a, run_b = open_run(a), open_run(b)
    with progress_bar("comparing") as progress:
        comparison = compare(run_a, run_b, alignment, progress)
    if html is not None:
        from paramviz.cli.comparison_page import write_page

        write_page(html, comparison, run_a, run_b)
    if as_json:
        from viewer.json_numbers import portable

        click.echo(json.dumps(portable(content_of(comparison, run_a, run_b)), indent=2))
    else:
        print_parts(_parts(comparison, run_a, run_b, top))
    if not comparison.is_same:
        click.get_current_context().exit(_DIFFER)


def _parts(comparison: Comparison, a: Run, b: Run, top: int) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text.assemble(("A ", "bold"), f"{plain(a.name)}  {plain(str(a.path))}")
    yield Text.assemble(("B ", "bold"), f"{plain(b.name)}  {plain(str(b.path))}")
    yield Text(verdict(comparison), style="bold")
    if comparison.settings:
        told = [(s.key, setting_text(s.a), setting_text(s.b)) for s in comparison.settings]
        yield from _titled("Settings that differ", _table(("", "A", "B"), told))
    if comparison.scalars:
        lasts = [
            (s.name, number_text(s.last_a), number_text(s.last_b), _share(s.differing, s.shared))
            for s in comparison.scalars
        ]
        yield from _titled("Scalars", _table(("", "last of A", "last of B", "iterations that differ"), lasts))
    for names, side in zip(comparison.scalars_of_one, "AB", strict=True):
        if names:
            yield Text(f"Only {side} has {', '.join(map(plain, names))}.")
    if comparison.differing and top:
        rows = [_tensor_row(tensor) for tensor in comparison.differing[:top]]
        heads = ("", "shape", "largest difference", "cosine at the end", "differs from", "moved, A and B")
        yield from _titled("Tensors that differ most", _table(heads, rows))
    for unpaired, side in ((comparison.pairing.only_a, "A"), (comparison.pairing.only_b, "B")):
        if unpaired:
            alone = [(u.tensor.name, shape_text(u.tensor.shape), u.reason) for u in unpaired]
            yield from _titled(f"Only in {side}", _table(("", "shape", "why"), alone))


def _tensor_row(tensor: TensorComparison) -> tuple[str, ...]:
    a, b = tensor.pair.a, tensor.pair.b
    name = a.name if tensor.pair.by == "name" else f"{a.name} and {b.name}, paired by {tensor.pair.by}"
    shape = shape_text(a.shape) if a.shape == b.shape else f"{shape_text(a.shape)} and {shape_text(b.shape)}"
    moved = " and ".join("–" if m != m else f"{100 * m:.3g} %" for m in tensor.moved)
    first = "" if tensor.first_difference is None else f"{tensor.first_difference:,}"
    return name, shape, gap_text(tensor), number_text(tensor.cosine), first, moved


def _share(differing: int, shared: int) -> str:
    return f"{differing:,} of {shared:,}" if differing else "none"


def _titled(title: str, table: Table) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text(f"\n{title}", style="bold")
    yield table


def _table(heads: tuple[str, ...], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table
