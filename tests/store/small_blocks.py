"""Blocks of two snapshots and three steps, so that a short run has several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def small_blocks(snapshots: int = 2, steps: int = 3) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("paramviz.store.blocks.BLOCK_SNAPSHOTS", snapshots)
        patch.setattr("paramviz.store.blocks.SMALLEST_BLOCK", 1)
        patch.setattr("paramviz.store.blocks.BLOCK_STEPS", steps)
        yield
