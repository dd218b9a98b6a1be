# SPDX-License-Identifier: Apache-2.0
"""The worker behind subscriptions: looks what is new for each that is due, sends it, and moves its place on."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool

from client.errors import TransportError
from service.errors import StorageError
from service.problems import Problem
from service.rounds import Round
from traceability.api.clients import Client
from traceability.api.queries import Queries
from traceability.api.query_http import query_document
from traceability.api.query_store import Found, QueryStore
from traceability.api.subscriptions import Subscription, Subscriptions
from traceability.api.webhooks import SIGNATURE_HEADER, Sends, signature_of

log = structlog.get_logger(__name__)

EVENTS_MAX: Final = 100
"""Of one document to a receiver."""
OWNER_AT_ONCE: Final = 4
"""Receivers of one owner that are sent to at the same time; each may take ten seconds to answer."""
OWNERS_AT_ONCE: Final = 32
"""Owners who are served at the same time, none of whom waits for another."""
LOOK_S: Final = 1.0
"""Between two looks at what is due."""


class Subscriber:
    """The worker of one process.

    Args:
        subscriptions: Who is to be sent to.
        queries: What they asked for.
        store: Answers it.
        hooks: Sends.
        now: Unix time in ms.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        queries: Queries,
        store: QueryStore,
        hooks: Sends,
        now: Callable[[], int],
    ) -> None:
        self._subscriptions = subscriptions
        self._queries = queries
        self._store = store
        self._hooks = hooks
        self._now = now
        self._seen: dict[str, int] = {}
        """By subscription: the newest event when nothing more was found; until a newer one, none is looked for."""
        self._serving: dict[str, asyncio.Task[None]] = {}
        """By owner: what is sent to their receivers now."""
        self.round = Round("subscriptions", self.begin, LOOK_S, (StorageError,), is_private=True)

    async def begin(self) -> None:
        """One look at everything that is due; whoever is not being served is from now on. Waits for no receiver.

        Raises:
            StorageError: The store failed, now or while somebody was served.
        """
        ended = [self._serving.pop(gln) for gln in [gln for gln, task in self._serving.items() if task.done()]]
        due = await run_in_threadpool(self._subscriptions.due, tuple(self._serving))
        newest = await run_in_threadpool(self._store.newest, None)
        waiting: dict[str, list[Subscription]] = {}
        for one in due:
            if one.schedule is not None or self._seen.get(one.id) != newest:
                waiting.setdefault(one.gln, []).append(one)
        self._seen = {one.id: self._seen[one.id] for one in due if one.id in self._seen}
        for gln, own in list(waiting.items())[: max(0, OWNERS_AT_ONCE - len(self._serving))]:
            self._serving[gln] = asyncio.create_task(self._serve_owner(own, newest))
        broken = [error for task in ended if (error := task.exception()) is not None]
        if broken:
            raise broken[0]

    async def turn(self) -> None:
        """The same, and wait until all that was begun is over.

        Raises:
            StorageError: See `begin`.
        """
        await self.begin()
        begun, self._serving = list(self._serving.values()), {}
        await asyncio.gather(*begun)

    async def stop(self) -> None:
        """End; what was not acknowledged is sent again after the next start."""
        for task in self._serving.values():
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)
        self._serving.clear()

    async def _serve_owner(self, own: Sequence[Subscription], newest: int) -> None:
        """Send what is new to one owner's receivers: those that hang hold up nobody else's."""
        places = asyncio.Semaphore(OWNER_AT_ONCE)

        async def serve(one: Subscription) -> None:
            async with places:
                await self._serve(one, newest)

        await asyncio.gather(*(serve(one) for one in own))

    async def _serve(self, one: Subscription, newest: int) -> None:
        """Send what is new to one receiver."""
        try:
            found = await run_in_threadpool(self._look, one)
        except Problem as problem:  # the query has become too large, or is gone
            log.warning("subscription.waits", subscription=one.id, reason=problem.kind.code)
            await run_in_threadpool(self._subscriptions.refused, one)
            return
        if found is None:
            return
        last = one.place if found.last is None else found.last
        is_wanted = bool(found.events) or (one.report_if_empty and one.schedule is not None)
        if is_wanted and not await self._sent(one, found):
            await run_in_threadpool(self._subscriptions.refused, one)
            return
        if found.place is not None:
            await run_in_threadpool(self._subscriptions.more, one, last)
            return
        if not found.waits:
            self._seen[one.id] = newest
        await run_in_threadpool(self._subscriptions.acknowledged, one, last)

    def _look(self, one: Subscription) -> Found | None:
        """What is new; None: the query is gone."""
        found = self._queries.find(one.gln, one.query)
        if found is None:
            return None
        return self._store.since(found[0], Client("", one.gln), one.place, EVENTS_MAX)

    async def _sent(self, one: Subscription, found: Found) -> bool:
        """Whether the receiver said 200."""
        body = json.dumps(query_document(found.events, one.query, one.id), ensure_ascii=False).encode()
        headers = {SIGNATURE_HEADER: signature_of(one.token, one.id, self._now(), body)}
        status = 0
        with contextlib.suppress(TransportError):
            status = await self._hooks.send(one.dest, body, headers)
        if status != 200:
            log.info("subscription.refused", subscription=one.id, status=status, failures=one.failures + 1)
        return status == 200
