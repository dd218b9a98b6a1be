# SPDX-License-Identifier: Apache-2.0
"""Operations of certified transactions, one by one, as services take them in.

Pure functions of what `client` has verified; an event can't exist before its block is certified.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from chain.codec import decode
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.signing import Signer
from chain.types import TRANSACTION_BYTES_MAX, Height, Millis, TransactionId
from client.answers import ProvenBlock

M = TypeVar("M", bound=Message)

ENTRY_BYTES_MAX = 8192
"""An entry repeats a header of up to 64 signers; `client.follow` has the same bound."""


@dataclass(frozen=True, slots=True)
class Event:
    """One operation that stands in the certified log.

    Attributes:
        type: Of the operation, such as `identity.SetStatus`.
        body: Its bytes; see `decode_event`.
        leaf_index: Of its transaction's entry in the log.
        operation_index: Among the transaction's operations, from 0.
        failure: Code of the rule that refused its transaction, which then did nothing; empty: it took effect.
    """

    type: str
    body: bytes
    height: Height
    time_ms: Millis
    leaf_index: int
    operation_index: int
    transaction_id: TransactionId
    signers: tuple[Signer, ...]
    failure: str


def events_of(block: ProvenBlock) -> Iterator[Event]:
    """A block's operations, in the order in which they executed; those of failed transactions too."""
    pairs = zip(block.transactions, block.entries, strict=True)
    for leaf_index, (transaction, raw) in enumerate(pairs, block.first_leaf):
        entry = decode(pb.Entry, raw, ENTRY_BYTES_MAX)
        failure = entry.failure.code if entry.HasField("failure") else ""
        for index, operation in enumerate(transaction.operations):
            yield Event(
                operation.type,
                operation.body,
                block.block.height,
                block.block.time_ms,
                leaf_index,
                index,
                transaction.id,
                transaction.signers,
                failure,
            )


def decode_event(event: Event, kind: type[M]) -> M | None:
    """An event's body as its message; None where it does not decode, which makes its transaction a failed one."""
    try:
        return decode(kind, event.body, TRANSACTION_BYTES_MAX)
    except InvalidMessage:
        assert event.failure, "an operation that took effect decodes"
        return None
