# SPDX-License-Identifier: Apache-2.0
"""What the driver asks of the ledger, and whom it tells what it did; fakes of both drive its tests."""

from collections.abc import Sequence
from typing import Protocol

from chain.application import Execution
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.consensus.block import Block
from chain.transaction import SignedTransaction
from chain.types import BlsKey, Digest, Millis


class LedgerDriver(Protocol):
    """What the driver needs of the ledger; each call runs in the ledger's own thread, in order."""

    async def execute(self, block: Block, transactions: Sequence[SignedTransaction]) -> Execution:
        """Execute and commit."""
        ...

    async def certify(self, certified: CertifiedCheckpoint, checkpoint: Checkpoint) -> None:
        """Store a checkpoint's certificate."""
        ...

    async def close_epoch(self, closing: ClosingCheckpoint) -> None:
        """Store a closing checkpoint."""
        ...

    async def propose(self, candidates: Sequence[SignedTransaction], time_ms: Millis) -> list[Digest]:
        """Choose what a block of this time holds."""
        ...

    def validate(self, transactions: Sequence[SignedTransaction]) -> None:
        """Check a proposed block's limits."""
        ...


class Listener(Protocol):
    """Who wants to know what the driver does: receipts, peers, evidence, metrics."""

    def executed(self, execution: Execution) -> None:
        """A block is executed and stored."""
        ...

    def certified(self, certified: CertifiedCheckpoint, checkpoint: Checkpoint) -> None:
        """Receipts up to this checkpoint can be given."""
        ...

    def epoch_entered(self, validators: ValidatorSet) -> None:
        """The set has changed; the connections should."""
        ...

    def evidence_found(self, author: BlsKey, evidence: bytes) -> None:
        """Put this on the chain."""
        ...
