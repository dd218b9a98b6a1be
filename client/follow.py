# SPDX-License-Identifier: Apache-2.0
"""Blocks in order, each verified: chained to the one before, its entries those of the certified log.

The follower grows the log's right edge itself and compares the root with each certified checkpoint, so it needs no
proof per entry. Certificates may skip heights: blocks wait until a checkpoint covers them.
"""

from dataclasses import dataclass, field

from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.consensus.block import Block
from chain.errors import InvalidMessage, InvalidProof
from chain.log import leaf_hash
from chain.pb import ledger_pb2
from chain.transaction import SignedTransaction
from chain.transaction import decode as decode_transaction
from chain.types import BlockId, Height, Network
from client.answers import ProvenBlock
from client.log_edge import LogEdge
from client.pb import node_service_pb2 as pb

UNCOVERED_BLOCKS_MAX = 256
"""Validators propose only empty blocks once 64 are uncertified; a node that leaves many more uncovered is stalling."""
ENTRY_BYTES_MAX = 8192


@dataclass(slots=True)
class Cursor:
    """How far a follower has come; enough to go on from there.

    Attributes:
        height: Of the newest verified block; 0: none yet.
        block_id: Of that block; the network's id at height 0.
        edge: The log after it.
    """

    height: Height
    block_id: BlockId
    edge: LogEdge

    @classmethod
    def start(cls, network: Network) -> "Cursor":
        """Before the first block."""
        return cls(Height(0), BlockId(network), LogEdge())


@dataclass(slots=True)
class _Uncovered:
    block: Block
    transactions: tuple[SignedTransaction, ...]
    entries: tuple[bytes, ...]
    first_leaf: int
    edge_root: bytes
    edge: LogEdge


@dataclass(slots=True)
class Follower:
    """Verifies a stream of block events from one node against checkpoints that the caller has verified.

    `cursor` moves only over blocks that a certified checkpoint covers, so a liar's blocks leave no trace.
    """

    cursor: Cursor
    _waiting: list[_Uncovered] = field(default_factory=list)

    def feed(self, event: pb.BlockEvent, checkpoint: Checkpoint) -> list[ProvenBlock]:
        """Take the next event.

        Args:
            event: As the node sent it.
            checkpoint: The event's own, verified by the caller.

        Returns:
            The blocks that are proven now, in order.

        Raises:
            InvalidMessage: A block, entry or transaction is malformed, out of place or foreign.
            InvalidProof: The entries are not those of the certified log.
        """
        before = self._waiting[-1] if self._waiting else None
        height = before.block.height if before is not None else self.cursor.height
        parent = before.block.id if before is not None else self.cursor.block_id
        edge = (before.edge if before is not None else self.cursor.edge).copy()
        block = Block.decode(event.block)
        if block.height != height + 1 or block.parent_id != parent:
            raise InvalidMessage(f"block {block.height} does not continue block {height}")
        if event.first_leaf != edge.size:
            raise InvalidMessage(f"block {block.height} begins at leaf {event.first_leaf}, not {edge.size}")
        transactions = _transactions(block, event)
        entries = tuple(event.entries)
        for entry in entries:
            edge.append(leaf_hash(entry))
        self._waiting.append(_Uncovered(block, transactions, entries, event.first_leaf, edge.root(), edge))
        return self._covered(checkpoint)

    def _covered(self, checkpoint: Checkpoint) -> list[ProvenBlock]:
        last = self._waiting[-1]
        if checkpoint.height < last.block.height:
            raise InvalidMessage(f"block {last.block.height} came with a checkpoint of height {checkpoint.height}")
        if checkpoint.height > last.block.height:
            if len(self._waiting) >= UNCOVERED_BLOCKS_MAX:
                raise InvalidMessage(f"{len(self._waiting)} blocks without a checkpoint that covers them")
            return []
        if (checkpoint.block_id, checkpoint.log_size) != (last.block.id, last.edge.size):
            raise InvalidProof(f"block {last.block.height} is not the certified one")
        if checkpoint.log_root != last.edge_root:
            raise InvalidProof(f"the entries up to block {last.block.height} are not those of the certified log")
        proven = [
            ProvenBlock(each.block, each.transactions, each.entries, each.first_leaf, checkpoint)
            for each in self._waiting
        ]
        self.cursor = Cursor(last.block.height, last.block.id, last.edge)
        self._waiting = []
        return proven


def _transactions(block: Block, event: pb.BlockEvent) -> tuple[SignedTransaction, ...]:
    """The block's transactions with an entry, each matched with that entry."""
    if len(event.transactions) != len(event.entries):
        raise InvalidMessage(f"{len(event.transactions)} transactions with {len(event.entries)} entries")
    listed = dict.fromkeys(block.digests)
    transactions = []
    for position, (raw, entry_raw) in enumerate(zip(event.transactions, event.entries, strict=True)):
        transaction = decode_transaction(raw)
        entry = decode(ledger_pb2.Entry, entry_raw, ENTRY_BYTES_MAX)
        if transaction.digest not in listed:
            raise InvalidMessage(f"block {block.height} does not list a transaction that came with it")
        place = (entry.height, entry.position, entry.time_ms)
        if entry.header != transaction.header or place != (block.height, position, block.time_ms):
            raise InvalidMessage(f"entry {position} of block {block.height} is not its transaction's")
        transactions.append(transaction)
    return tuple(transactions)
