"""Checks that a viewer answers: its page, a run's frames and scalars, and the live tail.

Addresses and answers are those of docs/HTTP.md.
"""

from __future__ import annotations

import http.client
import json
import math
import re
import struct
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import msgpack

REQUEST_TIMEOUT_S = 20.0
TAIL_TIMEOUT_S = 30.0


class CheckFailedError(Exception):
    """The viewer did not do what it should; the message says what."""


@dataclass(frozen=True, slots=True)
class ViewerClient:
    """Reads from a viewer at `url`. Every failure is a CheckFailedError that names the address."""

    url: str

    def open(self, address: str) -> http.client.HTTPResponse:
        try:
            response: http.client.HTTPResponse = urllib.request.urlopen(
                urljoin(self.url, address), timeout=REQUEST_TIMEOUT_S
            )
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(500).decode(errors="replace")
            raise CheckFailedError(f"GET {address or '/'} answered {error.code}: {said}") from error
        except OSError as error:
            raise CheckFailedError(f"GET {address or '/'} got no answer: {error}") from error
        return response

    def read(self, address: str) -> bytes:
        with self.open(address) as response:
            content = response.read()
        if not content:
            raise CheckFailedError(f"GET {address or '/'} answered nothing.")
        return content

    def json(self, address: str) -> Any:
        return json.loads(self.read(address))

    def msgpack(self, address: str) -> Any:
        return msgpack.unpackb(self.read(address))


def check_page(client: ViewerClient) -> None:
    """The page is HTML, and whatever it loads is there."""
    with client.open("") as response:
        kind, page = response.headers.get_content_type(), response.read().decode()
    if kind != "text/html":
        raise CheckFailedError(f"GET / is {kind}, not text/html.")
    assets = [a for a in re.findall(r'(?:src|href)="([^"]+)"', page) if not a.startswith("data:")]
    if not any(asset.endswith(".js") for asset in assets):
        raise CheckFailedError(f"The page loads no script, only: {assets}")
    for asset in assets:
        client.read(asset)


def check_run_is_listed(client: ViewerClient, run_id: str) -> None:
    runs = client.json("api/runs")["runs"]
    for run in runs:
        if run["id"] == run_id:
            if run.get("error"):
                raise CheckFailedError(f"The run cannot be opened: {run['error']}")
            return
    raise CheckFailedError(f"api/runs lists {[run['id'] for run in runs]}, but not {run_id}.")


def check_frames(client: ViewerClient, run_id: str) -> None:
    """The first, the middle and the last snapshot come whole, with as many values as the plan says."""
    iterations = client.json(f"api/runs/{run_id}")["iterations"]
    if not iterations:
        raise CheckFailedError("The run has no snapshot.")
    for iteration in {iterations[0], iterations[len(iterations) // 2], iterations[-1]}:
        frame = client.msgpack(f"api/runs/{run_id}/frames/{iteration}")
        plan = client.json(f"api/runs/{run_id}/plans/{frame['plan']}")
        if frame["iteration"] != iteration:
            raise CheckFailedError(f"Frame {iteration} says that it is {frame['iteration']}.")
        n_bytes, n_values = len(frame["values"]), plan["values"]
        if n_values == 0 or n_bytes != 2 * n_values:
            raise CheckFailedError(f"Frame {iteration} has {n_bytes} bytes for {n_values} float16 values.")
        if not any(frame["values"]):
            raise CheckFailedError(f"All values of frame {iteration} are zero.")


def check_scalars(client: ViewerClient, run_id: str, steps: int) -> None:
    """There is a finite loss for every step."""
    scalars = client.msgpack(f"api/runs/{run_id}/scalars")
    if "loss" not in scalars:
        raise CheckFailedError(f"There is no loss among the scalars {sorted(scalars)}.")
    raw = scalars["loss"]["values"]
    losses = struct.unpack(f"<{len(raw) // 8}d", raw)
    if len(losses) != steps or not all(map(math.isfinite, losses)):
        raise CheckFailedError(
            f"Of {steps} steps there are {len(losses)} losses, not all finite: {losses[:5]} …"
        )


def check_status(client: ViewerClient, run_id: str, wanted: str) -> None:
    status = client.json(f"api/runs/{run_id}")["status"]
    if status != wanted:
        raise CheckFailedError(f"The run's status is {status}, not {wanted}.")


class TailListener:
    """Follows the live tail of one run from now until the run has ended."""

    def __init__(self, client: ViewerClient, run_id: str) -> None:
        """Connect; once this returns, the server is listening to. Raises CheckFailedError."""
        cursor = client.json(f"api/runs/{run_id}")["cursor"]
        self._response = client.open(f"api/tail?runs={run_id}&cursors={cursor}")
        self._updates: list[tuple[float, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self._listen, name="tail", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with self._response:
            for line in self._response:
                if not line.startswith(b"data:"):
                    continue
                update = json.loads(line.removeprefix(b"data:"))
                self._updates.append((time.monotonic(), update))
                if update["status"] != "recording":
                    return

    def check(self, *, training_ended_s: float) -> int:
        """How many messages came while the training went on. Raises CheckFailedError if none did.

        training_ended_s: `time.monotonic()` right after the last step.
        """
        self._thread.join(TAIL_TIMEOUT_S)
        live = sum(1 for at_s, update in self._updates if at_s < training_ended_s and update["iterations"])
        if live == 0:
            raise CheckFailedError(
                "No message with a new snapshot came while the training went on; "
                f"{len(self._updates)} came in all."
            )
        if self._thread.is_alive():
            raise CheckFailedError("The live tail did not say that the run has finished.")
        return live
