# SPDX-License-Identifier: Apache-2.0
"""A stored history, block by block in height order: each record of it read once, in ordered scans.

Checked here is what needs no execution: that the blocks form one chain, that each record is where it belongs and no
other one is there, and that bodies are canonical and are those that their block lists.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from chain.checkpoint import Checkpoint
from chain.consensus.block import Block
from chain.errors import InvalidMessage
from chain.storage import Reader
from chain.transaction import SignedTransaction
from chain.transaction import decode as decode_transaction
from chain.types import BlockId, Millis, sha256
from node.audit_faults import compare, fail, fail_missing
from node.store_keys import body_key, numbered

_PER_HEIGHT = b"BCFOQVX"


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block with all that is stored by its height.

    Attributes:
        transactions: Those that it lists, in its order.
        records: Values of the other records by their keys; what is not stored is not there.
    """

    height: int
    block: Block
    transactions: tuple[SignedTransaction, ...]
    records: dict[bytes, bytes]

    def get(self, kind: bytes) -> bytes | None:
        """A record of the block's height."""
        return self.records.get(numbered(kind, self.height))


class _Table:
    """One table's rows, taken height by height."""

    def __init__(self, reader: Reader, kind: bytes, first: int, last: int) -> None:
        self._rows = reader.range(numbered(kind, first), numbered(kind, last + 1))
        self._next = next(self._rows, None)

    def take(self, height: int) -> list[tuple[bytes, bytes]]:
        """All rows up to this height; the heights before it are taken already."""
        taken: list[tuple[bytes, bytes]] = []
        while self._next is not None and self._next[0][1:9] <= height.to_bytes(8):
            taken.append(self._next)
            self._next = next(self._rows, None)
        return taken


def stored_blocks(
    reader: Reader, first: int, last: int, parent_id: BlockId | None, time_ms: Millis
) -> Iterator[StoredBlock]:
    """The blocks of a range of heights.

    Args:
        reader: Of the ledger's database.
        first: At least 1.
        last: The greatest height.
        parent_id: Of the first block's parent; None if that is not known.
        time_ms: Of that parent.

    Raises:
        Damaged: At the first block with a record that is missing, wrong or too many.
    """
    tables = {kind: _Table(reader, bytes([kind]), first, last) for kind in _PER_HEIGHT}
    for height in range(first, last + 1):
        rows = [row for kind in _PER_HEIGHT for row in tables[kind].take(height)]
        records = dict(rows)
        block = _block(reader, height, records, parent_id, time_ms)
        transactions = _transactions(block, records)
        known = {numbered(bytes([kind]), height) for kind in _PER_HEIGHT if kind != ord("X")}
        known |= {body_key(height, position) for position in range(len(block.digests))}
        for key, value in rows:
            if key not in known:
                compare(key, None, value)
        yield StoredBlock(height, block, transactions, records)
        parent_id, time_ms = block.id, block.time_ms


def decode_checkpoint(key: bytes, raw: bytes) -> Checkpoint:
    """A checkpoint from its record.

    Raises:
        Damaged: It is none.
    """
    try:
        return Checkpoint.decode(raw)
    except InvalidMessage as error:
        fail(key, error.reason)


def _block(
    reader: Reader, height: int, records: dict[bytes, bytes], parent_id: BlockId | None, time_ms: Millis
) -> Block:
    key = numbered(b"B", height)
    raw = records.get(key)
    if raw is None:
        fail_missing(key)
    try:
        block = Block.decode(raw)
    except InvalidMessage as error:
        fail(key, error.reason)
    if block.height != height:
        fail(key, f"the block says that its height is {block.height}")
    if parent_id is not None and block.parent_id != parent_id:
        fail(key, "the block does not follow on the block below it")
    if block.time_ms <= time_ms:
        fail(key, "the block is not later than the one below it")
    checkpoint = records.get(numbered(b"C", height))
    if checkpoint is None:
        fail_missing(numbered(b"C", height))
    named = decode_checkpoint(numbered(b"C", height), checkpoint).block_id
    if block.id != named and reader.get(b"H" + block.id) != height.to_bytes(8):
        fail(key, f"the block is another one than the checkpoint of height {height} names")
    return block


def _transactions(block: Block, records: dict[bytes, bytes]) -> tuple[SignedTransaction, ...]:
    found: list[SignedTransaction] = []
    for position, digest in enumerate(block.digests):
        key = body_key(block.height, position)
        raw = records.get(key)
        if raw is None:
            fail_missing(key)
        if sha256(raw) != digest:
            fail(key, "the transaction is not the one that its block lists")
        try:
            found.append(decode_transaction(raw))
        except InvalidMessage as error:
            fail(key, error.reason)
    return tuple(found)
