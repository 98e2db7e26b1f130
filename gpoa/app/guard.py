"""Who may talk to the page: only the browser that opened the address with the token.

A page of the internet that the same browser has open cannot read what we answer, but it could send requests. It is
refused three times over: it does not have the cookie (SameSite=Strict) nor the header with the token, its `Origin` is
not ours, and a name of its own that it points at this machine (DNS rebinding) is not a `Host` that we answer to.
Other users of a shared machine can reach a loopback port, so the token is asked for there, too.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TOKEN_HEADER = "x-gpoa-token"
SAFE = frozenset({"GET", "HEAD"})
POLICY = "; ".join((
    *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob:", "connect-src 'self'"),
    *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
))  # fmt: skip
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
NO_TOKEN = (
    "This page belongs to whoever started it: open the address with ?token=... that `gpoa app` printed in its terminal."
)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def names_for(host: str) -> frozenset[str]:
    """The `Host` names that a server on an address answers to.

    Args:
        host: what it listens on; loopback, one address or name, or "0.0.0.0" and "::" for all.
    """
    if is_loopback(host):
        return LOOPBACK | {host}
    own = {socket.gethostname(), socket.getfqdn()}
    return frozenset({host.lower(), *(name.lower() for name in own if name), *LOOPBACK})


class Guard:
    """ASGI middleware that refuses strangers.

    Args:
        app: what is guarded.
        names: see `names_for`.
        any_address: also answer to any IP address as `Host`: the server listens on all of them.
        token: of this session.
        cookie: the name under which the browser keeps it.
    """

    def __init__(
        self, app: ASGIApp, names: Iterable[str], token: str, cookie: str = "gpoa", any_address: bool = False
    ) -> None:
        self._app, self._names, self._token, self._cookie = app, frozenset(names), token, cookie
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or refuses one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refused = self._refuse(connection, scope.get("method", "GET"))
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        await self._app(scope, receive, _with_headers(send))

    def _refuse(self, connection: HTTPConnection, method: str) -> Response | None:
        """What a stranger gets; None for whoever may pass."""
        headers, host = connection.headers, connection.headers.get("host", "")
        if not self._is_ours(host):
            return JSONResponse({"error": f"this server does not answer to the name {host[:80]!r}"}, 421)
        if not _same_origin(headers, host):
            return JSONResponse({"error": "requests of other sites are refused"}, 403)
        given = connection.query_params.get("token", "")
        if method in SAFE and connection.url.path == "/" and given and self._fits(given):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
            return answer
        if not self._fits(connection.cookies.get(self._cookie, "")):
            is_page = connection.url.path == "/"
            return PlainTextResponse(NO_TOKEN, 403) if is_page else JSONResponse({"error": NO_TOKEN}, 403)
        if method not in SAFE and not self._fits(headers.get(TOKEN_HEADER, "")):
            return JSONResponse({"error": "the request lacks this session's token; load the page again"}, 403)
        return None

    def _fits(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    def _is_ours(self, host: str) -> bool:
        """Whether a `Host` header names us; the port may be another one, as through an SSH tunnel."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        if not self._any_address:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


def _same_origin(headers: Headers, host: str) -> bool:
    """Whether the browser says that the request comes from our own page, or says nothing."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _with_headers(send: Send) -> Send:
    """Adds what keeps other sites out to every answer."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return sender
