# SPDX-License-Identifier: Apache-2.0
"""The index: each certified block once, over crashes, restarts and liars."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from fake_network import FakeNetwork
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, func, insert, select
from sqlalchemy.exc import IntegrityError
from store_rig import Rig

from chain.codec import encode
from chain.consensus.block import Block
from chain.ed25519 import Ed25519Signer
from chain.pb import ledger_pb2
from chain.transaction import Operation, build
from chain.types import BlockId, Epoch, Height, Millis, View
from client.answers import ProvenBlock
from client.session import Session
from service.index import Event, IndexBusyError, Indexer, IndexForeignError, LedgerTables, decode_event, events_of
from service.index.ledger_tables import blocks_table, operations_table, transactions_table
from service.store.engine import close_engine, make_engine

SIGNER = Ed25519Signer(bytes(range(32)))


@pytest.fixture
def engine(rig: Rig) -> Iterator[Engine]:
    """An empty database of each kind."""
    made = make_engine(rig.settings())
    yield made
    close_engine(made)


def submit(fake: FakeNetwork, session: Session, *bodies: bytes, kind: str = "test.Put") -> None:
    operations = [Operation.make(kind, body) for body in bodies]
    fake.ledger.submit([session.sign(operations, [SIGNER])])


async def follow_to(indexer: Indexer, height: int) -> None:
    task = asyncio.create_task(indexer.run())
    try:
        waiting = asyncio.create_task(indexer.wait_for(height, 120))
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        assert await waiting
    finally:
        task.cancel()
        await asyncio.wait([task])


def count(engine: Engine, table: Table) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


async def test_each_block_transaction_and_operation_has_one_row(engine: Engine) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        submit(fake, session, b"a=1", b"b=2")
        submit(fake, session, b"x", kind="test.Fail")
        indexer = Indexer(engine, session, [LedgerTables()])
        await follow_to(indexer, 3)
        indexer.close()
        with engine.connect() as connection:
            rows = connection.execute(select(transactions_table).order_by("leaf_index")).all()
            heights = connection.execute(select(blocks_table.c.height).order_by("height")).scalars().all()
        assert heights == [1, 2, 3]
        assert [(row.height, row.operations, row.first_type, row.failure) for row in rows] == [
            (2, 2, "test.Put", ""),
            (3, 1, "test.Fail", "test.failed"),
        ]
        assert rows[0].signers == bytes((SIGNER.signer.scheme,)) + SIGNER.signer.public_key
        assert count(engine, operations_table) == 3


async def test_restarted_index_goes_on_where_it_stood(engine: Engine) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        for height in range(2, 6):
            submit(fake, session, b"a=%d" % height)
            indexer = Indexer(engine, session, [LedgerTables()])
            opened = await indexer.open()
            assert opened.cursor.height == (0 if height == 2 else height - 1)
            await follow_to(indexer, height)
            assert indexer.position is not None
            assert indexer.position.cursor.edge.root() == fake.ledger.log.root()
            indexer.close()
        assert count(engine, blocks_table) == 5


async def test_index_begun_at_a_height_holds_the_blocks_above_it(engine: Engine) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        for number in range(5):
            submit(fake, session, b"a=%d" % number)
        indexer = Indexer(engine, session, [LedgerTables()], from_height=4)
        await follow_to(indexer, 6)
        indexer.close()
        assert indexer.position is not None
        assert indexer.position.first_height == 4
        with engine.connect() as connection:
            assert connection.execute(select(blocks_table.c.height)).scalars().all() == [5, 6]


class Broken:
    """Fails in the middle of a block's rows, once."""

    name = "broken"
    version = 1

    def __init__(self) -> None:
        self.metadata = MetaData()
        self.table = Table("broken_row", self.metadata, Column("height", Integer, primary_key=True))
        self.failures_left = 1

    def apply(self, connection: Connection, blocks: Sequence[ProvenBlock], events: Sequence[Event]) -> None:
        for block in blocks:
            connection.execute(insert(self.table).values(height=block.block.height))
            if block.block.height == 3 and self.failures_left:
                self.failures_left = 0
                connection.execute(insert(self.table).values(height=1))
                connection.execute(insert(self.table).values(height=1))


async def test_failure_between_rows_leaves_no_row_of_the_batch_and_the_next_run_writes_each_once(
    engine: Engine,
) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        for number in range(4):
            submit(fake, session, b"a=%d" % number)
        broken = Broken()
        indexer = Indexer(engine, session, [LedgerTables(), broken])
        with pytest.raises(IntegrityError):
            await follow_to(indexer, 5)
        before = indexer.position.cursor.height if indexer.position else 0
        assert before < 3
        assert count(engine, broken.table) == count(engine, blocks_table) == before
        await follow_to(indexer, 5)
        indexer.close()
        assert count(engine, broken.table) == count(engine, blocks_table) == 5


async def test_changed_subscriber_rebuilds_the_index(engine: Engine) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        submit(fake, session, b"a=1")
        first = Indexer(engine, session, [LedgerTables()])
        await follow_to(first, 2)
        first.close()

        class Newer(LedgerTables):
            version = LedgerTables.version + 1

        second = Indexer(engine, session, [Newer()])
        assert (await second.open()).cursor.height == 0
        assert count(engine, blocks_table) == 0
        await follow_to(second, 2)
        assert (await second.rebuild()).cursor.height == 0
        await follow_to(second, 2)
        second.close()
        assert count(engine, blocks_table) == 2


async def test_second_writer_is_found_and_writes_nothing(engine: Engine) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        submit(fake, session, b"a=1")
        one, other = (Indexer(engine, session, [LedgerTables()]) for _ in range(2))
        await one.open()
        await other.open()
        await follow_to(one, 2)
        with pytest.raises(IndexBusyError):
            await follow_to(other, 2)
        one.close()
        other.close()
        assert count(engine, blocks_table) == 2


async def test_index_of_another_network_is_refused(engine: Engine) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        indexer = Indexer(engine, session, [LedgerTables()])
        await follow_to(indexer, 1)
        indexer.close()
    async with FakeNetwork() as other, Session(other.genesis, endpoints=other.endpoints) as session:
        with pytest.raises(IndexForeignError, match="database of its own"):
            await Indexer(engine, session, [LedgerTables()]).open()


async def test_index_fed_by_a_lying_node_holds_no_false_row(engine: Engine) -> None:
    async with FakeNetwork() as fake, Session(fake.genesis, endpoints=fake.endpoints) as session:
        truth = [b"a=%d" % number for number in range(3)]
        for body in truth:
            submit(fake, session, body)

        def lie(event: object) -> object:
            copy = type(event)()
            copy.CopyFrom(event)
            for place, raw in enumerate(copy.entries):
                entry = ledger_pb2.Entry.FromString(raw)
                entry.failure.code = "forged"
                copy.entries[place] = entry.SerializeToString()
            return copy

        fake.nodes[0].event_lie = lie
        indexer = Indexer(engine, session, [LedgerTables()])
        await follow_to(indexer, 4)
        indexer.close()
        assert session.roster.liars()
        with engine.connect() as connection:
            assert set(connection.execute(select(transactions_table.c.failure)).scalars()) == {""}
        assert count(engine, transactions_table) == 3


def test_event_of_a_failed_transaction_that_does_not_decode_is_none() -> None:
    event = Event("x", b"\xff\xff", 1, 1, 0, 0, b"", (), "operation.invalid-body")
    assert decode_event(event, ledger_pb2.Entry) is None


class Replayed:
    """The same verified blocks again, without a network: what the database does is measured."""

    def __init__(self, network: bytes, blocks: Sequence[ProvenBlock]) -> None:
        self.network = network
        self._blocks = blocks

    async def blocks(self, cursor: object = None) -> AsyncIterator[ProvenBlock]:
        for block in self._blocks:
            if cursor is None or block.block.height > cursor.height:
                yield block
        await asyncio.sleep(3600)


_KILLED = """
import asyncio, sys
sys.path[:0] = sys.argv[2:]
from service.settings import StoreSettings
from service.store.engine import make_engine
from test_index import killed_run
asyncio.run(killed_run(make_engine(StoreSettings(url=sys.argv[1]))))
"""


async def killed_run(engine: Engine) -> None:
    """Index a long chain, one block at a time, saying each height; killed by the test."""
    source = Replayed(*made_chain(400, 5))
    indexer = Indexer(engine, source, [LedgerTables()])
    task = asyncio.create_task(indexer.run())
    for height in range(1, 401):
        await indexer.wait_for(height, 60)
        print(height, flush=True)
    task.cancel()


def made_chain(blocks: int, size: int) -> tuple[bytes, list[ProvenBlock]]:
    """A chain of blocks as `client` would hand it out: the same on each call."""
    network = bytes(32)
    parent, made, first_leaf = BlockId(network), [], 0
    for height in range(1, blocks + 1):
        transactions = [
            build(
                [Operation.make("test.Put", b"%d" % height)],
                [SIGNER],
                Millis(height),
                (height * size + place).to_bytes(16),
                network,
            )
            for place in range(size)
        ]
        digests = tuple(each.digest for each in transactions)
        block = Block.make(Epoch(1), View(height), Height(height), parent, Millis(height), digests)
        entries = []
        for place, each in enumerate(transactions):
            entry = ledger_pb2.Entry(height=height, position=place, time_ms=height, header=each.header)
            entry.success.SetInParent()
            entries.append(encode(entry))
        made.append(ProvenBlock(block, tuple(transactions), tuple(entries), first_leaf, FakeCheckpoint(height)))
        parent, first_leaf = block.id, first_leaf + size
    return network, made


class FakeCheckpoint:
    def __init__(self, height: int) -> None:
        self.height = height


def wait_until_alone(url: str) -> None:
    """PostgreSQL carries out what it was sent before it notices that nobody is there any more."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    others += " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 60
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(others).fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("kill_at", [1, 57, 190])
def test_index_killed_while_it_writes_goes_on_and_holds_each_row_once(rig: Rig, kill_at: int) -> None:
    database = rig.settings()
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[2])]
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, database.url, *folders], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if int(line) >= kill_at:
                break
        time.sleep(secrets.randbelow(30) / 1000)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    if rig.server is not None:
        wait_until_alone(database.url)
    engine = make_engine(database)
    source = Replayed(*made_chain(400, 5))

    async def go_on() -> int:
        indexer = Indexer(engine, source, [LedgerTables()])
        before = (await indexer.open()).cursor.height
        await follow_to(indexer, 400)
        indexer.close()
        return before

    assert asyncio.run(go_on()) >= kill_at
    assert count(engine, blocks_table) == 400
    assert count(engine, transactions_table) == count(engine, operations_table) == 2_000
    close_engine(engine)


def test_events_come_in_the_order_of_execution() -> None:
    _, blocks = made_chain(2, 3)
    events = [event for block in blocks for event in events_of(block)]
    assert [event.leaf_index for event in events] == list(range(6))
    assert {event.type for event in events} == {"test.Put"}
    assert not any(event.failure for event in events)
