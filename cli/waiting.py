# SPDX-License-Identifier: Apache-2.0
"""What a command that waits for the ledger says meanwhile, and what it says when it is interrupted.

A write is safe to wait for and safe to leave: what was sent executes at most once, and never after its time. So each of
these texts says how matters stand, how long it can last, and where to look afterwards.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from chain.transaction import SignedTransaction
from chain.types import quorum
from cli.errors import StoppedError
from cli.home import Home
from cli.language import t
from cli.output import note
from client.errors import TransportError
from client.session import SUBMIT_TIMEOUT_S, Session

SILENCE_S = 5.0
"""A network that lost its leader answers within this; whoever waits longer is told why."""


@asynccontextmanager
async def watching(session: Session) -> AsyncIterator[Callable[[], None]]:
    """Say on stderr how many nodes answer when nothing has come for a while; yields what to call when something has."""
    loop = asyncio.get_running_loop()
    moved_at = loop.time()

    def moved() -> None:
        nonlocal moved_at
        moved_at = loop.time()

    async def watch() -> None:
        said = ""
        said_at = moved_at
        while True:
            await asyncio.sleep(max(moved_at + SILENCE_S - loop.time(), SILENCE_S / 5))
            if loop.time() - moved_at < SILENCE_S:
                continue
            reports = await session.statuses()
            answering = sum(1 for report in reports if report.status is not None)
            count = session.trust.validator_count
            text = t(
                "waiting.nodes",
                answering=answering,
                nodes=len(reports),
                quorum=quorum(count),
                validators=count,
                seconds=f"{SUBMIT_TIMEOUT_S:.0f}",
            )
            if text != said or said_at < moved_at:
                note(text)
                said, said_at = text, loop.time()

    task = asyncio.create_task(watch())
    try:
        yield moved
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def of_one(home: Home, session: Session, transaction: SignedTransaction) -> AsyncIterator[None]:
    """Around the submission of one transaction: what is said while it lasts, and where to look if it has no answer."""
    hint = t(
        "waiting.sent",
        id=transaction.id.hex(),
        time=_clock(transaction.expires_at_ms),
        home=home.root,
    )
    try:
        async with watching(session):
            yield
    except asyncio.CancelledError:
        raise StoppedError(hint) from None
    except TransportError as error:
        error.add_note(hint)
        raise


def _clock(time_ms: int) -> str:
    """The time of day in the local zone."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone().strftime("%H:%M:%S")
