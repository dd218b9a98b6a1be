# SPDX-License-Identifier: Apache-2.0
"""Drives what a service does by itself: each round ends as a test says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from structlog.testing import capture_logs

from client.errors import TransportError
from service.rounds import Round

DEFECT, AWAY = ZeroDivisionError("a defect"), TransportError("away", "ledger.down")


class Script:
    """Stands in for what a round calls: ends as it is told to, call by call, then waits for good.

    Args:
        outcomes: Of one call each; an exception is raised, all else returned.

    Attributes:
        held: Whether the round held at the begin of each call.
        logged: What was logged meanwhile.
    """

    def __init__(self, *outcomes: object) -> None:
        self._outcomes = list(outcomes)
        self._round: Round | None = None
        self._ended = asyncio.Event()
        self.held: list[bool] = []
        self.logged: list[Any] = []

    async def __call__(self, *_arguments: object) -> Any:
        assert self._round is not None, "it is called by the round that is watched"
        self.held.append(await self._round.holds())
        if not self._outcomes:
            self._ended.set()
            await asyncio.Event().wait()
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def method(self) -> Callable[..., Awaitable[Any]]:
        """To stand in for one of a class."""
        return lambda *_arguments: self()

    async def watched(self, watched: Round) -> list[bool]:
        """Run the round, which calls this, until the script has ended; whether it held at the begin of each call."""
        self._round = watched
        watched.start()
        with capture_logs() as self.logged:
            try:
                async with asyncio.timeout(10):
                    await self._ended.wait()
            finally:
                await watched.stop()
        return self.held
