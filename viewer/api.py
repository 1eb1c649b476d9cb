"""The addresses under `api/`. Each answers what docs/HTTP.md says, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from flask import Blueprint, Response, request

from paramviz import __version__
from paramviz.errors import UnreachableError
from paramviz.schema import TensorInfo, histogram_edges
from viewer import cloud, frames, further
from viewer.arguments import listed, optional_number, whole_number
from viewer.catalogue import Catalogue, UnreadableRun
from viewer.json_numbers import json_response
from viewer.opened import OpenedRun
from viewer.packed import packed_response, raw
from viewer.problems import absent, describe, usage
from viewer.stream import EventStream
from viewer.tail import Tail
from viewer.updates import Cursor, age_s, cursor_now, news_since, plan_number

LASTING = "private, max-age=31536000, immutable"
REVALIDATE = "private, no-cache"
_MAX_RUNS_PER_STREAM = 64


def make_api(catalogue: Catalogue, tail: Tail) -> Blueprint:
    """All routes, for the runs of `catalogue`; streams listen to `tail`."""
    api = Blueprint("api", __name__, url_prefix="/api")
    api.add_url_rule("/runs", view_func=partial(_runs, catalogue), endpoint="runs")
    routes: tuple[tuple[str, Callable[..., Response]], ...] = (
        ("", _run),
        ("/plans/<number>", _plan),
        ("/plans/<number>/positions", _positions),
        ("/plans/<number>/frozen", _frozen),
        ("/frames/<iteration>", _frame),
        ("/frames", _frames),
        ("/holding/<iteration>", _holding),
        ("/scalars", _scalars),
        ("/timeline/<tensor>/<key>", _timeline),
        ("/histograms/<tensor>", _histograms),
        ("/vocabulary", _vocabulary),
        *cloud.ROUTES,
    )
    for rule, answer in routes:
        view = _with_run(catalogue, answer)
        api.add_url_rule(f"/runs/<run_id>{rule}", view_func=view, endpoint=answer.__name__.strip("_"))
    api.add_url_rule("/tail", view_func=partial(_tail, catalogue, tail), endpoint="tail")
    api.add_url_rule("/poll", view_func=partial(_poll, catalogue), endpoint="poll")
    api.add_url_rule("/<path:rest>", view_func=_nowhere, endpoint="nowhere")
    return api


def _with_run(catalogue: Catalogue, answer: Callable[..., Response]) -> Callable[..., Response]:
    def view(run_id: str, **arguments: str) -> Response:
        opened = catalogue.get(run_id)
        opened.raise_if_unreachable()
        try:
            return answer(opened, **arguments)
        except UnreachableError as error:
            opened.missed(error)
            raise

    return view


def _runs(catalogue: Catalogue) -> Response:
    return json_response({"version": __version__, "runs": [_listed(entry) for entry in catalogue.all()]})


def _listed(entry: OpenedRun | UnreadableRun) -> dict[str, Any]:
    if isinstance(entry, UnreadableRun):
        return {"id": entry.id, "name": entry.name, "error": entry.error}
    entry.look()
    listing, trouble = entry.listing, entry.trouble
    return {
        "id": entry.id,
        "run_id": listing.run_id,
        "name": listing.name,
        "place": listing.place,
        "status": listing.status,
        "created_unix_s": listing.created_unix_s,
        "snapshots": listing.snapshots,
        "last_iteration": listing.last_iteration,
        "error": None,
        "problem": None if trouble is None else describe(trouble),
    }


def _run(opened: OpenedRun) -> Response:
    run = opened.run
    opened.look()
    # Read before the lists that it counts: what comes in between is sent once more, never left out.
    cursor = cursor_now(opened)
    description = {
        "id": opened.id,
        "run_id": run.run_id,
        "name": run.name,
        "format": run.format,
        "status": opened.status,
        "created_unix_s": run.created_unix_s,
        "age_s": age_s(run),
        "description": run.description,
        "cursor": str(cursor),
        "plan": plan_number(run),
        "statistics": run.statistic_keys,
        "gradient_statistics": run.gradient_keys,
        "histogram_edges": histogram_edges(),
        "iterations": run.iterations,
        "events": [{"iteration": e.iteration, "kind": e.kind, "text": e.text} for e in run.events],
        "scalar_names": run.scalar_names,
        "embedding": _embedding(opened),
        "problem": None if opened.trouble is None else describe(opened.trouble),
    }
    return json_response(description)


def _embedding(opened: OpenedRun) -> dict[str, Any] | None:
    embedding = opened.run.plan.embedding
    if embedding is None:
        return None
    return {
        "tensor": embedding.tensor,
        "tokens": len(embedding.tokens),
        "vocabulary_size": embedding.vocabulary_size,
        "width": embedding.width,
        "basis": opened.projection.recommended_basis(),
        "has_vocabulary": opened.run.has_vocabulary,
    }


def _plan(opened: OpenedRun, number: str) -> Response:
    plan = opened.run.plan_numbered(_plan_number(opened, number))
    content = {
        "number": plan.number,
        "values": len(plan.positions),
        "vectors": len(plan.vector_positions),
        "frozen_values": plan.frozen_values,
        "frozen_vectors": plan.frozen_vectors,
        "tensors": [
            {
                "index": t.index,
                "name": t.name,
                "shape": t.shape,
                "dtype": t.dtype,
                "role": t.role,
                "layer": t.layer,
                "block": t.block,
                "tied_to": t.tied_to,
                "frozen": t.frozen,
                "samples": t.samples,
                "skipped": t.skipped,
                "grid": t.grid,
                "array": t.array,
                "offset": t.offset,
                "row_groups": t.row_groups,
                "column_groups": t.column_groups,
                "transposed": t.transposed,
            }
            for t in plan.tensors
        ],
        "places": further.places_of(opened.run, plan),
        "embedding_tokens": None if plan.embedding is None else plan.embedding.tokens,
        "neighbour_tokens": plan.neighbour_tokens,
    }
    return json_response(content, cache=LASTING)


def _positions(opened: OpenedRun, number: str) -> Response:
    plan = opened.run.plan_numbered(_plan_number(opened, number))
    content = {
        "values": raw(plan.positions, "<i8"),
        "vectors": raw(plan.vector_positions, "<i8"),
    }
    return packed_response(content, cache=LASTING)


def _frozen(opened: OpenedRun, number: str) -> Response:
    held = opened.run.frozen(_plan_number(opened, number))
    content = {"values": raw(held.values, "<f2"), "vectors": raw(held.vectors, "<f4")}
    return packed_response(content, cache=LASTING)


def _frame(opened: OpenedRun, iteration: str) -> Response:
    frame = frames.Frame.find(opened, whole_number("iteration", iteration), _view())
    return _conditional(frame.etag, frame.lasting, frame.content)


def _frames(opened: OpenedRun) -> Response:
    wanted = [whole_number("iterations", text) for text in listed("iterations")]
    if not 1 <= len(wanted) <= frames.MAX_FRAMES:
        raise usage(f"`iterations` names {len(wanted)} frames; ask for 1 to {frames.MAX_FRAMES} at a time.")
    several = frames.FrameList.find(opened, wanted, _view())
    if several.n_bytes > frames.MAX_ANSWER_BYTES:
        raise usage(
            f"These {len(wanted)} frames hold {several.n_bytes:,} bytes; at most {frames.MAX_ANSWER_BYTES:,} "
            "are sent at a time. Ask for fewer of them, or for fewer `parts`."
        )
    if several.etag is not None and several.etag in request.if_none_match:
        return _conditional(several.etag, several.lasting, several.content)
    contents, complete = several.content()
    if several.etag is None or not complete:
        return packed_response(contents, cache="no-store")
    return _conditional(several.etag, several.lasting, lambda: contents)


def _holding(opened: OpenedRun, iteration: str) -> Response:
    part = request.args.get("part", "")
    if part not in further.PARTS:
        raise usage(f"`part` is {part[:40]!r}; it must be one of {', '.join(further.PARTS)}.")
    before, after = further.around(opened.holdings, whole_number("iteration", iteration), part)
    return json_response({"iteration": before, "next": after})


def _scalars(opened: OpenedRun) -> Response:
    run = opened.run
    series = {name: run.scalar_series(name) for name in run.scalar_names}
    return packed_response(
        {
            name: {"iterations": raw(iterations, "<i8"), "values": raw(values, "<f8")}
            for name, (iterations, values) in series.items()
        }
    )


def _timeline(opened: OpenedRun, tensor: str, key: str) -> Response:
    run = opened.run
    of = request.args.get("of", "statistics")
    keys = {"statistics": run.statistic_keys, "gradient_statistics": run.gradient_keys}.get(of)
    if keys is None:
        raise usage(f"`of` is {of[:40]!r}; it must be statistics or gradient_statistics.")
    name = _tensor(opened, tensor).name
    if key not in keys:
        raise absent(f"This run holds no {of} called {key[:40]!r}; it holds {', '.join(keys)}.")
    iterations, values = _steady_timeline(opened, name, key, of)
    return packed_response({"iterations": raw(iterations, "<i8"), "values": raw(values, "<f8")})


def _histograms(opened: OpenedRun, tensor: str) -> Response:
    found = _tensor(opened, tensor)
    if found.skipped is not None:
        raise absent(f"{found.name} was not recorded: {found.skipped}.")
    iterations, counts, damaged = opened.histogram_tables.over_time(found.name)
    content = {
        "iterations": raw(np.array(iterations, np.int64), "<i8"),
        "counts": raw(counts, "<u4"),
        "damaged": damaged,
    }
    return packed_response(content)


def _tensor(opened: OpenedRun, text: str) -> TensorInfo:
    """The tensor of the newest plan whose index an address gives."""
    index, tensors = whole_number("tensor", text), opened.run.tensors
    if index >= len(tensors):
        raise absent(f"The newest plan has no tensor {index}; it has {len(tensors)}, counted from 0.")
    return tensors[index]


def _steady_timeline(
    opened: OpenedRun, name: str, key: str, of: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(iterations (T,), values (T,)) that belong together, although the run may grow meanwhile."""
    run = opened.run
    while True:
        before = run.iterations
        values = run.timeline(name, key, of)
        # Growth at the end leaves the start as it was; an older iteration that came in between does not.
        if np.array_equal(run.iterations[: len(before)], before):
            return before, values[: len(before)]


def _vocabulary(opened: OpenedRun) -> Response:
    vocabulary = opened.run.vocabulary
    if vocabulary is None:
        raise absent("This run knows no vocabulary: none was given to its recorder.")
    return json_response(vocabulary, cache=LASTING)


def _tail(catalogue: Catalogue, tail: Tail) -> Response:
    runs, cursors = _followed(catalogue)
    if request.method == "HEAD":
        return Response(content_type="text/event-stream")
    gone = request.environ.get("waitress.client_disconnected", lambda: False)
    stream = EventStream(tail.listen(runs), cursors, gone)
    response = Response(stream, content_type="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep messages back
    return response


def _poll(catalogue: Catalogue) -> Response:
    runs, cursors = _followed(catalogue)
    updates, problems = [], []
    for opened, cursor in zip(runs, cursors, strict=True):
        opened.look()
        update, _, problem = news_since(opened, cursor)
        if update is not None:
            updates.append(update)
        if problem is not None:
            problems.append({"run": opened.id, "error": problem})
    return json_response({"updates": updates, "problems": problems})


def _nowhere(rest: str) -> Response:
    raise absent(f"The viewer has no address api/{rest[:80]}. docs/HTTP.md lists them.")


def _followed(catalogue: Catalogue) -> tuple[list[OpenedRun], list[Cursor]]:
    """The runs that `runs` names, and how far the listener has read each."""
    ids = listed("runs")
    if not 1 <= len(ids) <= _MAX_RUNS_PER_STREAM:
        raise usage(f"`runs` names {len(ids)} runs; name 1 to {_MAX_RUNS_PER_STREAM}, with commas between.")
    runs = [catalogue.get(run_id) for run_id in ids]
    resumed = request.headers.get("Last-Event-ID", "")
    texts = (resumed or request.args.get("cursors") or "," * (len(ids) - 1)).split(",")
    if len(texts) != len(ids):
        raise usage(f"There are {len(texts)} cursors for {len(ids)} runs; give one for each, or none.")
    return runs, [Cursor.parse(text) for text in texts]


def _plan_number(opened: OpenedRun, text: str) -> int:
    number, n_plans = whole_number("plan", text), opened.run.n_plans
    if number >= n_plans:
        raise absent(f"This run has no plan {number}; it has {n_plans}, counted from 0.")
    return number


def _view() -> frames.View:
    return frames.View.parse(request.args.get("parts"), optional_number("basis"))


def _conditional(etag: str, lasting: bool, content: Callable[[], object]) -> Response:
    """The content under its ETag, or 304 without making it if the browser has it already."""
    if etag in request.if_none_match:
        response = Response(status=304)
        response.headers["Cache-Control"] = LASTING if lasting else REVALIDATE
    else:
        response = packed_response(content(), cache=LASTING if lasting else REVALIDATE)
    response.set_etag(etag)
    return response
