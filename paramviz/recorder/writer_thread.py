"""The thread that writes. Training never waits for it; what it cannot keep up with is dropped and counted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Literal

from paramviz.recorder.assembly import SKIPPED, Assembler
from paramviz.recorder.failsafe import Complaints, describe
from paramviz.recorder.frames import Frame, FramePool
from paramviz.recorder.scalars import Scalar, read_scalars, sent_scalars
from paramviz.recorder.sharded.exchange import MissingShareError
from paramviz.recorder.transfers import Arriving, sent
from paramviz.schema import Event
from paramviz.store import RunWriter

MOST_WAITING = 1 << 16
"""Steps and events that may wait for a disk that does not answer: a few dozen megabytes."""

RETRY_S = 1.0
"""After a failed write, the journal waits so long before it tries again."""

PATIENCE_S = 60.0
"""Closing gives up on a disk that has taken nothing for so long."""


@dataclass(frozen=True, slots=True)
class _Step:
    iteration: int
    scalars: dict[str, float | Arriving]
    time_unix_s: float
    found_inf: Sequence[float | Arriving]


@dataclass(frozen=True, slots=True)
class _Lost:
    iteration: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Stop:
    status: Literal["finished", "crashed"]


@dataclass(slots=True)
class _Gap:
    """Consecutive snapshots that were lost for one reason."""

    first: int
    last: int
    count: int
    reason: str
    last_but_one: int = -1

    def add(self, iteration: int) -> None:
        self.last_but_one, self.last = self.last, iteration
        self.count += 1

    def take_back(self) -> None:
        """The last one was recorded after all."""
        self.last = self.last_but_one
        self.count -= 1

    def event(self) -> Event:
        which = f"iteration {self.first}" if self.count == 1 else f"iterations {self.first} to {self.last}"
        snapshots = "1 snapshot" if self.count == 1 else f"{self.count} snapshots"
        return Event(self.first, "gap", f"{snapshots} lost ({which}): {self.reason}")


class WriterThread:
    """Takes what the training thread hands over, in order, and writes it.

    `step`, `event`, `frame` and `lost` return at once. `committed` and `lost_count`
    count snapshots, `dropped_steps` steps and events that the queue had no room for.
    """

    def __init__(
        self, writer: RunWriter, assembler: Assembler, pool: FramePool, complaints: Complaints
    ) -> None:
        self.committed = self.lost_count = self.dropped_steps = 0
        self._writer = writer
        self._assembler = assembler
        self._pool = pool
        self._complaints = complaints
        self._queue: SimpleQueue[_Step | Event | Frame | _Lost | _Stop] = SimpleQueue()
        self._journal: deque[tuple[int, dict[str, float], float] | Event] = deque()
        self._retry_at = 0.0
        self._gap: _Gap | None = None
        self._trouble: str | None = None
        self._handled = 0
        self._thread = threading.Thread(target=self._run, name="paramviz-writer", daemon=True)
        self._thread.start()

    def step(
        self,
        iteration: int,
        scalars: dict[str, Scalar],
        time_unix_s: float,
        found_inf: Sequence[Scalar] = (),
    ) -> None:
        """found_inf: read when their devices are so far; the step was skipped if one of them is not 0."""
        flags: list[float | Arriving] = [flag for flag in found_inf if isinstance(flag, float)]
        flags += sent(flag for flag in found_inf if not isinstance(flag, float))
        self._put(_Step(iteration, sent_scalars(scalars), time_unix_s, flags))

    def event(self, event: Event) -> None:
        self._put(event)

    def frame(self, frame: Frame) -> None:
        """The frame belongs to the writer thread until it is back in the pool."""
        self._queue.put(frame)

    def lost(self, iteration: int, reason: str) -> None:
        """A snapshot that was due could not be taken."""
        self._put(_Lost(iteration, reason))

    def finish(self, status: Literal["finished", "crashed"]) -> str | None:
        """Write what waits, end the run and the thread. Returns what went wrong, None if nothing did.

        Waits as long as the disk takes something, and `PATIENCE_S` longer.
        """
        self._queue.put(_Stop(status))
        if threading.current_thread() is self._thread:
            return None  # a garbage collection in this very thread: it ends by itself
        while self._thread.is_alive():
            handled = self._handled
            self._thread.join(PATIENCE_S)
            if self._thread.is_alive() and self._handled == handled:
                waiting = self._queue.qsize()
                return f"the disk has taken nothing for {PATIENCE_S:.0f} s, and {waiting} writes wait"
        return self._trouble

    def _put(self, item: _Step | Event | _Lost) -> None:
        if self._queue.qsize() < MOST_WAITING:
            self._queue.put(item)
            return
        self.dropped_steps += 1
        self._complaints.once(
            "queue", f"the disk does not answer and {MOST_WAITING} steps wait for it: later ones are dropped"
        )

    def _run(self) -> None:
        status: Literal["finished", "crashed"] | None = None
        while status is None:
            item = self._queue.get()
            try:
                match item:
                    case Frame():
                        self._publish(item)
                    case _Step():
                        self._log((item.iteration, read_scalars(item.scalars), item.time_unix_s))
                        if any(float(flag) for flag in item.found_inf):
                            self._log(Event(item.iteration, "skipped_step", SKIPPED))
                    case Event():
                        self._log(item)
                    case _Lost():
                        self._lose(item.iteration, item.reason)
                    case _Stop():
                        status = item.status
            except Exception as error:
                self._complaints.once("writer", f"something could not be recorded ({describe(error)})", error)
            self._handled += 1
        self._end(status)

    def _publish(self, frame: Frame) -> None:
        try:
            derived = self._assembler.publish(frame)
        except Exception as error:
            for event in frame.events:
                self._log(event)
            reason = _reason(error)
            self._lose(frame.iteration, reason)
            self._trouble = f"iteration {frame.iteration} could not be written ({reason})"
            self._complain_of(error)
        else:
            self.committed += 1
            self._trouble = None
            self._find(frame.iteration)
            self._end_gap()
            if derived:
                self._log((frame.iteration, derived, frame.time_unix_s))
        finally:
            self._pool.give_back(frame)

    def _lose(self, iteration: int, reason: str) -> None:
        self.lost_count += 1
        if self._gap is not None and self._gap.reason != reason:
            self._end_gap()
        if self._gap is None:
            self._gap = _Gap(iteration, iteration, 0, reason)
        self._gap.add(iteration)

    def _find(self, iteration: int) -> None:
        """A snapshot that was lost for want of a frame may be taken by a later call for its iteration."""
        if self._gap is not None and self._gap.last == iteration:
            self.lost_count -= 1
            self._gap.take_back()
            if not self._gap.count:
                self._gap = None

    def _end_gap(self) -> None:
        if self._gap is not None:
            event, self._gap = self._gap.event(), None
            self._log(event)

    def _log(self, entry: tuple[int, dict[str, float], float] | Event) -> None:
        """Journal an entry behind those that wait; while the disk fails they wait together."""
        self._journal.append(entry)
        if len(self._journal) > MOST_WAITING:
            self._journal.popleft()
            self.dropped_steps += 1
        if time.monotonic() >= self._retry_at:
            self._write_journal()

    def _write_journal(self) -> None:
        while self._journal:
            entry = self._journal[0]
            try:
                if isinstance(entry, Event):
                    self._writer.log_event(entry)
                else:
                    self._writer.log_step(*entry)
            except OSError as error:
                self._retry_at = time.monotonic() + RETRY_S
                self._complain_of(error)
                return
            except Exception:
                # Nor will it ever be written, and all that waits behind it would wait with it.
                self._journal.popleft()
                self.dropped_steps += 1
                raise
            self._journal.popleft()

    def _complain_of(self, error: Exception) -> None:
        if isinstance(error, OSError):
            self._complaints.once(
                "disk",
                f"cannot be written ({_reason(error)}). Training goes on; recording "
                "resumes when it can, and the gap stands in the run. Check the space and the permissions.",
                error,
            )
        elif not isinstance(error, MissingShareError):  # whoever missed it has said so
            self._complaints.once(
                "snapshot", f"a snapshot could not be recorded ({describe(error)}). Training goes on.", error
            )

    def _end(self, status: Literal["finished", "crashed"]) -> None:
        try:
            self._assembler.close()
            self._end_gap()
            self._write_journal()
            if self._journal and self._trouble is None:
                self._trouble = f"{len(self._journal)} steps and events could not be journaled"
            self._writer.close(status)
        except Exception as error:
            self._trouble = f"the end could not be written ({describe(error)})"
            self._complain_of(error)


def _reason(error: Exception) -> str:
    """What went wrong, without the file: what is lost for one reason is one gap, and paths are private."""
    if isinstance(error, MissingShareError):
        return str(error)
    return error.strerror if isinstance(error, OSError) and error.strerror else describe(error)
