# SPDX-License-Identifier: Apache-2.0
"""How the network does now: certified blocks as they come, and what nodes say of themselves.

Blocks are verified by the session before they pass here; what nodes say is their word alone and is shown as such. The
times are this service's clock against the blocks' own, so a wrong clock here shows as latency.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from chain.types import Network, quorum
from client.answers import ProvenBlock, SelfReport
from client.follow import Cursor
from client.session import Session

POINTS_MAX = 60
"""Blocks that the charts show: a minute of an idle network."""
REPORTS_AGE_S = 2.0
"""Nodes are asked at most so often, however many people look."""
WAIT_S = 1.0
"""How long a page waits for nodes; then it shows what is known."""
RECENT_MS = 15_000
"""An idle network makes a checkpoint each second; without one for so long, nothing is being recorded."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One certified block as it came.

    Attributes:
        latency_ms: From the block's time to the arrival of its certificate here.
    """

    height: int
    time_ms: int
    transactions: int
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Health:
    """What can be said in one sentence.

    Attributes:
        answering: Validators that answered.
        validators: How many the proven set has.
        needed: How many of them record something.
        last_ms: Time of the newest certified block that came; 0: none yet.
        is_recording: Whether that was just now.
    """

    answering: int
    validators: int
    needed: int
    last_ms: int
    is_recording: bool


def now_ms() -> int:
    """This service's clock."""
    return time.time_ns() // 1_000_000


class Watched:
    """The session as the index takes blocks from it; each one is noted on its way."""

    def __init__(self, session: Session, clock: Callable[[], int] = now_ms) -> None:
        self._session = session
        self._clock = clock
        self.beats: deque[Beat] = deque(maxlen=POINTS_MAX)
        self.last_ms = 0

    @property
    def network(self) -> Network:
        """See `service.index.follow.BlockSource`."""
        return self._session.network

    async def cursor_at(self, height: int = 0) -> Cursor:
        """See `service.index.follow.BlockSource`."""
        return await self._session.cursor_at(height)

    async def blocks(self, cursor: Cursor | None = None) -> AsyncIterator[ProvenBlock]:
        """See `service.index.follow.BlockSource`."""
        began_ms = self._clock()  # what was made before is history that the index catches up with, no measurement
        async for block in self._session.blocks(cursor):
            latency_ms = self._clock() - block.block.time_ms
            self.last_ms = max(self.last_ms, block.block.time_ms)
            if block.block.time_ms >= began_ms:
                beat = Beat(block.block.height, block.block.time_ms, len(block.entries), max(0, latency_ms))
                self.beats.append(beat)
            yield block


class Reports:
    """What nodes say of themselves, asked when somebody looks, and not more often than is of use."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reports: list[SelfReport] = []
        self._asked = float("-inf")
        self._task: asyncio.Task[None] | None = None

    async def get(self) -> list[SelfReport]:
        """Reports by address, the newest that came: a node that hangs delays nobody for longer than `WAIT_S`."""
        if self._task is None and time.monotonic() - self._asked > REPORTS_AGE_S:
            self._task = asyncio.create_task(self._ask())
        if self._task is not None:
            await asyncio.wait([self._task], timeout=WAIT_S)
        return self._reports

    async def stop(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _ask(self) -> None:
        try:
            self._reports = sorted(await self._session.statuses(), key=lambda report: report.address)
        finally:
            self._asked = time.monotonic()
            self._task = None


def health(reports: list[SelfReport], validators: int, last_ms: int, at_ms: int) -> Health:
    """Judge the network.

    Args:
        reports: What nodes say; a node that answers counts once.
        validators: How many the proven set has.
        last_ms: Time of the newest certified block.
        at_ms: Now.
    """
    answering = min(sum(report.status is not None and not report.lie for report in reports), validators)
    return Health(answering, validators, quorum(validators), last_ms, bool(last_ms) and at_ms - last_ms < RECENT_MS)
