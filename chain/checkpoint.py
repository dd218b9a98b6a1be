# SPDX-License-Identifier: Apache-2.0
"""Checkpoints and validator sets: what a quorum signs of each executed block, and who the signers are.

Values only; signatures are checked in `chain.certificate`.  Source: docs/protocol.md, sections 4 and 5.
"""

from dataclasses import dataclass

from chain.codec import decode, encode
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.types import HASH_BYTES, VALIDATORS_MAX, BlockId, BlsKey, Epoch, Height, Millis, Network, quorum, sha256

CHECKPOINT_BYTES_MAX = 512
ORGANISATION_BYTES_MAX = 64
VALIDATOR_SET_BYTES_MAX = VALIDATORS_MAX * (48 + ORGANISATION_BYTES_MAX + 16) + 16


@dataclass(frozen=True, slots=True)
class Validator:
    """One member of a set."""

    bls_key: BlsKey
    organisation: str


@dataclass(frozen=True, slots=True)
class ValidatorSet:
    """Who votes in one epoch, in the order of certificates' bitmaps."""

    epoch: Epoch
    validators: tuple[Validator, ...]

    @property
    def keys(self) -> tuple[BlsKey, ...]:
        """The members' keys in bitmap order."""
        return tuple(validator.bls_key for validator in self.validators)

    @property
    def quorum(self) -> int:
        """How many of them make a certificate."""
        return quorum(len(self.validators))

    def encode(self) -> bytes:
        """The one encoding; its SHA-256 is what a closing checkpoint names."""
        return encode(
            pb.ValidatorSet(
                epoch=self.epoch,
                validators=[pb.Validator(bls_key=v.bls_key, organisation=v.organisation) for v in self.validators],
            )
        )

    def digest(self) -> bytes:
        """SHA-256 of the encoding, 32 bytes."""
        return sha256(self.encode())

    @classmethod
    def decode(cls, raw: bytes) -> "ValidatorSet":
        """Read a set that somebody sent.

        Raises:
            InvalidMessage: Not canonical, empty, too large, or a key twice or of the wrong length.
        """
        message = decode(pb.ValidatorSet, raw, VALIDATOR_SET_BYTES_MAX)
        validators = tuple(Validator(BlsKey(v.bls_key), v.organisation) for v in message.validators)
        keys = {validator.bls_key for validator in validators}
        if not 1 <= len(validators) <= VALIDATORS_MAX or len(keys) != len(validators):
            raise InvalidMessage("a validator set has 1 to 64 members, each once")
        if any(len(key) != 48 for key in sorted(keys)):
            raise InvalidMessage("a BLS public key has 48 bytes")
        return cls(Epoch(message.epoch), validators)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The ledger after one block. Immutable; `encode()` is what validators sign."""

    network: Network
    epoch: Epoch
    height: Height
    time_ms: Millis
    block_id: BlockId
    log_size: int
    log_root: bytes
    state_root: bytes
    next_validators: bytes

    @property
    def closes_epoch(self) -> bool:
        """Whether the next block belongs to the next epoch."""
        return bool(self.next_validators)

    def encode(self) -> bytes:
        """The one encoding."""
        return encode(
            pb.Checkpoint(
                network=self.network,
                epoch=self.epoch,
                height=self.height,
                time_ms=self.time_ms,
                block_id=self.block_id,
                log_size=self.log_size,
                log_root=self.log_root,
                state_root=self.state_root,
                next_validators=self.next_validators,
            )
        )

    @classmethod
    def decode(cls, raw: bytes) -> "Checkpoint":
        """Read a checkpoint that somebody sent.

        Raises:
            InvalidMessage: Not canonical, or a hash of the wrong length.
        """
        message = decode(pb.Checkpoint, raw, CHECKPOINT_BYTES_MAX)
        hashes = (message.network, message.block_id, message.log_root, message.state_root)
        if any(len(value) != HASH_BYTES for value in hashes) or len(message.next_validators) not in {0, HASH_BYTES}:
            raise InvalidMessage("a hash in the checkpoint does not have 32 bytes")
        return cls(
            Network(message.network),
            Epoch(message.epoch),
            Height(message.height),
            Millis(message.time_ms),
            BlockId(message.block_id),
            message.log_size,
            message.log_root,
            message.state_root,
            message.next_validators,
        )


@dataclass(frozen=True, slots=True)
class CertifiedCheckpoint:
    """A checkpoint's bytes under a quorum's aggregate signature; see `chain.certificate.verify_checkpoint`.

    Attributes:
        checkpoint: Bytes of `Checkpoint`.
        bitmap: ceil(n/8) bytes; bit i % 8, least significant first, of byte i // 8 stands for validator i.
        aggregate: 96 bytes.
    """

    checkpoint: bytes
    bitmap: bytes
    aggregate: bytes

    def to_pb(self) -> pb.CertifiedCheckpoint:
        """As a protobuf message."""
        return pb.CertifiedCheckpoint(checkpoint=self.checkpoint, bitmap=self.bitmap, aggregate=self.aggregate)

    @classmethod
    def from_pb(cls, message: pb.CertifiedCheckpoint) -> "CertifiedCheckpoint":
        """From a decoded message; nothing is verified."""
        return cls(message.checkpoint, message.bitmap, message.aggregate)


@dataclass(frozen=True, slots=True)
class ClosingCheckpoint:
    """A certified checkpoint that closes its epoch, with the set that it names for the next one."""

    certified: CertifiedCheckpoint
    next: bytes

    def to_pb(self) -> pb.ClosingCheckpoint:
        """As a protobuf message."""
        return pb.ClosingCheckpoint(certified=self.certified.to_pb(), next=self.next)

    @classmethod
    def from_pb(cls, message: pb.ClosingCheckpoint) -> "ClosingCheckpoint":
        """From a decoded message; nothing is verified."""
        return cls(CertifiedCheckpoint.from_pb(message.certified), message.next)
