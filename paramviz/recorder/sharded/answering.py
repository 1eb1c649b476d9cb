"""The other processes' side: keeps what was gathered until the first process asks for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Literal

from paramviz.recorder.failsafe import Complaints, describe
from paramviz.recorder.frames import Frame, FramePool
from paramviz.recorder.scalars import Scalar
from paramviz.recorder.sharded.exchange import hang_up, nothing
from paramviz.recorder.timetable import KeyTurns
from paramviz.recorder.writer_thread import PATIENCE_S
from paramviz.schema import Event

GRACE_S = 10.0
"""So long a snapshot may still come by a second `step()` for the iteration that was named last."""

Dial = Callable[[threading.Event], Connection | None]
"""Connects to the first process; the event ends its attempts."""


class AnsweringThread:
    """Stands where the first process has its `WriterThread`: takes frames, and answers with them.

    `describe_frame`: makes the answer of a frame. `key_turns` are set to those of the first
    process where they differ. `is_over`: nobody will ask any more.
    """

    def __init__(
        self,
        dial: Dial,
        describe_frame: Callable[[Frame], bytes],
        pool: FramePool,
        key_turns: KeyTurns,
        complaints: Complaints,
    ) -> None:
        self.committed = self.lost_count = self.dropped_steps = 0
        self._dial = dial
        self._describe = describe_frame
        self._pool = pool
        self._key_turns = key_turns
        self._complaints = complaints
        self._frames: dict[int, Frame] = {}
        self._missed: dict[int, str] = {}
        self._named = -1
        self._ended = False
        self._over = threading.Event()
        self._answers = 0
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="paramviz-shares", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def step(
        self,
        iteration: int,
        scalars: dict[str, Scalar],
        time_unix_s: float,
        found_inf: Sequence[Scalar] = (),
    ) -> None:
        """Scalars are those of the first process; what counts here is which iteration it is."""
        with self._changed:
            self._named = iteration
            self._changed.notify_all()

    def event(self, event: Event) -> None:
        """Events are those of the first process."""

    def frame(self, frame: Frame) -> None:
        """The frame is kept until it is asked for, or a later one is."""
        with self._changed:
            if not self.is_over:
                self._frames[frame.iteration] = frame
                self._changed.notify_all()
                return
        self._pool.give_back(frame)

    def lost(self, iteration: int, reason: str) -> None:
        """A snapshot that was due could not be taken."""
        with self._changed:
            self.lost_count += 1
            self._missed[iteration] = reason
            self._changed.notify_all()

    def finish(self, status: Literal["finished", "crashed"]) -> str | None:
        """Answer until the first process has all that it wants, which it says by hanging up.

        Waits as long as it asks, and `PATIENCE_S` longer; whoever has crashed hangs up first.
        """
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if status == "crashed":
            self._over.set()
            self._hang_up()
        while self._thread.is_alive() and threading.current_thread() is not self._thread:
            answers = self._answers
            self._thread.join(1.0 if status == "crashed" else PATIENCE_S)
            if self._answers == answers:
                break
        return None

    def _run(self) -> None:
        try:
            self._connection = self._dial(self._over)
            if self._connection is None:
                if not self.is_over:
                    self._complaints.once("shares", "rank 0 records nothing, so there is nobody to tell")
                return
            while not self.is_over:
                self._answer(self._connection)
        except (EOFError, ConnectionError):
            pass  # the first process has ended, or needs no more
        except Exception as error:
            if not self.is_over:
                self._complaints.once("shares", f"rank 0 cannot be told any more ({describe(error)})", error)
        finally:
            self._over.set()
            self._hang_up()
            with self._changed:
                for iteration in list(self._frames):
                    self._pool.give_back(self._frames.pop(iteration))

    def _answer(self, connection: Connection) -> None:
        asked = json.loads(connection.recv_bytes(1 << 16))
        frame = self._awaited(asked["iteration"], connection)
        if isinstance(frame, str):
            answer = nothing(frame)
        else:
            try:
                self._fall_in(asked["turn"] - frame.turn)
                answer = self._describe(frame)
                self.committed += 1
            except Exception as error:
                answer = nothing(describe(error))
            finally:
                self._pool.give_back(frame)
        connection.send_bytes(answer)
        self._answers += 1

    def _fall_in(self, turns: int) -> None:
        """One of the two has lost a snapshot: the next key snapshot shall be one in both."""
        if turns:
            self._key_turns.shift(turns)
            with self._changed:
                for later in self._frames.values():
                    later.turn += turns

    def _awaited(self, iteration: int, connection: Connection) -> Frame | str:
        """The frame of an iteration, or why there will be none. Frames of earlier ones are done with."""
        named_at: float | None = None
        with self._changed:
            while True:
                for earlier in [i for i in self._frames if i < iteration]:
                    self._pool.give_back(self._frames.pop(earlier))
                self._missed = {i: reason for i, reason in self._missed.items() if i >= iteration}
                if iteration in self._frames:
                    return self._frames.pop(iteration)
                if iteration in self._missed:
                    return self._missed[iteration]
                if self._named > iteration or self._ended:
                    return "no snapshot was due there"
                if self._named == iteration:
                    named_at = named_at or time.monotonic()
                    if time.monotonic() > named_at + GRACE_S:
                        return "no snapshot was due there"
                self._changed.wait(1.0)
                if connection.poll(0):
                    raise EOFError("nothing is asked twice: it has hung up")

    def _hang_up(self) -> None:
        if self._connection is not None:
            hang_up(self._connection)
