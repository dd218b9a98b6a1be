# SPDX-License-Identifier: Apache-2.0
"""Where ordering meets execution. Any engine that orders transactions drives this interface.

Ordering knows nothing of execution, and execution nothing of ordering.  Source: docs/protocol.md, section 8.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from chain.checkpoint import Checkpoint, ClosingCheckpoint, ValidatorSet
from chain.consensus.block import Block
from chain.snapshot import SnapshotHead
from chain.transaction import SignedTransaction
from chain.types import BlockId, Digest, Epoch, Height, Millis


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest executed block. At genesis: height 0, the network's id as block id, epoch 0 (closed)."""

    height: Height
    block_id: BlockId
    time_ms: Millis
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Execution:
    """What a block yields; nothing is stored until `commit`.

    Attributes:
        transactions: The block's, in its order, the skipped ones included.
        entries: The log entries' bytes, in order.
        transaction_ids: Of each entry, in the same order.
        expirations_ms: Of each entry's transaction, in the same order.
        writes: State keys with their new values, None for a deletion; sorted by key.
        next_set: The next epoch's validators if this block closes its epoch.
        skipped: Digests of transactions that yield no entry (expired, repeated, unknown signer).
    """

    block: Block
    transactions: tuple[SignedTransaction, ...]
    entries: tuple[bytes, ...]
    transaction_ids: tuple[bytes, ...]
    expirations_ms: tuple[int, ...]
    writes: tuple[tuple[bytes, bytes | None], ...]
    checkpoint: Checkpoint
    next_set: ValidatorSet | None
    skipped: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class StateAnswer:
    """A state read with its proof.

    Attributes:
        value: The value, or None: absent.
        proof: ICS-23 CommitmentProof bytes against the state root at `height`.
    """

    height: Height
    value: bytes | None
    proof: bytes


@dataclass(frozen=True, slots=True)
class StatePlace:
    """A part of a snapshot: what stands at a place of its state.

    Attributes:
        path: A byte per hexadecimal digit of the hashed keys; empty for all of it.
        expected: The hash that must stand there.
    """

    path: bytes
    expected: bytes


@dataclass(frozen=True, slots=True)
class TailPlace:
    """A part of a snapshot: entries of its log from one on."""

    first_leaf: int


SnapshotPlace: TypeAlias = StatePlace | TailPlace


class Application(Protocol):
    """A deterministic ledger: the same blocks yield the same checkpoints everywhere."""

    def tip(self) -> Tip:
        """The newest committed block."""
        ...

    def check(self, transaction: SignedTransaction, now_ms: Millis) -> None:
        """Cheap admission against current state; signatures are the caller's affair.

        Raises:
            Refused: Expired, too far ahead, already executed, or no known signer.
        """
        ...

    def propose(
        self, candidates: Iterable[SignedTransaction], time_ms: Millis, *, bytes_max: int, count_max: int
    ) -> list[Digest]:
        """Choose from candidates, in their order, what a block of this time can hold."""
        ...

    def validate(self, transactions: Sequence[SignedTransaction]) -> None:
        """Check a proposed block's bodies by the facts that do not depend on state: sizes and count.

        Raises:
            Refused: A limit is broken.
        """
        ...

    def execute(self, block: Block, transactions: Sequence[SignedTransaction]) -> Execution:
        """Execute a final block on top of the tip; pure."""
        ...

    def commit(self, execution: Execution) -> None:
        """Store it in one atomic, synced batch, and move the tip."""
        ...

    def query(self, key: bytes, height: Height | None = None) -> StateAnswer:
        """Read a state key with proof, at the tip or at a height still held."""
        ...

    def list_snapshots(self) -> Sequence[Checkpoint]:
        """Checkpoints at which a copy can begin, the newest first."""
        ...

    def load_head(self, height: Height) -> bytes:
        """The head of a snapshot, for somebody else's `offer_snapshot`; see `chain.snapshot.verify_head`.

        Raises:
            Refused: There is no such snapshot.
        """
        ...

    def load_part(self, height: Height, place: SnapshotPlace) -> bytes:
        """A part of a snapshot, for somebody else's `apply_part`.

        Raises:
            Refused: There is no such snapshot, or no such place in it.
        """
        ...

    def offer_snapshot(self, head: SnapshotHead, closings: Sequence[ClosingCheckpoint]) -> Sequence[SnapshotPlace]:
        """Begin to become a copy; only an application that has executed nothing can.

        Args:
            head: Verified.
            closings: Verified: of every epoch that closed up to there, ascending.

        Returns:
            Which parts to apply first.

        Raises:
            Refused: Blocks have been executed here.
        """
        ...

    def apply_part(self, place: SnapshotPlace, raw: bytes) -> Sequence[SnapshotPlace]:
        """Verify a part that somebody loaded, and store it. Parts of the log are applied in their order.

        Returns:
            Which parts follow from it. When none is left to apply, the tip is the snapshot's block.

        Raises:
            InvalidMessage: It is no part.
            InvalidProof: It is not what stands at that place; ask somebody else.
        """
        ...
