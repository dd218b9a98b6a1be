# SPDX-License-Identifier: Apache-2.0
"""What a request has to pass before any page or endpoint sees it: path, host, rate, origin, body, form token.

One ASGI middleware, in the order in which a check costs: the cheap ones first, the body last. What passes has its
whole body in memory, below the limit of its path.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import problems
from service.envelope import refuse, refuse_socket
from service.forgery import FORM_TYPES, SAFE_METHODS, Forms, form_token, is_own_origin, media_type
from service.problems import Problem
from service.rates import Buckets, caller_of
from service.settings import Address, Settings

UNGUARDED = frozenset({"/health", "/ready", "/metrics"})
"""Asked for by machines next door, under whatever name they know; no caller changes anything there."""
READINESS = "/ready"
"""Of those the one that asks the database: nobody may ask it as often as they like."""
PATH_BYTES_MAX = 2048
"""Longer than any path of ours."""
QUERY_BYTES_MAX = 8192
"""Longer than any query of ours."""

_COOKIE = re.compile(rb"[\x20-\x7e]+")
_BAD_URI_PATH = re.compile(
    rb"[^!-~]|\\|%(?![2-7][0-9a-fA-F]|[89a-fA-F][0-9a-fA-F])|%7[fF]|%5[cC]|(?:^|/)(?:\.|%2[eE]){1,2}(?:/|$)"
)
"""Control characters, backslashes, broken escapes, and whole segments of dots; escaped slashes may stand in a URI."""
_BAD_PATH = re.compile(rb"[\x00-\x1f\x7f\\]|//|(^|/)\.\.?(/|$)|%[0-9a-fA-F]{2}")


class Gate:
    """The middleware.

    Args:
        app: What comes after.
        settings: Limits.
        address: Hosts and origins.
        forms: Checks form tokens.
        body_limits: Path prefixes with a body limit of their own, in bytes.
        machine_paths: Path prefixes for callers that are no browsers; cookies are taken away there, so that a
            browser which another site sends there acts in nobody's name.
        uri_paths: Path prefixes below which a segment may be an escaped URI.
        open_paths: Path prefixes that pages of any origin may ask and read, as a wallet in a browser does; cookies are
            taken away there too, so that such a page reads what anybody could.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        address: Address,
        forms: Forms,
        body_limits: Mapping[str, int],
        machine_paths: tuple[str, ...],
        uri_paths: tuple[str, ...] = (),
        open_paths: tuple[str, ...] = (),
    ) -> None:
        limits = settings.limits
        self._app = app
        self._http = settings.http
        self._hosts = address.known_hosts
        self._origins = address.known_origins
        self._session_cookie = address.cookie_name("session")
        self._forms = forms
        self._body_limits = body_limits
        self._machine_paths = machine_paths
        self._uri_paths = uri_paths
        self._open_paths = open_paths
        self._addresses = Buckets(limits.address_per_second, limits.address_burst, limits.callers_max)
        self._sessions = Buckets(limits.session_per_second, limits.session_burst, limits.callers_max)
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with a problem."""
        if scope["type"] == "websocket":
            try:
                self._admit_socket(scope)
            except Problem as problem:
                await refuse_socket(problem, scope, receive, send)
                return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_open = scope["path"].startswith(self._open_paths) if self._open_paths else False
        if is_open:
            send = _readable_anywhere(send)
        client = scope.get("client")
        caller = caller_of(client[0] if client else "")
        self._under_way[caller] += 1
        try:
            try:
                receive = await self._admit(scope, receive, caller)
            except Problem as problem:
                await refuse(problem, scope, receive, send)
                return
            if is_open and scope["method"] == "OPTIONS":
                await Response(status_code=204, headers=_PREFLIGHT)(scope, receive, send)
                return
            await self._app(scope, receive, send)
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]  # so that the table never holds more than requests are under way

    def _admit_socket(self, scope: Scope) -> None:
        """Check the handshake of a WebSocket as if it changed something, and take its cookies away.

        Browsers send it to any site with cookies and let pages read what comes: so it acts in no session's name, and a
        page of another site is refused.
        """
        self._check_path(scope)
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise Problem(problems.HOST)
        client = scope.get("client")
        self._check_rate(caller_of(client[0] if client else ""), {})
        if not is_own_origin(headers, self._origins):
            raise Problem(problems.CROSS_SITE)
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"cookie"]

    async def _admit(self, scope: Scope, receive: Receive, caller: str) -> Receive:
        """Check everything; what comes after reads the body from what is returned."""
        self._check_path(scope)
        if scope["path"] in UNGUARDED and scope["method"] in SAFE_METHODS:
            if scope["path"] == READINESS:
                self._check_rate(caller, {})
            return replayed(b"", receive)
        _leave_out_disguised_cookies(scope)
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise Problem(problems.HOST)
        cookies = HTTPConnection(scope).cookies
        self._check_rate(caller, cookies)
        changes = scope["method"] not in SAFE_METHODS
        is_machine = scope["path"].startswith(self._machine_paths)
        if is_machine or (self._open_paths and scope["path"].startswith(self._open_paths)):
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
        if changes and not is_machine and not is_own_origin(headers, self._origins):
            raise Problem(problems.CROSS_SITE)
        if not changes and not _has_body(headers):
            return receive
        body = await self._read(scope["path"], headers, receive)
        is_form = changes and not is_machine and media_type(headers) in FORM_TYPES
        if is_form and not self._forms.is_valid(cookies, form_token(headers, body)):
            raise Problem(problems.FORM_TOKEN)
        return replayed(body, receive)

    def _check_path(self, scope: Scope) -> None:
        """No dots that climb, no separators or control characters in disguise, no second layer of escapes."""
        raw = scope.get("raw_path") or scope["path"].encode()
        raw = raw.partition(b"?")[0]
        if len(raw) > PATH_BYTES_MAX or len(scope["query_string"]) > QUERY_BYTES_MAX:
            raise Problem(problems.PATH)
        if b"%00" in scope["query_string"]:  # no text of ours holds it, and databases refuse it
            raise Problem(problems.PATH)
        if self._uri_paths and scope["path"].startswith(self._uri_paths):
            if _BAD_URI_PATH.search(raw):
                raise Problem(problems.PATH)
            return
        decoded = unquote_to_bytes(raw)
        hidden = b"%2f" in raw.lower()
        if hidden or not decoded.startswith(b"/") or _BAD_PATH.search(decoded):
            raise Problem(problems.PATH)

    def _check_rate(self, caller: str, cookies: Mapping[str, str]) -> None:
        """One token for the address, one for the session; and no address takes all the places."""
        now_ms = time.monotonic_ns() // 1_000_000
        wait = self._addresses.take(caller, now_ms)
        if self._under_way[caller] > self._http.address_requests_max:
            wait = max(wait, 1)
        session = cookies.get(self._session_cookie)
        if not wait and session:
            wait = self._sessions.take(session[:64], now_ms)
        if wait:
            raise Problem(problems.RATE, {"seconds": wait}, headers={"Retry-After": str(wait)})

    async def _read(self, path: str, headers: Headers, receive: Receive) -> bytes:
        """The whole body, counted as it comes: a length that is announced may be a lie."""
        fitting = [prefix for prefix in self._body_limits if path.startswith(prefix)]
        limit = self._body_limits[max(fitting, key=len)] if fitting else self._http.body_bytes_max
        problem = Problem(problems.TOO_LARGE, {"limit": limit}, headers={"Connection": "close"})
        announced = headers.get("content-length", "0")
        if not announced.isascii() or not announced.isdecimal():
            raise Problem(problems.MALFORMED)
        if int(announced[:18]) > limit:
            raise problem
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._http.body_ms_max / 1000):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Problem(problems.MALFORMED)
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > limit:
                        raise problem
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise Problem(problems.TOO_SLOW, headers={"Connection": "close"}) from None


_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Access-Control-Max-Age": "600",
}
"""What a page elsewhere may send. Never with credentials: a browser then adds nothing of its own."""


def _readable_anywhere(send: Send) -> Send:
    async def opened(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers["Access-Control-Allow-Origin"] = "*"
            headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        await send(message)

    return opened


def _leave_out_disguised_cookies(scope: Scope) -> None:
    """Drop cookies with bytes that none of ours has.

    Python counts two of those bytes as blanks and strips them, browsers don't: with one of them before `__Host-` a
    neighbouring site of the same domain may set what would then be read as our session.
    """
    scope["headers"] = [
        (name, b";".join(filter(_COOKIE.fullmatch, value.split(b";"))) if name == b"cookie" else value)
        for name, value in scope["headers"]
    ]


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def replayed(body: bytes, receive: Receive) -> Receive:
    """Hands out a body that was read already, then what else comes: that the caller went away."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay
