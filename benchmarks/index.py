# SPDX-License-Identifier: Apache-2.0
"""How fast an index takes in certified blocks, on SQLite: `python -m benchmarks.index [--entries N]` prints JSON."""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from sqlalchemy import create_engine

from benchmarks.machine import hashes_per_s
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.consensus.block import Block
from chain.ed25519 import Ed25519Signer
from chain.pb import ledger_pb2 as pb
from chain.transaction import Operation, SignedTransaction, build
from chain.types import BlockId, Epoch, Height, Millis, Network, View
from client.answers import ProvenBlock
from client.follow import Cursor
from service.index import Indexer, LedgerTables

NETWORK = Network(bytes(32))
BLOCK_ENTRIES = 200


class _Replayed:
    """Verified blocks from memory: what the index itself costs is measured, not the network."""

    network = NETWORK

    def __init__(self, blocks: Sequence[ProvenBlock]) -> None:
        self._blocks = blocks

    async def cursor_at(self, height: int = 0) -> Cursor:
        """The beginning: the blocks here start there."""
        assert height == 0
        return Cursor.start(NETWORK)

    async def blocks(self, cursor: Cursor | None = None) -> AsyncIterator[ProvenBlock]:
        """All of them."""
        assert cursor is None or cursor.height == 0
        for block in self._blocks:
            yield block
        await asyncio.Event().wait()


def make_blocks(entries: int) -> list[ProvenBlock]:
    """A chain of blocks with that many entries in all, one operation each."""
    signer = Ed25519Signer(bytes(32))
    parent = BlockId(NETWORK)
    blocks: list[ProvenBlock] = []
    for first in range(0, entries, BLOCK_ENTRIES):
        height = Height(len(blocks) + 1)
        time_ms = Millis(height * 1000)
        transactions = tuple(
            build([Operation.make("bench.Nothing", bytes(100))], [signer], time_ms, number.to_bytes(16), NETWORK)
            for number in range(first, min(entries, first + BLOCK_ENTRIES))
        )
        digests = tuple(transaction.digest for transaction in transactions)
        block = Block.make(Epoch(1), View(height), height, parent, time_ms, digests)
        encoded = tuple(_entry(transaction, block, place) for place, transaction in enumerate(transactions))
        size = first + len(transactions)
        checkpoint = Checkpoint(
            NETWORK, Epoch(1), height, time_ms, block.id, size, bytes(32), bytes(32), next_validators=b""
        )
        blocks.append(ProvenBlock(block, transactions, encoded, first, checkpoint))
        parent = block.id
    return blocks


def run(entries: int = 100_000) -> dict[str, float]:
    """Index so many entries into a new SQLite file."""
    blocks = make_blocks(entries)
    with tempfile.TemporaryDirectory() as room:
        engine = create_engine(f"sqlite:///{Path(room) / 'index.db'}")
        seconds = asyncio.run(_index(Indexer(engine, _Replayed(blocks), [LedgerTables()]), len(blocks)))
        engine.dispose()
    return {
        "entries": entries,
        "entries_per_s": round(entries / seconds),
        "hashes_per_s": hashes_per_s(),
    }


async def _index(indexer: Indexer, height: int) -> float:
    await indexer.open()
    start = time.perf_counter()
    task = asyncio.create_task(indexer.run())
    assert await indexer.wait_for(height, 600)
    taken = time.perf_counter() - start
    task.cancel()
    await asyncio.wait([task])
    indexer.close()
    return taken


def _entry(transaction: SignedTransaction, block: Block, position: int) -> bytes:
    entry = pb.Entry(height=block.height, position=position, time_ms=block.time_ms, header=transaction.header)
    entry.success.SetInParent()
    return encode(entry)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    print(json.dumps(run(parser.parse_args().entries)))


if __name__ == "__main__":
    main()
