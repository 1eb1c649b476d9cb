"""The patch of docs/INTEGRATIONS.md for scripts in nanoGPT's style, and the script that it is tried on."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "integrations" / "nanogpt_train.py"


def hunks() -> list[list[str]]:
    """The lines of each hunk of the documented patch."""
    text = (ROOT / "docs" / "INTEGRATIONS.md").read_text(encoding="utf-8")
    (patch,) = re.findall(r"```diff\n(.*?)```", text, re.S)
    return [hunk.strip("\n").split("\n") for hunk in re.split(r"^@@.*\n", patch, flags=re.M) if hunk.strip()]


def added_lines() -> list[str]:
    return [line for hunk in hunks() for line in hunk if line.startswith("+")]


def patched_script() -> str:
    """The script with each hunk applied where its context stands; ValueError if that is not one place."""
    script = SCRIPT.read_text(encoding="utf-8").split("\n")
    for hunk in hunks():
        old = [line[1:] for line in hunk if not line.startswith("+")]
        new = [line[1:] for line in hunk if not line.startswith("-")]
        places = [i for i in range(len(script)) if script[i : i + len(old)] == old]
        if len(places) != 1:
            raise ValueError(f"these lines stand {len(places)} times in the script: {old}")
        script[places[0] : places[0] + len(old)] = new
    return "\n".join(script)
