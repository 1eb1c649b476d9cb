"""JSON that every browser accepts."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from viewer.json_numbers import encode

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def strict(text):
    def refuse(name):
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


def named(value):
    """What docs/HTTP.md says becomes of a number that JSON does not know."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, dict):
        return {key: named(item) for key, item in value.items()}
    return [named(item) for item in value] if isinstance(value, list) else value


@given(values)
def test_any_value_becomes_strict_json_on_one_line(value):
    text = encode(value)
    assert "\n" not in text
    assert text.isascii()
    assert strict(text) == named(value)


def test_numpy_numbers_and_arrays_are_taken():
    value = {"a": np.float32(np.nan), "b": np.array([1.5, np.inf]), "c": np.int64(3), 4: (np.bool_(True),)}
    assert strict(encode(value)) == {"a": "NaN", "b": [1.5, "Infinity"], "c": 3, "4": [True]}
