"""The files of a run, verified, as a copy of it holds them.

Packing, unpacking and importing all take their files from `copied_files`; they
differ only in where these go. Nothing that was not committed is copied, and
damage stops the copy with the name of the file.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paramviz.schema import Description
from paramviz.store import layout
from paramviz.store.anonymous import NAME, anonymous_description
from paramviz.store.blocks import TIMELINE_TABLES, Block, ScalarBuilder, TimelineBuilder
from paramviz.store.codec import CorruptBytesError
from paramviz.store.copied_journal import JournalCopy
from paramviz.store.encoded import DamagedArrayError
from paramviz.store.group_files import GroupEncoder, SealCollector, sealed_record
from paramviz.store.groups import read_group_record
from paramviz.store.probe_group import without_tokens
from paramviz.store.reader import Run
from paramviz.store.records import Record, read_files, write_files

KeyedFile = tuple[str, bytes]
"""(key relative to the run, bytes)."""

Progress = Callable[[int, int], None]
"""Called with (snapshots done, snapshots in all)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a run a copy holds. iterations: (kept,) int64 ascending; thinned: None if that is all."""

    iterations: npt.NDArray[np.int64]
    thinned: dict[str, Any] | None = None
    anonymous: bool = False


def copied_files(run: Run, selection: Selection, progress: Progress | None = None) -> Iterator[KeyedFile]:
    """Every file of a copy, records behind what they vouch for, the root record last.

    Raises DamagedRunError for the first file that is not what was committed.
    """
    return _Copy(run, selection).files(progress)


class _Copy:
    def __init__(self, run: Run, selection: Selection) -> None:
        self._run = run
        self._selection = selection
        # The journal first: whatever is committed from here on belongs to no copy of this moment.
        self._journal = JournalCopy(run, selection.anonymous)
        self._encoder = GroupEncoder()

    def files(self, progress: Progress | None) -> Iterator[KeyedFile]:
        folders = [layout.PLANS, layout.BASES, layout.ITERATIONS]
        if self._run.n_probes:
            folders.append(layout.PROBES)
        for folder in folders:
            yield self._folder_record(folder)
        for key in self._written_once():
            yield from self._group(key)
        iterations = self._selection.iterations.tolist()
        for done, iteration in enumerate(iterations, start=1):
            yield from self._iteration(iteration)
            if progress is not None:
                progress(done, len(iterations))
        yield from self._blocks(layout.TIMELINE, self._timeline())
        yield from self._blocks(layout.SCALARS, self._scalars())
        yield layout.journal_segment(0), self._journal.encode()
        yield layout.GROUP_RECORD, layout.group_metadata(self._root())

    def _written_once(self) -> Iterator[str]:
        run = self._run
        yield from (layout.plan_key(number) for number in range(run.n_plans))
        yield from (layout.basis_key(number) for number in range(run.n_bases))
        yield from (layout.probe_key(number) for number in range(run.n_probes))
        if run.has_vocabulary:
            yield layout.VOCABULARY

    def _folder_record(self, folder: str) -> KeyedFile:
        key, expected = f"{folder}/{layout.GROUP_RECORD}", layout.group_metadata()
        try:
            data = self._run.source.read(key, len(expected) + 1)
        except OSError as error:
            raise self._run.damaged(key, "is missing") from error
        except CorruptBytesError as error:
            raise self._run.damaged(key, str(error)) from error
        if data != expected:
            raise self._run.damaged(key, "is not what was written")
        return key, data

    def _group(self, key: str) -> Iterator[KeyedFile]:
        """A plan, a basis, a probe or the vocabulary."""
        record = read_group_record(self._run.source, key, self._run.damaged)
        if self._selection.anonymous and key.startswith(layout.PROBES):
            record = without_tokens(record)
        files = yield from self._arrays(key, record)
        yield f"{key}/{layout.GROUP_RECORD}", layout.group_metadata({**record, "files": files})

    def _iteration(self, iteration: int) -> Iterator[KeyedFile]:
        key = layout.iteration_key(iteration)
        # Reading it as a snapshot compares the record with the journal; the copy keeps fields we do not know.
        commit = self._run[iteration].record
        record = read_group_record(self._run.source, key, self._run.damaged)
        record["files"] = yield from self._arrays(key, record)
        if self._selection.anonymous:
            record["events"] = [{"kind": event.kind, "text": ""} for event in commit.events]
        self._journal.note(iteration, record)
        yield f"{key}/{layout.GROUP_RECORD}", layout.group_metadata(record)

    def _timeline(self) -> Iterator[Block | None]:
        """Blocks of the snapshots that are copied: those of the run may have others in them."""
        builder, run = TimelineBuilder(), self._run
        kept = set(self._selection.iterations.tolist())
        for iteration in filter(kept.__contains__, run.iterations_in_commit_order.tolist()):
            snapshot = run[iteration]
            tables = {key: snapshot.array(key) for key in TIMELINE_TABLES}
            yield builder.add(iteration, snapshot.record.plan, tables)
        yield builder.take()

    def _scalars(self) -> Iterator[Block | None]:
        builder = ScalarBuilder()
        for iteration, scalars in self._run.steps_since(0):
            yield builder.add(iteration, scalars)
        yield builder.take()

    def _blocks(self, folder: str, blocks: Iterator[Block | None]) -> Iterator[KeyedFile]:
        for number, block in enumerate(block for block in blocks if block is not None):
            if number == 0:
                yield f"{folder}/{layout.GROUP_RECORD}", layout.group_metadata()
            key, files = layout.block_key(folder, number), self._encoder.files(block.arrays)
            yield from ((f"{key}/{relative}", data) for relative, data in files.items())
            record = {"block": number, **block.record}
            yield f"{key}/{layout.GROUP_RECORD}", sealed_record(record, files)
            self._journal.note_block(folder, number)

    def _arrays(self, group: str, record: Record) -> Generator[KeyedFile, None, Record]:
        """The arrays of a group; returns the list of files for its record."""
        seals = SealCollector()
        try:
            for relative, data in self._run.source.encoded_files(group, read_files(record)):
                seals.add(relative, data)
                yield f"{group}/{relative}", data
        except DamagedArrayError as error:
            raise self._run.damaged(error.key, str(error)) from error
        except CorruptBytesError as error:
            raise self._run.damaged(f"{group}/{layout.GROUP_RECORD}", str(error)) from error
        return write_files(seals.seals)

    def _root(self) -> Record:
        record = json.loads(json.dumps(self._run.root.record))
        description: Description = record["description"]
        if self._selection.thinned is not None:
            description["thinned"] = self._selection.thinned
        if self._journal.status == "recording":
            description["packed"] = {"while": "recording", "snapshots": len(self._selection.iterations)}
        if self._selection.anonymous:
            record |= {"description": anonymous_description(description), "name": NAME}
            record["run_id"] = secrets.token_hex(8)
        return dict(record)
