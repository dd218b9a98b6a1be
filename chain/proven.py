# SPDX-License-Identifier: Apache-2.0
"""What a receipt's proofs prove, once their checkpoint is certified: operations in the log, and state keys.

Pure functions of the proofs and the checkpoint; who certified it is `chain.receipt`'s affair.

Source: docs/protocol.md, sections 4 and 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chain.checkpoint import Checkpoint
from chain.codec import decode
from chain.errors import InvalidMessage, InvalidReceipt, LedgerError
from chain.ics23 import verify_ics23
from chain.log import leaf_hash, verify_inclusion
from chain.pb import ledger_pb2 as pb
from chain.transaction import Header, Operation
from chain.types import BLOCK_TRANSACTIONS_MAX, TRANSACTION_LIFETIME_MS_MAX, Height, Millis, TransactionId

PROOFS_MAX = 16_384
"""In one bundle, of each kind; each takes up to 0.2 ms to check."""
ENTRY_BYTES_MAX = 8192
FAILURE_CODE_BYTES_MAX = 128


@dataclass(frozen=True, slots=True)
class _Inclusion:
    """An operation's place in the log.

    Attributes:
        operation: Type and body, as its author made them.
        operation_index: Its place in its transaction, 0-based.
        header: Of its transaction: signers, expiry, number of operations.
        height: Of its block.
        position: Of its transaction's entry in the block, 0-based.
        time_ms: The block's time.
        leaf_index: Of the entry in the log since genesis, 0-based.
    """

    operation: Operation
    operation_index: int
    header: Header
    height: Height
    position: int
    time_ms: Millis
    leaf_index: int

    @property
    def transaction_id(self) -> TransactionId:
        """SHA-256 of the header."""
        return self.header.id


@dataclass(frozen=True, slots=True)
class VerifiedInclusion(_Inclusion):
    """An operation that was executed and took effect."""


@dataclass(frozen=True, slots=True)
class FailedInclusion(_Inclusion):
    """An operation of a transaction that was refused: nothing of it took effect.

    Attributes:
        code: Which rule refused it, e.g. "identity.not-registrar".
        failed_operation: Index of the operation that the rule refused; the others of the transaction fell with it.
    """

    code: str
    failed_operation: int


@dataclass(frozen=True, slots=True)
class VerifiedState:
    """A state key as it stood after the checkpoint's block; a value of None: absent."""

    key: bytes
    value: bytes | None


def verify_inclusions(
    inclusions: Sequence[pb.Inclusion], checkpoint: Checkpoint
) -> tuple[tuple[VerifiedInclusion, ...], tuple[FailedInclusion, ...]]:
    """Check each operation's way to the log root.

    Returns:
        Those that took effect, and those that did not.

    Raises:
        InvalidReceipt: One does not prove what it claims, or they are too many, out of order or repeated.
    """
    if len(inclusions) > PROOFS_MAX:
        raise InvalidReceipt(f"the receipt shows {len(inclusions)} operations; at most {PROOFS_MAX}")
    verified: list[VerifiedInclusion] = []
    failed: list[FailedInclusion] = []
    before = (-1, -1)
    for index, inclusion in enumerate(inclusions):
        place = place_of(inclusion)
        if place <= before:
            raise InvalidReceipt(f"inclusions[{index}] is out of order, or stands twice")
        before = place
        try:
            outcome = _verify_inclusion(inclusion, checkpoint)
        except LedgerError as error:
            raise InvalidReceipt(f"inclusions[{index}]: {error.reason}", error.code) from None
        if isinstance(outcome, FailedInclusion):
            failed.append(outcome)
        else:
            verified.append(outcome)
    return tuple(verified), tuple(failed)


def _verify_inclusion(inclusion: pb.Inclusion, checkpoint: Checkpoint) -> VerifiedInclusion | FailedInclusion:
    """Check one operation: it stands in its transaction, the transaction's entry in the log."""
    operation = Operation.decode(inclusion.operation)
    entry = decode(pb.Entry, inclusion.entry, ENTRY_BYTES_MAX)
    header = Header.decode(entry.header)
    verify_inclusion(
        leaf_hash(operation.raw),
        inclusion.operation_index,
        header.operation_count,
        inclusion.operation_path,
        header.operations_root,
    )
    verify_inclusion(
        leaf_hash(inclusion.entry), inclusion.leaf_index, checkpoint.log_size, inclusion.path, checkpoint.log_root
    )
    _check_entry(entry, header, checkpoint)
    index, height, time_ms = inclusion.operation_index, Height(entry.height), Millis(entry.time_ms)
    if entry.HasField("failure"):
        return FailedInclusion(
            operation,
            index,
            header,
            height,
            entry.position,
            time_ms,
            inclusion.leaf_index,
            entry.failure.code,
            entry.failure.operation,
        )
    return VerifiedInclusion(operation, index, header, height, entry.position, time_ms, inclusion.leaf_index)


def _check_entry(entry: pb.Entry, header: Header, checkpoint: Checkpoint) -> None:
    """Check that an entry says what validators can have written below this checkpoint."""
    if not 1 <= entry.height <= checkpoint.height or entry.position >= BLOCK_TRANSACTIONS_MAX:
        raise InvalidMessage(f"an entry of height {entry.height} under a checkpoint of height {checkpoint.height}")
    is_same = entry.height == checkpoint.height
    if (is_same and entry.time_ms != checkpoint.time_ms) or (not is_same and entry.time_ms > checkpoint.time_ms):
        raise InvalidMessage("the entry's time does not fit the checkpoint's")
    if not entry.time_ms <= header.expires_at_ms <= entry.time_ms + TRANSACTION_LIFETIME_MS_MAX:
        raise InvalidMessage("the entry is of a transaction that could not execute at its time")
    result = entry.WhichOneof("result")
    if result is None:
        raise InvalidMessage("the entry has no result")
    if result == "failure":
        code = entry.failure.code
        if not 0 < len(code.encode()) <= FAILURE_CODE_BYTES_MAX or entry.failure.operation >= header.operation_count:
            raise InvalidMessage("the entry's failure has no code, or names an operation that is not there")


def verify_states(states: Sequence[pb.StateProof], checkpoint: Checkpoint) -> tuple[VerifiedState, ...]:
    """Check each state key's way to the state root.

    Raises:
        InvalidReceipt: One does not prove what it claims, or they are too many, out of order or repeated.
    """
    if len(states) > PROOFS_MAX:
        raise InvalidReceipt(f"the receipt shows {len(states)} states; at most {PROOFS_MAX}")
    verified: list[VerifiedState] = []
    for index, state in enumerate(states):
        if index and state.key <= states[index - 1].key:
            raise InvalidReceipt(f"states[{index}] is out of order, or stands twice")
        value = state.value or None
        try:
            verify_ics23(state.proof, checkpoint.state_root, state.key, value)
        except LedgerError as error:
            raise InvalidReceipt(f"states[{index}]: {error.reason}", error.code) from None
        verified.append(VerifiedState(state.key, value))
    return tuple(verified)


def place_of(inclusion: pb.Inclusion) -> tuple[int, int]:
    """The order of inclusions."""
    return inclusion.leaf_index, inclusion.operation_index


def key_of(state: pb.StateProof) -> bytes:
    """The order of states."""
    return state.key
