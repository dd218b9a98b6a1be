# SPDX-License-Identifier: Apache-2.0
"""Small writes of many requests, committed together: one turn, one sync of the disk for all that are waiting.

Nothing waits for others to come: while one transaction is being committed, the writes that arrive make up the next. A
write is done when its caller is told so. One that fails takes none of the others with it. What nobody waits for goes
along with the next one that somebody does wait for, before it, or by itself a moment later.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from service.errors import StorageError
from service.store.store import Store

log = structlog.get_logger(__name__)

Found = TypeVar("Found")
Work = Callable[[Session], Found]
"""Writes, and returns what its caller learns; it may run twice, and keeps nothing of its session."""

TOGETHER_MAX: Final = 64
"""Writes of one transaction: some milliseconds, so that other writers of the store get their turn."""

LATER_S: Final = 0.1
"""So long a write that nobody waits for waits for one to go along with; what a crash may take."""
LATER_MAX: Final = 64
"""Writes that wait to go along; with so many they go by themselves at once."""


class Together:
    """Commits small writes of one event loop together.

    Args:
        store: Where they go.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._later: list[Work[Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def write(self, work: Work[Found]) -> Found:
        """Have something written; it is on disk when this returns.

        How many wait is bounded by how many requests a service serves at once. Whoever stops waiting takes nothing
        back: what was handed over is written.

        Args:
            work: What, without waiting for anything: others wait for it.

        Raises:
            StorageError: The database failed; nothing of it was written.
        """
        self._take_along()
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._begin()
        return await future

    def later(self, work: Work[None]) -> None:
        """Have something written soon, before whatever is handed over from now on; nobody hears when it is.

        A crash within `LATER_S` loses it, and what fails is noted in the log alone: for what its caller can do without.
        """
        self._later.append(work)
        if len(self._later) >= LATER_MAX:
            self._go()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_S, self._go)

    async def written(self) -> None:
        """Wait until what was handed over so far is on disk, or has failed.

        Raises:
            StorageError: The database failed.
        """
        await self.write(lambda _session: None)

    def _go(self) -> None:
        self._take_along()
        self._begin()

    def _take_along(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for work in self._later:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_note)
            self._waiting.append((work, future))
        self._later.clear()

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:TOGETHER_MAX], self._waiting[TOGETHER_MAX:]
            works = [work for work, _ in batch]
            try:
                outcomes: Sequence[object] = await run_in_threadpool(_written, self._store, works)
            except (
                asyncio.CancelledError
            ):  # the service stops: nobody hears of what waits, so nobody believes it written
                for _, future in [*batch, *self._waiting]:
                    _fail(future, StorageError("the service stops"))
                self._waiting.clear()
                raise
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    _fail(future, outcome)
                elif not future.done():
                    future.set_result(outcome)


def _written(store: Store, works: Sequence[Work[Any]]) -> list[object]:
    """What each of them returned or raised; blocks."""
    if len(works) > 1:
        try:
            with store.write() as session:
                return [work(session) for work in works]
        except Exception:  # noqa: BLE001, S110 - one of them failed and nothing was written: each by itself, then
            pass
    return [_alone(store, work) for work in works]


def _alone(store: Store, work: Work[Any]) -> object:
    try:
        with store.write() as session:
            return work(session)
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
        return error


def _note(future: asyncio.Future[Any]) -> None:
    """Say in the log that something failed for which nobody waits."""
    error = None if future.cancelled() else future.exception()
    if error is not None:
        log.warning("store.later-failed", error=type(error).__name__)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
