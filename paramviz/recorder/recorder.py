"""`paramviz.Recorder`: what a training loop calls."""

from __future__ import annotations

import contextlib
import operator
import os
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

from torch import nn

from paramviz.errors import OutputError, UsageError
from paramviz.quantities import DEFAULT, chosen
from paramviz.recorder.arguments import as_list
from paramviz.recorder.description import describe_run
from paramviz.recorder.earlier import earlier_run, last_step
from paramviz.recorder.ending import abandon, is_clean_exit, uncaught
from paramviz.recorder.failsafe import Complaints, describe
from paramviz.recorder.frames import WAITING_BYTES, Frame, FramePool
from paramviz.recorder.gather import gather, gather_frozen
from paramviz.recorder.gradients import GradientReader
from paramviz.recorder.model_plan import Selection
from paramviz.recorder.probe import Batch, make_prober
from paramviz.recorder.probe_isolation import unwrapped
from paramviz.recorder.report import RecordingReport
from paramviz.recorder.scalars import Scalar, sent_scalars, take_scalars
from paramviz.recorder.sharded.answering import AnsweringThread
from paramviz.recorder.sharded.joining import assembler_for, plan_keeper
from paramviz.recorder.singular import SingularValues
from paramviz.recorder.timetable import KeyTurns, Timetable
from paramviz.recorder.writer_thread import PATIENCE_S, WriterThread
from paramviz.sampling import SampleBudgets
from paramviz.schedule import Schedule, make_schedule
from paramviz.schema import FORCING_EVENTS, Event
from paramviz.statistics import warm_up
from paramviz.store import RunWriter


@dataclass(slots=True)
class _Iteration:
    """The iteration that `step` named last, and what was said of it."""

    number: int
    scalars: dict[str, Scalar] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    is_taken: bool = False
    is_final: bool = False


class Recorder:
    """Records a model's parameters, gradients and scalars while it trains.

    >>> with Recorder("runs/baseline", model, optimizer) as recorder:
    ...     for iteration in range(1000):
    ...         loss = train_step()
    ...         recorder.step(iteration, loss=loss)

    optimizer: a `torch.optim.Optimizer`, or several; without one, gradients are
    recorded as they stand. schedule: "adaptive", a number (every n-th iteration) or
    `schedule(iteration) -> bool`. config: anything that reads as JSON, kept in the
    run. resume: continue the run at `path`, or begin it if there is none. A training that
    goes back (to a checkpoint) is told by an event: up to the last snapshot the first
    recording stays, what follows is the new attempt's. durability: what a committed
    snapshot survives, a killed "process" or lost "power". include, exclude: shell
    patterns on the names of parameters. roles: by such patterns, what parameters are for
    where their names and modules do not say so. vocabulary: the token strings, by token number.
    key_every: every so many snapshots one is of the key tier. quantities: what is recorded,
    out of `paramviz.QUANTITIES`; all but "singular_values" by default. probe: a fixed batch
    that runs through the model at key snapshots, see docs/PROBE.md: a tensor, a tuple or a
    mapping of what the model's forward takes, or a function that is called with the model.
    Of several processes that train together, each makes one; the first records, see docs/DISTRIBUTED.md.
    A model is sharded (`fully_shard`, `parallelize_module`) before its recorder is made.

    Raises RunExistsError if a run is at `path` and `resume` is false, OutputError if
    it cannot be written, RunLockedError if it is being recorded, FormatVersionError
    and DamagedRunError if it cannot be resumed, UsageError for arguments out of their
    range.
    """

    def __new__(cls, path: object, model: object = None, *given: object, **settings: object) -> Recorder:
        from paramviz.recorder.distributed import class_here

        return super().__new__(class_here(cls, model))

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: nn.Module,
        optimizer: object | Iterable[object] | None = None,
        *,
        schedule: str | int | Schedule = "adaptive",
        config: object = None,
        resume: bool = False,
        durability: Literal["process", "power"] = "process",
        name: str | None = None,
        vocabulary: Sequence[str] | None = None,
        budgets: SampleBudgets | None = None,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
        roles: Mapping[str, str] | None = None,
        key_every: int = 8,
        quantities: Iterable[str] = DEFAULT,
        probe: Batch | None = None,
    ) -> None:
        if key_every < 1:
            raise UsageError(f"key_every={key_every}: one snapshot of so many is a key snapshot; at least 1.")
        self._quantities = chosen(quantities)
        self._singular = SingularValues()
        is_due = make_schedule(schedule)
        optimizers = as_list(optimizer)
        selection = Selection.of(budgets, include, exclude, roles)
        self._plans = plan_keeper(model, selection)
        self._complaints = Complaints(os.fspath(path))
        if (idle := self._plans.idle_patterns) is not None:
            self._complaints.once("patterns", idle)
        self._prober = make_prober(model, probe, self._quantities, self._complaints)
        warm_up()

        earlier = earlier_run(path) if resume else None
        if earlier is not None:
            writer = RunWriter.resume(path, durability=durability)
        else:
            writer = RunWriter.create(
                path,
                name=name,
                description=describe_run(
                    unwrapped(model), self._plans.plan.tensors, optimizers, config, schedule
                ),
                vocabulary=vocabulary,
                durability=durability,
            )
        last = -1 if writer.last_iteration is None else writer.last_iteration
        self._timetable = Timetable(is_due, last, last_step(earlier), self._complaints)
        self._pool = FramePool(WAITING_BYTES)
        self._key_turns = KeyTurns(key_every)
        assembler = assembler_for(writer, earlier, self._plans, self._quantities, self._complaints)
        try:
            assembler.register(self._plans.plan, gather_frozen(self._plans.plan))
            self._gradients = GradientReader(
                optimizers,
                self._plans.look(),
                foresight(self._timetable, self._pool),
                self._complaints,
                self._quantities,
                self._key_turns.is_next,
            )
        except BaseException as error:
            with contextlib.suppress(OSError):
                writer.close("crashed")
            if isinstance(error, OSError):
                message = f"{writer.path}: cannot be written ({error}). Check the space."
                raise OutputError(message, path=writer.path) from error
            raise
        self._writer = writer
        self._begin(WriterThread(writer, assembler, self._pool, self._complaints))

    def _begin(self, thread: WriterThread | AnsweringThread) -> None:
        """From now on steps may come."""
        self._thread = thread
        self._iteration: _Iteration | None = None
        self._repeated_steps = 0
        self._step_s = 0.0
        self._closed = False
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, abandon, thread, self._gradients, self._pid, uncaught())

    @property
    def run_path(self) -> Path | str:
        """Where the run lies: a path, or the address of a remote one."""
        return self._writer.path

    @property
    def report(self) -> RecordingReport:
        """What recording has done and cost so far; after `close`, over all."""
        return RecordingReport(
            snapshots=self._thread.committed,
            lost=self._thread.lost_count,
            repeated_steps=self._repeated_steps,
            dropped_steps=self._thread.dropped_steps,
            raw_bytes=self._writer.raw_bytes,
            stored_bytes=self._writer.stored_bytes,
            training_thread_s=self._step_s + self._gradients.hooks_s,
        )

    def step(
        self,
        iteration: int,
        *,
        loss: object = None,
        learning_rate: object = None,
        gradient_norm: object = None,
        gradient_norm_before_clipping: object = None,
        validation_loss: object = None,
        metrics: Mapping[str, object] | None = None,
        event: Literal["validation", "checkpoint", "final"] | None = None,
        text: str = "",
    ) -> None:
        """Say that an iteration is done: after the optimizer's step, with what is known of it.

        Scalars are numbers or tensors of one element, and are kept for every
        iteration. Unless they are given, the learning rate is the optimizer's, and the norm
        before clipping what `torch.nn.utils.clip_grad_norm_` found. `event`, with its `text`,
        forces a snapshot. A second call for the same iteration adds to the first. Iterations
        ascend; one that has gone by is counted and ignored.
        Never raises: what goes wrong is logged once, and stands in the run as a gap.
        """
        if os.getpid() != self._pid:
            return
        started = time.perf_counter()
        try:
            if self._closed:
                raise RuntimeError("the recorder is closed")
            named = {
                "loss": loss,
                "validation_loss": validation_loss,
                "learning_rate": learning_rate,
                "gradient_norm": gradient_norm,
                "gradient_norm_before_clipping": gradient_norm_before_clipping,
            }
            given = {**(metrics or {}), **{name: value for name, value in named.items() if value is not None}}
            self._step(operator.index(iteration), given, event, text)
        except Exception as error:
            self._complaints.once(
                "step", f"step({iteration!r}) failed ({describe(error)}). Training goes on.", error
            )
            self._miss(iteration, describe(error))
        self._step_s += time.perf_counter() - started

    def close(self) -> None:
        """Record the final state, wait until everything is written, and end the run.

        Raises OutputError if something could not be written; the run is whole
        without it. A second call does nothing.
        """
        problem = self._close("finished")
        if problem is not None:
            raise OutputError(
                f"{self.run_path}: the recording ended, but not everything is in it: {problem}. "
                "Check the space and the permissions; `paramviz verify` says what is there.",
                path=self.run_path,
            )

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not is_clean_exit(error):
            problem = self._close("crashed", describe(error))
        else:
            problem = self._close("finished")
        if problem is not None:
            self._complaints.once("close", f"the recording ended, but not everything is in it: {problem}")

    def _step(self, number: int, given: dict[str, object], event: object, text: str) -> None:
        iteration = self._arrive(number)
        if iteration is None:
            return
        kind = self._checked(event)
        scalars = take_scalars(given, self._complaints.once)
        iteration.given.update(scalars)
        told = self._gradients.scalars()
        scalars |= {name: told[name] for name in told.keys() - iteration.given}
        frame = None
        if not iteration.is_taken and (kind is not None or self._timetable.is_due(number)):
            events = [] if kind is None else [Event(number, kind, text)]
            frame = self._take({**iteration.scalars, **scalars}, number, events)
        if frame is not None:
            scalars["recording_ms"] = float(frame.scalars["recording_ms"])
        iteration.scalars.update(scalars)
        self._thread.step(number, scalars, time.time(), [] if frame else self._gradients.found_inf())
        if frame is not None:
            self._thread.frame(frame)
            iteration.is_taken = True
        elif kind is not None:
            self._thread.event(Event(number, kind, text))
        iteration.is_final |= kind == "final"
        self._gradients.begin()

    def _arrive(self, number: int) -> _Iteration | None:
        """The iteration of that number, new or the one just named; None if it has gone by."""
        if number < 0:
            raise ValueError(f"iterations are counted from 0, not {number}")
        current = self._iteration
        if current is not None and number == current.number and not self._timetable.is_behind:
            return current
        turn = self._timetable.turn_back(number)
        if turn is not None:
            self._thread.event(turn)
        if number <= self._timetable.last:
            self._repeated_steps += 1
            self._complaints.once(
                "repeated",
                f"iteration {number} came although {self._timetable.last} is recorded already. What has gone "
                "by is left out, since nothing recorded is ever rewritten: count iterations upwards.",
            )
            return None
        self._timetable.arrive(number)
        self._iteration = _Iteration(number)
        return self._iteration

    def _checked(self, event: object) -> str | None:
        if event is None or event in FORCING_EVENTS:
            return event if isinstance(event, str) else None
        self._complaints.once(
            f"event {event!r}", f"event={event!r} is left out. Allowed is one of {', '.join(FORCING_EVENTS)}."
        )
        return None

    def _take(
        self, scalars: dict[str, Scalar], number: int, events: list[Event], patience_s: float = 0.0
    ) -> Frame | None:
        """Gather a snapshot; None if it is lost, which is counted."""
        started = time.perf_counter()
        frame = None
        try:
            plan = self._plans.look()
            self._gradients.bind(plan)
            frame = self._pool.take(plan, patience_s)
            if frame is None:
                self._thread.lost(number, "the disk was too slow, and training does not wait for it")
                return None
            frame.iteration, frame.events, frame.time_unix_s = number, events, time.time()
            is_key = bool(events) or self._key_turns.is_next()
            frame.tier, frame.keeps_rows = "key" if is_key else "core", bool(events)
            frame.turn = self._key_turns.taken
            frame.gradients = self._gradients.collect()
            gather(frame, self._quantities, self._singular)
            if is_key and "moments" in self._quantities:
                self._gradients.read_moments(frame.moments, frame.transfers)
            if is_key and self._prober is not None:
                frame.probed = self._prober.run(frame.transfers)
            frame.transfers.start()
        except Exception as error:
            if frame is not None:
                self._pool.give_back(frame)
            self._thread.lost(number, describe(error))
            self._complaints.once(
                "gather", f"iteration {number} is not recorded ({describe(error)}). Training goes on.", error
            )
            return None
        self._key_turns.count()
        taken_s = time.perf_counter() - started + frame.gradients.hook_s
        frame.scalars = sent_scalars({**scalars, "recording_ms": 1e3 * taken_s})
        return frame

    def _miss(self, number: object, reason: str) -> None:
        """A step failed: if its snapshot was due and is not taken, it is lost."""
        current = self._iteration
        if current is None or current.number != number or current.is_taken or self._closed:
            return
        if self._timetable.is_due(current.number):
            self._thread.lost(current.number, reason)

    def _close(self, status: Literal["finished", "crashed"], reason: str = "") -> str | None:
        """End the run; what is not in it, in a sentence, or None."""
        if self._closed or os.getpid() != self._pid:
            return None
        self._closed = True
        try:
            if status == "crashed":
                number = max(self._timetable.last, 0)
                self._thread.event(Event(number, "crash", reason))
            else:
                self._record_final()
        finally:
            self._gradients.remove()
            problem = self._thread.finish(status)
        self._finalizer.detach()
        return problem

    def _record_final(self) -> None:
        """The state at the end, unless the last iteration says already that it is that."""
        last = self._iteration
        if last is None or last.is_final:
            return
        event = Event(last.number, "final")
        frame = None if last.is_taken else self._take(last.scalars, last.number, [event], PATIENCE_S)
        if frame is not None:
            cost: dict[str, Scalar] = {"recording_ms": float(frame.scalars["recording_ms"])}
            self._thread.step(last.number, cost, time.time())
            self._thread.frame(frame)
        else:
            self._thread.event(event)


def foresight(timetable: Timetable, pool: FramePool) -> Callable[[], bool]:
    """Whether the next iteration will be recorded, if it is the one after the last."""
    return lambda: timetable.next_is_due() and pool.has_free()
