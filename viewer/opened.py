"""A run that the server has opened: what is kept beside it, and whether it can be followed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from paramviz.analysis.neighbours import Neighbourhoods
from paramviz.analysis.projection import EmbeddingProjection
from paramviz.errors import ParamvizError, UnreachableError
from paramviz.schema import RunStatus
from paramviz.store import Run
from paramviz.store.holdings import Holdings
from viewer.histograms import MOST_SNAPSHOTS, HistogramTables

_log = logging.getLogger(__name__)

_PAUSE_S = 2.0
"""How long a place that did not answer is left alone."""

_MOST_ASKED = 64
"""Snapshots that one question may be put to where a run lies far away; each is a request."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the list of runs says of one. `place` is the last part of its path or address."""

    run_id: str
    name: str
    place: str
    status: RunStatus
    created_unix_s: float
    snapshots: int
    last_iteration: int | None


class OpenedRun:
    """A run by the `id` that addresses carry. Safe to use from several threads.

    open_run: opens it; used again after `rest`. Raises the errors of `paramviz.open_run`.
    """

    def __init__(self, id: str, open_run: Callable[[], Run], run: Run | None = None) -> None:
        self.id = id
        self._open_run = open_run
        self._run: Run | None = run or open_run()
        self._projection: EmbeddingProjection | None = None
        self._neighbourhoods: Neighbourhoods | None = None
        self._holdings: Holdings | None = None
        self._histogram_tables: HistogramTables | None = None
        self._loading = threading.RLock()
        self._looking = threading.Lock()
        self._due_s = 0.0
        self._status = self._run.status
        self._trouble: ParamvizError | None = None
        self._listing = self._list()

    @property
    def run(self) -> Run:
        with self._loading:
            if self._run is None:
                self._run = self._open_run()
            return self._run

    @property
    def projection(self) -> EmbeddingProjection:
        with self._loading:
            if self._projection is None:
                self._projection = EmbeddingProjection(self.run)
            return self._projection

    @property
    def neighbourhoods(self) -> Neighbourhoods:
        with self._loading:
            if self._neighbourhoods is None:
                self._neighbourhoods = Neighbourhoods(self.run, self.holdings)
            return self._neighbourhoods

    @property
    def holdings(self) -> Holdings:
        with self._loading:
            if self._holdings is None:
                self._holdings = Holdings(self.run, self.most_asked)
            return self._holdings

    @property
    def histogram_tables(self) -> HistogramTables:
        with self._loading:
            if self._histogram_tables is None:
                self._histogram_tables = HistogramTables(self.run, self.most_asked or MOST_SNAPSHOTS)
            return self._histogram_tables

    @property
    def status(self) -> RunStatus:
        """As of the last look: to ask is a request, where the run lies far away."""
        return self._status

    @property
    def trouble(self) -> ParamvizError | None:
        """Why the last look failed; None while the run can be followed."""
        return self._trouble

    @property
    def listing(self) -> Listing:
        """As of the last look; of a run that rests, from when it was last open."""
        with self._loading:
            if self._run is not None:
                self._listing = self._list()
            return self._listing

    @property
    def is_far(self) -> bool:
        """Whether each look costs requests, and may take long."""
        return self._run is not None and self._run.source.look_interval_s > 0

    @property
    def most_asked(self) -> int | None:
        """How many snapshots one question may be put to; None for any number, where the run is near."""
        return _MOST_ASKED if self.is_far else None

    @property
    def interval_s(self) -> float:
        """How long to wait between two looks."""
        return 0.0 if self._run is None else self._run.source.look_interval_s

    def look(self) -> None:
        """Read what is new. Raises nothing: `trouble` says what went wrong.

        A run far away is not asked more often than its interval allows, and while it is asked,
        or does not answer, nobody else waits for it.
        """
        run = self._run
        if run is None or not self._looking.acquire(blocking=not self.is_far):
            return
        try:
            if self.is_far and time.monotonic() < self._due_s:
                return
            self._refresh(run)
            self._due_s = time.monotonic() + (self.interval_s if self._trouble is None else _PAUSE_S)
        finally:
            self._looking.release()

    def missed(self, error: UnreachableError) -> None:
        """Some other request than a look found that the place does not answer."""
        self._note(error)
        self._due_s = time.monotonic() + _PAUSE_S

    def raise_if_unreachable(self) -> None:
        """Raise what the last look ran into, if the place did not answer: only looks try it again."""
        if isinstance(self._trouble, UnreachableError):
            self.look()
        if isinstance(trouble := self._trouble, UnreachableError):
            raise trouble

    def rest(self) -> None:
        """Let go of the memory and of the open file, until the run is asked for again."""
        with self._loading:
            self._listing = self.listing
            self._run = self._projection = self._neighbourhoods = None
            self._holdings = self._histogram_tables = None

    def _refresh(self, run: Run) -> None:
        trouble: ParamvizError | None = None
        try:
            run.refresh()
            self._status = run.status
        except ParamvizError as error:
            trouble = error
        except OSError as error:
            trouble = UnreachableError(
                f"{run.path}: cannot be read now ({error.strerror or error}). Check the disk or the network.",
                path=str(run.path),
            )
        self._note(trouble)

    def _note(self, trouble: ParamvizError | None) -> None:
        if trouble is not None and str(trouble) != str(self._trouble):
            _log.warning("%r cannot be followed now: %r", self._listing.name, str(trouble))
        self._trouble = trouble

    def _list(self) -> Listing:
        run = self.run
        iterations = run.iterations
        return Listing(
            run.run_id,
            run.name,
            PurePath(run.path).name,
            self._status,
            run.created_unix_s,
            len(iterations),
            int(iterations[-1]) if len(iterations) else None,
        )
