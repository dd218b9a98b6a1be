# SPDX-License-Identifier: Apache-2.0
"""One HTTP service, made of parts; what all of them need (ids, limits, problems, safety) is put around them here.

A part adds pages and endpoints and knows nothing of the others. Nothing here knows a domain.
"""

import asyncio
import ipaddress
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from chain.errors import LedgerError, Refused
from client.errors import TransportError
from service import problems
from service.envelope import Envelope, ErrorPage, Metrics, answer, request_id_of
from service.errors import KeyFileError, PersonErased, StorageError
from service.forgery import Forms
from service.gate import Gate
from service.idempotency import Idempotency, Replays
from service.language import language_of, translate
from service.openapi import describe
from service.problems import Problem, ProblemKind, kind_of_status
from service.redirects import Elsewhere
from service.rounds import Round
from service.settings import Address, Settings

log = structlog.get_logger(__name__)

Hook: TypeAlias = Callable[[FastAPI], Awaitable[None]]
Check: TypeAlias = Callable[[], Awaitable[bool]]

READY_MS_MAX = 2_000
"""A check that takes longer counts as failed: whoever asks has a time limit of its own."""
ERRORS_SHOWN_MAX = 50
"""Faults of one body that an answer lists."""

_LITERAL_HOST = re.compile(r"(localhost|[0-9.]{7,15}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Part:
    """What one engineer's area adds to a service.

    Attributes:
        name: Unique in the service; names its checks.
        routers: Its pages (`include_in_schema=False`) and endpoints.
        start: Runs before the first request, in the order of parts.
        stop: Runs after the last one, in reverse.
        checks: Each says whether what it watches is ready; names are shown by /ready.
        rounds: What goes on by itself between `start` and `stop`; each has a check of its name.
        problems: Kinds of its own; their words stand in the catalogues.
        body_limits: Path prefixes that take larger bodies, in bytes.
        machine_paths: Path prefixes for callers that are no browsers: no origin, no form token, and no cookie.
        open_paths: Path prefixes that pages of any origin may ask and read; no cookie is read there.
        uri_paths: Path prefixes below which one segment may be a whole URI, escaped; their text is the part's to check.
        socket_paths: Path prefixes that take WebSocket connections, from programs alone: no cookie is read there.
        permissions: Browser features that its pages use, such as "camera".
        error_page: Shows a problem to a person; one part of a service at most has it.
    """

    name: str
    routers: Sequence[APIRouter] = ()
    start: Hook | None = None
    stop: Hook | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    rounds: Sequence[Round] = ()
    problems: Sequence[ProblemKind] = ()
    body_limits: Mapping[str, int] = field(default_factory=dict)
    machine_paths: Sequence[str] = ()
    open_paths: Sequence[str] = ()
    uri_paths: Sequence[str] = ()
    socket_paths: Sequence[str] = ()
    permissions: frozenset[str] = frozenset()
    error_page: ErrorPage | None = None


def all_checks(part: Part) -> Mapping[str, Check]:
    """The checks of a part, its rounds' among them, by name."""
    return dict(part.checks) | {one.name: one.holds for one in part.rounds}


def create_app(
    parts: Sequence[Part],
    settings: Settings,
    address: Address,
    *,
    secret: bytes | None = None,
    replays: Replays | None = None,
) -> FastAPI:
    """Make one service.

    Args:
        parts: What it consists of.
        settings: Limits.
        address: Its name, hosts and origin.
        secret: 32 bytes of the service's own, for form tokens and idempotency keys; None: random, for a service that
            runs in one process and whose forms need not outlive it.
        replays: Keeps idempotency keys; None where nothing is changed.

    Returns:
        The application; `app.state.forms`, `.address`, `.settings`, `.metrics` and `.stopping` are there for parts, and
        `.socket_paths` for whoever serves it.
    """
    assert len({part.name for part in parts}) == len(parts), "parts have different names"
    pages = [part.error_page for part in parts if part.error_page is not None]
    assert len(pages) <= 1, "one part shows problems"
    secret = secrets.token_bytes(32) if secret is None else secret
    forms, metrics = Forms(address, secret), Metrics()
    app = FastAPI(
        title=f"Zhixin {address.service}",
        version="1",
        lifespan=_lifespan(parts),
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    state = app.state
    state.forms, state.address, state.settings = forms, address, settings
    state.metrics, state.stopping = metrics, False
    state.socket_paths = tuple(path for part in parts for path in part.socket_paths)
    app.add_middleware(Idempotency, address=address, key=secret, replays=replays)  # the one added last is the outermost
    app.add_middleware(
        Gate,
        settings=settings,
        address=address,
        forms=forms,
        body_limits={path: size for part in parts for path, size in part.body_limits.items()},
        machine_paths=tuple(path for part in parts for path in part.machine_paths),
        uri_paths=tuple(path for part in parts for path in part.uri_paths),
        open_paths=tuple(path for part in parts for path in part.open_paths),
    )
    app.add_middleware(
        Envelope,
        address=address,
        forms=forms,
        metrics=metrics,
        requests_max=settings.http.requests_max,
        permissions=frozenset().union(*(part.permissions for part in parts)),
        error_page=pages[0] if pages else None,
        logs=settings.logging.access,
        socket_paths=state.socket_paths,
    )
    _handle_errors(app)
    kinds = {kind.code: kind for part in parts for kind in part.problems} | {kind.code: kind for kind in problems.KINDS}
    # The routes as they are: including a router would read each route's parameters a second time.
    for router in (_ground(parts, metrics, kinds, settings, address), *(r for part in parts for r in part.routers)):
        app.router.routes.extend(router.routes)
    app.openapi = lambda: describe(app, address)  # type: ignore[method-assign]  # the framework's way to extend it
    return app


def _lifespan(parts: Sequence[Part]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Starts parts in order; whatever happens, stops in reverse those that were started."""

    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        started: list[Part] = []
        try:
            for part in parts:
                started.append(part)
                if part.start is not None:
                    await part.start(app)
                for one in part.rounds:
                    one.start(part.name)
            yield
        finally:
            app.state.stopping = True
            for part in reversed(started):
                for one in reversed(part.rounds):
                    await one.stop()
                if part.stop is not None:
                    await part.stop(app)

    return run


def _handle_errors(app: FastAPI) -> None:
    """Each kind of error becomes a problem."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return answer(error, request)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = error.errors()[:ERRORS_SHOWN_MAX]
        if any(fault["type"] == "json_invalid" for fault in faults):
            return answer(Problem(problems.MALFORMED), request)
        listed = [{"where": "/".join(str(step) for step in fault["loc"]), "what": fault["type"]} for fault in faults]
        return answer(Problem(problems.INVALID, {"count": len(listed)}, members={"errors": listed}), request)

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = kind_of_status(error.status_code)
        parameters = {"limit": "-"} if kind is problems.TOO_LARGE else {"seconds": 1, "count": 1}
        return answer(Problem(kind, parameters, headers=error.headers), request)

    async def ledger(request: Request, error: Exception) -> Response:
        assert isinstance(error, LedgerError)
        kind = problems.LEDGER_REFUSED if isinstance(error, Refused) else problems.LEDGER_UNPROVEN
        return answer(Problem(kind, members={"ledger_code": error.code}), request)

    async def unavailable(request: Request, error: Exception) -> Response:
        assert isinstance(error, TransportError)
        members: dict[str, problems.Member] = {"ledger_code": error.code}
        return answer(Problem(problems.LEDGER_UNAVAILABLE, members=members, headers={"Retry-After": "2"}), request)

    async def erased(request: Request, _error: Exception) -> Response:
        return answer(Problem(problems.ERASED), request)

    async def store(request: Request, error: Exception) -> Response:
        log.error("store.failed", request=request_id_of(request.scope), reason=str(error))
        return answer(Problem(problems.STORE, headers={"Retry-After": "2"}), request)

    async def elsewhere(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Elsewhere)
        return RedirectResponse(error.path, 303, {"cache-control": "no-store"})

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(Elsewhere, elsewhere)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(LedgerError, ledger)
    app.add_exception_handler(TransportError, unavailable)
    app.add_exception_handler(PersonErased, erased)
    app.add_exception_handler(StorageError, store)
    app.add_exception_handler(KeyFileError, store)


def _ground(
    parts: Sequence[Part], metrics: Metrics, kinds: Mapping[str, ProblemKind], settings: Settings, address: Address
) -> APIRouter:
    """What every service answers: health, readiness, metrics, and what a problem's type means."""
    router = APIRouter(tags=["service"])

    @router.get("/health", operation_id="getHealth", summary="Whether the process answers at all")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/ready", operation_id="getReadiness", summary="Whether the service can do its work now")
    async def ready(request: Request) -> Response:
        names = [(f"{part.name}.{name}", check) for part in parts for name, check in all_checks(part).items()]
        held = await asyncio.gather(*(_holds(check) for _, check in names))
        outcome = {name: "ok" if holds else "failed" for (name, _), holds in zip(names, held, strict=True)}
        if request.app.state.stopping or not all(held):
            failed = ", ".join(name for name, word in outcome.items() if word != "ok") or "stopping"
            raise Problem(problems.NOT_READY, {"failed": failed}, headers={"Retry-After": "2"})
        return JSONResponse({"status": "ready", "checks": outcome})

    @router.get("/metrics", include_in_schema=False)
    async def measured(request: Request) -> Response:
        if not _may_measure(request, settings.http.metrics, address.known_hosts):
            raise Problem(problems.NOT_FOUND)
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4")

    @router.get("/problems/{code}", operation_id="getProblemKind", summary="What a kind of problem means")
    async def explain(code: str, request: Request) -> Response:
        kind = kinds.get(code)
        if kind is None:
            raise Problem(problems.NOT_FOUND)
        title = kind.title(language_of(request))
        means = translate(language_of(request), "problem.explained", title=title, status=str(kind.status))
        return JSONResponse({"code": kind.code, "status": kind.status, "title": title, "explanation": means})

    return router


async def _holds(check: Check) -> bool:
    """Whether a check says yes in time; one that fails in any way says no."""
    try:
        async with asyncio.timeout(READY_MS_MAX / 1000):
            return await check()
    except Exception:  # noqa: BLE001 - the outermost loop of a check; the answer says which failed
        return False


def _may_measure(request: Request, allowed: Sequence[str], hosts: frozenset[str]) -> bool:
    """Whether a program on this machine or at a stated address asks, and no proxy on behalf of somebody else.

    Under a name that is not ours it is a browser on this machine that was made to ask for a foreign page (DNS
    rebinding); a bare address can't be such a name.
    """
    if request.client is None or "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    named = request.headers.getlist("host")
    if len(named) != 1 or not (named[0].lower() in hosts or _LITERAL_HOST.fullmatch(named[0])):
        return False
    try:
        parsed = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    address = getattr(parsed, "ipv4_mapped", None) or parsed
    return address.is_loopback or any(address in ipaddress.ip_network(one) for one in allowed)
