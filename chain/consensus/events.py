# SPDX-License-Identifier: Apache-2.0
"""What a driver tells the core, and what the core asks of its driver.

The driver's contract:

1. One `Validator.step(event, now)` at a time. Perform the returned effects in order; finish one before the next.
2. `Persist` is one atomic, synced batch. If it fails, stop the process: nothing after it may happen. A record for a
   block carries that block's transactions along into the same batch (the driver has them: it said `BodiesHeld`).
3. `Send` and `Broadcast` may lose, delay, reorder and duplicate. Never deliver a message under another sender's name.
4. After a restart, build `Validator(config, journal.load(database), executed, tip_block, …)` anew and perform
   `start()`.

Source: docs/protocol.md, sections 3 to 5.
"""

from dataclasses import dataclass
from typing import TypeAlias

from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ValidatorSet
from chain.consensus.block import Block
from chain.consensus.journal import Record
from chain.consensus.messages import Message
from chain.types import BlockId, BlsKey, Digest, Epoch, Millis, View

# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Received:
    """A message that arrived on this sender's own authenticated connection.

    The driver answers `RangeRequest`, `BodiesRequest` and `Bodies` itself; all others come here.
    """

    sender: BlsKey
    message: Message


@dataclass(frozen=True, slots=True)
class Wake:
    """The time that the last `WakeAt` named has come. An early or extra one does no harm."""


@dataclass(frozen=True, slots=True)
class PayloadOffered:
    """The answer to `RequestPayload`: what to propose. Each body is held with valid signatures."""

    epoch: Epoch
    view: View
    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class BodiesHeld:
    """Each transaction of this block is here, canonical, with valid signatures, within the block's size limits."""

    block_id: BlockId


@dataclass(frozen=True, slots=True)
class BodiesRefused:
    """A transaction of this block is not canonical or wrongly signed, or the block breaks a size limit."""

    block_id: BlockId
    reason: str


@dataclass(frozen=True, slots=True)
class Executed:
    """`Execute`'s block is executed and committed durably, and this is what it yielded.

    Attributes:
        checkpoint: As this validator computed it.
        next_set: The next epoch's validators if the block closes its epoch; its hash stands in the checkpoint.
    """

    checkpoint: Checkpoint
    next_set: ValidatorSet | None


@dataclass(frozen=True, slots=True)
class PendingChanged:
    """Whether the mempool has anything to order. Say so on each change."""

    pending: bool


Event: TypeAlias = Received | Wake | PayloadOffered | BodiesHeld | BodiesRefused | Executed | PendingChanged

# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Persist:
    """Write these to the journal, atomically and synced, before any later effect."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer."""

    to: BlsKey
    message: Message


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to each of these peers; oneself is not among them."""

    to: tuple[BlsKey, ...]
    message: Message


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Come back with `Wake` at this time; it replaces the one before."""

    time_ms: Millis


@dataclass(frozen=True, slots=True)
class RequestPayload:
    """Choose transactions for a block that this validator proposes; answer soon with `PayloadOffered`.

    Attributes:
        time_ms: The block's time: leave out what expires before it.
        ancestors: Blocks below that are not executed yet: leave out what they list.
    """

    epoch: Epoch
    view: View
    time_ms: Millis
    ancestors: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class RequestBodies:
    """Gather this block's transactions, pulling what is missing from these peers, best first.

    Answer with `BodiesHeld` or `BodiesRefused`; keep trying until then or until `Forget` names the block. It may
    have to be executed meanwhile: neither wish replaces the other.
    """

    block: Block
    peers: tuple[BlsKey, ...]


@dataclass(frozen=True, slots=True)
class Execute:
    """Execute this final block after the one before; answer with `Executed`. Heights come without gaps.

    Attributes:
        transactions: Their bytes in the block's order where catching up brought them (digests checked, the block final,
            so no signature needs checking); None where the driver has or must pull them.
        peers: Whom to ask for bodies that are missing, best first.
    """

    block: Block
    transactions: tuple[bytes, ...] | None
    peers: tuple[BlsKey, ...]


@dataclass(frozen=True, slots=True)
class Void:
    """A final block that will never execute, being above its epoch's closing block: put its transactions back."""

    block: Block


@dataclass(frozen=True, slots=True)
class Certified:
    """A checkpoint of a block that this validator executed has its certificate: receipts up to it can be given."""

    certified: CertifiedCheckpoint
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class EpochEntered:
    """This validator is in a new epoch; connect to its members, keep the former ones until they fall silent."""

    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class Forget:
    """Journal keys that a certified checkpoint covers now; delete them, unsynced, when convenient.

    Attributes:
        keys: Journal keys.
        blocks: The blocks among them. Their bodies may go once they have an entry or have expired.
    """

    keys: tuple[bytes, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """A peer sent something wrong; log it at a bounded rate. No other trace is left."""

    sender: BlsKey
    reason: str


@dataclass(frozen=True, slots=True)
class EvidenceFound:
    """Two signed statements that no honest validator makes; put them on the chain.

    Attributes:
        evidence: Bytes of `ledger.Evidence`.
    """

    author: BlsKey
    evidence: bytes


@dataclass(frozen=True, slots=True)
class Halt:
    """Stop the process now and say this. Others certified what this validator did not compute."""

    reason: str


Effect: TypeAlias = (
    Persist
    | Send
    | Broadcast
    | WakeAt
    | RequestPayload
    | RequestBodies
    | Execute
    | Void
    | Certified
    | EpochEntered
    | Forget
    | Reject
    | EvidenceFound
    | Halt
)
