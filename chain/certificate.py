# SPDX-License-Identifier: Apache-2.0
"""Certificates: a quorum's one aggregate signature over a ballot or a checkpoint, and evidence against a validator.

The signature scheme is an argument: BLS in networks, a cheap stand-in in most of the simulator's runs. A certificate
counts only against the validator set of its own epoch, whose keys have proven possession.

Source: docs/protocol.md, sections 1, 3 and 4.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chain import bls
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ValidatorSet
from chain.codec import SignatureKind, decode, encode, signed_bytes
from chain.errors import InvalidCertificate, InvalidMessage, InvalidSignature
from chain.pb import ledger_pb2 as pb
from chain.types import HASH_BYTES, VALIDATORS_MAX, BlockId, BlsKey, Epoch, Network, View

BALLOT_BYTES_MAX = 64
EVIDENCE_BYTES_MAX = 2048
"""Two checkpoints with their signatures take 1,300."""

_SIGNATURE_KINDS: dict[pb.Kind.ValueType, SignatureKind] = {
    pb.KIND_NOTARIZE: "notarize",
    pb.KIND_NULLIFY: "nullify",
    pb.KIND_FINALIZE: "finalize",
}


class SignatureScheme(Protocol):
    """How validators' signatures are checked and added up; signing is the key holder's affair."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Check one signature.

        Raises:
            InvalidSignature: It does not verify.
        """
        ...

    def fast_aggregate_verify(self, public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
        """Check an aggregate over one message.

        Raises:
            InvalidSignature: It does not verify.
        """
        ...

    def aggregate(self, signatures: Sequence[bytes]) -> bytes:
        """Add signatures up.

        Raises:
            InvalidSignature: None given, or one is malformed.
        """
        ...


class BlsScheme:
    """The scheme of real networks; see `chain.bls`."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Check one signature; see `chain.bls.verify`."""
        bls.verify(public_key, message, signature)

    def fast_aggregate_verify(self, public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
        """Check an aggregate over one message; see `chain.bls.fast_aggregate_verify`."""
        bls.fast_aggregate_verify(public_keys, message, signature)

    def aggregate(self, signatures: Sequence[bytes]) -> bytes:
        """Add signatures up; see `chain.bls.aggregate`."""
        return bls.aggregate(signatures)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A quorum's votes of one kind in one view, as one aggregate.

    Attributes:
        block_id: Empty in a nullification.
        bitmap: Who voted: ceil(n/8) bytes, least significant bit first, zero padding.
        aggregate: 96 bytes.
    """

    kind: pb.Kind.ValueType
    epoch: Epoch
    view: View
    block_id: BlockId
    bitmap: bytes
    aggregate: bytes

    def to_pb(self) -> pb.Certificate:
        """As a protobuf message."""
        return pb.Certificate(
            kind=self.kind,
            epoch=self.epoch,
            view=self.view,
            block_id=self.block_id,
            bitmap=self.bitmap,
            aggregate=self.aggregate,
        )

    @classmethod
    def from_pb(cls, message: pb.Certificate) -> "Certificate":
        """From a decoded message; its signature is not verified.

        Raises:
            InvalidMessage: An unknown kind, or a field of a length that no certificate has.
        """
        _check_ballot(message.kind, message.block_id)
        if len(message.bitmap) > _bitmap_bytes(VALIDATORS_MAX) or len(message.aggregate) != bls.SIGNATURE_BYTES:
            raise InvalidMessage("a certificate's bitmap or aggregate has a wrong length")
        return cls(
            message.kind,
            Epoch(message.epoch),
            View(message.view),
            BlockId(message.block_id),
            message.bitmap,
            message.aggregate,
        )


def ballot_bytes(epoch: Epoch, view: View, block_id: BlockId) -> bytes:
    """The bytes of a ballot; a nullify vote's block id is empty."""
    return encode(pb.Ballot(epoch=epoch, view=view, block_id=block_id))


def vote_message(kind: pb.Kind.ValueType, network: Network, epoch: Epoch, view: View, block_id: BlockId) -> bytes:
    """What a vote of this kind signs."""
    return signed_bytes(_SIGNATURE_KINDS[kind], network, ballot_bytes(epoch, view, block_id))


def checkpoint_message(network: Network, checkpoint: bytes) -> bytes:
    """What a validator signs of a checkpoint's bytes."""
    return signed_bytes("checkpoint", network, checkpoint)


def encode_bitmap(members: Iterable[int], n: int) -> bytes:
    """The bitmap of these members, 0-based, of a set of n."""
    bits = 0
    for member in members:
        assert 0 <= member < n
        bits |= 1 << member
    return bits.to_bytes(_bitmap_bytes(n), "little")


def decode_bitmap(bitmap: bytes, n: int) -> tuple[int, ...]:
    """The members, ascending and 0-based, whose bits are set.

    Raises:
        InvalidCertificate: Not exactly ceil(n/8) bytes, or a padding bit is set.
    """
    if len(bitmap) != _bitmap_bytes(n):
        raise InvalidCertificate(f"the bitmap has {len(bitmap)} bytes where {n} validators need {_bitmap_bytes(n)}")
    bits = int.from_bytes(bitmap, "little")
    if bits >> n:
        raise InvalidCertificate(f"the bitmap names a validator beyond the {n} of the set")
    return tuple([member for member in range(n) if bits >> member & 1])


def combine(signatures: Mapping[int, bytes], n: int, scheme: SignatureScheme) -> tuple[bytes, bytes]:
    """Bitmap and aggregate of these members' signatures.

    Args:
        signatures: By member, 0-based; at least one.
        n: Size of the set.
        scheme: That they were made under.

    Raises:
        InvalidSignature: One is malformed; whether they verify shows only on verifying the aggregate.
    """
    members = sorted(signatures)
    return encode_bitmap(members, n), scheme.aggregate([signatures[member] for member in members])


def verify_certificate(
    certificate: Certificate, validators: ValidatorSet, network: Network, scheme: SignatureScheme
) -> None:
    """Check that a quorum of a set signed this ballot.

    Raises:
        InvalidCertificate: Another epoch, a malformed bitmap, no quorum, or the aggregate does not verify.
    """
    if certificate.epoch != validators.epoch:
        raise InvalidCertificate(f"a certificate of epoch {certificate.epoch} in epoch {validators.epoch}")
    try:
        _check_ballot(certificate.kind, certificate.block_id)
    except InvalidMessage as error:
        raise InvalidCertificate(error.reason) from None
    message = vote_message(certificate.kind, network, certificate.epoch, certificate.view, certificate.block_id)
    _verify_quorum(certificate.bitmap, certificate.aggregate, message, validators, scheme)


def verify_checkpoint(
    certified: CertifiedCheckpoint, validators: ValidatorSet, network: Network, scheme: SignatureScheme
) -> Checkpoint:
    """Check that a quorum of a set signed this checkpoint, and read it.

    Raises:
        InvalidMessage: The checkpoint's bytes are not canonical.
        InvalidCertificate: Another network or epoch, a malformed bitmap, no quorum, or the aggregate does not verify.
    """
    checkpoint = Checkpoint.decode(certified.checkpoint)
    if checkpoint.network != network:
        raise InvalidCertificate("the checkpoint is of another network")
    if checkpoint.epoch != validators.epoch:
        raise InvalidCertificate(f"a checkpoint of epoch {checkpoint.epoch} against the set of {validators.epoch}")
    message = checkpoint_message(network, certified.checkpoint)
    _verify_quorum(certified.bitmap, certified.aggregate, message, validators, scheme)
    return checkpoint


def verify_evidence(evidence: bytes, network: Network, scheme: SignatureScheme) -> tuple[BlsKey, Epoch]:
    """Check that one validator signed two statements that no honest one signs both of.

    That is, in one (epoch, view): two notarize or two finalize votes for different blocks, or a finalize and a nullify
    vote; or two different checkpoints of one height.

    Args:
        evidence: Bytes of `Evidence`.
        network: For which both were signed.
        scheme: That they were signed under.

    Returns:
        Whose key, and the epoch it counts for (the earlier, should two checkpoints of one height differ in it).

    Raises:
        InvalidMessage: Malformed, or the two do not contradict each other.
        InvalidSignature: One of the two does not verify.
    """
    message = decode(pb.Evidence, evidence, EVIDENCE_BYTES_MAX)
    key = BlsKey(message.bls_key)
    if (len(message.votes), len(message.checkpoint_votes)) == (2, 0):
        first, second = message.votes
        epoch = _check_votes_contradict(first, second)
        signed = [
            (signed_bytes(_SIGNATURE_KINDS[vote.kind], network, vote.ballot), vote.signature) for vote in message.votes
        ]
    elif (len(message.votes), len(message.checkpoint_votes)) == (0, 2):
        one, other = message.checkpoint_votes
        epoch = _check_checkpoints_contradict(one.checkpoint, other.checkpoint)
        signed = [(checkpoint_message(network, vote.checkpoint), vote.signature) for vote in message.checkpoint_votes]
    else:
        raise InvalidMessage("evidence is two votes or two checkpoint votes")
    for statement, signature in signed:
        scheme.verify(key, statement, signature)
    return key, epoch


def _check_votes_contradict(first: pb.Vote, second: pb.Vote) -> Epoch:
    """The epoch of two votes that contradict each other."""
    ballots = []
    for vote in (first, second):
        ballot = decode(pb.Ballot, vote.ballot, BALLOT_BYTES_MAX)
        _check_ballot(vote.kind, ballot.block_id)
        ballots.append(ballot)
    one, other = ballots
    if (one.epoch, one.view) != (other.epoch, other.view):
        raise InvalidMessage("votes of different views do not contradict each other")
    kinds = sorted((first.kind, second.kind))
    if kinds == [pb.KIND_NULLIFY, pb.KIND_FINALIZE]:
        return Epoch(one.epoch)
    if first.kind == second.kind and one.block_id != other.block_id:
        return Epoch(one.epoch)
    raise InvalidMessage("an honest validator may send both of these votes")


def _check_checkpoints_contradict(first: bytes, second: bytes) -> Epoch:
    """The epoch of two checkpoints that contradict each other."""
    one, other = Checkpoint.decode(first), Checkpoint.decode(second)
    if one.height != other.height or first == second:
        raise InvalidMessage("the two checkpoints do not contradict each other")
    return min(one.epoch, other.epoch)


def _check_ballot(kind: pb.Kind.ValueType, block_id: bytes) -> None:
    """Check that a ballot of this kind names a block, or none if it nullifies."""
    if kind not in _SIGNATURE_KINDS:
        raise InvalidMessage(f"unknown kind of vote {kind}")
    if len(block_id) != (0 if kind == pb.KIND_NULLIFY else HASH_BYTES):
        raise InvalidMessage(f"a block id of {len(block_id)} bytes in a vote of kind {pb.Kind.Name(kind)}")


def _verify_quorum(
    bitmap: bytes, aggregate: bytes, message: bytes, validators: ValidatorSet, scheme: SignatureScheme
) -> None:
    """Check that a quorum of the set signed this message."""
    members = decode_bitmap(bitmap, len(validators.validators))
    if len(members) < validators.quorum:
        raise InvalidCertificate(
            f"{len(members)} of {len(validators.validators)} validators signed; a quorum is {validators.quorum}"
        )
    keys = [validators.validators[member].bls_key for member in members]
    try:
        scheme.fast_aggregate_verify(keys, message, aggregate)
    except InvalidSignature as error:
        raise InvalidCertificate(error.reason) from None


def _bitmap_bytes(n: int) -> int:
    """How many bytes n bits take."""
    return (n + 7) // 8
