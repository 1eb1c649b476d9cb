"""Sealing blocks while a run is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from paramviz.store import layout
from paramviz.store.blocks import Block, ScalarBuilder, TimelineBuilder
from paramviz.store.files import RunFiles
from paramviz.store.group_files import LaidOutArray
from paramviz.store.journal_writer import JournalWriter
from paramviz.store.records import Record

Array = npt.NDArray[Any]
PublishGroup = Callable[[str, Mapping[str, LaidOutArray], Record], object]


class BlockWriter:
    """Writes a block when one is full, and what is left at the end.

    A block that cannot be written is given up: what it would have held is in
    the groups and in the journal. So nothing here raises OSError.
    """

    def __init__(
        self,
        files: RunFiles,
        journal: JournalWriter,
        publish: PublishGroup,
        next_numbers: Mapping[str, int] | None = None,
    ) -> None:
        self._files = files
        self._journal = journal
        self._publish = publish
        self._next = dict.fromkeys(layout.BLOCK_FOLDERS, 0) | dict(next_numbers or {})
        self._timeline = TimelineBuilder()
        self._scalars = ScalarBuilder()

    def add_snapshot(self, iteration: int, plan: int, tables: Mapping[str, Array | None]) -> None:
        self._seal(layout.TIMELINE, self._timeline.add(iteration, plan, tables))

    def add_step(self, iteration: int, scalars: Mapping[str, float]) -> None:
        self._seal(layout.SCALARS, self._scalars.add(iteration, scalars))

    def finish(self) -> None:
        """Seal what waits, however little."""
        self._seal(layout.TIMELINE, self._timeline.take())
        self._seal(layout.SCALARS, self._scalars.take())

    def _seal(self, folder: str, block: Block | None) -> None:
        if block is None:
            return
        number = self._next[folder]
        try:
            if number == 0:
                self._files.make_folders((folder,))
                self._files.publish(f"{folder}/{layout.GROUP_RECORD}", layout.group_metadata())
            self._publish(layout.block_key(folder, number), block.arrays, {"block": number, **block.record})
        except OSError:
            return
        self._next[folder] = number + 1
        self._journal.note({"k": "block", "of": folder, "block": number})
