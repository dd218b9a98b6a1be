# SPDX-License-Identifier: Apache-2.0
"""Subscriptions over WebSocket: whoever listens gets the new events of a named query while the connection stands.

`GET /epcis/queries/{name}/events`, upgraded, with the controls of a subscription as parameters: `stream=true`, or the
fields of a schedule. Nothing is kept of it: what was missed is asked for again with `initialRecordTime`. A listener
shows a program's key, as with each request; a page of another site cannot open one, for browsers send no such header.
Source: EPCIS 2.0, 12.7.4; RFC 6455.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import structlog
from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.envelope import refuse_socket
from service.errors import StorageError
from service.problems import Problem
from service.store import new_id
from traceability.api import clients
from traceability.api.clients import Client
from traceability.api.context import TraceContext
from traceability.api.epcis_binding import COMMON_HEADERS, PREFIX, check_versions
from traceability.api.problems import BEARER, NO_RESOURCE, TOO_MANY_SOCKETS
from traceability.api.queries import Queries
from traceability.api.queries_http import QueryName
from traceability.api.query_http import query_document
from traceability.api.query_store import Found, QueryStore
from traceability.api.schedules import SCHEDULE_FIELDS, Schedule, read_schedule
from traceability.api.subscriber import EVENTS_MAX, LOOK_S
from traceability.api.subscriptions import Controls, read_controls
from traceability.api.subscriptions_http import initial_ms, subscription_problem
from traceability.epcis_json import InvalidDocument
from traceability.epcis_json import Problem as Fault

log = structlog.get_logger(__name__)

SOCKETS_MAX: Final = 64
"""Of one process; each looks at the index once a second while something is recorded."""
OWNER_SOCKETS_MAX: Final = 8
"""Of one participant, or of the regulators together."""
SEND_SECONDS_MAX: Final = 10.0
"""For a listener to take a document in, as a webhook's receiver has."""
KEY_LOOK_S: Final = 10.0
"""How long a listener whose key has ended may stay."""
_CONTROLS: Final = frozenset({"stream", "reportIfEmpty", "initialRecordTime", *SCHEDULE_FIELDS})
_TRUTH: Final = {"true": True, "false": False}

NORMAL: Final = 1000
UNSUPPORTED: Final = 1003
POLICY: Final = 1008
OVERLOADED: Final = 1013
"""Codes with which a connection is closed: the query is gone; it said something; its key ended, or it was too slow; the
store failed, come again."""


class Sockets:
    """The listeners of one process.

    Args:
        context: Store and clock.
        queries: What they ask for.
        store: Answers it.
    """

    def __init__(self, context: TraceContext, queries: Queries, store: QueryStore) -> None:
        self._context = context
        self._queries = queries
        self._store = store
        self._open: Counter[str] = Counter()

    async def serve(self, socket: WebSocket, name: str) -> None:
        """Take a connection and send until it ends, or refuse its handshake with a problem document."""
        try:
            key = _key_of(socket)
            client = await run_in_threadpool(clients.find, self._context.store, key)
            check_versions(socket.headers)
            controls = _controls(socket)
            place = await run_in_threadpool(self._first_place, client, name, controls)
            with self._counted(client):
                headers = [(one.lower().encode(), value.encode()) for one, value in COMMON_HEADERS.items()]
                await socket.accept(headers=headers)
                await self._feed(_Listener(socket, name, key, client, controls, place, self._context.now))
        except InvalidDocument as error:
            await _refuse(socket, subscription_problem(error))
        except Problem as problem:
            await _refuse(socket, problem)
        except WebSocketDisconnect:
            pass  # it went while something was sent to it

    def _first_place(self, client: Client, name: str, controls: Controls) -> int:
        """Behind which event a listener begins.

        Raises:
            InvalidDocument: At no time.
            Problem: It has no query of this name.
        """
        if self._queries.find(client.gln, name) is None:
            raise Problem(NO_RESOURCE)
        return self._store.newest(initial_ms(controls.initial))

    @contextlib.contextmanager
    def _counted(self, client: Client) -> Iterator[None]:
        """One more listener, if there is room.

        Raises:
            Problem: There is none.
        """
        if self._open.total() >= SOCKETS_MAX or self._open[client.gln] >= OWNER_SOCKETS_MAX:
            raise Problem(TOO_MANY_SOCKETS, {"count": OWNER_SOCKETS_MAX}, headers={"Retry-After": "30"})
        self._open[client.gln] += 1
        try:
            yield
        finally:
            self._open[client.gln] -= 1
            if not self._open[client.gln]:
                del self._open[client.gln]

    async def _feed(self, one: "_Listener") -> None:
        """Send what is new until either side ends it."""
        hearing = asyncio.create_task(one.socket.receive())
        code: int | None = None
        try:
            while code is None:
                await asyncio.wait({hearing}, timeout=LOOK_S)
                if hearing.done():
                    code = None if hearing.result()["type"] == "websocket.disconnect" else UNSUPPORTED
                    break
                code = await self._turn(one)
        except TimeoutError:
            code = POLICY
        except StorageError as error:
            log.warning("sockets.wait", reason=str(error))
            code = OVERLOADED
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
        if code is not None:
            with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    await one.socket.close(code)

    async def _turn(self, one: "_Listener") -> int | None:
        """One look at what is new for a listener, and what is sent of it; a code: it is to be closed.

        Raises:
            StorageError: The store failed.
            TimeoutError: It does not take anything in.
        """
        if one.is_to_be_asked():
            try:
                await run_in_threadpool(clients.find, self._context.store, one.key)
            except Problem:
                return POLICY
        newest = await run_in_threadpool(self._store.newest, None)
        if not one.is_due(newest):
            return None
        while True:
            try:
                found = await run_in_threadpool(self._look, one)
            except Problem:  # it has become too large: the listener has to ask more narrowly
                return POLICY
            if found is None:
                return NORMAL
            if found.events or one.wants_empty():
                await one.send(found)
            one.place = one.place if found.last is None else found.last
            if found.place is None:
                one.looked(-2 if found.waits else newest)
                return None

    def _look(self, one: "_Listener") -> Found | None:
        """What is new; None: the query is gone."""
        found = self._queries.find(one.client.gln, one.query)
        return None if found is None else self._store.since(found[0], one.client, one.place, EVENTS_MAX)


class _Listener:
    """One connection.

    Attributes:
        place: Number of the last event that was sent, or was not for it.
    """

    def __init__(
        self,
        socket: WebSocket,
        query: str,
        key: str,
        client: Client,
        controls: Controls,
        place: int,
        now: Callable[[], int],
    ) -> None:
        self.socket = socket
        self.query = query
        self.key = key
        self.client = client
        self.place = place
        self._id = new_id()
        self._now = now
        self._schedule: Schedule | None = None if controls.schedule is None else read_schedule(controls.schedule)
        self._report_if_empty = controls.report_if_empty
        self._due_ms = 0 if self._schedule is None else self._schedule.next_after(now()) or 2**62
        self._seen: int | None = None
        self._asked_s = asyncio.get_running_loop().time()

    def is_to_be_asked(self) -> bool:
        """Whether it is time to look whether its key is still in use."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._asked_s < KEY_LOOK_S:
            return False
        self._asked_s = now_s
        return True

    def is_due(self, newest: int) -> bool:
        """Whether to look for events: at a scheduled time, or as soon as there is a newer one."""
        return self._now() >= self._due_ms if self._schedule is not None else newest != self._seen

    def wants_empty(self) -> bool:
        """Whether it is told that there is nothing."""
        return self._report_if_empty and self._schedule is not None

    def looked(self, newest: int) -> None:
        """Everything up to a number is sent; one that no event has: look again."""
        self._seen = newest
        if self._schedule is not None:
            self._due_ms = self._schedule.next_after(self._now()) or 2**62

    async def send(self, found: Found) -> None:
        """Send one document.

        Raises:
            TimeoutError: It is not taken in.
        """
        text = json.dumps(query_document(found.events, self.query, self._id), ensure_ascii=False)
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await self.socket.send_text(text)


def sockets_router(sockets: Sockets) -> APIRouter:
    """The endpoint."""
    router = APIRouter(prefix=PREFIX)

    @router.websocket("/queries/{name}/events")
    async def listen(socket: WebSocket, name: QueryName) -> None:
        await sockets.serve(socket, name)

    return router


def _key_of(socket: WebSocket) -> str:
    """The key that a handshake shows.

    Raises:
        Problem: None, or several.
    """
    given = socket.headers.getlist("authorization")
    scheme, _, key = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer":
        raise Problem(BEARER, headers={"WWW-Authenticate": "Bearer"})
    return key.strip()


def _controls(socket: WebSocket) -> Controls:
    """When a listener wants events, from the parameters of its handshake.

    Raises:
        InvalidDocument: With the parameters at fault.
    """
    given = socket.query_params.multi_items()
    faults = [Fault(f"/{name}", "is no parameter of a subscription") for name, _ in given if name not in _CONTROLS]
    if len({name for name, _ in given}) != len(given):
        faults.append(Fault("", "each parameter stands once"))
    fields = dict(given)
    schedule = {name: fields[name] for name in SCHEDULE_FIELDS if name in fields}
    document: Mapping[str, Any] = {
        "schedule": schedule or None,
        "stream": _TRUTH.get(fields.get("stream", "")),
        "reportIfEmpty": _TRUTH.get(fields.get("reportIfEmpty", "false")),
        "initialRecordTime": fields.get("initialRecordTime", ""),
    }
    return read_controls(document, faults)


async def _refuse(socket: WebSocket, problem: Problem) -> None:
    """Answer a handshake with a problem document."""
    problem.headers = {**COMMON_HEADERS, **problem.headers}
    await refuse_socket(problem, socket.scope, socket.receive, socket.send)
