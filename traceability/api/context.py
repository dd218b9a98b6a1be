# SPDX-License-Identifier: Apache-2.0
"""What the parts of the service of food records share: store, index, way to the ledger, keys, settings, clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from sqlalchemy import Connection, Engine

from chain.genesis import Genesis
from chain.signing import TransactionSigner
from service.app import Part
from service.errors import StorageError
from service.index.running import RunningIndex
from service.pages import Place, Site
from service.settings import Address, Settings, StoreSettings
from service.sign_in.door import Door
from service.sign_in.roles import Permission
from service.store import Store
from service.store.engine import make_engine
from traceability.api.trace_index import FoodTables
from traceability.api.trader.trade_index import TradeTables

TRACE_SITE: Final = Site(
    "food.title",
    home="/",
    places=(
        Place("trade.title", "/trade", permission=Permission.TRADE),
        Place("food-office.title", "/regulator", permission=Permission.READ_RECORDS),
    ),
    layout="workplace",
)
"""The service as its sign-in pages name it; pages of shoppers, traders and regulators have sites of their own."""

CATCH_UP_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True, slots=True)
class TraceContext:
    """What each part is made with.

    Attributes:
        store: The private store: captured events, subscriptions, complaints.
        index: Food events of the whole chain, as certified; `reading` asks it.
        door: The verifying client, as `door.session`, while the service runs.
        genesis: What readers check against.
        genesis_raw: Bytes of the genesis file, as browsers' verifiers get it.
        trader_signer: The key of a participant whose events are captured here over REST, by GLN; None: none is set.
        submit_key: The service's own key, which submits what traders sign; None: none is set, nothing is recorded here.
        address: Where the service is reached; labels lead to `address.public_origin`.
        settings: The process's; `settings.trace` is this service's own section.
        now: Unix time in ms.
    """

    store: Store
    index: RunningIndex
    door: Door
    genesis: Genesis
    genesis_raw: bytes
    trader_signer: Callable[[str], TransactionSigner | None]
    submit_key: TransactionSigner | None
    address: Address
    settings: Settings
    now: Callable[[], int]

    @property
    def origin(self) -> str:
        """The service's address without a slash at its end; labels and links begin with it."""
        return self.address.public_origin

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads the index, as of one moment; blocks, so ask from a worker thread."""
        # who reads takes no writer's turn, or each page would wait for the indexer and for every other page
        reader = self.index.engine.execution_options(zhixin_writes=False)
        with reader.connect() as connection, connection.begin():
            yield connection

    async def catch_up(self) -> None:
        """Wait until the index holds what the ledger certified until now.

        Raises:
            TransportError: No node answers.
            StorageError: The index does not come up to it in time.
        """
        height = (await self.door.session.checkpoint()).height
        if not await self.index.wait_for(height, CATCH_UP_SECONDS_MAX):
            raise StorageError(f"the index has not come up to block {height} yet")


def food_engine(settings: Settings, genesis: Genesis) -> Engine:
    """The index's database: the one that is named, else a file for each network beside the explorer's.

    Raises:
        KeyFileError: SQLite's folder can't be made or is open to others.
        StorageError: The URL can't be read.
    """
    file = Path(settings.index.folder) / f"{genesis.network.hex()[:16]}-food.sqlite"
    return make_engine(StoreSettings(url=settings.trace.index_url or f"sqlite:///{file}"))


def food_index(settings: Settings, genesis: Genesis) -> RunningIndex:
    """The index of food events; it runs once `ground_part` starts.

    Raises:
        KeyFileError: See `food_engine`.
        StorageError: See `food_engine`.
    """
    return RunningIndex(
        food_engine(settings, genesis), [FoodTables(), TradeTables()], from_height=settings.index.from_height
    )


def ground_part(context: TraceContext) -> Part:
    """Opens the way to the ledger and follows it; stands before the parts that ask either."""

    async def start(_app: FastAPI) -> None:
        context.door.open()
        await context.index.start(context.door.session)

    async def stop(_app: FastAPI) -> None:
        await context.index.stop()
        await context.door.close()

    return Part("food", start=start, stop=stop, checks={"index": context.index.is_current})
