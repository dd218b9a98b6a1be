# SPDX-License-Identifier: Apache-2.0
"""The tick at which a process anchors its audit chain on the ledger, and sees whether the store is an old copy.

Every process of a store may run one: of those that tick at once one works. While the ledger is down nothing is lost:
the next anchor covers everything since the last one. What is wrong is logged, and a store that is older or other than
what was anchored is not ready.
"""

import asyncio
import contextlib
import time

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from chain.errors import LedgerError
from chain.signing import TransactionSigner
from client.errors import TransportError
from client.session import Session
from service.anchors import Ledger, organisation_of, read_anchor
from service.errors import ConfigError, KeyFileError, StorageError
from service.nodes import Network
from service.store.audit_anchors import KIND, LedgerPublisher, RolledBack, check_newest
from service.store.files import try_locked
from service.store.store import Store

log = structlog.get_logger(__name__)

TICK_S_MAX = 60
"""An anchor takes a second where the ledger answers; one that takes so long is tried again at the next tick."""
_LOCK = "anchoring"


class Anchoring:
    """The tick of one process; started with its first service and stopped with its last.

    Args:
        store: Whose audit chain.
        network: Where it is anchored.
        signer: The service's own key, of purpose submit.
        every_ms: Between two ticks, which come at multiples of it.
    """

    def __init__(self, store: Store, network: Network, signer: TransactionSigner, every_ms: int) -> None:
        self._store = store
        self._network = network
        self._signer = signer
        self._every_ms = every_ms
        self._users = 0
        self._task: asyncio.Task[None] | None = None
        self._rolled_back = False

    async def holds(self) -> bool:
        """Whether the store is what was anchored, as far as the last tick could tell; for readiness."""
        return not self._rolled_back

    async def start(self, _app: FastAPI) -> None:
        """Begin with the first service of the process."""
        self._users += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self, _app: FastAPI) -> None:
        """End with the last one; what is under way is tried again by whoever starts next."""
        self._users -= 1
        if self._users or self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def tick(self, ledger: Ledger) -> int:
        """Look at the newest anchor, then anchor what was added.

        Args:
            ledger: A session.

        Returns:
            How many digests were anchored.

        Raises:
            RolledBack: The store is older than the newest anchor, or not what was anchored.
            ConfigError: The signer's key is no organisation's.
            LedgerError: The rules refuse it.
            StorageError: The database failed.
            TransportError: No node gives an answer that verifies and is fresh.
        """
        with try_locked(self._store.ring.folder, _LOCK) as is_ours:
            if not is_ours:
                return 0
            organisation = await organisation_of(ledger, self._signer.signer)
            stream = self._store.audit_stream
            newest = await read_anchor(ledger, organisation, KIND, stream)
            if newest is not None:
                await run_in_threadpool(check_newest, self._store, newest)
            self._rolled_back = False
            publisher = LedgerPublisher(ledger, self._signer, organisation, stream)
            return await self._store.publish_audit(publisher)

    async def _run(self) -> None:
        while True:
            await self._tick_logged()
            await asyncio.sleep((self._every_ms - time.time_ns() // 1_000_000 % self._every_ms) / 1000)

    async def _tick_logged(self) -> None:
        try:
            async with (
                asyncio.timeout(TICK_S_MAX),
                Session(self._network.genesis, endpoints=self._network.endpoints) as session,
            ):
                count = await self.tick(session)
            if count:
                log.info("audit.anchored", digests=count)
        except RolledBack as error:
            self._rolled_back = True
            log.error("audit.rolled-back", reason=error.reason)  # noqa: TRY400 - a traceback would say no more
        except (TransportError, LedgerError) as error:
            log.warning("audit.not-anchored", reason=error.code)
        except (ConfigError, KeyFileError, StorageError, TimeoutError) as error:
            log.warning("audit.not-anchored", reason=str(error) or "the ledger does not answer in time")
        except Exception as error:  # noqa: BLE001 - the outermost loop: one bad tick is not the last
            log.error("audit.not-anchored", reason=type(error).__name__)  # noqa: TRY400 - it may quote a row
