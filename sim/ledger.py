# SPDX-License-Identifier: Apache-2.0
"""A simulated node's ledger: the real executor and the real store, on a disk that fails."""

from collections.abc import Iterable

from chain.application import Execution
from chain.checkpoint import CertifiedCheckpoint, Checkpoint
from chain.consensus.block import Block
from chain.consensus.events import Executed
from chain.consensus.messages import RANGE_BLOCKS_MAX, BlockWithBodies, Range
from chain.ledger import Ledger
from chain.module import Registry
from chain.transaction import SignedTransaction
from chain.types import Digest, Height, Millis, TransactionId
from node.store import LedgerStore
from sim.disk import SimDisk
from sim.network import SimNetwork
from sim.rules import SimModule

BLOCK_COUNT_MAX = 8
"""Transactions a simulated block holds: few, so that a run has many blocks that matter."""


class SimLedger:
    """What the driver asks of the ledger."""

    def __init__(self, disk: SimDisk, network: SimNetwork) -> None:
        module = SimModule()
        self.store = LedgerStore(disk)
        self._ledger = Ledger(self.store, network.genesis, Registry((module,)), module)

    def newest(self) -> Executed | None:
        """The newest executed block, for the core's start."""
        return self.store.executed()

    def propose(self, candidates: Iterable[SignedTransaction], time_ms: Millis) -> list[Digest]:
        """What a block of this time can hold."""
        return self._ledger.propose(candidates, time_ms, bytes_max=1 << 20, count_max=BLOCK_COUNT_MAX)

    def execute(self, block: Block, transactions: tuple[SignedTransaction, ...]) -> Execution:
        """Execute; nothing is stored."""
        return self._ledger.execute(block, transactions)

    def commit(self, execution: Execution) -> None:
        """Store, in one synced batch."""
        self._ledger.commit(execution)

    def is_executed(self, transaction: SignedTransaction) -> bool:
        """Whether it has an entry."""
        return self._ledger.is_executed(transaction.id)

    def entry_height(self, transaction_id: TransactionId) -> Height | None:
        """At which height a transaction has its entry."""
        place = self.store.place(transaction_id)
        return None if place is None else place.height

    def body(self, digest: Digest) -> bytes | None:
        """An executed transaction's bytes."""
        return self.store.transaction(digest)

    def put_certified(self, certified: CertifiedCheckpoint, checkpoint: Checkpoint) -> None:
        """Keep a certificate."""
        self.store.proofs.save_certified(certified, checkpoint)

    def range(self, from_height: Height, count_max: int) -> Range | None:
        """Executed blocks of one epoch with what proves the last one final, or None."""
        first = self.store.block(from_height)
        if first is None:
            return None
        last = from_height
        while last - from_height + 1 < min(count_max, RANGE_BLOCKS_MAX):
            following = self.store.block(Height(last + 1))
            if following is None or following.epoch != first.epoch:
                break
            last = Height(last + 1)
        proof = self.store.proofs.finality_within(from_height, last)
        if proof is None:
            return None
        blocks = []
        for height in range(from_height, proof[0] + 1):
            block = self.store.block(Height(height))
            assert block is not None
            blocks.append(BlockWithBodies(block, tuple(self.store.transactions(Height(height)))))
        return Range(tuple(blocks), proof[1])
