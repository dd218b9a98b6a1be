# SPDX-License-Identifier: Apache-2.0
"""What validators say to one another, as frozen values.

Decoding checks shape and bounds only; who may say what, and whether signatures hold, the state machine decides.

Invariant: `decode_message(data)` returns a message whose `encode_message` is `data`, or raises `InvalidMessage`.
Source: docs/protocol.md, sections 3, 5 and 7.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from chain import wire
from chain.certificate import Certificate, ballot_bytes
from chain.checkpoint import (
    CHECKPOINT_BYTES_MAX,
    VALIDATOR_SET_BYTES_MAX,
    CertifiedCheckpoint,
    ClosingCheckpoint,
)
from chain.codec import decode, encode
from chain.consensus.block import BLOCK_MESSAGE_BYTES_MAX, Block
from chain.errors import InvalidMessage
from chain.pb import ledger_pb2 as pb
from chain.types import (
    BLOCK_BYTES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    HASH_BYTES,
    TRANSACTION_BYTES_MAX,
    BlockId,
    Digest,
    Epoch,
    Height,
    View,
)

SIGNATURE_BYTES = 96
CERTIFICATES_MAX = 512
"""Certificates in one message: what a lagging peer gets per request; about 80 KB."""
NULLIFICATIONS_MAX = 1024
"""Nullifications that one proposal carries. Of more skipped views the older ones are asked for by view."""
CLOSINGS_MAX = 16
RANGE_BLOCKS_MAX = 256
RANGE_BYTES_MAX = 8 * 1024 * 1024
"""Soft bound of a range: a server stops adding blocks above it; one block may exceed it on its own."""
RANGE_TRANSACTIONS_MAX = 200_000
"""Parts of all of a range's blocks; real transactions fill a range's bytes with fewer."""
CERTIFICATE_BYTES_MAX = 256
BODIES_MAX = 4096
MESSAGE_BYTES_MAX = RANGE_BYTES_MAX + 2 * BLOCK_BYTES_MAX
"""A range that its last, largest block pushed over the soft bound still fits."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A leader's block with the notarization of its parent and a nullification of each view between the two."""

    block: Block
    parent: Certificate | None
    nullifications: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """One validator's signed ballot; `block_id` is empty for a nullify vote."""

    kind: pb.Kind.ValueType
    epoch: Epoch
    view: View
    block_id: BlockId
    signature: bytes


@dataclass(frozen=True, slots=True)
class CheckpointVote:
    """One validator's signature on a checkpoint's bytes."""

    checkpoint: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class CertificatesRequest:
    """Ask for notarizations, nullifications and the newest finalization from a view on."""

    epoch: Epoch
    from_view: View


@dataclass(frozen=True, slots=True)
class Certificates:
    """The answer: ascending views."""

    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class ClosingRequest:
    """Ask for the checkpoints that closed this epoch and later ones."""

    from_epoch: Epoch


@dataclass(frozen=True, slots=True)
class Closings:
    """The answer: ascending epochs."""

    closings: tuple[ClosingCheckpoint, ...]


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """Ask for one block by id."""

    block_id: BlockId


@dataclass(frozen=True, slots=True)
class BlockResponse:
    """The answer."""

    block: Block


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """Ask for executed blocks from a height on."""

    from_height: Height
    count_max: int


@dataclass(frozen=True, slots=True)
class BlockWithBodies:
    """A block and its transactions' bytes, in its order."""

    block: Block
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive blocks with what proves the last one, and so all, final."""

    blocks: tuple[BlockWithBodies, ...]
    proof: Certificate | CertifiedCheckpoint


@dataclass(frozen=True, slots=True)
class BodiesRequest:
    """Ask for transactions by digest."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Bodies:
    """The answer: those that the peer holds, as bytes."""

    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """The sender is in this epoch now."""

    epoch: Epoch


Message: TypeAlias = (
    Proposal
    | Vote
    | Certificate
    | CheckpointVote
    | CertifiedCheckpoint
    | CertificatesRequest
    | Certificates
    | ClosingRequest
    | Closings
    | BlockRequest
    | BlockResponse
    | RangeRequest
    | Range
    | BodiesRequest
    | Bodies
    | Moved
)


# ---------------------------------------------------------------- encoding


def vote_to_pb(vote: Vote) -> pb.Vote:
    """As a protobuf message, also for evidence."""
    return pb.Vote(kind=vote.kind, ballot=ballot_bytes(vote.epoch, vote.view, vote.block_id), signature=vote.signature)


def _encode_proposal(m: Proposal) -> pb.PeerMessage:
    return pb.PeerMessage(
        proposal=pb.Proposal(
            block=m.block.raw,
            parent=m.parent.to_pb() if m.parent is not None else None,
            nullifications=[certificate.to_pb() for certificate in m.nullifications],
        )
    )


def _encode_range(m: Range) -> pb.PeerMessage:
    blocks = [pb.BlockWithBodies(block=b.block.raw, transactions=b.transactions) for b in m.blocks]
    if isinstance(m.proof, Certificate):
        return pb.PeerMessage(range=pb.Range(blocks=blocks, finalization=m.proof.to_pb()))
    return pb.PeerMessage(range=pb.Range(blocks=blocks, checkpoint=m.proof.to_pb()))


def _to_pb(message: Message) -> pb.PeerMessage:  # noqa: C901, PLR0911, PLR0912 - one flat table of sixteen kinds
    match message:
        case Proposal():
            return _encode_proposal(message)
        case Vote():
            return pb.PeerMessage(vote=vote_to_pb(message))
        case Certificate():
            return pb.PeerMessage(certificate=message.to_pb())
        case CheckpointVote(checkpoint, signature):
            return pb.PeerMessage(checkpoint_vote=pb.CheckpointVote(checkpoint=checkpoint, signature=signature))
        case CertifiedCheckpoint():
            return pb.PeerMessage(checkpoint=message.to_pb())
        case CertificatesRequest(epoch, view):
            return pb.PeerMessage(certificates_request=pb.CertificatesRequest(epoch=epoch, from_view=view))
        case Certificates(certificates):
            return pb.PeerMessage(certificates=pb.Certificates(certificates=[c.to_pb() for c in certificates]))
        case ClosingRequest(epoch):
            return pb.PeerMessage(closing_request=pb.ClosingRequest(from_epoch=epoch))
        case Closings(closings):
            return pb.PeerMessage(closings=pb.Closings(closings=[c.to_pb() for c in closings]))
        case BlockRequest(block_id):
            return pb.PeerMessage(block_request=pb.BlockRequest(block_id=block_id))
        case BlockResponse(block):
            return pb.PeerMessage(block_response=pb.BlockResponse(block=block.raw))
        case RangeRequest(height, count):
            return pb.PeerMessage(range_request=pb.RangeRequest(from_height=height, count_max=count))
        case Range():
            return _encode_range(message)
        case BodiesRequest(digests):
            return pb.PeerMessage(bodies_request=pb.BodiesRequest(digests=digests))
        case Bodies(transactions):
            return pb.PeerMessage(bodies=pb.Bodies(transactions=transactions))
        case Moved(epoch):
            return pb.PeerMessage(moved=pb.Moved(epoch=epoch))


def encode_message(message: Message) -> bytes:
    """The one encoding of a message."""
    return encode(_to_pb(message))


# ---------------------------------------------------------------- decoding


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise InvalidMessage(reason)


def vote_from_pb(message: pb.Vote) -> Vote:
    """Read a vote; its signature is not verified.

    Raises:
        InvalidMessage: Unknown kind, a ballot that is not canonical, a block id or signature of the wrong length.
    """
    ballot = decode(pb.Ballot, message.ballot, 128)
    _require(message.kind in {pb.KIND_NOTARIZE, pb.KIND_NULLIFY, pb.KIND_FINALIZE}, "a vote of an unknown kind")
    expected = 0 if message.kind == pb.KIND_NULLIFY else HASH_BYTES
    _require(len(ballot.block_id) == expected, "a vote's block id has the wrong length")
    _require(len(message.signature) == SIGNATURE_BYTES, "a vote's signature does not have 96 bytes")
    return Vote(message.kind, Epoch(ballot.epoch), View(ballot.view), BlockId(ballot.block_id), message.signature)


def _decode_proposal(m: pb.Proposal) -> Proposal:
    _require(len(m.nullifications) <= NULLIFICATIONS_MAX, "a proposal with too many nullifications")
    return Proposal(
        Block.decode(m.block),
        Certificate.from_pb(m.parent) if m.HasField("parent") else None,
        tuple(Certificate.from_pb(c) for c in m.nullifications),
    )


def _decode_checkpoint_vote(m: pb.CheckpointVote) -> CheckpointVote:
    _require(len(m.signature) == SIGNATURE_BYTES, "a checkpoint signature does not have 96 bytes")
    return CheckpointVote(m.checkpoint, m.signature)


def _decode_certificates(m: pb.Certificates) -> Certificates:
    _require(len(m.certificates) <= CERTIFICATES_MAX, "too many certificates in one message")
    return Certificates(tuple(Certificate.from_pb(c) for c in m.certificates))


def _decode_closings(m: pb.Closings) -> Closings:
    _require(len(m.closings) <= CLOSINGS_MAX, "too many closing checkpoints in one message")
    _require(all(c.HasField("certified") for c in m.closings), "a closing checkpoint without its certificate")
    return Closings(tuple(ClosingCheckpoint.from_pb(c) for c in m.closings))


def _decode_block_request(m: pb.BlockRequest) -> BlockRequest:
    _require(len(m.block_id) == HASH_BYTES, "a block id does not have 32 bytes")
    return BlockRequest(BlockId(m.block_id))


def _decode_range(m: pb.Range) -> Range:
    _require(1 <= len(m.blocks) <= RANGE_BLOCKS_MAX, "a range has 1 to 256 blocks")
    blocks = []
    for item in m.blocks:
        _require(len(item.transactions) <= BLOCK_TRANSACTIONS_MAX, "a block with too many transactions")
        _require(all(len(t) <= TRANSACTION_BYTES_MAX for t in item.transactions), "a transaction that is too long")
        blocks.append(BlockWithBodies(Block.decode(item.block), tuple(item.transactions)))
    which = m.WhichOneof("proof")
    _require(which is not None, "a range without proof")
    if which == "finalization":
        return Range(tuple(blocks), Certificate.from_pb(m.finalization))
    return Range(tuple(blocks), CertifiedCheckpoint.from_pb(m.checkpoint))


def _decode_bodies_request(m: pb.BodiesRequest) -> BodiesRequest:
    _require(len(m.digests) <= BODIES_MAX, "too many digests in one request")
    _require(all(len(digest) == HASH_BYTES for digest in m.digests), "a digest does not have 32 bytes")
    return BodiesRequest(tuple(Digest(digest) for digest in m.digests))


def _decode_bodies(m: pb.Bodies) -> Bodies:
    _require(len(m.transactions) <= BODIES_MAX, "too many transactions in one message")
    _require(all(len(t) <= TRANSACTION_BYTES_MAX for t in m.transactions), "a transaction that is too long")
    return Bodies(tuple(m.transactions))


_DECODERS: dict[str, Callable[[pb.PeerMessage], Message]] = {
    "proposal": lambda m: _decode_proposal(m.proposal),
    "vote": lambda m: vote_from_pb(m.vote),
    "certificate": lambda m: Certificate.from_pb(m.certificate),
    "checkpoint_vote": lambda m: _decode_checkpoint_vote(m.checkpoint_vote),
    "checkpoint": lambda m: CertifiedCheckpoint.from_pb(m.checkpoint),
    "closing_request": lambda m: ClosingRequest(Epoch(m.closing_request.from_epoch)),
    "closings": lambda m: _decode_closings(m.closings),
    "certificates_request": lambda m: CertificatesRequest(
        Epoch(m.certificates_request.epoch), View(m.certificates_request.from_view)
    ),
    "certificates": lambda m: _decode_certificates(m.certificates),
    "block_request": lambda m: _decode_block_request(m.block_request),
    "block_response": lambda m: BlockResponse(Block.decode(m.block_response.block)),
    "range_request": lambda m: RangeRequest(Height(m.range_request.from_height), m.range_request.count_max),
    "range": lambda m: _decode_range(m.range),
    "bodies_request": lambda m: _decode_bodies_request(m.bodies_request),
    "bodies": lambda m: _decode_bodies(m.bodies),
    "moved": lambda m: Moved(Epoch(m.moved.epoch)),
}


_BYTES_MAX = {
    "proposal": BLOCK_MESSAGE_BYTES_MAX + (NULLIFICATIONS_MAX + 1) * CERTIFICATE_BYTES_MAX,
    "certificates": CERTIFICATES_MAX * CERTIFICATE_BYTES_MAX,
    "closings": CLOSINGS_MAX * (VALIDATOR_SET_BYTES_MAX + 2 * CHECKPOINT_BYTES_MAX),
    "block_response": BLOCK_MESSAGE_BYTES_MAX,
    "bodies_request": BODIES_MAX * (HASH_BYTES + 2),
    "range": MESSAGE_BYTES_MAX,
    "bodies": MESSAGE_BYTES_MAX,
}
_SMALL_BYTES_MAX = 2 * CHECKPOINT_BYTES_MAX
"""Of all other kinds: a vote, a certificate, a checkpoint, a request."""
_ENVELOPE_BYTES_MAX = 16
_KINDS = {field.number: field.name for field in pb.PeerMessage.DESCRIPTOR.fields}


def _check_size(data: bytes) -> None:
    """Refuse a message that is too long for its kind, or has too many parts, before a parser makes objects of it."""
    parts = wire.fields(data, 0, len(data), 1)
    kind = _KINDS.get(parts[0].number) if parts else None
    if kind is None:
        raise InvalidMessage("an empty peer message, or one of an unknown kind")
    size_max = _BYTES_MAX.get(kind, _SMALL_BYTES_MAX) + _ENVELOPE_BYTES_MAX
    if len(data) > size_max:
        raise InvalidMessage(f"a {kind} message has {len(data)} bytes; at most {size_max} are allowed")
    if kind == "bodies":
        wire.fields(data, parts[0].start, parts[0].stop, BODIES_MAX)
    elif kind == "range":
        left = RANGE_TRANSACTIONS_MAX
        for block in wire.fields(data, parts[0].start, parts[0].stop, RANGE_BLOCKS_MAX + 1):
            left -= len(wire.fields(data, block.start, block.stop, left))


def decode_message(data: bytes) -> Message:
    """Read a message that a peer sent.

    Raises:
        InvalidMessage: For any bytes that are not the canonical encoding of one well-shaped message.
    """
    _check_size(data)
    message = decode(pb.PeerMessage, data, MESSAGE_BYTES_MAX)
    which = message.WhichOneof("message")
    if which is None:
        raise InvalidMessage("an empty peer message")
    return _DECODERS[which](message)
