# SPDX-License-Identifier: Apache-2.0
"""What credit does by itself, for as long as the service runs: rounds that follow the ledger, and telling people.

A round that breaks is logged with its cause and named in `broken`, by which readiness tells of it, until one does not;
it ends neither itself nor the others. That the ledger is away is no defect: the next round tries again.

One process at a time need not be chosen: each round is transactions that another process may have done already.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool

from client.errors import TransportError
from credit.api import accesses, consents
from credit.api.base import CreditContext
from credit.api.batches import send_again
from credit.api.draws import complete_draws
from credit.api.ends import are_recorded_waiting, tell_of_ends, tell_recorded
from credit.api.listing_acts import follow_listings
from credit.api.reading import send_notices
from credit.api.requests import follow_requests
from credit.api.reviews import follow_reviews
from credit.api.settling import settle
from credit.api.subjects import open_waiting

log = structlog.get_logger(__name__)

ROUNDS, LISTS, TELLING, MONITOR = LOOPS = ("rounds", "lists", "telling", "monitor")
"""The loops, by the names that readiness has for them."""
ROUND_SECONDS: Final = 1.0
"""How soon the store follows the ledger where nobody waits for it, and people are told of what is recorded."""
LISTS_SECONDS: Final = 5.0
"""How soon lists and reviews follow the acts that officers sign, where nobody opens a page of theirs."""
REST_SECONDS: Final = 0.05
"""Between some people who are told and the next: others read and write meanwhile."""
TELLS_MAX: Final = 20
"""Of one round, so that what ended has its turn however much is recorded."""


async def keep_up(context: CreditContext, broken: set[str]) -> None:
    """Follow the ledger, go on with what broke off, bring notices, until cancelled.

    Args:
        context: Which service.
        broken: Holds "rounds" from a round that broke on until one does not.
    """

    async def once() -> None:
        await run_in_threadpool(settle, context)
        await run_in_threadpool(follow_requests, context)
        await run_in_threadpool(complete_draws, context)
        await open_waiting(context)
        await send_again(context)
        await consents.follow(context)
        if context.service_key is not None and await run_in_threadpool(accesses.is_waiting, context):
            await context.access_tick.join(partial(accesses.enter, context))
        await send_notices(context)

    await _again(once, ROUNDS, broken, ROUND_SECONDS)


async def keep_lists(context: CreditContext, broken: set[str]) -> None:
    """Let lists and reviews follow their acts, until cancelled.

    Args:
        context: Which service.
        broken: Holds "lists" from a round that broke on until one does not.
    """

    async def once() -> None:
        await run_in_threadpool(follow_listings, context)
        await run_in_threadpool(follow_reviews, context)

    await _again(once, LISTS, broken, LISTS_SECONDS)


async def keep_telling(context: CreditContext, broken: set[str]) -> None:
    """Tell people of what was recorded, and each day of what ended by itself, until cancelled.

    Args:
        context: Which service.
        broken: Holds "telling" from a round that broke on until one does not.
    """

    async def once() -> None:
        for _ in range(TELLS_MAX):
            if not await run_in_threadpool(are_recorded_waiting, context):
                break
            await run_in_threadpool(tell_recorded, context)
            await asyncio.sleep(REST_SECONDS)
        await run_in_threadpool(tell_of_ends, context)

    await _again(once, TELLING, broken, ROUND_SECONDS)


async def _again(once: Callable[[], Awaitable[None]], name: str, broken: set[str], every_s: float) -> None:
    while True:
        try:
            await once()
            broken.discard(name)
        except TransportError as error:
            log.warning("credit.round-waits", round=name, code=error.code)
        except Exception:
            broken.add(name)  # a defect of one round must not end all of them unnoticed
            log.exception("credit.round-broke", round=name)
        await asyncio.sleep(every_s)
