# SPDX-License-Identifier: Apache-2.0
"""Turns for work that takes a processor or a neighbour for itself: so many at once, so many waiting, the rest refused.

Lives on one event loop; each process counts for itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service import problems
from service.problems import Problem


class Turns:
    """A number of places, and a queue in front of them.

    Args:
        at_once: Places.
        waiting_max: Who comes when so many wait already is told that the service is busy.
    """

    def __init__(self, at_once: int, waiting_max: int) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._waiting_max = waiting_max

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place and hold it.

        Raises:
            Problem: `service.busy`: too many wait.
        """
        if self._places.locked() and self._waiting >= self._waiting_max:
            raise Problem(problems.BUSY, headers={"Retry-After": "2"})
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()
