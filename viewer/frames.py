"""One snapshot as msgpack: the bytes that become textures, never turned into text (docs/HTTP.md, Frames)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paramviz.errors import IterationNotFoundError, ParamvizError
from paramviz.store import StoredSnapshot
from viewer import further
from viewer.catalogue import OpenedRun
from viewer.packed import raw
from viewer.problems import describe, usage

DEFAULT_PARTS = ("values", "vectors", "statistics", "gradient_statistics", "embedding")
PARTS = (*DEFAULT_PARTS, "histograms", *further.PARTS)
MAX_FRAMES = 16
MAX_ANSWER_BYTES = 256 << 20
"""A list of frames is made in memory; a page that keeps 192 MiB of frames asks for far less at once."""

_DTYPES = {
    "values": "<f2",
    "vectors": "<f4",
    "statistics": "<f4",
    "gradient_statistics": "<f4",
    "histograms": "<u4",
}


@dataclass(frozen=True, slots=True)
class View:
    """Which parts of a snapshot a page wants, and from which basis it looks at the embedding."""

    parts: tuple[str, ...] = DEFAULT_PARTS
    basis: int | None = None

    @classmethod
    def parse(cls, parts: str | None, basis: int | None) -> View:
        """parts: comma-separated, None for the default. A 400 for a part that does not exist."""
        if parts is None:
            return cls(DEFAULT_PARTS, basis)
        wanted = set(filter(None, parts.split(",")))
        unknown = sorted(wanted.difference(PARTS))
        if unknown:
            raise usage(f"{unknown[0][:40]!r} is no part of a frame. Parts are {', '.join(PARTS)}.")
        return cls(tuple(part for part in PARTS if part in wanted), basis)


@dataclass(frozen=True, slots=True)
class Frame:
    """A snapshot that is about to be sent. `etag` is known before any array is read.

    `lasting` is False where the answer depends on what the run recommends today.
    """

    opened: OpenedRun
    snapshot: StoredSnapshot
    view: View
    basis: int | None
    etag: str
    lasting: bool

    @classmethod
    def find(cls, opened: OpenedRun, iteration: int, view: View) -> Frame:
        """Raises IterationNotFoundError or DamagedRunError."""
        snapshot = _snapshot(opened, iteration)
        shows_embedding = "embedding" in view.parts and snapshot.plan.embedding is not None
        basis = view.basis
        if basis is None and shows_embedding:
            basis = opened.projection.recommended_basis()
        identity = f"{snapshot.etag} {','.join(view.parts)} {basis if shows_embedding else None}"
        etag = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return cls(opened, snapshot, view, basis, etag, lasting=view.basis is not None or not shows_embedding)

    def content(self) -> dict[str, Any]:
        """What docs/HTTP.md promises of a frame.

        Raises DamagedRunError; IterationNotFoundError or NotRecordedError for a basis that is none.
        """
        snapshot = self.snapshot
        states = snapshot.gradient_states
        content: dict[str, Any] = {
            "iteration": snapshot.iteration,
            "plan": snapshot.plan.number,
            "tier": snapshot.tier,
            "time_unix_s": snapshot.time_unix_s,
            "scalars": snapshot.scalars,
            "events": [{"kind": event.kind, "text": event.text} for event in snapshot.events],
            "gradient_state": {
                "default": states.default,
                "exceptions": {str(index): state for index, state in states.exceptions.items()},
                "reason": states.reason,
            },
        }
        for part in self.view.parts:
            if part == "embedding":
                content[part] = self._embedding()
            elif part in further.PARTS:
                content[part] = further.content(snapshot, part)
            else:
                array = snapshot.array(part)
                content[part] = None if array is None else raw(array, _DTYPES[part])
        return content

    @property
    def n_bytes(self) -> int:
        """Bytes of the snapshot's own arrays among the parts, as its plan says; nothing of them is read."""
        snapshot, parts = self.snapshot, self.view.parts
        plain = sum(
            snapshot.raw_bytes(part) for part in parts if part in snapshot.record.arrays.intersection(_DTYPES)
        )
        return plain + sum(further.n_bytes(snapshot, part) for part in parts if part in further.PARTS)

    def _embedding(self) -> dict[str, Any] | None:
        if self.basis is None:
            return None
        picture = self.opened.projection.picture(self.snapshot.iteration, self.basis)
        if picture is None:
            return None
        return {
            "tensor": picture.tensor,
            "basis": picture.basis,
            "exact": picture.exact,
            "coordinates": raw(picture.coordinates, "<f4"),
            "magnitude": raw(picture.magnitude, "<f4"),
            "explained": list(picture.explained),
        }


@dataclass(frozen=True, slots=True)
class FrameList:
    """Several frames in one answer; one that cannot be read says why in its place."""

    frames: tuple[Frame | dict[str, Any], ...]

    @classmethod
    def find(cls, opened: OpenedRun, iterations: Sequence[int], view: View) -> FrameList:
        found: list[Frame | dict[str, Any]] = []
        for iteration in iterations:
            try:
                found.append(Frame.find(opened, iteration, view))
            except ParamvizError as error:
                found.append(_failed(iteration, error))
        return cls(tuple(found))

    def content(self) -> tuple[list[dict[str, Any]], bool]:
        """(the frames' contents, whether all of them could be read)."""
        contents: list[dict[str, Any]] = []
        for frame in self.frames:
            try:
                contents.append(frame.content() if isinstance(frame, Frame) else frame)
            except ParamvizError as error:
                assert isinstance(frame, Frame)
                contents.append(_failed(frame.snapshot.iteration, error))
        return contents, all("error" not in content for content in contents)

    @property
    def n_bytes(self) -> int:
        """Bytes of the arrays that `content` would read, as the plans say."""
        return sum(frame.n_bytes for frame in self.frames if isinstance(frame, Frame))

    @property
    def etag(self) -> str | None:
        """None if a frame is missing: it may come."""
        tags = [frame.etag for frame in self.frames if isinstance(frame, Frame)]
        if len(tags) < len(self.frames):
            return None
        return hashlib.blake2b(" ".join(tags).encode(), digest_size=16).hexdigest()

    @property
    def lasting(self) -> bool:
        return all(isinstance(frame, Frame) and frame.lasting for frame in self.frames)


def _snapshot(opened: OpenedRun, iteration: int) -> StoredSnapshot:
    try:
        return opened.run[iteration]
    except IterationNotFoundError:
        # A program without a tail may ask for what was committed a moment ago.
        opened.run.refresh()
        return opened.run[iteration]


def _failed(iteration: int, error: ParamvizError) -> dict[str, Any]:
    return {"iteration": iteration, "error": describe(error)}
