# SPDX-License-Identifier: Apache-2.0
"""The explorer's running parts: a session with the nodes, the index that follows it, and what pages ask them.

Pages never wait for the index to catch up, and a node that lies or dies stops no page: what stands in the index is
shown, with the time up to which it is known.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import structlog
from fastapi import APIRouter, FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from chain.errors import LedgerError
from chain.genesis import Genesis
from client.errors import TransportError
from client.session import Session
from service.app import Part
from service.errors import ConfigError, StorageError
from service.explorer.ledger import Ledger
from service.explorer.problems import KINDS
from service.explorer.pulse import RECENT_MS, Reports, Watched, now_ms
from service.explorer.queries import Explored
from service.explorer.tables import ExplorerTables
from service.explorer.words import Describers
from service.index import IndexBusyError, Indexer, IndexForeignError, LedgerTables, Subscriber
from service.index.tables import metadata as position_metadata
from service.nodes import Network
from service.settings import IndexSettings, StoreSettings
from service.store.engine import make_engine

log = structlog.get_logger(__name__)

RETRY_S = 2.0
"""After the nodes or the database failed; both come back by themselves."""
NAMING_S = 1.0
"""How soon a new signer's organisation is shown."""
SUBSCRIBERS: Sequence[Subscriber] = (LedgerTables(), ExplorerTables())
"""Whose tables the explorer's index has."""
_FAILURES = (TransportError, LedgerError, StorageError, SQLAlchemyError)


def index_engine(settings: IndexSettings, genesis: Genesis) -> Engine:
    """The index's database: the one that is named, else a file for each network.

    Raises:
        KeyFileError: SQLite's folder can't be made or is open to others.
        StorageError: The URL can't be read.
    """
    file = Path(settings.folder) / f"{genesis.network.hex()[:16]}.sqlite"
    return make_engine(StoreSettings(url=settings.url or f"sqlite:///{file}"))


def drop_index(engine: Engine) -> None:
    """Drop the explorer's index; the service makes it anew from the chain when it starts next, or goes on.

    Raises:
        StorageError: The database failed.
    """
    try:
        for each in (position_metadata, *(subscriber.metadata for subscriber in SUBSCRIBERS)):
            each.drop_all(engine)
    except SQLAlchemyError as error:
        raise StorageError(f"the index's database failed: {type(error).__name__}") from None


class Explorer:
    """What the explorer's routers share.

    Attributes:
        ledger: From `start` on.
    """

    ledger: Ledger
    watched: Watched
    reports: Reports
    indexer: Indexer

    def __init__(self, network: Network, settings: IndexSettings, describers: Describers) -> None:
        self.network = network
        self.describers = describers
        self._settings = settings
        self._engine = index_engine(settings, network.genesis)
        self.explored = Explored(self._engine)
        self._tasks: list[asyncio.Task[None]] = []
        self.is_lost = False
        """Whether the index cannot go on without an operator."""

    async def start(self, _app: FastAPI) -> None:
        """Begin to follow the chain.

        Raises:
            ConfigError: The index's database belongs to another network.
            StorageError: It failed.
        """
        network = self.network
        session = Session(network.genesis, endpoints=network.endpoints)
        self.ledger = Ledger(session, network.genesis, network.endpoints, self.explored)
        self.watched, self.reports = Watched(session), Reports(session)
        self.indexer = Indexer(self._engine, self.watched, SUBSCRIBERS, from_height=self._settings.from_height)
        try:
            await asyncio.to_thread(self._make_tables)
            # Before the first page: an index of another version is dropped and made here.
            await self.indexer.open()
        except IndexForeignError as error:
            raise ConfigError(f"index.url: {error}") from None
        except SQLAlchemyError as error:
            raise StorageError(f"the index's database failed: {type(error).__name__}") from None
        except (TransportError, LedgerError) as error:
            log.warning("explorer.index-waits", reason=error.reason)  # an index from a height begins at a node
        await self.reports.get()  # so that the first page has them
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._name_signers())]

    async def stop(self, _app: FastAPI) -> None:
        """End what `start` began."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "ledger"):
            await self.reports.stop()
            await self.ledger.session.close()
            self.indexer.close()
        self._engine.dispose()

    def _make_tables(self) -> None:
        """So that the first page finds them; whether they are those of this version, `Indexer.open` sees."""
        for subscriber in SUBSCRIBERS:
            subscriber.metadata.create_all(self._engine)

    def height(self) -> int:
        """The newest block that is indexed; 0: none yet."""
        position = self.indexer.position
        return 0 if position is None else position.cursor.height

    def indexed_ms(self) -> int:
        """Time of that block; 0: none yet."""
        position = self.indexer.position
        return 0 if position is None else position.time_ms

    async def is_current(self) -> bool:
        """Whether the index has come up to what nodes certify: an idle network makes a block each second."""
        return not self.is_lost and now_ms() - self.indexed_ms() < RECENT_MS

    async def _follow(self) -> None:
        """Follow blocks for as long as the service runs; after a failure, again from where the index stands."""
        while True:
            try:
                await self.indexer.open()
                await self.indexer.run()
            except IndexBusyError as error:
                self.is_lost = True
                log.error("explorer.index-lost", reason=str(error))  # noqa: TRY400 - the reason says what to do
                return
            except _FAILURES as error:
                reason = error.reason if isinstance(error, LedgerError | TransportError) else type(error).__name__
                log.warning("explorer.index-waits", reason=reason)
            await asyncio.sleep(RETRY_S)

    async def _name_signers(self) -> None:
        while True:
            named = 0
            with contextlib.suppress(*_FAILURES):
                named = await self.ledger.name_signers()
            await asyncio.sleep(0 if named else NAMING_S)


def explorer_part(explorer: Explorer, routers: Sequence[APIRouter]) -> Part:
    """The explorer as a part of a service."""
    return Part(
        "explorer",
        routers,
        start=explorer.start,
        stop=explorer.stop,
        checks={"index": explorer.is_current},
        problems=KINDS,
    )
