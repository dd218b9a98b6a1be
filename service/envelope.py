# SPDX-License-Identifier: Apache-2.0
"""The outermost layer of each request: its id, headers of safety on its answer, a line in the log, a count, a net.

The line says which route, not which path, and neither address nor query: what identifies a person is not logged.

Source: CSP Level 3; RFC 6797 (HSTS); Fetch Standard (cross-origin resource policy).
"""

import re
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from service import problems
from service.forgery import Forms, LazyToken
from service.language import language_of
from service.problems import Problem, ProblemView
from service.settings import Address

log = structlog.get_logger(__name__)

ErrorPage: TypeAlias = Callable[[Request, ProblemView], Response]

REQUEST_ID_HEADER = "X-Request-Id"
_GIVEN_ID = re.compile(r"[0-9a-f]{32}")
_ERROR_PAGE = "zhixin.error-page"
_REQUEST_ID = "zhixin.request-id"

CONTENT_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "font-src 'self'",
    "worker-src 'self'",
    "manifest-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
)
PERMISSIONS = ("accelerometer", "camera", "geolocation", "gyroscope", "microphone", "midi", "payment", "serial", "usb")
"""What no page may use, unless its part says so."""
_ALWAYS = frozenset({"/health", "/metrics"})
"""Asked for when a service is overloaded, above all."""
HSTS_SECONDS = 63_072_000
"""Two years, as browsers' lists of known addresses ask for."""


def content_policy(connect: Sequence[str] = ()) -> str:
    """The Content-Security-Policy of an answer.

    Args:
        connect: Further origins that the page's scripts may reach: for one page that needs it, not for a service.
    """
    further = "".join(f" {origin}" for origin in connect)
    return "; ".join(f"{one}{further}" if one.startswith("connect-src ") else one for one in CONTENT_POLICY)


class Metrics:
    """What one service counts; labels are routes and statuses, so their number is bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "zhixin_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "zhixin_http_request_seconds",
            "From a request's head to the end of its answer",
            ["route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
            registry=self.registry,
        )
        self.under_way = Gauge("zhixin_http_requests_under_way", "Requests under way", registry=self.registry)
        self.sockets = Gauge("zhixin_http_sockets", "WebSocket connections open", registry=self.registry)


def request_id_of(scope: Scope) -> str:
    """The id of a request; 32 hex digits."""
    found = scope[_REQUEST_ID]
    assert isinstance(found, str)
    return found


async def refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a problem: a page for a browser, a document for a program."""
    response = answer(problem, Request(scope, receive))
    await response(scope, receive, send)


async def refuse_socket(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the handshake of a WebSocket with a problem document."""
    response = problems.document(problem, language_of(HTTPConnection(scope)), request_id_of(scope))
    response.headers[REQUEST_ID_HEADER] = request_id_of(scope)
    await WebSocket(scope, receive, send).send_denial_response(response)


def answer(problem: Problem, request: Request) -> Response:
    """The answer that carries a problem."""
    language = language_of(request)
    request_id = request_id_of(request.scope)
    page: ErrorPage | None = request.scope.get(_ERROR_PAGE)
    if page is None or not problems.wants_html(request):
        return problems.document(problem, language, request_id)
    response = page(request, problems.view(problem, language, request_id))
    response.status_code = problem.kind.status
    response.headers.update({**problem.headers, "cache-control": "no-store"})
    return response


class Envelope:
    """The middleware.

    Args:
        app: What comes after.
        address: Whose answers these are.
        forms: Says which cookie goes out with an answer.
        metrics: Where to count.
        requests_max: Requests under way; more are answered with `service.busy`.
        permissions: Features that this service's pages may use.
        error_page: Shows a problem to a person; None: a document.
        logs: Whether each request has a line in the log.
        socket_paths: Path prefixes that take WebSocket connections.
    """

    def __init__(
        self,
        app: ASGIApp,
        address: Address,
        forms: Forms,
        metrics: Metrics,
        requests_max: int,
        permissions: frozenset[str],
        error_page: ErrorPage | None,
        *,
        logs: bool,
        socket_paths: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._forms = forms
        self._metrics = metrics
        self._requests_max = requests_max
        self._error_page = error_page
        self._logs = logs
        self._socket_paths = socket_paths
        self._under_way = 0
        self._headers = security_headers(address, permissions)
        self._scheme = "https" if address.is_https else "http"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request whatever happens; nothing escapes but the wish to stop."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._listen(scope, receive, send)
            return
        scope[_REQUEST_ID] = _given_id(Headers(scope=scope)) or secrets.token_hex(16)
        scope[_ERROR_PAGE] = self._error_page
        scope["scheme"] = self._scheme  # as browsers see it, whatever a proxy says
        scope.setdefault("state", {})["csrf_token"] = LazyToken(self._forms, scope)
        started = time.perf_counter()
        status = 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(scope, MutableHeaders(raw=message.setdefault("headers", [])))
            await send(message)

        self._under_way += 1
        self._metrics.under_way.inc()
        try:
            if self._under_way > self._requests_max and scope["path"] not in _ALWAYS:
                await refuse(Problem(problems.BUSY, headers={"Retry-After": "1"}), scope, receive, send_safely)
            else:
                await self._app(scope, receive, send_safely)
        except Exception as error:  # noqa: BLE001 - the outermost loop of a request: others go on
            log.error(  # noqa: TRY400 - a traceback shows values, and a value may be personal
                "request.failed", request=request_id_of(scope), error=type(error).__name__, where=_where(error)
            )
            if not status:
                await refuse(Problem(problems.FAILED), scope, receive, send_safely)
        finally:
            self._under_way -= 1
            self._metrics.under_way.dec()
            self._record(scope, status, time.perf_counter() - started)

    async def _listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a WebSocket through where a part takes any; what is wrong on the way ends that one alone."""
        if not scope["path"].startswith(self._socket_paths):
            await send({"type": "websocket.close", "code": 1008})
            return
        scope[_REQUEST_ID] = secrets.token_hex(16)
        self._metrics.sockets.inc()
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the outermost loop of a connection: others go on
            log.error(  # noqa: TRY400 - a traceback shows values, and a value may be personal
                "socket.failed", request=request_id_of(scope), error=type(error).__name__, where=_where(error)
            )
        finally:
            self._metrics.sockets.dec()

    def _complete(self, scope: Scope, headers: MutableHeaders) -> None:
        """The headers that each answer has; a part may say stricter or wider things of its own about caching."""
        headers[REQUEST_ID_HEADER] = request_id_of(scope)
        for name, value in self._headers:
            headers.setdefault(name, value)
        cookie = self._forms.set_cookie(scope)
        if cookie is not None:
            headers.append("set-cookie", cookie)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or scope.get("zhixin.route", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if self._logs:
            duration_ms = round(seconds * 1000, 1)
            log.info(
                "request",
                request=request_id_of(scope),
                method=method,
                route=route,
                status=status,
                duration_ms=duration_ms,
            )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def permissions_policy(allowed: Collection[str]) -> str:
    """The Permissions-Policy of an answer.

    Args:
        allowed: Of `PERMISSIONS`, what its page may use: for one page that needs it, not for a service.
    """
    denied = [f"{name}=()" for name in PERMISSIONS if name not in allowed]
    return ", ".join(denied + [f"{name}=(self)" for name in PERMISSIONS if name in allowed])


def security_headers(address: Address, permissions: frozenset[str]) -> list[tuple[str, str]]:
    """What each answer tells browsers not to do."""
    headers = [
        ("Content-Security-Policy", content_policy()),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Permissions-Policy", permissions_policy(permissions)),
        ("Referrer-Policy", "same-origin"),  # no-referrer would blank the Origin of our own forms
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cache-Control", "no-store"),
    ]
    if address.is_https:
        headers.append(("Strict-Transport-Security", f"max-age={HSTS_SECONDS}; includeSubDomains"))
    return headers


def _given_id(headers: Headers) -> str | None:
    """An id that a proxy gave, if it has our own form: no other text of a caller's gets into a header or the log."""
    given = headers.getlist(REQUEST_ID_HEADER)
    return given[0] if len(given) == 1 and _GIVEN_ID.fullmatch(given[0]) else None


def _where(error: BaseException) -> str:
    """The place that failed, without values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "unknown"
