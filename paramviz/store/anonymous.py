"""A run's description without what tells of the person and the machine. docs/SHARING.md is the promise.

What stays is named here; everything else goes. A field that the recorder
learns to write tomorrow is left out until somebody decides that it may stay.
"""

from __future__ import annotations

import re
from typing import Any

from paramviz.schema import Description

KEPT_FIELDS = (
    "model",
    "parameters",
    "tensors",
    "modules",
    "config",
    "schedule",
    "optimizers",
    "versions",
    "device",
    "thinned",
    "packed",
)
"""Fields of the description that stay, their texts filtered by `_allowed`."""

LEFT_OUT = "(left out)"
"""What stands in place of a text that may tell too much."""

NAME = "anonymous"

_SECRET_KEY = re.compile(
    r"token(?!i|s|_?emb)|secret|passw|pass_?phrase|credential|auth|cookie|session|private|(^|_)api|(^|_)pin$|key$",
    re.IGNORECASE,
)
"""Names of settings whose values are left out whatever they are, numbers too."""

_TELLING_KEY = re.compile(
    r"user|owner|host|node|mail|path|dir|folder|file|root|url|uri|endpoint|bucket|proxy|address|project|"
    r"entity|team|group_?name|run_?name|(^|_)name$|comment|note|git|commit|branch|repo|remote|command|argv|"
    r"resume|wandb",
    re.IGNORECASE,
)
"""Names of settings whose texts are left out whatever they are."""

_PLAIN_TEXT = re.compile(r"[A-Za-z0-9 _.,:;+=()\[\]<>%×\-]{0,64}")
"""No path, address, mail or quoted text fits into this."""

_LONG_MIXED_WORD = re.compile(r"(?=[A-Za-z0-9_-]*[0-9])(?=[A-Za-z0-9_-]*[A-Za-z])[A-Za-z0-9_-]{20,}")
"""Keys and tokens of services look like this; names of models and methods do not."""

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|[A-Za-z0-9-]+\.(com|org|net|edu|io|ai|local|lan|internal)\b")


def anonymous_description(description: Description) -> Description:
    """The fields of `KEPT_FIELDS`, with each text in them that may tell too much left out."""
    return {key: _filtered(description[key]) for key in KEPT_FIELDS if key in description}


def _filtered(value: Any, telling: bool = False) -> Any:
    """The same value without texts that `_allowed` refuses; all texts go where the key is `telling`."""
    match value:
        case str():
            return value if not telling and _allowed(value) else LEFT_OUT
        case dict():
            return {
                key: LEFT_OUT
                if _SECRET_KEY.search(key)
                else _filtered(item, telling or _TELLING_KEY.search(key) is not None)
                for key, item in value.items()
                if _allowed(key)
            }
        case list():
            return [_filtered(item, telling) for item in value]
        case _:
            return value


def _allowed(text: str) -> bool:
    return (
        _PLAIN_TEXT.fullmatch(text) is not None
        and _LONG_MIXED_WORD.search(text) is None
        and _ADDRESS.search(text) is None
    )
