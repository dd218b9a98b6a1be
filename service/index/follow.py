# SPDX-License-Identifier: Apache-2.0
"""Follows certified blocks into SQL: from any height, exactly once, over any crash, never ahead of what is certified.

Rows and position move in one database transaction, so a killed process goes on where the last commit left it. Blocks
come through `client.Session`, which verifies each against genesis: a lying node fills no index. The database is written
from one thread beside the event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from sqlalchemy import Engine, MetaData

from chain.log import leaf_hash
from chain.types import Network
from client.answers import ProvenBlock
from client.follow import Cursor
from service.index.events import events_of
from service.index.tables import (
    Position,
    Subscriber,
    create_position,
    fingerprint,
    load_position,
    metadata,
    move_position,
)

BLOCKS_WAITING_MAX = 16
"""Blocks read ahead of the database; each has at most 4 MiB of transactions."""
BATCH_ENTRIES_MAX = 4_000
"""Entries in one database transaction; a reader of the tables waits for no more than that."""


class BlockSource(Protocol):
    """What the index takes from `client.Session`."""

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""
        ...

    async def cursor_at(self, height: int = 0) -> Cursor:
        """Where to begin after the first certified block from a height on."""
        ...

    def blocks(self, cursor: Cursor | None = None) -> AsyncIterator[ProvenBlock]:
        """Certified blocks in order."""
        ...


class Indexer:
    """The one writer of an index.

    Attributes:
        position: How far it has come; None until `open`.
    """

    def __init__(
        self, engine: Engine, source: BlockSource, subscribers: Sequence[Subscriber], *, from_height: int = 0
    ) -> None:
        """Prepare; nothing is read or written yet.

        Args:
            engine: The index's database; a database of its own, since it may be dropped.
            source: Where blocks come from.
            subscribers: Who fills tables from them, in this order.
            from_height: Begin a new index after the first certified block from this height on; 0: with the first block.
        """
        self._engine = engine
        self._source = source
        self._subscribers = tuple(subscribers)
        self._fingerprint = fingerprint(subscribers)
        self._from_height = from_height
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._moved = asyncio.Condition()
        self.position: Position | None = None

    async def open(self) -> Position:
        """Find where the index stands; make it, or make it anew where its subscribers have changed.

        Raises:
            IndexForeignError: The database holds another network's index.
        """
        loop = asyncio.get_running_loop()
        position = await loop.run_in_executor(self._pool, self._load)
        if position is None:
            network = self._source.network
            cursor = await self._source.cursor_at(self._from_height) if self._from_height else Cursor.start(network)
            position = await loop.run_in_executor(self._pool, self._make, cursor)
        self.position = position
        return position

    async def rebuild(self) -> Position:
        """Drop everything and begin anew."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._drop)
        return await self.open()

    async def run(self) -> None:
        """Follow for as long as the caller lets it; cancel it to stop.

        Raises:
            IndexBusyError: Another process moves the index.
            TransportError: No node has gone on for a while; run again later.
            LedgerError: Enough nodes no longer hold the blocks to go on with: `rebuild` from a later height.
        """
        position = self.position or await self.open()
        waiting: asyncio.Queue[ProvenBlock] = asyncio.Queue(BLOCKS_WAITING_MAX)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(position.cursor, waiting))
                tasks.create_task(self._write(waiting))
        except* Exception as group:  # noqa: BLE001 - one of the two tasks ended: its error is the caller's
            raise group.exceptions[0] from None

    async def wait_for(self, height: int, timeout_s: float) -> bool:
        """Wait until the index has taken in a block; False if it has not within the time."""
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                await self._moved.wait_for(lambda: self.position is not None and self.position.cursor.height >= height)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Wait for a transaction that is under way; nothing is lost either way."""
        self._pool.shutdown(wait=True)

    # ------------------------------------------------------------ the two tasks

    async def _read(self, cursor: Cursor, waiting: asyncio.Queue[ProvenBlock]) -> None:
        async for block in self._source.blocks(cursor):
            await waiting.put(block)

    async def _write(self, waiting: asyncio.Queue[ProvenBlock]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            blocks = [await waiting.get()]
            entries = len(blocks[0].entries)
            while not waiting.empty() and entries < BATCH_ENTRIES_MAX:
                blocks.append(waiting.get_nowait())
                entries += len(blocks[-1].entries)
            assert self.position is not None
            # A crash in here leaves all of these blocks or none.
            position = await loop.run_in_executor(self._pool, self._apply, self.position, blocks)
            async with self._moved:
                self.position = position
                self._moved.notify_all()

    # ------------------------------------------------------------ on the database's thread

    def _load(self) -> Position | None:
        metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            return load_position(connection, self._source.network, self._fingerprint)

    def _make(self, cursor: Cursor) -> Position:
        self._drop()
        for each in self._tables():
            each.create_all(self._engine)
        with self._engine.begin() as connection:
            return create_position(connection, self._source.network, self._fingerprint, cursor)

    def _drop(self) -> None:
        """The position goes first: a crash between leaves tables that the next start drops."""
        metadata.drop_all(self._engine)
        for each in self._tables():
            each.drop_all(self._engine)
        metadata.create_all(self._engine)

    def _tables(self) -> list[MetaData]:
        return [subscriber.metadata for subscriber in self._subscribers]

    def _apply(self, position: Position, blocks: Sequence[ProvenBlock]) -> Position:
        edge = position.cursor.edge.copy()
        for block in blocks:
            for entry in block.entries:
                edge.append(leaf_hash(entry))
        last = blocks[-1].block
        events = [event for block in blocks for event in events_of(block)]
        with self._engine.begin() as connection:
            after = move_position(connection, position, Cursor(last.height, last.id, edge), last.time_ms)
            for subscriber in self._subscribers:
                subscriber.apply(connection, blocks, events)
            return after
