"""The real server on a loopback port: streams, clients that leave, prefixes, ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import threading
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from paramviz.errors import PortInUseError, UsageError
from tests.store import made_runs
from viewer import ViewerServer
from viewer.stream import EventStream
from viewer.tail import MAX_STREAMS, Tail

PATIENCE_S = 30.0
"""Nothing here takes that long; a test that waits so long has failed."""


@pytest.fixture
def writer(tmp_path):
    """A run that is being recorded, with one snapshot."""
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    yield writer
    writer.close("finished")


@pytest.fixture
def server(writer):
    with ViewerServer([writer.path]) as server:
        yield server


def request(server, address, **headers):
    """(status, headers, body) of one request over a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)) as connection:
        connection.request("GET", address, headers={n.replace("_", "-"): v for n, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()


class Stream:
    """A client of `api/tail`. Messages and comments arrive in `lines` as they are sent."""

    def __init__(self, server, query, **headers):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        headers = {n.replace("_", "-"): v for n, v in headers.items()}
        self.connection.request("GET", f"/api/tail?{query}", headers=headers)
        self.socket = self.connection.sock  # the response takes it over
        self.answer = self.connection.getresponse()
        self.lines = queue.Queue()
        self.reader = None
        if self.answer.status == 200:
            self.reader = threading.Thread(target=self._read, daemon=True)
            self.reader.start()

    def _read(self):
        try:
            for line in self.answer:
                self.lines.put(line.decode().rstrip("\n"))
        except (OSError, ValueError, http.client.HTTPException):
            pass
        self.lines.put(None)

    def line(self, beginning):
        """The next line that starts so; None when the stream ended before one."""
        while (line := self.lines.get(timeout=PATIENCE_S)) is not None:
            if line.startswith(beginning):
                return line
        return None

    def update(self):
        return json.loads(self.line("data: ").removeprefix("data: "))

    def updates_until(self, done):
        """Messages up to and with the first for which `done` is true."""
        messages = [self.update()]
        while not done(messages[-1]):
            messages.append(self.update())
        return messages

    def close(self):
        """Leave abruptly, as a closed tab does."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        if self.reader is not None:
            self.reader.join()
        self.answer.close()
        self.connection.close()


def eventually(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def cursor_of(server, writer):
    return json.loads(request(server, f"/api/runs/{writer.run_id}")[2])["cursor"]


def test_a_commit_reaches_a_listening_page(server, writer):
    stream = Stream(server, f"runs={writer.run_id}&cursors={cursor_of(server, writer)}")
    assert stream.answer.headers["Content-Type"] == "text/event-stream"
    assert stream.line(": open")
    made_runs.write(writer, 1)
    *_, message = stream.updates_until(lambda message: message["iterations"])
    assert message["iterations"] == [1]
    assert message["run"] == writer.run_id
    status, _, _ = request(server, f"/api/runs/{writer.run_id}/frames/1")
    assert status == 200
    stream.close()


def test_a_page_hears_how_the_run_ended(server, writer):
    stream = Stream(server, f"runs={writer.run_id}&cursors={cursor_of(server, writer)}")
    writer.close("finished")
    assert stream.updates_until(lambda message: message["status"] == "finished")
    stream.close()


def test_a_stream_without_a_cursor_begins_at_the_start(server, writer):
    stream = Stream(server, f"runs={writer.run_id}")
    assert stream.update()["iterations"] == [0]
    stream.close()


def test_a_broken_stream_resumes_where_it_was(server, writer):
    """The browser sends the last id back; nothing comes twice and nothing is missing."""
    stream = Stream(server, f"runs={writer.run_id}")
    last_id = stream.line("id: ").removeprefix("id: ")
    stream.close()
    made_runs.write(writer, 1)
    resumed = Stream(server, f"runs={writer.run_id}&cursors=", Last_Event_ID=last_id)
    messages = resumed.updates_until(lambda message: message["iterations"])
    assert [i for message in messages for i in message["iterations"]] == [1]
    resumed.close()


def test_one_stream_follows_several_runs(tmp_path):
    writers = [made_runs.start(tmp_path / name) for name in ("a", "b")]
    with ViewerServer([tmp_path / "a", tmp_path / "b"]) as server:
        stream = Stream(server, "runs=" + ",".join(w.run_id for w in writers))
        for writer in writers:
            made_runs.write(writer, 0)
        heard = {}
        while len(heard) < 2:
            message = stream.update()
            if message["iterations"]:
                heard[message["run"]] = message["iterations"]
        assert heard == {writer.run_id: [0] for writer in writers}
        stream.close()
    for writer in writers:
        writer.close("finished")


def test_streams_are_capped_and_the_page_is_told_to_poll(server, writer):
    """The threads beyond the cap still serve frames."""
    query = f"runs={writer.run_id}"
    streams = [Stream(server, query) for _ in range(MAX_STREAMS)]
    assert all(stream.answer.status == 200 for stream in streams)
    one_more = Stream(server, query)
    assert one_more.answer.status == 503
    error = json.loads(one_more.answer.read())["error"]
    assert error["kind"] == "busy"
    assert "api/poll" in error["message"]
    one_more.close()
    assert request(server, f"/api/runs/{writer.run_id}/frames/0")[0] == 200
    for stream in streams:
        stream.close()

    def accepted():
        stream = Stream(server, query)
        stream.close()
        return stream.answer.status == 200

    eventually(accepted)


def test_clients_that_leave_give_their_places_back(server, writer):
    """Three times as many as there are places, each gone before the next message."""
    for _ in range(3):
        for _ in range(MAX_STREAMS // 2):
            Stream(server, f"runs={writer.run_id}").close()
        eventually(lambda: server.n_streams == 0)
    stream = Stream(server, f"runs={writer.run_id}")
    assert stream.update()["iterations"] == [0]
    stream.close()


def test_a_head_request_takes_no_place(server, writer):
    for _ in range(MAX_STREAMS + 1):
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            connection.request("HEAD", f"/api/tail?runs={writer.run_id}")
            assert connection.getresponse().status == 200
    assert server.n_streams == 0


def test_a_silent_stream_is_pinged(writer):
    """So that neither a proxy nor the browser takes it for dead."""
    tail = Tail()
    stream = EventStream(tail.listen([]), [], lambda: False, ping_interval_s=0.01)
    assert b": open" in next(stream)
    assert [next(stream), next(stream)] == [b": ping\n\n"] * 2
    stream.close()
    tail.close()


def test_a_stream_that_is_never_read_gives_its_place_back():
    tail = Tail(max_streams=1)
    for _ in range(3):
        EventStream(tail.listen([]), [], lambda: False).close()
    tail.close()


def test_closing_the_server_ends_its_streams(writer):
    with ViewerServer([writer.path]) as server:
        stream = Stream(server, f"runs={writer.run_id}")
        assert stream.line(": open")
    assert stream.line("never") is None
    with pytest.raises(ConnectionRefusedError):
        request(server, "/api/runs")


def test_a_run_that_cannot_be_followed_is_reported_once_and_the_others_go_on(tmp_path):
    """A plan of one run is damaged from the start."""
    good, bad = (made_runs.start(tmp_path / name) for name in ("good", "bad"))
    with ViewerServer([good.path, bad.path]) as server:
        stream = Stream(server, f"runs={bad.run_id},{good.run_id}")
        made_runs.write(good, 0)
        assert stream.updates_until(lambda message: message["iterations"])
        made_runs.add_plan(bad)
        (bad.path / "plans" / "0001" / "zarr.json").write_text("{}")
        made_runs.write(bad, 0)
        assert stream.line("event: problem")
        error = json.loads(stream.line("data: ").removeprefix("data: "))["error"]
        assert (error["kind"], error["key"]) == ("damaged", "plans/0001/zarr.json")
        made_runs.write(good, 1)
        messages = stream.updates_until(lambda message: message["iterations"] == [1])
        assert {message["run"] for message in messages} == {good.run_id}
        stream.close()
    for writer in (good, bad):
        writer.close("finished")


def test_a_port_in_use_is_named_with_the_cure(server, writer):
    with pytest.raises(PortInUseError, match="--port 0") as caught:
        ViewerServer([writer.path], port=server.port)
    assert caught.value.port == server.port


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_wrong_usage(writer, host):
    with pytest.raises(UsageError, match="--host"):
        ViewerServer([writer.path], host=host, token="token-of-the-tests")


def test_behind_a_prefix_the_page_is_found_with_and_without_it(writer):
    """Some proxies strip their prefix, some pass it on."""
    with ViewerServer([writer.path], path_prefix="lab/viewer/") as server:
        assert urlsplit(server.url).path == "/lab/viewer/"
        assert request(server, "/lab/viewer/api/runs")[0] == 200
        assert request(server, "/api/runs")[0] == 200
        status, headers, _ = request(server, "/lab/viewer?run=a")
        assert (status, headers["Location"]) == (308, "/lab/viewer/?run=a")


@pytest.mark.parametrize("prefix", ["a//b", "a?b", "a b", "ü", "%2e", "<x>"])
def test_a_prefix_that_is_no_path_is_wrong_usage(writer, prefix):
    with pytest.raises(UsageError, match="--path-prefix"):
        ViewerServer([writer.path], path_prefix=prefix)


def test_a_large_body_is_refused_before_it_is_read(server):
    """The interface only reads: nobody has anything to send."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)) as connection:
        connection.putrequest("POST", "/api/runs")
        connection.putheader("Content-Length", str(1 << 30))
        connection.endheaders()
        assert connection.getresponse().status == 413


def test_the_server_answers_under_ipv6_too(writer):
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with ViewerServer([writer.path], host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}/"
        connection = http.client.HTTPConnection("::1", server.port, timeout=PATIENCE_S)
        connection.request("GET", "/api/runs")
        assert connection.getresponse().status == 200
        connection.close()
