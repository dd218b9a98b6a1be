# SPDX-License-Identifier: Apache-2.0
"""What a service does by itself, again and again: a round that fails ends neither the next nor the service."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import TypeAlias

import structlog

from chain.errors import LedgerError
from client.errors import TransportError

log = structlog.get_logger(__name__)

Once: TypeAlias = Callable[[], Awaitable[float | None]]


class Ended(Enum):
    """How the last round ended."""

    WELL = auto()
    WAITS = auto()
    """What it needs is away."""
    BROKE = auto()


class Round:
    """One thing that goes on for as long as the service does.

    What it needs may be away for a while (the ledger, the store): that is logged when it begins and when it is over.
    Anything else is a defect: it is logged with its traceback, and `holds` says no until a round ends without one, so
    that readiness tells of what would otherwise end unnoticed.

    Args:
        name: Of its check.
        once: Does one round; what it returns is the seconds until the next, None: `every_s`.
        every_s: From the end of one round to the begin of the next.
        waits: Failures that are no defect of the program's.
        retry_s: Seconds to the next round after one that failed; None: `every_s`.
        tells_waiting: Whether `holds` says no to those failures, too.
        is_private: Whether personal data may stand in a traceback: then the error's type alone is logged.
    """

    def __init__(
        self,
        name: str,
        once: Once,
        every_s: float,
        waits: tuple[type[Exception], ...] = (TransportError,),
        *,
        retry_s: float | None = None,
        tells_waiting: bool = False,
        is_private: bool = False,
    ) -> None:
        self.name = name
        self._once = once
        self._every_s = every_s
        self._waits = waits
        self._retry_s = every_s if retry_s is None else retry_s
        self._telling = {Ended.BROKE, Ended.WAITS} if tells_waiting else {Ended.BROKE}
        self._is_private = is_private
        self._ended = Ended.WELL
        self._log = log.bind(round=name)
        self._task: asyncio.Task[None] | None = None

    async def holds(self) -> bool:
        """Whether readiness has nothing to tell of it; a check of its part."""
        has_gone_down = self._task is not None and self._task.done()  # cut off by something else than `stop`
        return self._ended not in self._telling and not has_gone_down

    def start(self, part: str = "") -> None:
        """Begin, inside the event loop that will go on with it.

        Args:
            part: What it belongs to; named in the log as in readiness, e.g. "desk.rounds".
        """
        assert self._task is None, "it goes on already"
        self._log = log.bind(round=f"{part}.{self.name}" if part else self.name)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; a round under way is cut off. Nothing if it was not begun."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            pause_s = await self._one()
            await asyncio.sleep(pause_s)

    async def _one(self) -> float:
        """Do one round; the seconds until the next."""
        try:
            pause_s = await self._once()
        except self._waits as error:
            if self._ended is not Ended.WAITS:
                self._log.warning("round.waits", reason=_reason(error))
            self._ended = Ended.WAITS
            return self._retry_s
        except Exception as error:  # noqa: BLE001 - a defect of one round must not end all of them unnoticed
            self._ended = Ended.BROKE
            if self._is_private:
                self._log.error("round.broke", error=type(error).__name__)  # a traceback may show values
            else:
                self._log.exception("round.broke")
            return self._retry_s
        if self._ended is not Ended.WELL:
            self._log.info("round.goes-on")
        self._ended = Ended.WELL
        return self._every_s if pause_s is None else pause_s


def _reason(error: Exception) -> str:
    """What can be said of a failure: a code where it has one."""
    if isinstance(error, TransportError | LedgerError):
        return error.code
    return str(error) or type(error).__name__
