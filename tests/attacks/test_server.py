"""Whatever a client sends: no file beside the page, no defect, JSON under api/, and others stay served."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
import threading
import time
from urllib.parse import unquote_to_bytes

import pytest

from tests.attacks import payloads
from tests.attacks.raw_http import PATIENCE_S, RawClient, closed_by_server, read_until
from tests.store import made_runs
from viewer import ViewerServer, connection, frames
from viewer import server as server_module
from viewer.app import create_app
from viewer.catalogue import Catalogue
from viewer.tail import MAX_STREAMS

pytestmark = pytest.mark.slow

REFUSALS = {400, 403, 404, 405, 413, 414, 431, 501}
RUN_RULE = re.compile(r"<(?:path:)?(\w+)>")
GOOD = {"number": "0", "iteration": "1", "tensor": "0", "key": "mean"}
QUERIES = (
    "/api/runs/RUN/frames?iterations=X",
    "/api/runs/RUN/frames?iterations=0,X",
    "/api/runs/RUN/frames/0?parts=X",
    "/api/runs/RUN/frames/0?basis=X",
    "/api/runs/RUN/timeline/0/mean?of=X",
    "/api/tail?runs=X",
    "/api/tail?runs=RUN&cursors=X",
    "/api/poll?runs=X",
    "/api/poll?runs=RUN&cursors=X",
)


@pytest.fixture(scope="module")
def run_id(server):
    with RawClient(server.port) as client:
        return client.ask(b"/api/runs").json["runs"][0]["id"]


@pytest.fixture
def no_defects(caplog):
    """Nothing may be logged as a defect of the viewer or of its server."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def places(run):
    """Every route with one of its arguments replaced by X, and every query argument."""
    rules = {str(rule) for rule in create_app(Catalogue([run])).url_map.iter_rules()}
    for rule in sorted(rules):
        for attacked in RUN_RULE.finditer(rule):
            before, behind = rule[: attacked.start()], rule[attacked.end() :]
            filled = (RUN_RULE.sub(lambda m: GOOD.get(m[1], "RUN"), part) for part in (before, behind))
            yield "X".join(filled)
    yield from QUERIES


def eventually(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def assert_well_refused(answer, target):
    assert answer.status in REFUSALS, (answer.status, target)
    assert payloads.SECRET.encode() not in answer.body
    assert b"zarr_format" not in answer.body
    assert b"root:" not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"
    path = unquote_to_bytes(target.partition(b"?")[0])
    if (b"/" + path.lstrip(b"/")).startswith(b"/api/"):
        assert answer.headers["content-type"] == "application/json", target
        assert answer.json["error"]["kind"] in {"usage", "absent", "forbidden"}


def test_there_are_as_many_payloads_as_promised():
    assert len(payloads.TRAVERSALS) >= 300
    assert len(payloads.GOOD_HOSTS) + len(payloads.BAD_HOSTS) >= 40
    assert len(payloads.FOREIGN_ORIGINS) * len(payloads.CONTENT_TYPES) >= 30
    assert len(payloads.XSS) >= 60


def test_every_route_has_a_place_for_payloads(quiet_run):
    found = list(places(quiet_run))
    assert len(found) >= 20
    assert {"/X", "/api/X", "/api/runs/X", "/api/runs/RUN/timeline/0/X"} <= set(found)


def test_no_payload_leads_out_on_any_route(quiet_run, client, run_id, no_defects):
    """Each traversal in each argument of each route: refused, and in the interface's own words."""
    for place in places(quiet_run):
        before, _, behind = place.replace("RUN", run_id).encode().partition(b"X")
        for payload in payloads.TRAVERSALS:
            target = before + payload + behind
            assert_well_refused(client.ask(target), target)
    assert client.ask(b"/api/runs").status == 200


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://[broken/api/runs HTTP/1.1",
        b"GET http://evil.example/../../secret HTTP/1.1",
        b"GET ../secret HTTP/1.1",
        b"GET \\..\\secret HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET /\xff\xfe HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /secret",
        b"get /secret HTTP/1.1",
        b"GET /secret HTTP/9.9",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0",
        b"GET /api/runs HTTP/1.1\r\nTransfer-Encoding: gzip",
        b"POST /api/runs HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
        b"POST /api/runs HTTP/1.1\r\nContent-Length: -1",
        b"POST /api/runs HTTP/1.1\r\nContent-Length: 1e3",
        b"GET /api/runs HTTP/1.1\r\n folded: x",
        b"GET /api/runs HTTP/1.1\r\nno colon",
        b"GET /api/runs HTTP/1.1\r\nX: a\nHost: localhost",
    ],
)
def test_a_malformed_request_is_refused_and_the_next_one_served(server, client, line, no_defects):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sending:
        sending.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        sending.shutdown(socket.SHUT_WR)
        with contextlib.suppress(EOFError, ConnectionError):
            head, _ = read_until(sending, b"\r\n\r\n")
            assert int(head.split()[1]) in REFUSALS
            assert payloads.SECRET.encode() not in head
    assert client.ask(b"/api/runs").status == 200


@pytest.mark.parametrize("host", payloads.GOOD_HOSTS)
def test_our_own_names_are_answered(server, client, host):
    assert client.ask(b"/api/runs", headers={"Host": host.replace("PORT", str(server.port))}).status == 200


@pytest.mark.parametrize("host", payloads.BAD_HOSTS)
def test_no_other_name_is_answered(server, client, host, no_defects):
    """400 for what is no header at all, 403 for a name that is not ours."""
    for target in (b"/", b"/api/runs", b"/api/tail?runs=x"):
        answer = client.ask(target, headers={"Host": host.replace("PORT", str(server.port))})
        assert answer.status in (400, 403)
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_request_without_a_host_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as old:
        old.sendall(b"GET /api/runs HTTP/1.0\r\n\r\n")
        assert read_until(old, b"\r\n\r\n")[0].split()[1] == b"403"


@pytest.mark.parametrize("origin", payloads.FOREIGN_ORIGINS)
def test_nothing_is_told_to_a_foreign_page_whatever_it_sends(server, client, origin, no_defects):
    """Every content type with every method: refused, and no header lets the page read the refusal."""
    host = f"localhost:{server.port}"
    for content_type in payloads.CONTENT_TYPES:
        for method in payloads.METHODS:
            headers = {
                "Host": host,
                "Origin": origin.replace("PORT", str(server.port)),
                "Content-Type": content_type,
                "X-Paramviz": "1",
                "Access-Control-Request-Method": "POST",
                "Content-Length": "2",
            }
            answer = client.ask(b"/api/runs", method, headers, b"{}")
            assert answer.status == 403, (method, content_type)
            assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "target", [b"/", b"/api/runs", b"/api/runs/RUN", b"/api/tail?runs=RUN", b"/api/none"]
)
def test_our_own_page_cannot_write_either(server, client, run_id, target):
    """The interface only reads: there is no method that changes anything."""
    host = f"localhost:{server.port}"
    for method in payloads.METHODS[2:]:
        for content_type in payloads.CONTENT_TYPES:
            headers = {
                "Host": host,
                "Origin": f"http://{host}",
                "Content-Type": content_type,
                "X-Paramviz": "1",
                "Content-Length": "2",
            }
            answer = client.ask(target.replace(b"RUN", run_id.encode()), method, headers, b"{}")
            assert answer.status == 405
            assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("X: " + "x" * 70_000, 431),
        ("\r\n".join(f"X{n}: y" for n in range(10_000)), 431),
        ("Content-Length: 1073741824", 413),
        ("Content-Length: 5000", 413),
    ],
)
def test_what_is_too_large_is_refused_as_json_before_it_is_read(server, header, status):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sending:
        sending.sendall(f"POST /api/runs HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
        head, _ = read_until(sending, b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert b"Content-Type: application/json" in head
        assert b"Content-Security-Policy: default-src 'self'" in head


def test_a_chunked_body_without_end_is_cut_off(server, client):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sending:
        sending.sendall(b"POST /api/runs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sending.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            assert read_until(sending, b"\r\n\r\n")[0].split()[1] == b"413"
    assert client.ask(b"/api/runs").status == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (",".join(map(str, range(16))), 200),
        (",".join(map(str, range(17))), 400),
        (",".join(["0"] * 10_000), 400),
        ("9" * 30, 400),
        ("-1", 400),
        ("\u0661", 400),
        ("", 400),
    ],
)
def test_a_list_of_frames_is_bounded(client, run_id, query, status):
    target = f"/api/runs/{run_id}/frames?iterations=".encode() + query.encode()
    assert client.ask(target).status == status


def test_the_bytes_of_a_list_of_frames_are_bounded(monkeypatch, client, run_id):
    """A stranger's run may have enormous frames; one alone is still sent."""
    monkeypatch.setattr(frames, "MAX_ANSWER_BYTES", 60_000)
    assert client.ask(f"/api/runs/{run_id}/frames?iterations=0".encode()).status == 200
    answer = client.ask(f"/api/runs/{run_id}/frames?iterations=0,1".encode())
    assert answer.status == 400
    assert "fewer" in answer.json["error"]["message"]


def test_the_runs_of_a_stream_are_bounded(client, run_id):
    for address in ("tail", "poll"):
        assert client.ask(f"/api/{address}?runs={','.join([run_id] * 65)}".encode()).status == 400


@pytest.fixture
def hasty(monkeypatch, quiet_run):
    """A server that loses patience within a moment."""
    for name in ("REQUEST_S", "STALL_S", "IDLE_S"):
        monkeypatch.setattr(connection, name, 0.3)
    monkeypatch.setattr(server_module, "_CLEANUP_S", 0)
    with ViewerServer([quiet_run]) as server:
        yield server


def test_a_request_that_never_ends_is_given_up(hasty):
    """One byte of a header now and then, which keeps a connection busy without ever asking for anything."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=PATIENCE_S) as slow:
        slow.sendall(b"GET /api/runs HTTP/1.1\r\nHost: localhost\r\nX: ")
        deadline = time.monotonic() + PATIENCE_S
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                slow.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() < deadline, "the server waited on"


def test_an_idle_connection_is_closed(hasty):
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=PATIENCE_S) as idle:
        assert closed_by_server(idle)


def test_a_client_that_never_reads_loses_its_connection(hasty, run_id):
    """What waits for it is let go; the others are served all the while."""
    target = f"/api/runs/{run_id}/frames?iterations={','.join(['0', '1', '2'] * 5)}"
    greedy = []
    for _ in range(8):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", hasty.port))
        # So many answers fit into no buffer of the system.
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 20)
        greedy.append(client)
    with RawClient(hasty.port) as client:
        assert client.ask(b"/api/runs").status == 200
    eventually(lambda: hasty.n_connections == 0)
    for client in greedy:
        client.close()


def test_clients_that_go_away_at_any_moment_leave_nothing_behind(server, client, run_id, no_defects):
    requests = [f"GET /api/runs/{run_id}/frames/0 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()]
    requests += [f"GET /api/tail?runs={run_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()]
    requests += [b"POST /api/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nxxx"]
    for request in requests:
        for sent in range(0, len(request) + 1, 7):
            with socket.create_connection(("127.0.0.1", server.port)) as leaving:
                # With this option the system answers what still comes with a reset.
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                leaving.sendall(request[:sent])
    assert client.ask(b"/api/runs").status == 200
    eventually(lambda: server.n_streams == 0)


def test_fifty_tails_at_once_are_served_or_told_that_it_is_busy(tmp_path):
    """Those within the cap hear of every commit, those beyond it are told to poll, and frames still come."""
    writer = made_runs.start(tmp_path / "run")
    made_runs.write(writer, 0)
    statuses: list[int] = []
    heard: list[set[int]] = []
    lock = threading.Lock()
    wanted = set(range(4))

    def listen(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as stream:
            stream.sendall(f"GET /api/tail?runs={writer.run_id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head, data = read_until(stream, b"\r\n\r\n")
            with lock:
                statuses.append(int(head.split()[1]))
            if b" 503 " in head.split(b"\r\n")[0]:
                return
            while (seen := iterations_in(data)) < wanted:
                data += stream.recv(1 << 16)
            with lock:
                heard.append(seen)

    with ViewerServer([writer.path]) as server:
        listeners = [threading.Thread(target=listen, args=(server.port,)) for _ in range(50)]
        for listener in listeners:
            listener.start()
        eventually(lambda: len(statuses) == 50)
        for iteration in (1, 2, 3):
            made_runs.write(writer, iteration)
            with RawClient(server.port) as client:
                assert client.ask(f"/api/runs/{writer.run_id}/frames/{iteration}".encode()).status == 200
        for listener in listeners:
            listener.join()
    writer.close("finished")
    assert sorted(statuses) == [200] * MAX_STREAMS + [503] * (50 - MAX_STREAMS)
    assert heard == [wanted] * MAX_STREAMS


def iterations_in(stream: bytes) -> set[int]:
    """The iterations that whole messages of a tail told of."""
    messages = re.findall(rb"^data: (.*)\n\n", stream, re.MULTILINE)
    return {i for message in messages for i in json.loads(message)["iterations"]}
