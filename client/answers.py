# SPDX-License-Identifier: Apache-2.0
"""What a session hands out: facts that were verified against genesis, each with the bytes that prove it again.

Only `client.trust` makes these; whoever holds one need not ask where it came from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.consensus.block import Block
from chain.errors import LedgerError
from chain.pb import ledger_pb2 as pb
from chain.receipt import FailedInclusion, VerifiedInclusion, make, make_inclusion
from chain.transaction import Header, SignedTransaction
from chain.types import TransactionId
from client.errors import TransportError
from client.pb import node_service_pb2

_BYTES_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Failed:
    """A transaction that has its place in the log and did nothing else.

    Attributes:
        code: Which rule refused it.
        operation: Index of the operation that failed.
    """

    code: str
    operation: int


@dataclass(frozen=True, slots=True)
class Certification:
    """A certified checkpoint, and the closing checkpoints that lead to it from genesis."""

    checkpoint: Checkpoint
    certified: CertifiedCheckpoint
    closings: tuple[ClosingCheckpoint, ...]


@dataclass(frozen=True, slots=True)
class ProvenTransaction:
    """One operation of a transaction, where it stands and how it ended.

    Attributes:
        inclusion: Operation, header, place in log and block, time.
        failed: None: it succeeded.
        proof: As it came.
        certification: Under which it was proven.
    """

    inclusion: VerifiedInclusion | FailedInclusion
    failed: Failed | None
    proof: pb.Inclusion
    certification: Certification

    def __repr__(self) -> str:
        fate = "succeeded" if self.failed is None else f"failed with {self.failed.code}"
        place = f"operation {self.operation_index}, height {self.inclusion.height}, leaf {self.inclusion.leaf_index}"
        return f"ProvenTransaction({self.id.hex()}: {fate}, {place})"

    @property
    def id(self) -> TransactionId:
        """The transaction's id."""
        return self.inclusion.header.id

    @property
    def header(self) -> Header:
        """The transaction's header."""
        return self.inclusion.header

    @property
    def operation_index(self) -> int:
        """Which of the transaction's operations is shown."""
        return self.inclusion.operation_index

    @property
    def checkpoint(self) -> Checkpoint:
        """Under which it was proven."""
        return self.certification.checkpoint

    def receipt(self) -> bytes:
        """Bytes of a `Receipt` for this operation alone; whoever has genesis can check it."""
        return make([self.proof], [], self.certification.certified, self.certification.closings)

    def receipts(self, transaction: SignedTransaction) -> list[bytes]:
        """The same for each operation of the transaction, from its own bytes."""
        assert transaction.id == self.id
        proofs = [
            make_inclusion(transaction, index, self.proof.entry, self.proof.leaf_index, self.proof.path)
            for index in range(len(transaction.operations))
        ]
        certification = self.certification
        return [make([proof], [], certification.certified, certification.closings) for proof in proofs]


@dataclass(frozen=True, slots=True)
class ProvenState:
    """A state key's value, or its absence, at a checkpoint.

    Attributes:
        value: None: the key is absent, which is proven too.
        proof: As it came.
        certification: Under which it was proven.
    """

    key: bytes
    value: bytes | None
    proof: pb.StateProof
    certification: Certification

    def __repr__(self) -> str:
        what = "absent" if self.value is None else f"{len(self.value)} bytes {_shortened(self.value)}"
        return f"ProvenState({self.key!r}: {what}, height {self.checkpoint.height}, time_ms {self.checkpoint.time_ms})"

    @property
    def checkpoint(self) -> Checkpoint:
        """Under which it was proven."""
        return self.certification.checkpoint

    def receipt(self) -> bytes:
        """Bytes of a `Receipt` for this key alone; whoever has genesis can check it."""
        return make([], [self.proof], self.certification.certified, self.certification.closings)


def receipt_of(states: Sequence[ProvenState]) -> bytes:
    """Bytes of one `Receipt` for all of these keys.

    Args:
        states: At least one, read at one checkpoint.
    """
    certification = states[0].certification
    assert all(state.checkpoint == certification.checkpoint for state in states), "states that were read at one height"
    proofs = [state.proof for state in sorted(states, key=lambda state: state.key)]
    return make([], proofs, certification.certified, certification.closings)


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """A block's content; its entries stand in the log under `checkpoint`, at this height or above.

    Attributes:
        transactions: Those with an entry, in the order of the entries.
        entries: Bytes of `Entry`.
        first_leaf: Index of the first entry in the log.
    """

    block: Block
    transactions: tuple[SignedTransaction, ...]
    entries: tuple[bytes, ...]
    first_leaf: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one submitted transaction: exactly one of `proven` and `error` is set.

    Attributes:
        error: `Refused` if enough validators refused it that an honest one is among them; `TransportError` if
            nothing is known yet: the same transaction can be submitted again.
    """

    transaction: SignedTransaction
    proven: ProvenTransaction | None = None
    error: LedgerError | TransportError | None = None


@dataclass(frozen=True, slots=True)
class SelfReport:
    """What a node says of itself: its word alone.

    Attributes:
        status: None: it did not answer.
        error: Why not; empty if it did.
        lie: What it once said that did not verify; empty if nothing.
    """

    address: str
    status: node_service_pb2.StatusResponse | None
    error: str
    lie: str


def _shortened(value: bytes) -> str:
    """The first bytes in hex."""
    return value[:_BYTES_SHOWN].hex() + ("…" if len(value) > _BYTES_SHOWN else "")
