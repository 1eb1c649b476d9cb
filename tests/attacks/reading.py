"""All that a run says, as bytes that can be compared with those of another reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from paramviz.errors import NotRecordedError, ParamvizError, TensorNotFoundError
from paramviz.store import Run
from paramviz.store.layout import SNAPSHOT_ARRAYS
from paramviz.store.verify import verify_opened
from tests.attacks.specimen import TENSORS
from viewer.app import create_app
from viewer.catalogue import Catalogue

_SNAPSHOTS = 8
"""So many of a run are read: damage may make it list more than were recorded."""


class Reading:
    """What was said (`facts`), and how much was refused."""

    def __init__(self) -> None:
        self.facts: dict[str, bytes] = {}
        self.refused = 0

    def of(self, opening: Callable[[], Run]) -> Reading:
        run = self._ask(opening)
        if run is not None:
            self._read(run)
        return self

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (NotRecordedError, TensorNotFoundError):
            # What is not there is no damage; a run may say so of anything.
            return None
        except ParamvizError:
            self.refused += 1
            return None

    def _note(self, name: str, question: Callable[[], Any]) -> None:
        answer = self._ask(question)
        if answer is not None:
            self.facts[name] = answer.tobytes() if isinstance(answer, np.ndarray) else repr(answer).encode()

    def _read(self, run: Run) -> None:
        self._note("root", lambda: (run.run_id, run.name, run.description, run.statistic_keys))
        self._ask(lambda: (run.status, run.events, run.refresh(), repr(run), run.n_plans))
        for name in run.scalar_names:
            iterations, values = run.scalar_series(name)
            for iteration, value in zip(iterations.tolist(), values, strict=True):
                self.facts[f"{name} at {iteration}"] = value.tobytes()
        self._note("vocabulary", lambda: run.vocabulary)
        self._note("basis", lambda: run.basis(0).components)
        for tensor in self._ask(lambda: run.tensors) or ():
            self._note(tensor.name, lambda t=tensor: t)
            self._note(f"positions of {tensor.name}", lambda t=tensor: run.positions(t.name))
        for tensor, of, keys in (
            (TENSORS[0], "statistics", run.statistic_keys),
            (TENSORS[1], "statistics", run.statistic_keys),
            (TENSORS[1], "gradient_statistics", run.gradient_keys),
        ):
            self._read_timeline(run, tensor.name, of, keys)
        for iteration in run.iterations[:_SNAPSHOTS].tolist():
            self._read_snapshot(run, iteration)

    def _read_timeline(self, run: Run, name: str, of: str, keys: tuple[str, ...]) -> None:
        series = self._ask(lambda: run.timeline(name, keys[0], of)) if keys else None
        if series is not None:
            for iteration, value in zip(run.iterations.tolist(), series, strict=True):
                self.facts[f"{keys[0]} of {of} of {name} at {iteration}"] = value.tobytes()

    def _read_snapshot(self, run: Run, iteration: int) -> None:
        snapshot = self._ask(lambda: run[iteration])
        if snapshot is None:
            return
        said = (snapshot.scalars, snapshot.events, snapshot.gradient_states)
        self.facts[f"snapshot {iteration}"] = repr(said).encode()
        for key in SNAPSHOT_ARRAYS:
            self._note(f"{key} of {iteration}", lambda key=key: snapshot.array(key))
        for tensor in TENSORS:
            self._note(f"values of {tensor.name} in {iteration}", lambda t=tensor: snapshot.values(t.name))
        for what in ("statistics", "gradient_statistics", "histogram"):
            self._ask(lambda what=what: getattr(snapshot, what)(TENSORS[0].name))
        for what in ("gradient_values", "update_values", "head_norms", "singular_values"):
            name = f"{what} in {iteration}"
            self._note(name, lambda what=what: getattr(snapshot, what)(TENSORS[1].name))
        self._note(f"cells in {iteration}", lambda: snapshot.cells(TENSORS[1].name).rms)
        self._note(f"edges in {iteration}", lambda: snapshot.cells(TENSORS[1].name).row_edges)
        self._note(f"row norms in {iteration}", lambda: snapshot.row_norms(TENSORS[1].name).norms)
        self._note(f"attention in {iteration}", lambda: snapshot.attention(1).pattern)
        self._note(f"activations in {iteration}", lambda: snapshot.activations("h.0"))
        self._note(f"neighbours in {iteration}", lambda: snapshot.embedding().neighbours)


def is_verified(opening: Callable[[], Run]) -> bool:
    """Whether `verify` has nothing to complain of."""
    try:
        return not verify_opened(opening()).problems
    except ParamvizError:
        return False


def look(path: Path) -> list[str]:
    """Answers of the viewer that are neither an answer nor a refusal."""
    try:
        client = create_app(Catalogue([path])).test_client()
    except ParamvizError:
        return []
    run = client.get("/api/runs").json["runs"][0]
    here = f"/api/runs/{run['id']}"
    addresses = [here, f"{here}/plans/0", f"{here}/plans/0/positions", f"{here}/scalars"]
    addresses += [f"{here}/vocabulary", f"{here}/timeline/0/mean", f"/api/poll?runs={run['id']}"]
    addresses += [f"{here}/frames/1?parts=values,statistics,histograms,embedding"]
    addresses += [f"{here}/frames?iterations=0,1"]
    answers = {address: client.get(address).status_code for address in addresses}
    return [f"{status} to {address}" for address, status in answers.items() if status not in (200, 404, 422)]
