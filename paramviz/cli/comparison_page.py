"""A comparison as one HTML file: no script, nothing from elsewhere, every text of a run escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from paramviz.analysis.comparison import Comparison, TensorComparison
from paramviz.analysis.pairing import shape_text
from paramviz.cli.compared import gap_text, setting_text, verdict
from paramviz.cli.wording import number_text
from paramviz.errors import OutputError
from paramviz.store import Run

WIDTH, HEIGHT = 640, 150
"""Units of a chart's picture."""
MOST_POINTS = 640
"""One for each unit of the width."""
MOST_ROWS, MOST_COLUMNS = 400, 128
"""Of the picture of differences: tensors, snapshots."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """A series as the points of an SVG polyline; a gap begins another one."""

    side: str
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    title: str
    lines: tuple[Line, ...]
    lowest: str
    highest: str
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor of the picture of differences. shades: 0 to 9, "none" where it is not known."""

    tensor: TensorComparison
    gap: str
    shades: tuple[str, ...]


def write_page(path: Path, comparison: Comparison, a: Run, b: Run) -> None:
    """Write the page; raises OutputError, and leaves nothing half-written, if that fails."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("paramviz.cli", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    text = pages.get_template("comparison.html").render(
        a=a,
        b=b,
        comparison=comparison,
        verdict=verdict(comparison),
        charts=[_chart(a, b, name) for name in ("loss", "validation_loss") if _both_have(a, b, name)],
        rows=[_row(tensor) for tensor in comparison.tensors[:MOST_ROWS]],
        left_out=max(0, len(comparison.tensors) - MOST_ROWS),
        columns=_columns(comparison),
        width=WIDTH,
        height=HEIGHT,
        setting_text=setting_text,
        shape_text=shape_text,
        number_text=number_text,
    )
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise OutputError(f"{path}: the page could not be written: {error.strerror}.", path=path) from error


def _both_have(a: Run, b: Run, name: str) -> bool:
    return name in a.scalar_names and name in b.scalar_names


def _chart(a: Run, b: Run, name: str) -> Chart:
    series = [(side, *run.scalar_series(name)) for side, run in (("a", a), ("b", b))]
    finite = np.concatenate([values[np.isfinite(values)] for _, _, values in series])
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    first = min(int(iterations[0]) for _, iterations, _ in series)
    last = max(int(iterations[-1]) for _, iterations, _ in series)
    lines = []
    for side, iterations, values in series:
        kept = np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).astype(np.int64))
        x = (iterations[kept] - first) / max(1, last - first) * WIDTH
        y = HEIGHT - (values[kept] - low) / max(high - low, 1e-300) * HEIGHT
        lines.append(Line(side, _pieces(x, y)))
    title = name.replace("_", " ")
    return Chart(title, tuple(lines), number_text(low), number_text(high), f"{first:,}", f"{last:,}")


def _pieces(x: Floats, y: Floats) -> tuple[str, ...]:
    known = np.isfinite(y)
    cuts = np.flatnonzero(np.diff(known.astype(np.int8))) + 1
    parts = [
        (px, py) for px, py, k in zip(*(np.split(z, cuts) for z in (x, y, known)), strict=True) if k.all()
    ]
    return tuple(
        " ".join(f"{u:.1f},{v:.1f}" for u, v in zip(px, py, strict=True)) for px, py in parts if px.size
    )


def _columns(comparison: Comparison) -> tuple[str, str, int]:
    """First and last iteration of A, and into how many columns they fall."""
    iterations = comparison.iterations[0]
    if not len(iterations):
        return "", "", 0
    return f"{iterations[0]:,}", f"{iterations[-1]:,}", min(len(iterations), MOST_COLUMNS)


def _row(tensor: TensorComparison) -> Row:
    bins = np.array_split(tensor.relative, min(len(tensor.relative), MOST_COLUMNS) or 1)
    return Row(tensor, gap_text(tensor), tuple(_shade(part) for part in bins if part.size))


def _shade(relative: Sequence[float] | Floats) -> str:
    """The largest of a bin, by its logarithm: 0 is equal, 1 up to a thousandth, 9 as large as A itself."""
    known = [value for value in relative if not math.isnan(value)]
    if not known:
        return "none"
    largest = max(known)
    if largest == 0:
        return "0"
    return str(int(min(9, max(1, 9 + math.floor(8 / 3 * math.log10(min(largest, 1.0)))))))
