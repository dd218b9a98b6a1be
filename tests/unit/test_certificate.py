# SPDX-License-Identifier: Apache-2.0
"""Certificates need a quorum of the right set over the right bytes; evidence needs two statements that contradict."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chain.bls import SecretKey
from chain.certificate import (
    BlsScheme,
    Certificate,
    SignatureScheme,
    ballot_bytes,
    checkpoint_message,
    combine,
    decode_bitmap,
    encode_bitmap,
    verify_certificate,
    verify_checkpoint,
    verify_evidence,
    vote_message,
)
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, Validator, ValidatorSet
from chain.codec import encode
from chain.errors import InvalidCertificate, InvalidMessage, InvalidSignature
from chain.pb import ledger_pb2 as pb
from chain.types import BlockId, Epoch, Height, Millis, Network, View, faults_max, quorum
from sim.scheme import FakeScheme, FakeSecretKey

NETWORK = Network(b"n" * 32)
OTHER_NETWORK = Network(b"m" * 32)
EPOCH, VIEW = Epoch(3), View(7)
BLOCK, OTHER_BLOCK, NO_BLOCK = BlockId(b"b" * 32), BlockId(b"c" * 32), BlockId(b"")
KINDS = (pb.KIND_NOTARIZE, pb.KIND_NULLIFY, pb.KIND_FINALIZE)


class Members:
    """A set with its keys under one scheme."""

    def __init__(self, n: int, scheme: SignatureScheme) -> None:
        self.scheme = scheme
        seeds = [i.to_bytes(32, "big") for i in range(n)]
        self.secrets: Sequence[FakeSecretKey | SecretKey] = (
            [SecretKey.derive(seed) for seed in seeds]
            if isinstance(scheme, BlsScheme)
            else [FakeSecretKey(seed) for seed in seeds]
        )
        self.set = ValidatorSet(EPOCH, tuple(Validator(s.public_key(), f"org-{i}") for i, s in enumerate(self.secrets)))

    def certify(self, kind, members, *, network=NETWORK, epoch=EPOCH, view=VIEW, block=BLOCK) -> Certificate:
        block = NO_BLOCK if kind == pb.KIND_NULLIFY else block
        message = vote_message(kind, network, epoch, view, block)
        signatures = {i: self.secrets[i].sign(message) for i in members}
        return Certificate(kind, epoch, view, block, *combine(signatures, len(self.secrets), self.scheme))

    def verify(self, certificate: Certificate) -> None:
        verify_certificate(certificate, self.set, NETWORK, self.scheme)

    def vote(self, member: int, kind, block=BLOCK, *, epoch=EPOCH, view=VIEW, network=NETWORK) -> pb.Vote:
        signature = self.secrets[member].sign(vote_message(kind, network, epoch, view, block))
        return pb.Vote(kind=kind, ballot=ballot_bytes(epoch, view, block), signature=signature)


@pytest.fixture(params=[BlsScheme(), FakeScheme()], ids=["bls", "fake"])
def four(request) -> Members:
    return Members(4, request.param)


def checkpoint_at(height: int = 9, **changes: object) -> Checkpoint:
    base = Checkpoint(NETWORK, EPOCH, Height(height), Millis(5), BLOCK, 4, b"l" * 32, b"s" * 32, b"")
    return replace(base, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_certificate_of_a_quorum_verifies_and_one_less_does_not(four, kind):
    four.verify(four.certify(kind, [0, 2, 3]))
    four.verify(four.certify(kind, range(4)))
    with pytest.raises(InvalidCertificate, match="quorum"):
        four.verify(four.certify(kind, [0, 2]))


@pytest.mark.parametrize("n", range(1, 20))
def test_quorum_is_n_minus_f_for_each_size(n):
    members = Members(n, FakeScheme())
    assert quorum(n) == n - faults_max(n)
    members.verify(members.certify(pb.KIND_NOTARIZE, range(faults_max(n), n)))
    if n > 1:
        with pytest.raises(InvalidCertificate):
            members.verify(members.certify(pb.KIND_NOTARIZE, range(faults_max(n) + 1, n)))


def test_certificate_counts_for_its_kind_epoch_view_block_and_network_alone(four):
    good = four.certify(pb.KIND_NOTARIZE, [0, 1, 2])
    for wrong in (
        replace(good, kind=pb.KIND_FINALIZE),
        replace(good, view=View(8)),
        replace(good, block_id=OTHER_BLOCK),
        four.certify(pb.KIND_NOTARIZE, [0, 1, 2], network=OTHER_NETWORK),
        four.certify(pb.KIND_NOTARIZE, [0, 1, 2], epoch=Epoch(4)),
        replace(four.certify(pb.KIND_NOTARIZE, [0, 1, 2], epoch=Epoch(4)), epoch=EPOCH),
        replace(four.certify(pb.KIND_NULLIFY, [0, 1, 2]), kind=pb.KIND_NOTARIZE),
        replace(good, kind=pb.KIND_NULLIFY),
        replace(good, block_id=NO_BLOCK),
    ):
        with pytest.raises(InvalidCertificate):
            four.verify(wrong)


def test_bitmap_must_name_exactly_the_signers(four):
    good = four.certify(pb.KIND_NOTARIZE, [0, 1, 2])
    assert good.bitmap == b"\x07"
    for bitmap in (b"\x0b", b"\x0f", b"\x17", b"\x87", b"\x07\x00", b"\x00\x07", b"", b"\x00"):
        with pytest.raises(InvalidCertificate):
            four.verify(replace(good, bitmap=bitmap))


def test_one_vote_counted_three_times_is_no_quorum(four):
    message = vote_message(pb.KIND_NOTARIZE, NETWORK, EPOCH, VIEW, BLOCK)
    aggregate = four.scheme.aggregate([four.secrets[0].sign(message)] * 3)
    with pytest.raises(InvalidCertificate):
        four.verify(Certificate(pb.KIND_NOTARIZE, EPOCH, VIEW, BLOCK, b"\x07", aggregate))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 31, 64])
def test_bitmap_is_least_significant_bit_first_with_zero_padding(n):
    for members in ((), (0,), (n - 1,), tuple(range(n)), tuple(range(0, n, 3))):
        bitmap = encode_bitmap(members, n)
        assert len(bitmap) == -(-n // 8)
        assert decode_bitmap(bitmap, n) == members
        assert all(bitmap[i // 8] >> i % 8 & 1 == (i in members) for i in range(n))
    for bit in range(n, -(-n // 8) * 8):
        with pytest.raises(InvalidCertificate, match="beyond"):
            decode_bitmap((1 << bit).to_bytes(-(-n // 8), "little"), n)


def test_certificate_travels_as_protobuf_and_malformed_ones_are_refused():
    members = Members(4, FakeScheme())
    good = members.certify(pb.KIND_FINALIZE, range(3))
    assert Certificate.from_pb(good.to_pb()) == good
    for name, value in (
        ("kind", 0),
        ("kind", 4),
        ("kind", pb.KIND_NULLIFY),
        ("block_id", b""),
        ("block_id", bytes(31)),
        ("bitmap", bytes(9)),
        ("aggregate", bytes(95)),
    ):
        message = good.to_pb()
        setattr(message, name, value)
        with pytest.raises(InvalidMessage):
            Certificate.from_pb(message)


def certified(four: Members, checkpoint: Checkpoint, members=(0, 1, 2), network: Network = NETWORK):
    message = checkpoint_message(network, checkpoint.encode())
    signatures = {i: four.secrets[i].sign(message) for i in members}
    return CertifiedCheckpoint(checkpoint.encode(), *combine(signatures, 4, four.scheme))


def test_checkpoint_of_a_quorum_verifies(four):
    assert verify_checkpoint(certified(four, checkpoint_at()), four.set, NETWORK, four.scheme) == checkpoint_at()


def test_checkpoint_of_another_network_epoch_or_without_quorum_is_refused(four):
    good = certified(four, checkpoint_at())
    for wrong in (
        certified(four, checkpoint_at(), (0, 1)),
        certified(four, checkpoint_at(), network=OTHER_NETWORK),
        certified(four, checkpoint_at(network=OTHER_NETWORK)),
        certified(four, checkpoint_at(epoch=Epoch(4))),
        replace(good, checkpoint=checkpoint_at(10).encode()),
        replace(good, bitmap=b"\x0e"),
    ):
        with pytest.raises(InvalidCertificate):
            verify_checkpoint(wrong, four.set, NETWORK, four.scheme)
    with pytest.raises(InvalidMessage):
        verify_checkpoint(replace(good, checkpoint=good.checkpoint + b"\x00"), four.set, NETWORK, four.scheme)


def test_notarization_is_no_checkpoint_certificate(four):
    checkpoint = checkpoint_at().encode()
    signatures = {}
    for i in range(3):
        message = vote_message(pb.KIND_NOTARIZE, NETWORK, EPOCH, VIEW, BlockId(checkpoint))
        signatures[i] = four.secrets[i].sign(message)
    wrong = CertifiedCheckpoint(checkpoint, *combine(signatures, 4, four.scheme))
    with pytest.raises(InvalidCertificate):
        verify_checkpoint(wrong, four.set, NETWORK, four.scheme)


# ---------------------------------------------------------------- evidence


def evidence(four: Members, *votes: pb.Vote, checkpoints: Sequence[pb.CheckpointVote] = (), member: int = 1) -> bytes:
    key = four.set.validators[member].bls_key
    return encode(pb.Evidence(bls_key=key, votes=votes, checkpoint_votes=checkpoints))


def checkpoint_vote(four: Members, checkpoint: Checkpoint, member: int = 1) -> pb.CheckpointVote:
    raw = checkpoint.encode()
    return pb.CheckpointVote(checkpoint=raw, signature=four.secrets[member].sign(checkpoint_message(NETWORK, raw)))


def test_evidence_names_its_author_and_epoch(four):
    author = (four.set.validators[1].bls_key, EPOCH)
    pairs = (
        (four.vote(1, pb.KIND_NOTARIZE), four.vote(1, pb.KIND_NOTARIZE, OTHER_BLOCK)),
        (four.vote(1, pb.KIND_FINALIZE), four.vote(1, pb.KIND_FINALIZE, OTHER_BLOCK)),
        (four.vote(1, pb.KIND_FINALIZE), four.vote(1, pb.KIND_NULLIFY, NO_BLOCK)),
        (four.vote(1, pb.KIND_NULLIFY, NO_BLOCK), four.vote(1, pb.KIND_FINALIZE)),
    )
    for pair in pairs:
        assert verify_evidence(evidence(four, *pair), NETWORK, four.scheme) == author
    two = [checkpoint_vote(four, checkpoint_at()), checkpoint_vote(four, checkpoint_at(state_root=b"x" * 32))]
    assert verify_evidence(evidence(four, checkpoints=two), NETWORK, four.scheme) == author
    two[1] = checkpoint_vote(four, checkpoint_at(epoch=Epoch(2)))
    assert verify_evidence(evidence(four, checkpoints=two), NETWORK, four.scheme) == (author[0], Epoch(2))


def test_votes_that_an_honest_validator_may_send_are_no_evidence(four):
    notarize, finalize = four.vote(1, pb.KIND_NOTARIZE), four.vote(1, pb.KIND_FINALIZE)
    nullify = four.vote(1, pb.KIND_NULLIFY, NO_BLOCK)
    for pair in (
        (notarize, finalize),
        (notarize, four.vote(1, pb.KIND_FINALIZE, OTHER_BLOCK)),
        (notarize, nullify),
        (nullify, nullify),
        (notarize, notarize),
        (finalize, four.vote(1, pb.KIND_FINALIZE, OTHER_BLOCK, view=View(8))),
        (finalize, four.vote(1, pb.KIND_FINALIZE, OTHER_BLOCK, epoch=Epoch(4))),
        (finalize, four.vote(1, pb.KIND_NULLIFY, NO_BLOCK, view=View(8))),
    ):
        with pytest.raises(InvalidMessage):
            verify_evidence(evidence(four, *pair), NETWORK, four.scheme)
    same = checkpoint_vote(four, checkpoint_at())
    for two in ((same, same), (same, checkpoint_vote(four, checkpoint_at(10)))):
        with pytest.raises(InvalidMessage):
            verify_evidence(evidence(four, checkpoints=two), NETWORK, four.scheme)


def test_evidence_of_which_one_signature_is_not_the_authors_is_refused(four):
    good = four.vote(1, pb.KIND_NOTARIZE)
    for wrong in (
        four.vote(2, pb.KIND_NOTARIZE, OTHER_BLOCK),
        four.vote(1, pb.KIND_NOTARIZE, OTHER_BLOCK, network=OTHER_NETWORK),
        pb.Vote(kind=pb.KIND_NOTARIZE, ballot=ballot_bytes(EPOCH, VIEW, OTHER_BLOCK), signature=good.signature),
    ):
        for pair in ((good, wrong), (wrong, good)):
            with pytest.raises(InvalidSignature):
                verify_evidence(evidence(four, *pair), NETWORK, four.scheme)
    two = [checkpoint_vote(four, checkpoint_at()), checkpoint_vote(four, checkpoint_at(log_size=5), member=2)]
    with pytest.raises(InvalidSignature):
        verify_evidence(evidence(four, checkpoints=two), NETWORK, four.scheme)


def test_evidence_with_more_or_fewer_statements_or_malformed_ones_is_refused(four):
    one, other = four.vote(1, pb.KIND_NOTARIZE), four.vote(1, pb.KIND_NOTARIZE, OTHER_BLOCK)
    padded = pb.Vote(kind=one.kind, ballot=one.ballot + b"\x20\x01", signature=one.signature)
    unknown = pb.Vote(kind=9, ballot=one.ballot, signature=one.signature)
    checkpoint = checkpoint_vote(four, checkpoint_at())
    for raw in (
        evidence(four),
        evidence(four, one),
        evidence(four, one, other, other),
        evidence(four, one, other, checkpoints=[checkpoint]),
        evidence(four, one, checkpoints=[checkpoint]),
        evidence(four, padded, other),
        evidence(four, unknown, other),
        evidence(four, one, other) + b"\x20\x01",
        b"",
    ):
        with pytest.raises(InvalidMessage):
            verify_evidence(raw, NETWORK, four.scheme)
