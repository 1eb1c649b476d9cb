"""The colour of a number, from the constants that the page itself is built from."""

from __future__ import annotations

import math
import re
from pathlib import Path

Rgb = tuple[float, float, float]


class Colours:
    """The maths of layout/colour.ts in a third language, for the dark theme."""

    def __init__(self, project_root: Path) -> None:
        source = (project_root / "viewer/web/src/layout/colour.ts").read_text(encoding="utf-8")
        triple = r"\[([\d.]+), ([\d.]+), ([\d.]+)\]"

        def colour(before: str) -> Rgb:
            found = re.search(before + triple, source)
            assert found, before
            return float(found[1]), float(found[2]), float(found[3])

        def constant(name: str) -> float:
            found = re.search(rf"{name} = ([\d.]+);", source)
            assert found, name
            return float(found[1])

        self.zero = colour(r"dark: \{ zero: ")
        self.negative = colour(r"dark: \{ zero: \[[^\]]*\], negative: ")
        self.nan = colour("NAN_COLOUR: Rgb = ")
        self.positive_infinity = colour("POSITIVE_INFINITY_COLOUR: Rgb = ")
        self.negative_infinity = colour("NEGATIVE_INFINITY_COLOUR: Rgb = ")
        self.hues = {block: colour(f"  {block}: ") for block in ("attention", "mlp")}
        self.gamma = constant("GAMMA")
        self.extreme_white = constant("EXTREME_WHITE")

    def of(self, number: float, scale: float, block: str) -> Rgb:
        if math.isnan(number):
            return self.nan
        if math.isinf(number):
            return self.positive_infinity if number > 0 else self.negative_infinity
        end = self.negative if number < 0 else self.hues[block]
        return mix(self.zero, end, min(abs(number) / scale, 1.0) ** self.gamma)

    def extreme(self, block: str) -> Rgb:
        return mix(self.hues[block], (1.0, 1.0, 1.0), self.extreme_white)


def mix(a: Rgb, b: Rgb, t: float) -> Rgb:
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t
