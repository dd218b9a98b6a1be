# SPDX-License-Identifier: Apache-2.0
"""A fixed tick: whatever waits for it goes out together, so that a moment on the chain tells nothing of one person.

Rounds are shared: whoever comes while one is waited for joins it, and whoever comes while one runs takes the next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

TICK_MS: Final = 1_000
"""How long anything waits for others at most; whoever waits hardly notices."""


class Tick:
    """Rounds of one kind of work, one at a time.

    Args:
        now: Unix time in ms.
        period_ms: Rounds begin at multiples of it; 0: at once.
    """

    def __init__(self, now: Callable[[], int], period_ms: int = TICK_MS) -> None:
        self._now = now
        self._period_ms = period_ms
        self._next: asyncio.Task[None] | None = None
        self._running = asyncio.Lock()

    async def pass_by(self) -> None:
        """Wait until the next multiple of the period."""
        if self._period_ms:
            await asyncio.sleep((self._period_ms - self._now() % self._period_ms) / 1_000)

    async def join(self, work: Callable[[], Awaitable[object]]) -> None:
        """Wait for the next round of some work, and begin it if nobody has.

        Args:
            work: The same for each caller.

        Raises:
            Exception: What the round raised, for each who waited for it.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._round(work))
        await asyncio.shield(self._next)

    async def _round(self, work: Callable[[], Awaitable[object]]) -> None:
        await self.pass_by()
        async with self._running:
            self._next = None  # whoever comes from here on takes the next one
            await work()
