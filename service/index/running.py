# SPDX-License-Identifier: Apache-2.0
"""An index that a service keeps beside itself: followed for as long as the service runs, read by its pages.

Pages never wait for it to catch up: what stands in it is shown, with the time up to which it is known. Nodes that lie
or die, and a database that is away, hold it up and end nothing; it goes on by itself.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from chain.errors import LedgerError
from client.errors import TransportError
from service.errors import ConfigError, StorageError
from service.index.errors import IndexBusyError, IndexForeignError
from service.index.follow import BlockSource, Indexer
from service.index.tables import Subscriber
from service.store.engine import close_engine

log = structlog.get_logger(__name__)

RETRY_S = 2.0
"""After the nodes or the database failed; both come back by themselves."""
RECENT_MS = 15_000
"""An idle network makes a block each second; an index that is further behind shows what is past."""
_FAILURES = (TransportError, LedgerError, StorageError, SQLAlchemyError)


class RunningIndex:
    """One index of one service.

    Args:
        engine: The index's own database; closed with it.
        subscribers: Whose tables it has.
        from_height: Where a new one begins; 0: with the first block.

    Attributes:
        engine: For reading, once it runs.
        is_lost: Whether it can't go on without an operator.
    """

    def __init__(self, engine: Engine, subscribers: Sequence[Subscriber], *, from_height: int = 0) -> None:
        self.engine = engine
        self.is_lost = False
        self._subscribers = tuple(subscribers)
        self._from_height = from_height
        self._indexer: Indexer | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, source: BlockSource) -> None:
        """Begin to follow the chain.

        Raises:
            ConfigError: The database holds the index of another network.
            StorageError: It failed.
        """
        self._indexer = Indexer(self.engine, source, self._subscribers, from_height=self._from_height)
        try:
            await asyncio.to_thread(self._make_tables)
            await self._indexer.open()  # before the first page: an index of another version is dropped and made here
        except IndexForeignError as error:
            raise ConfigError(f"the index: {error}") from None
        except SQLAlchemyError as error:
            raise StorageError(f"the index's database failed: {type(error).__name__}") from None
        except (TransportError, LedgerError) as error:
            log.warning("index.waits", reason=error.reason)  # an index from a height begins at a node
        self._task = asyncio.create_task(self._follow(self._indexer))

    async def stop(self) -> None:
        """End what `start` began."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._indexer is not None:
            self._indexer.close()
        close_engine(self.engine)

    def height(self) -> int:
        """The newest block in it; 0: none yet."""
        position = None if self._indexer is None else self._indexer.position
        return 0 if position is None else position.cursor.height

    def indexed_ms(self) -> int:
        """Time of that block; 0: none yet."""
        position = None if self._indexer is None else self._indexer.position
        return 0 if position is None else position.time_ms

    async def wait_for(self, height: int, timeout_s: float) -> bool:
        """Wait until it holds a block; False if it does not within the time."""
        return self._indexer is not None and await self._indexer.wait_for(height, timeout_s)

    async def is_current(self) -> bool:
        """Whether it has come up to what nodes certify."""
        return not self.is_lost and time.time_ns() // 1_000_000 - self.indexed_ms() < RECENT_MS

    def _make_tables(self) -> None:
        """So that the first page finds them; whether they are those of this version, `Indexer.open` sees."""
        for subscriber in self._subscribers:
            subscriber.metadata.create_all(self.engine)

    async def _follow(self, indexer: Indexer) -> None:
        """After a failure, again from where the index stands."""
        while True:
            try:
                await indexer.open()
                await indexer.run()
            except (IndexBusyError, IndexForeignError) as error:
                self.is_lost = True
                log.error("index.lost", reason=str(error))  # noqa: TRY400 - the reason says what to do
                return
            except _FAILURES as error:
                reason = error.reason if isinstance(error, LedgerError | TransportError) else type(error).__name__
                log.warning("index.waits", reason=reason)
            except Exception:
                # A defect must not end it unnoticed; `is_current` tells how far it is behind.
                log.exception("index.broke")
            await asyncio.sleep(RETRY_S)
