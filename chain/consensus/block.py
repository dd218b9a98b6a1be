# SPDX-License-Identifier: Apache-2.0
"""A block as its proposer encoded it, with what is read from it.

Source: docs/protocol.md, section 3.
"""

from dataclasses import dataclass

from chain.codec import decode, encode
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.types import BLOCK_TRANSACTIONS_MAX, HASH_BYTES, BlockId, Digest, Epoch, Height, Millis, View, sha256

BLOCK_MESSAGE_BYTES_MAX = BLOCK_TRANSACTIONS_MAX * (HASH_BYTES + 2) + 256


@dataclass(frozen=True, slots=True)
class Block:
    """One block: a list of transaction digests under a parent.

    Attributes:
        raw: Its bytes, as proposed.
        id: SHA-256 of them.
    """

    raw: bytes
    id: BlockId
    epoch: Epoch
    view: View
    height: Height
    parent_id: BlockId
    time_ms: Millis
    digests: tuple[Digest, ...]

    @classmethod
    def make(
        cls, epoch: Epoch, view: View, height: Height, parent_id: BlockId, time_ms: Millis, digests: tuple[Digest, ...]
    ) -> "Block":
        """Encode a new block."""
        raw = encode(
            pb.Block(
                epoch=epoch,
                view=view,
                height=height,
                parent_id=parent_id,
                time_ms=time_ms,
                transaction_digests=digests,
            )
        )
        return cls(raw, BlockId(sha256(raw)), epoch, view, height, parent_id, time_ms, digests)

    @classmethod
    def decode(cls, raw: bytes) -> "Block":
        """Read a block that somebody sent.

        Raises:
            InvalidMessage: Not canonical, a hash of the wrong length, too many or repeated digests.
        """
        message = decode(pb.Block, raw, BLOCK_MESSAGE_BYTES_MAX)
        digests = tuple(message.transaction_digests)
        if len(message.parent_id) != HASH_BYTES or any(len(digest) != HASH_BYTES for digest in digests):
            raise InvalidMessage("a hash in the block does not have 32 bytes")
        if len(digests) > BLOCK_TRANSACTIONS_MAX:
            raise InvalidMessage(f"the block lists {len(digests)} transactions; at most {BLOCK_TRANSACTIONS_MAX}")
        if len(set(digests)) != len(digests):
            raise InvalidMessage("the block lists a transaction twice")
        return cls(
            raw,
            BlockId(sha256(raw)),
            Epoch(message.epoch),
            View(message.view),
            Height(message.height),
            BlockId(message.parent_id),
            Millis(message.time_ms),
            tuple(Digest(digest) for digest in digests),
        )
