# SPDX-License-Identifier: Apache-2.0
"""The explorer's running parts: a session with the nodes, the index that follows it, and what pages ask them.

Pages never wait for the index to catch up, and a node that lies or dies stops no page: what stands in the index is
shown, with the time up to which it is known.
"""

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
from service.errors import StorageError
from service.explorer.ledger import Ledger
from service.explorer.problems import KINDS
from service.explorer.pulse import Reports, Watched
from service.explorer.queries import Explored
from service.explorer.tables import ExplorerTables
from service.explorer.words import Describers
from service.index import LedgerTables, Subscriber
from service.index.running import RunningIndex
from service.index.tables import metadata as position_metadata
from service.nodes import Network
from service.rounds import Round
from service.settings import IndexSettings, StoreSettings
from service.store.engine import make_engine

log = structlog.get_logger(__name__)

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
        index: What follows the nodes.
        ledger: From `start` on.
    """

    ledger: Ledger
    watched: Watched
    reports: Reports

    def __init__(self, network: Network, settings: IndexSettings, describers: Describers) -> None:
        self.network = network
        self.describers = describers
        engine = index_engine(settings, network.genesis)
        self.explored = Explored(engine)
        self.index = RunningIndex(engine, SUBSCRIBERS, from_height=settings.from_height)

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
        await self.index.start(self.watched)
        await self.reports.get()  # so that the first page has them

    async def stop(self, _app: FastAPI) -> None:
        """End what `start` began."""
        await self.index.stop()
        if hasattr(self, "ledger"):
            await self.reports.stop()
            await self.ledger.session.close()

    async def name_signers(self) -> float:
        """Name some signers; seconds until the next have their turn."""
        return 0 if await self.ledger.name_signers() else NAMING_S


def explorer_part(explorer: Explorer, routers: Sequence[APIRouter]) -> Part:
    """The explorer as a part of a service."""
    return Part(
        "explorer",
        routers,
        start=explorer.start,
        stop=explorer.stop,
        checks={"index": explorer.index.is_current},
        rounds=[Round("naming", explorer.name_signers, NAMING_S, _FAILURES)],
        problems=KINDS,
    )
