"""Products on the writer's thread: as numpy has them, in pieces that wake no other thread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.recorder.products import QUIET, product


@given(
    rows=st.integers(0, 300), inner=st.integers(0, 300), columns=st.integers(0, 300), seed=st.integers(0, 9)
)
def test_a_product_is_the_product(rows: int, inner: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns))
    np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-12, atol=1e-12)


class Counted(np.ndarray[Any, Any]):
    """An array that notes the multiplications of each product that is asked of numpy."""

    asked: list[int]

    def __array_finalize__(self, source: Any) -> None:
        self.asked = getattr(source, "asked", [])

    def __matmul__(self, other: Any) -> Any:
        self.asked.append(self.shape[0] * self.shape[1] * other.shape[1])
        return np.asarray(self) @ other


@pytest.mark.parametrize("shape", [(5000, 768, 8), (64, 128, 2000), (3, 70_000, 5), (1, 1, 300_000)])
def test_no_piece_is_large_enough_for_threads(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    a = np.ones((rows, inner), np.float32).view(Counted)
    a.asked = []
    out = product(a, np.ones((inner, columns), np.float32))
    assert sum(a.asked) == rows * inner * columns
    assert max(a.asked) <= QUIET
    assert (np.asarray(out) == inner).all()
