# SPDX-License-Identifier: Apache-2.0
"""What signs for a validator: structured fields, never a raw digest, so that a remote signer can keep its own record.

Source: docs/protocol.md, section 7.
"""

from typing import Protocol

from chain.certificate import checkpoint_message, vote_message
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, Epoch, Network, View


class Signer(Protocol):
    """Holds a validator's BLS key, or speaks to what holds it."""

    def sign_vote(self, kind: pb.Kind.ValueType, epoch: Epoch, view: View, block_id: BlockId) -> bytes:
        """The signature of one vote, 96 bytes."""
        ...

    def sign_checkpoint(self, checkpoint: bytes) -> bytes:
        """The signature on a checkpoint's bytes, 96 bytes."""
        ...


class SigningKey(Protocol):
    """A key that signs bytes; `chain.bls.SecretKey` is one."""

    def sign(self, message: bytes) -> bytes:
        """A signature, 96 bytes."""
        ...


class LocalSigner:
    """Signs with a key in this process. The consensus core keeps the record of what was signed."""

    def __init__(self, network: Network, key: SigningKey) -> None:
        self._network = network
        self._key = key

    def sign_vote(self, kind: pb.Kind.ValueType, epoch: Epoch, view: View, block_id: BlockId) -> bytes:
        """The signature of one vote, 96 bytes."""
        return self._key.sign(vote_message(kind, self._network, epoch, view, block_id))

    def sign_checkpoint(self, checkpoint: bytes) -> bytes:
        """The signature on a checkpoint's bytes, 96 bytes."""
        return self._key.sign(checkpoint_message(self._network, checkpoint))
