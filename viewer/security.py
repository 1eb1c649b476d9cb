"""Who may ask, and what a browser may do with the answer (docs/HTTP.md, Security).

The viewer stands on a researcher's machine, where every web page that the
browser has open can send requests to it. So the `Host` must be a name that we
answer to (else a foreign name could be pointed at this machine: DNS
rebinding), a foreign `Origin` is refused, and beyond the loopback interface a
token is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Flask, Response, redirect, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.wrappers import Response as BaseResponse

from paramviz.errors import UsageError
from viewer.problems import forbidden

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # the charts size themselves with style attributes
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

PROTECTING_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What every answer carries."""

METHODS = ("GET", "HEAD")
"""The server reads runs and changes nothing, so there is nothing else to ask for."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,256}")
_FOREIGN = ("cross-site", "same-site")
"""What browsers say of a request that a page of another origin makes, also where they send no Origin."""

_COOKIE_AGE_S = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one server.

    `hosts` are names that it answers to besides the loopback ones;
    `any_address` lets every numeric address pass as Host (they cannot be
    rebound), for a server bound to all interfaces. `proxied` are names given
    by the user, whose Origin is trusted even if a proxy rewrote the Host.
    """

    token: str | None = None
    hosts: frozenset[str] = frozenset()
    proxied: frozenset[str] = frozenset()
    any_address: bool = False

    @classmethod
    def for_server(cls, host: str, *, allow_hosts: Iterable[str] = (), token: str | None = None) -> Access:
        """The rules for a server bound to `host`. Beyond loopback a token is made if none is given.

        token: "auto" makes one. UsageError for a token that could not travel in an address.
        """
        proxied = frozenset(_name_only(allowed) for allowed in allow_hosts)
        beyond = not is_loopback(host)
        if token == "auto" or (token is None and beyond):
            token = secrets.token_urlsafe(24)
        if token is not None and not _TOKEN.fullmatch(token):
            raise UsageError(
                "The token must be 8 to 256 letters, digits, - or _. Let paramviz make one with --token auto."
            )
        everywhere = host in ("", "0.0.0.0", "::")
        own = {socket.gethostname().lower()} if everywhere else {host.lower()}
        return cls(token, proxied | own, proxied, any_address=everywhere)

    def admits_host(self, netloc: str | None) -> bool:
        """Whether a `Host` header (name, perhaps with a port) is one of ours."""
        name = _host_name(netloc)
        if name is None:
            return False
        address = _address(name)
        if address is not None and (self.any_address or address.is_loopback):
            return True
        return name == "localhost" or name in self.hosts

    def admits_origin(self, origin: str | None, netloc: str | None) -> bool:
        """Whether an `Origin` header may come with this `Host`. None: it was not sent."""
        if origin is None:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not parts.netloc:
            return False
        same = netloc is not None and parts.netloc.lower() == netloc.lower()
        return same or _host_name(parts.netloc) in self.proxied

    def knows(self, token: str | None) -> bool:
        """Whether `token` is the right one."""
        return (
            self.token is not None
            and token is not None
            and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.encode())
        )

    @property
    def cookie_name(self) -> str:
        """Cookies do not know ports, so each server's has a name of its own."""
        return "paramviz_" + hashlib.sha256((self.token or "").encode()).hexdigest()[:12]


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine only."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def guard(app: Flask, access: Access) -> None:
    """Check every request of `app`, and put the protecting headers on every answer."""

    @app.before_request
    def check() -> BaseResponse | None:
        host, origin = request.headers.get("Host"), request.headers.get("Origin")
        if not access.admits_host(host):
            raise forbidden(
                f"This viewer does not answer to the host name {_shown(host)}. If that is your proxy's name, "
                "start it with `paramviz view --allow-host NAME`."
            )
        if not access.admits_origin(origin, host):
            raise forbidden(
                f"A page from {_shown(origin)} may not ask this viewer. If that is your proxy's name, start "
                "it with `paramviz view --allow-host NAME`."
            )
        if request.path.startswith("/api/") and request.headers.get("Sec-Fetch-Site") in _FOREIGN:
            raise forbidden("A page of another site may not ask this viewer.")
        refused = _check_token(access) if access.token is not None else None
        if refused is None and request.method not in METHODS:
            raise MethodNotAllowed(METHODS, "This interface only reads: ask with GET or HEAD.")
        return refused

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(PROTECTING_HEADERS)
        return response


def _check_token(access: Access) -> BaseResponse | None:
    if request.path == "/" and access.knows(request.args.get("token")):
        # Out of the address bar, the history and every copied link; the cookie takes its place.
        query = request.query_string.decode("latin-1").split("&")
        rest = "&".join(argument for argument in query if not argument.startswith("token="))
        response = redirect(f"./?{rest}" if rest else "./", 303)
        response.set_cookie(
            access.cookie_name,
            access.token or "",
            max_age=_COOKIE_AGE_S,
            path=f"{request.root_path}/",
            httponly=True,
            samesite="Strict",
        )
        response.headers["Cache-Control"] = "no-store"
        return response
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and access.knows(credentials.strip()):
        return None
    if access.knows(request.cookies.get(access.cookie_name)):
        return None
    raise forbidden(
        "This viewer wants its token. Open the address that `paramviz view` printed, with ?token=… at its "
        "end, or send `Authorization: Bearer TOKEN`."
    )


def _host_name(netloc: str | None) -> str | None:
    """The name in `name:port`, lower-case and without brackets; None if it is malformed."""
    # `urlsplit` would drop tabs and line ends, and read a name that is not there.
    if not netloc or not netloc.isprintable() or any(mark in netloc for mark in "@/\\?# "):
        return None
    try:
        parts = urlsplit(f"//{netloc}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def _name_only(host: str) -> str:
    name = _host_name(host.strip())
    if name is None:
        raise UsageError(f"{host!r} is no host name. --allow-host wants one such as lab.example.org.")
    return name


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _shown(text: str | None) -> str:
    return "(none)" if text is None else repr(text[:80])
