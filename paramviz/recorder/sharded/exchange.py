"""How the shares of the other processes come to the first: over connections of our own.

The first process asks for one iteration after the other, and each question gets one answer.
No collective of training is touched, nothing runs on a training thread, and every wait ends:
by an answer, by the end of the other process, or by a deadline. docs/decisions/0013 says why
no collectives are used.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from torch import distributed

from paramviz.recorder.failsafe import Complaints, describe

ANSWER_S = 40.0
"""So long the first process waits for a share: other processes are at most a step behind."""

MEETING_S = 60.0
"""So long the others look for the first process after they have made their recorders."""

_LOOK_S = 0.05
"""How often they look."""

Store = Any
"""A `torch.distributed.Store`."""


class MissingShareError(Exception):
    """A snapshot cannot be put together: says whose share is missing, and why."""


def meeting_place() -> Store:
    """The store over which the processes of a training have found each other."""
    return distributed.distributed_c10d._get_default_store()


_counts: dict[str, int] = {}


def meeting_key(run: str) -> str:
    """Where in the store recorders of one run meet: each process makes as many of them, in one order."""
    _counts[run] = _counts.get(run, 0) + 1
    return f"paramviz/{_counts[run]}/{run}"


class Hub:
    """The first process's end: waits for the `others` to call, then asks them. Used by the writer thread.

    After one of them is lost, or does not answer in time, nobody is asked any more.
    """

    def __init__(self, store: Store, key: str, others: Collection[int], complaints: Complaints) -> None:
        self._others = frozenset(others)
        self._complaints = complaints
        self._connections: dict[int, Connection] = {}
        self._changed = threading.Condition()
        self._given_up: str | None = None
        if not self._others:
            return
        host = "127.0.0.1" if _is_on_one_machine() else "0.0.0.0"
        secret = secrets.token_bytes(32)
        self._listener: Listener = Listener((host, 0), backlog=len(self._others), authkey=secret)
        self._address = ("127.0.0.1", int(self._listener.address[1]))
        self._secret = secret
        said = {"hosts": _own_names(), "machine": socket.gethostname(), "port": self._address[1]}
        store.set(key, json.dumps({**said, "secret": secret.hex()}))
        threading.Thread(target=self._welcome, name="paramviz-hub", daemon=True).start()

    def ask(self, ranks: Collection[int], iteration: int, turn: int) -> dict[int, bytes]:
        """The shares of an iteration, for which the first process has taken its `turn`-th snapshot.

        MissingShareError if one of these ranks has none.
        """
        if self._given_up is not None:
            raise MissingShareError(self._given_up)
        deadline = time.monotonic() + ANSWER_S
        message = json.dumps({"iteration": iteration, "turn": turn}).encode()
        answers: dict[int, bytes] = {}
        asked = -1
        try:
            for rank in ranks:
                asked = rank
                self._connection_of(rank, deadline).send_bytes(message)
            for rank in ranks:
                asked = rank
                connection = self._connections[rank]
                if not connection.poll(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"did not answer within {ANSWER_S:.0f} s")
                answers[rank] = connection.recv_bytes()
        except Exception as error:
            self._give_up(f"rank {asked} {_what_happened(error)}")
            raise MissingShareError(self._given_up) from error
        for rank, answer in answers.items():
            if answer.startswith(_NOTHING):
                reason = f"rank {rank} has no share of it ({answer[len(_NOTHING) :].decode()})"
                self._complaints.once(
                    "a share", f"iteration {iteration} is not recorded: {reason}. Training goes on."
                )
                raise MissingShareError(reason)
        return answers

    def close(self) -> None:
        """Nobody is asked any more, which tells the others that they may end."""
        with self._changed:
            is_waiting = bool(self._others) and len(self._connections) < len(self._others)
            self._given_up = self._given_up or "the recording has ended"
            for connection in self._connections.values():
                connection.close()
        if is_waiting:
            # What accepts is woken by a call.
            with suppress(OSError, EOFError):
                Client(self._address, authkey=self._secret).close()

    def _give_up(self, reason: str) -> None:
        self._given_up = reason
        self.close()
        self._complaints.once(
            "shares",
            f"{reason}: what is spread over the processes is recorded no more from here on. Training goes "
            "on; the gap stands in the run.",
        )

    def _connection_of(self, rank: int, deadline: float) -> Connection:
        with self._changed:
            left = max(0.0, deadline - time.monotonic())
            if not self._changed.wait_for(lambda: rank in self._connections, left):
                raise TimeoutError("has not called: every process makes a Recorder, with the same path")
            return self._connections[rank]

    def _welcome(self) -> None:
        """Take the calls of the others, until all are there."""
        while self._given_up is None and len(self._connections) < len(self._others):
            try:
                connection = self._listener.accept()
                if not connection.poll(ANSWER_S):
                    continue
                rank = int(connection.recv_bytes(16))
            except Exception:
                # Whoever does not know the secret is nobody of ours.
                time.sleep(_LOOK_S)
                continue
            _bound(connection, sending=True, receiving=True)
            with self._changed:
                if self._given_up is not None or rank not in self._others:
                    connection.close()
                    continue
                self._connections[rank] = connection
                self._changed.notify_all()
        self._listener.close()


_NOTHING = b"nothing: "


def nothing(reason: str) -> bytes:
    """The answer of a process that has no share of an iteration."""
    return _NOTHING + reason.encode()


def hang_up(connection: Connection) -> None:
    """End a connection though another thread may be waiting at it: closing alone would not wake that."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as beside:
        beside.shutdown(socket.SHUT_RDWR)


def call(store: Store, key: str, rank: int, is_over: threading.Event) -> Connection | None:
    """A connection to the first process; None if it is not there in time. Waits on a thread of its own."""
    deadline = time.monotonic() + MEETING_S
    while not store.check([key]):
        if time.monotonic() > deadline or is_over.wait(_LOOK_S):
            return None
    said = json.loads(store.get(key))
    hosts = ["127.0.0.1"] if said["machine"] == socket.gethostname() else said["hosts"]
    connection = _first_that_answers(hosts, said["port"], bytes.fromhex(said["secret"]))
    _bound(connection, sending=True, receiving=False)
    connection.send_bytes(str(rank).encode())
    return connection


def _first_that_answers(hosts: Sequence[str], port: int, secret: bytes) -> Connection:
    for host in hosts[:-1]:
        with suppress(OSError):
            return Client((host, port), authkey=secret)
    return Client((hosts[-1], port), authkey=secret)


def _is_on_one_machine() -> bool:
    """As launchers say it."""
    here, everywhere = os.environ.get("LOCAL_WORLD_SIZE"), os.environ.get("WORLD_SIZE")
    return here is not None and here == everywhere


def _own_names() -> list[str]:
    """Names by which other machines may know this one, the likeliest first."""
    names = [os.environ.get("MASTER_ADDR", ""), socket.getfqdn(), socket.gethostname()]
    return list(dict.fromkeys(name for name in names if name))


def _bound(connection: Connection, *, sending: bool, receiving: bool) -> None:
    """No transfer takes for ever, though the other side stops in the midst of it, or its machine is gone."""
    limit = struct.pack("ll", int(ANSWER_S), 0)
    with socket.socket(fileno=os.dup(connection.fileno())) as beside:
        beside.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        beside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sending:
            beside.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        if receiving:
            beside.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


def _what_happened(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return str(error)
    if isinstance(error, EOFError | ConnectionError | BrokenPipeError):
        return "is gone"
    return f"cannot be asked ({describe(error)})"
