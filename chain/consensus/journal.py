# SPDX-License-Identifier: Apache-2.0
"""What a validator must find again after a crash, as records of a key-value store.

Written in one synced batch before anything that depends on it is sent; read back once, at start. The keys:

| key | value |
|---|---|
| `v` epoch(8) view(8) kind(1) | own vote: Vote |
| `c` epoch(8) view(8) kind(1) | certificate: Certificate |
| `b` block id(32) | block: Block |
| `t` digest(32) | transaction: Transaction; the driver writes and deletes these |
| `k` height(8) | own checkpoint signature: CheckpointVote |
| `n` | newest certified checkpoint: CertifiedCheckpoint |
| `e` epoch(8) | closing checkpoint with its list: ClosingCheckpoint; kept for ever |
| `m` | the BLS key(48) under which this validator must never vote again, its journal having been lost |

Numbers are big-endian, so that key order is their order. All of these bytes are ours: whatever does not decode is a
damaged disk, and the caller says so.

Source: docs/protocol.md, section 3, "Durable".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from chain.certificate import Certificate
from chain.checkpoint import CertifiedCheckpoint, ClosingCheckpoint
from chain.codec import decode, encode
from chain.consensus.block import Block
from chain.consensus.messages import CheckpointVote, Vote, vote_from_pb, vote_to_pb
from chain.pb import ledger_pb2 as pb
from chain.storage import Reader
from chain.types import BlockId, BlsKey, Digest, Epoch, Height

_RECORD_BYTES_MAX = 1024 * 1024
_KEY_END = b"\xff"


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def body_key(digest: Digest) -> bytes:
    """Where the driver keeps a transaction's bytes."""
    return b"t" + digest


@dataclass(frozen=True, slots=True)
class OwnVote:
    """A vote of this validator; at most one per epoch, view and kind, for ever."""

    vote: Vote

    @property
    def key(self) -> bytes:
        """Its journal key."""
        return b"v" + _number(self.vote.epoch) + _number(self.vote.view) + bytes([self.vote.kind])

    @property
    def value(self) -> bytes:
        """Its journal value."""
        return encode(vote_to_pb(self.vote))


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate above the last final view."""

    certificate: Certificate

    @property
    def key(self) -> bytes:
        """Its journal key."""
        c = self.certificate
        return b"c" + _number(c.epoch) + _number(c.view) + bytes([c.kind])

    @property
    def value(self) -> bytes:
        """Its journal value."""
        return encode(self.certificate.to_pb())


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block that this validator votes for. The driver writes its transactions in the same batch."""

    block: Block

    @property
    def key(self) -> bytes:
        """Its journal key."""
        return b"b" + self.block.id

    @property
    def value(self) -> bytes:
        """Its journal value."""
        return self.block.raw


@dataclass(frozen=True, slots=True)
class OwnCheckpoint:
    """This validator's signature on a checkpoint; at most one per height, for ever."""

    height: Height
    vote: CheckpointVote

    @property
    def key(self) -> bytes:
        """Its journal key."""
        return b"k" + _number(self.height)

    @property
    def value(self) -> bytes:
        """Its journal value."""
        return encode(pb.CheckpointVote(checkpoint=self.vote.checkpoint, signature=self.vote.signature))


@dataclass(frozen=True, slots=True)
class NewestCheckpoint:
    """The newest certified checkpoint known."""

    certified: CertifiedCheckpoint

    @property
    def key(self) -> bytes:
        """Its journal key."""
        return b"n"

    @property
    def value(self) -> bytes:
        """Its journal value."""
        return encode(self.certified.to_pb())


@dataclass(frozen=True, slots=True)
class StoredClosing:
    """A closing checkpoint: durable before anything of the next epoch is sent."""

    epoch: Epoch
    closing: ClosingCheckpoint

    @property
    def key(self) -> bytes:
        """Its journal key."""
        return b"e" + _number(self.epoch)

    @property
    def value(self) -> bytes:
        """Its journal value."""
        return encode(self.closing.to_pb())


@dataclass(frozen=True, slots=True)
class Muted:
    """The journal of this key's votes was lost: nothing is voted on under it any more. A new key starts afresh."""

    bls_key: BlsKey

    @property
    def key(self) -> bytes:
        """Its journal key."""
        return b"m"

    @property
    def value(self) -> bytes:
        """Its journal value."""
        return self.bls_key


Record: TypeAlias = OwnVote | StoredCertificate | StoredBlock | OwnCheckpoint | NewestCheckpoint | StoredClosing | Muted


@dataclass(frozen=True, slots=True)
class Durable:
    """What was read back. Empty for a validator that has never run.

    Attributes:
        lost: The caller knows that this validator has run before and that this journal is not the one it wrote.
    """

    votes: tuple[Vote, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    blocks: Mapping[BlockId, Block] = field(default_factory=dict)
    checkpoints: Mapping[Height, CheckpointVote] = field(default_factory=dict)
    newest: CertifiedCheckpoint | None = None
    closings: Mapping[Epoch, ClosingCheckpoint] = field(default_factory=dict)
    muted: BlsKey | None = None
    lost: bool = False


def load(reader: Reader, *, lost: bool = False) -> Durable:
    """Read the journal back.

    Raises:
        InvalidMessage: A record does not decode: the disk is damaged.
    """

    def values(prefix: bytes) -> list[tuple[bytes, bytes]]:
        return list(reader.range(prefix, prefix + _KEY_END * 40))

    newest = reader.get(b"n")
    muted = reader.get(b"m")
    return Durable(
        votes=tuple(vote_from_pb(decode(pb.Vote, value, _RECORD_BYTES_MAX)) for _, value in values(b"v")),
        certificates=tuple(
            Certificate.from_pb(decode(pb.Certificate, value, _RECORD_BYTES_MAX)) for _, value in values(b"c")
        ),
        blocks={block.id: block for block in (Block.decode(value) for _, value in values(b"b"))},
        checkpoints={Height(int.from_bytes(key[1:], "big")): _checkpoint_vote(value) for key, value in values(b"k")},
        newest=None
        if newest is None
        else CertifiedCheckpoint.from_pb(decode(pb.CertifiedCheckpoint, newest, _RECORD_BYTES_MAX)),
        closings={
            Epoch(int.from_bytes(key[1:], "big")): ClosingCheckpoint.from_pb(
                decode(pb.ClosingCheckpoint, value, _RECORD_BYTES_MAX)
            )
            for key, value in values(b"e")
        },
        muted=None if muted is None else BlsKey(muted),
        lost=lost,
    )


def _checkpoint_vote(value: bytes) -> CheckpointVote:
    message = decode(pb.CheckpointVote, value, _RECORD_BYTES_MAX)
    return CheckpointVote(message.checkpoint, message.signature)
