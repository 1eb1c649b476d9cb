"""The map of CONTRIBUTING.md leads to places that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def places() -> list[str]:
    """Every path that the documents for contributors name in code marks."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:md|cfg|toml))`", text)
    return sorted({name.removeprefix("./") for name in named})


@pytest.mark.parametrize("place", places())
def test_a_place_on_the_map_exists(place):
    assert (ROOT / place).exists()


def test_the_map_is_read_at_all():
    assert "paramviz/store/" in places()


def test_every_room_is_on_the_map():
    """Whoever adds a room says what it is for."""
    rooms = [
        *(path for path in (ROOT / "paramviz").iterdir() if path.suffix == ".py" or path.is_dir()),
        *(path for path in (ROOT / "viewer" / "web" / "src").iterdir() if path.is_dir()),
    ]
    named = {place.rstrip("/") for place in places()}
    unnamed = [
        str(room.relative_to(ROOT))
        for room in rooms
        if not room.name.startswith("__") and str(room.relative_to(ROOT)) not in named
    ]
    assert not unnamed
