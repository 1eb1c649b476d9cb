"""The addresses of the embedding cloud (docs/HTTP.md, The embedding cloud)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response

from paramviz.analysis.trails import evenly, trails
from paramviz.analysis.trust import trust
from viewer.arguments import listed, optional_number, whole_number
from viewer.json_numbers import json_response
from viewer.opened import OpenedRun
from viewer.packed import packed_response, raw
from viewer.problems import absent, usage

MOST_TOKENS = 16
"""Tokens whose trails are told in one answer."""
MOST_STEPS = 512
_MOST_SUGGESTIONS = 32
_MAX_TOKEN = 2**31


def _trust(opened: OpenedRun, iteration: str) -> Response:
    asked, basis = whole_number("iteration", iteration), optional_number("basis")
    found = trust(opened.projection, opened.neighbourhoods, asked, basis)
    if found is None:
        raise absent(f"No snapshot up to iteration {asked} tells how far its picture can be trusted.")
    return json_response(
        {
            "iteration": found.iteration,
            "basis": found.basis,
            "explained": found.explained,
            "neighbours_kept": found.kept,
            "queries": found.queries,
            "axes_above_noise": found.axes_above_noise,
            "largest": found.largest,
            "noise": found.noise,
        }
    )


def _neighbours(opened: OpenedRun, token: str) -> Response:
    asked, iteration = _token(token), optional_number("iteration")
    if iteration is None:
        iteration = _last(opened)
    found = opened.neighbourhoods.of(asked, iteration)
    return json_response(
        {
            "token": found.token,
            "iteration": found.iteration,
            "source": found.source,
            "tokens": found.tokens,
            "distances": found.distances,
        }
    )


def _suggestions(opened: OpenedRun) -> Response:
    first, last = optional_number("from"), optional_number("to")
    if first is None or last is None:
        ends = opened.neighbourhoods.ends()
        if ends is None:
            return json_response({"from": None, "to": None, "compared": 0, "tokens": [], "changes": []})
        first, last = ends[0] if first is None else first, ends[1] if last is None else last
    changes = opened.neighbourhoods.changed(first, last)
    most = [change for change in changes if change.share > 0][:_MOST_SUGGESTIONS]
    return json_response(
        {
            "from": first,
            "to": last,
            "compared": len(changes),
            "tokens": [change.token for change in most],
            "changes": [change.share for change in most],
        }
    )


def _trails(opened: OpenedRun) -> Response:
    tokens = [_token(text) for text in listed("tokens")]
    if not 1 <= len(tokens) <= MOST_TOKENS:
        raise usage(f"`tokens` names {len(tokens)} tokens; ask for 1 to {MOST_TOKENS} at a time.")
    basis = optional_number("basis")
    if basis is None:
        basis = opened.projection.recommended_basis()
    if basis is None:
        raise absent("This run holds no embedding rows that a picture could be made of.")
    steps = evenly(opened.run.iterations, opened.most_asked or MOST_STEPS)
    found = trails(opened.projection, steps, tokens, basis)
    content: dict[str, Any] = {
        "basis": found.basis,
        "tokens": tokens,
        "iterations": raw(found.iterations, "<i8"),
        "coordinates": raw(found.coordinates, "<f4"),
    }
    return packed_response(content)


def _projections(opened: OpenedRun) -> Response:
    names = [] if opened.run.plan.embedding is None else ["pca"]
    return json_response({"projections": [{"name": name} for name in names], "clusters": None})


def _token(text: str) -> int:
    token = whole_number("token", text)
    if token >= _MAX_TOKEN:
        raise absent(f"No run has a token {token}.")
    return token


def _last(opened: OpenedRun) -> int:
    iterations = opened.run.iterations
    if not len(iterations):
        raise absent("This run has no snapshot yet.")
    return int(iterations[-1])


ROUTES: tuple[tuple[str, Callable[..., Response]], ...] = (
    ("/trust/<iteration>", _trust),
    ("/neighbours/<token>", _neighbours),
    ("/suggestions", _suggestions),
    ("/trails", _trails),
    ("/projections", _projections),
)
