# SPDX-License-Identifier: Apache-2.0
"""Brings accepted events onto the ledger: one job of a participant after the other, participants beside one another.

A participant's events depend on each other (what is shipped was declared before), so its next transaction waits for the
outcome of the one before. Nothing here remembers anything: what runs stands in the store, and a restart goes on.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol, TypeVar

import structlog
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError, Refused
from chain.transaction import SignedTransaction
from client.answers import ProvenTransaction
from client.errors import TransportError
from service.errors import KeyFileError, StorageError
from service.rounds import Round
from service.sign_in.door import EXPIRED
from traceability.api.capture_jobs import Jobs
from traceability.api.capture_steps import WHOLE, Step, Steps
from traceability.pb import traceability_pb2 as pb
from traceability.projection import UnitOf

T = TypeVar("T")

log = structlog.get_logger(__name__)

OWNERS_AT_ONCE: Final = 16
"""Participants whose events are on their way at the same time; each has one transaction under way."""
LOOK_S: Final = 2.0
"""Jobs are looked for at least so often: another process may have accepted one."""
RETRY_S: Final = 2.0
"""After nodes, keys or the database failed; all of them come back."""

THREADS: Final = 4
"""At work on the store: the others wait for the ledger."""

Units = Callable[[], contextlib.AbstractContextManager[UnitOf]]
"""Opens the index and looks products up in it."""


class _NotIndexed(Exception):
    """The index has no such product; it may be behind the ledger."""


class Submits(Protocol):
    """The way to the ledger; `service.sign_in.door.Door` is one."""

    def submit_one(self, transaction: SignedTransaction) -> Awaitable[ProvenTransaction]:
        """Submit one and wait for its verified receipt; the same may be submitted again."""
        ...


class Runner:
    """The worker of one process.

    Args:
        jobs: What there is to do.
        steps: How a job moves on.
        ledger: Where transactions go.
        units: The products of the index.
        catch_up: Waits until the index holds what the ledger has now; raises TransportError or StorageError.
    """

    def __init__(
        self, jobs: Jobs, steps: Steps, ledger: Submits, units: Units, catch_up: Callable[[], Awaitable[None]]
    ) -> None:
        self._jobs = jobs
        self._steps = steps
        self._ledger = ledger
        self._units = units
        self._catch_up = catch_up
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="capture")
        self._woken = asyncio.Event()
        self._moved = asyncio.Condition()
        self._working: dict[str, asyncio.Task[None]] = {}
        self._woken.set()  # the first look waits for nobody
        self.round = Round("capture", self._look, 0, (StorageError,))
        """Looks for jobs; one that breaks is tried again and holds up no other's."""

    async def stop(self) -> None:
        """End what is under way, after `round`; it goes on with the next start."""
        tasks = list(self._working.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown)  # a transaction of the store that is under way ends first

    def wake(self) -> None:
        """Say that there is a new job."""
        self._woken.set()

    async def wait_for(self, is_done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something holds that only a job's moving on changes; False: not within the time.

        Args:
            is_done: Asked in a worker thread, each time a job has moved on.
            timeout_s: How long.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not await run_in_threadpool(is_done):
                    async with self._moved:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._moved.wait(), LOOK_S)
                return True
        return False

    async def _look(self) -> None:
        """Give each participant with work a task of its own."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._woken.wait()
        self._woken.clear()
        for owner, number in await self._on_thread(self._jobs.running):
            if owner not in self._working and len(self._working) < OWNERS_AT_ONCE:
                task = asyncio.create_task(self._work(number))
                self._working[owner] = task
                task.add_done_callback(partial(self._free, owner))

    def _free(self, owner: str, _task: "asyncio.Task[None]") -> None:
        """A participant's job is done, or broke off; the next one has its turn."""
        del self._working[owner]
        self._woken.set()

    async def _work(self, number: int) -> None:
        """Move one job on until it is done."""
        while True:
            try:
                step = await self._step(number)
                if step is None:
                    return
                await self._send(step)
            except (StorageError, KeyFileError, TransportError) as error:
                reason = error.reason if isinstance(error, TransportError) else str(error)
                log.warning("capture.waits", reason=reason)
                await asyncio.sleep(RETRY_S)
            except LedgerError as error:
                log.warning("capture.waits", reason=error.code)
                await asyncio.sleep(RETRY_S)
            except Exception as error:  # noqa: BLE001 - the outermost loop of a job: others go on, and it is tried again
                log.error("capture.failed", error=type(error).__name__)  # noqa: TRY400 - values may stand in a traceback
                await asyncio.sleep(RETRY_S)
            finally:
                async with self._moved:
                    self._moved.notify_all()

    async def _on_thread(self, work: Callable[..., T], *arguments: object, **named: object) -> T:
        """Do something with the store, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments, **named))

    async def _step(self, number: int) -> Step | None:
        """A job's next step. A refusal is for good: no product is called unknown by an index that is behind."""
        try:
            return await self._on_thread(self._next, number, is_behind=True)
        except _NotIndexed:
            await self._catch_up()
            return await self._on_thread(self._next, number, is_behind=False)

    def _next(self, number: int, *, is_behind: bool) -> Step | None:
        with self._units() as unit_of:

            def look(gtin: str) -> pb.Unit.ValueType | None:
                unit = unit_of(gtin)
                if unit is None and is_behind:
                    raise _NotIndexed
                return unit

            return self._steps.next(number, look)

    async def _send(self, step: Step) -> None:
        """Submit what a job waits for, and store how it ended.

        Raises:
            TransportError: Nothing is known of it yet; it is submitted again.
        """
        number = step.capture
        try:
            proven = await self._ledger.submit_one(step.transaction)
        except Refused as refused:
            if refused.code == EXPIRED:
                await self._on_thread(self._steps.expired, number)
            else:
                await self._on_thread(self._steps.refused, number, WHOLE, refused.code, refused.reason)
            return
        failed = proven.failed
        if failed is None:
            await self._on_thread(self._steps.recorded, number)
        else:
            await self._on_thread(self._steps.refused, number, failed.operation, failed.code)
