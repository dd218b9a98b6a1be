# SPDX-License-Identifier: Apache-2.0
"""What credit does by itself, for as long as the service runs: rounds that follow the ledger, and telling people.

One process at a time need not be chosen: each round is transactions that another process may have done already.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.concurrency import run_in_threadpool

from credit.api import accesses, consents
from credit.api.base import CreditContext
from credit.api.batches import send_again
from credit.api.draws import complete_draws
from credit.api.ends import are_recorded_waiting, tell_of_ends, tell_recorded
from credit.api.listing_acts import follow_listings
from credit.api.monitor_job import Monitor
from credit.api.reading import send_notices
from credit.api.requests import follow_requests
from credit.api.reviews import follow_reviews
from credit.api.settling import settle
from credit.api.subjects import open_waiting
from service.rounds import Round

ROUND_SECONDS: Final = 1.0
"""How soon the store follows the ledger where nobody waits for it, and people are told of what is recorded."""
LISTS_SECONDS: Final = 5.0
"""How soon lists and reviews follow the acts that officers sign, where nobody opens a page of theirs."""
MONITOR_SECONDS: Final = 5.0
REST_SECONDS: Final = 0.05
"""Between some people who are told and the next: others read and write meanwhile."""
TELLS_MAX: Final = 20
"""Of one round, so that what ended has its turn however much is recorded."""


def upkeep_rounds(context: Callable[[], CreditContext], monitor: Callable[[], Monitor]) -> list[Round]:
    """All that goes on by itself.

    Args:
        context: Of the service, once it runs.
        monitor: Its monitor, likewise.
    """
    return [
        Round("rounds", lambda: keep_up(context()), ROUND_SECONDS),
        Round("lists", lambda: keep_lists(context()), LISTS_SECONDS),
        Round("telling", lambda: keep_telling(context()), ROUND_SECONDS),
        Round("monitor", lambda: monitor().keep_up(), MONITOR_SECONDS),
    ]


async def keep_up(context: CreditContext) -> None:
    """Follow the ledger, go on with what broke off, bring notices."""
    await run_in_threadpool(settle, context)
    await run_in_threadpool(follow_requests, context)
    await run_in_threadpool(complete_draws, context)
    await open_waiting(context)
    await send_again(context)
    await consents.follow(context)
    if context.service_key is not None and await run_in_threadpool(accesses.is_waiting, context):
        await context.access_tick.join(partial(accesses.enter, context))
    await send_notices(context)


async def keep_lists(context: CreditContext) -> None:
    """Let lists and reviews follow their acts."""
    await run_in_threadpool(follow_listings, context)
    await run_in_threadpool(follow_reviews, context)


async def keep_telling(context: CreditContext) -> None:
    """Tell people of what was recorded, and each day of what ended by itself."""
    for _ in range(TELLS_MAX):
        if not await run_in_threadpool(are_recorded_waiting, context):
            break
        await run_in_threadpool(tell_recorded, context)
        await asyncio.sleep(REST_SECONDS)
    await run_in_threadpool(tell_of_ends, context)
