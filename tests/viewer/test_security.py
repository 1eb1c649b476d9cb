"""Who may ask: names, origins, tokens; and no way out of the folder of the page."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramviz.errors import UsageError
from viewer.security import Access, is_loopback

TOKEN = "a-token-of-the-tests"


def get(client, address="/api/runs", **headers):
    return client.get(address, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:7007", "LOCALHOST:1", "127.0.0.1:7007", "127.8.9.1", "[::1]:7007", "[::1]"],
)
def test_loopback_names_are_answered_at_any_port(client, host):
    """A tunnel or a container changes the port, never the name."""
    assert get(client, Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7007",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.168.1.5",
        "[::2]",
        "localhost@evil.example",
        "user@localhost",
        "localhost:port",
        "[::1",
        "",
    ],
)
@pytest.mark.parametrize("address", ["/", "/api/runs", "/api/tail?runs=x", "/assets/x.js"])
def test_a_foreign_host_name_is_refused_everywhere(client, host, address):
    """DNS rebinding: a name of the attacker's that points to this machine."""
    assert get(client, address, Host=host).status_code == 403


def test_a_refusal_says_how_to_allow_the_name(client):
    error = get(client, Host="lab.example").json["error"]
    assert error["kind"] == "forbidden"
    assert "--allow-host" in error["message"]


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:7007", "http://localhost:7007", 200),
        ("[::1]:7007", "http://[::1]:7007", 200),
        ("localhost:7007", "http://localhost:3000", 403),
        ("localhost:7007", "http://127.0.0.1:7007", 403),
        ("localhost:7007", "https://evil.example", 403),
        ("localhost:7007", "null", 403),
        ("localhost:7007", "file://", 403),
        ("localhost:7007", "http://[broken", 403),
    ],
)
def test_only_our_own_page_may_ask(client, host, origin, status):
    assert get(client, Host=host, Origin=origin).status_code == status


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_what_the_browser_marks_as_foreign_is_refused(client, site, status):
    assert get(client, Sec_Fetch_Site=site).status_code == status


def test_an_allowed_host_is_answered_with_and_without_a_proxy(make_client, finished_path):
    access = Access.for_server("127.0.0.1", allow_hosts=["lab.example.org"])
    client = make_client(finished_path, access=access)
    assert get(client, Host="lab.example.org").status_code == 200
    assert get(client, Host="lab.example.org:8443", Origin="https://lab.example.org:8443").status_code == 200
    assert get(client, Host="127.0.0.1:7007", Origin="https://lab.example.org").status_code == 200
    assert get(client, Host="other.example.org").status_code == 403


def test_on_all_interfaces_numeric_addresses_are_answered_but_no_foreign_names(make_client, finished_path):
    """A numeric address cannot be rebound, and who types it needs the token all the same."""
    access = Access.for_server("0.0.0.0", token=TOKEN)
    client = make_client(finished_path, access=access)
    authorization = f"Bearer {TOKEN}"
    assert get(client, Host="192.168.1.5:7007", Authorization=authorization).status_code == 200
    assert get(client, Host="[fe80::1]:7007", Authorization=authorization).status_code == 200
    assert get(client, Host="evil.example", Authorization=authorization).status_code == 403


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.5", False),
        ("myhost", False),
    ],
)
def test_beyond_loopback_a_token_is_made(host, loopback):
    assert is_loopback(host) is loopback
    assert (Access.for_server(host).token is None) is loopback


def test_tokens_that_are_made_differ_and_are_long():
    tokens = {Access.for_server("127.0.0.1", token="auto").token for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(token) >= 32 for token in tokens)


@pytest.mark.parametrize("token", ["", "short", "with space and more", "a;b=c-defghij", "ümläut-token"])
def test_a_token_that_cannot_travel_in_an_address_is_refused(token):
    with pytest.raises(UsageError, match="token"):
        Access.for_server("127.0.0.1", token=token)


@pytest.mark.parametrize("host", ["", "http://lab.example.org", "a/b", "user@host"])
def test_an_allowed_host_must_be_a_name(host):
    with pytest.raises(UsageError, match="allow-host"):
        Access.for_server("127.0.0.1", allow_hosts=[host])


@pytest.fixture
def guarded(make_client, finished_path):
    """A client of a server that wants a token."""
    return make_client(finished_path, access=Access(token=TOKEN))


@pytest.mark.parametrize("address", ["/", "/api/runs", "/api/tail?runs=x", "/assets/x.js", "/api/nowhere"])
def test_without_the_token_nothing_is_shown(guarded, address):
    assert get(guarded, address).status_code == 403
    assert get(guarded, address, Authorization="Bearer wrong-token").status_code == 403
    assert get(guarded, address, Authorization=f"Basic {TOKEN}").status_code == 403
    assert get(guarded, address, Authorization="Bearer ümläut\x80").status_code == 403


def test_the_token_is_taken_from_the_authorization_header(guarded):
    assert get(guarded, Authorization=f"Bearer {TOKEN}").status_code == 200


def test_the_token_leaves_the_address_and_becomes_a_cookie(guarded):
    answer = get(guarded, f"/?run=a&token={TOKEN}&iteration=3")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "./?run=a&iteration=3"
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert get(guarded).status_code == 200


def test_a_wrong_token_in_the_address_sets_no_cookie(guarded):
    answer = get(guarded, "/?token=wrong-token")
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert get(guarded).status_code == 403


def test_the_token_in_the_address_counts_for_the_page_alone(guarded):
    """Elsewhere it would stay in logs and in the addresses that scripts pass on."""
    assert get(guarded, f"/api/runs?token={TOKEN}").status_code == 403


def test_two_servers_on_one_machine_do_not_share_a_cookie(make_client, finished_path):
    """Cookies do not know ports."""
    names = {Access(token=token).cookie_name for token in (TOKEN, TOKEN + "2")}
    assert len(names) == 2


@pytest.mark.parametrize("address", ["/", "/api/runs", "/api/nowhere", "/nothing"])
def test_every_answer_has_the_protecting_headers(client, address):
    headers = get(client, address).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in re.sub(r"style-src[^;]*", "", policy)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_refusal_has_the_protecting_headers_too(client):
    assert "Content-Security-Policy" in get(client, Host="evil.example").headers


ESCAPES = [
    "..",
    "%2e%2e",
    "%2e%2e%2f",
    "..%2f",
    "..\\",
    "%5c..",
    ".%00.",
    "//",
    "/",
    "C:",
    "~",
    "%c0%ae%c0%ae",
]


@pytest.mark.parametrize(
    "place", ["/", "/assets/", "RUN/", "RUN/frames/", "RUN/plans/", "RUN/timeline/0/", "/api/runs/"]
)
@given(
    steps=st.lists(st.sampled_from(ESCAPES), min_size=1, max_size=6),
    name=st.sampled_from(["zarr.json", "secret"]),
)
def test_no_address_leads_out_of_the_page_or_into_a_run(client, run_url, tmp_path, place, steps, name):
    """Files beside the page's folder, and the files of the run itself, cannot be had by name."""
    (tmp_path / "secret").write_text("the secret")
    (tmp_path / "static").mkdir(exist_ok=True)
    address = place.replace("RUN", run_url) + "/".join([*steps, name])
    # As a server hands it over: decoded once, so that no client tidies it up before.
    path = unquote_to_bytes(address).decode("latin-1")
    answer = client.get("/", environ_overrides={"PATH_INFO": path})
    assert answer.status_code in (400, 403, 404)
    assert b"the secret" not in answer.get_data()
    assert b"zarr_format" not in answer.get_data()
