"""Whether two pictures show the same, as a person would say it, whichever machine drew them.

Text and edges are drawn a little differently by another version of Chromium, another hinting of
fonts, another processor. Means over squares of 16 × 16 CSS pixels forgive that; a thing that is gone,
came, moved by a few pixels or changed its colour shifts some of them far.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.float32]
"""[height, width, 3], 0 to 255."""

SQUARE = 16
"""CSS pixels on a side of what is compared."""
KEPT_SCALE = 2
"""An accepted picture is kept with one pixel for 2 × 2 CSS pixels: enough for a reader."""
FAR = 10.0
"""A square whose mean differs by more, in any channel, shows something else."""
FAR_SQUARES = 1
"""So many may: a line that fell on the other side of a square's edge."""
MEAN = 0.4
"""The mean difference of all squares: a picture that is darker or paler in all of it."""


@dataclass(frozen=True, slots=True)
class Likeness:
    far_squares: int
    mean: float

    @property
    def is_same(self) -> bool:
        return self.far_squares <= FAR_SQUARES and self.mean <= MEAN


def load(path: Path) -> Picture:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float32)


def shrunk(picture: Picture, factor: int) -> Picture:
    """Means over squares of `factor` pixels; what is left over at the right and below is cut off."""
    height, width = (side // factor for side in picture.shape[:2])
    cut = picture[: height * factor, : width * factor]
    means: Picture = cut.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    return means


def save(picture: Picture, path: Path) -> None:
    Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8)).save(path, optimize=True)


def likeness(seen: Picture, accepted: Picture) -> Likeness:
    """Of two pictures with one pixel for `KEPT_SCALE` CSS pixels each way."""
    if seen.shape != accepted.shape:
        return Likeness(far_squares=seen.size, mean=255.0)
    gap = np.abs(_squares(seen) - _squares(accepted))
    return Likeness(int((gap.max(axis=2) > FAR).sum()), float(gap.mean()))


def beside(accepted: Picture, seen: Picture) -> Picture:
    """Accepted, seen, and where they differ (white: far), one under the other: for whoever has to judge."""
    if seen.shape != accepted.shape:
        return seen
    gap = np.abs(_squares(seen) - _squares(accepted)).max(axis=2)
    side = SQUARE // KEPT_SCALE
    shown = np.kron(np.minimum(gap / FAR, 1.0) * 255, np.ones((side, side)))
    canvas = np.zeros_like(accepted)
    canvas[: shown.shape[0], : shown.shape[1]] = shown[..., None]
    return np.concatenate([accepted, seen, canvas])


def _squares(picture: Picture) -> Picture:
    return shrunk(picture, SQUARE // KEPT_SCALE)
