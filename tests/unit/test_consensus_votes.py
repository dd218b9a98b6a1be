# SPDX-License-Identifier: Apache-2.0
"""Votes, the certificates that they make, and what no honest member does: docs/protocol.md, section 3."""

import pytest

from chain.certificate import Certificate, verify_certificate, verify_evidence
from chain.consensus import events as ev
from chain.consensus.journal import Muted, OwnVote, StoredCertificate
from chain.consensus.messages import Certificates, CertificatesRequest, Vote
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY, VIEWS_AHEAD_MAX, VIEWS_BEHIND_MAX, Tally
from chain.types import BlockId, View, sha256
from tests.unit.consensus_rig import (
    FOUR,
    KEYS,
    NETWORK,
    SCHEME,
    START_MS,
    STRANGER,
    Node,
    certificate,
    chain_of,
    forged,
    make_block,
    members,
    propose,
    vote,
)

SEVEN = members(0, 1, 2, 3, 4, 5, 6)

# ---------------------------------------------------------------- quorums


@pytest.mark.parametrize("kind", [NOTARIZE, NULLIFY, FINALIZE])
def test_quorum_of_votes_makes_a_certificate_that_is_stored_and_passed_on_in_that_order(kind):
    """Section 3: "q notarize votes make a notarization: store it, pass it on"; likewise the other two."""
    node = Node()
    block = None if kind == NULLIFY else make_block()
    node.tell(1, vote(1, kind, 1, block))
    node.tell(2, vote(2, kind, 1, block))
    if kind != NULLIFY:
        # f+1 nullify votes would bring this validator's own, and the quorum with it.
        assert not node.said(Certificate)
        node.tell(3, vote(3, kind, 1, block))
    (made,) = node.said(Certificate)
    assert (made.kind, made.view) == (kind, 1)
    verify_certificate(made, FOUR, NETWORK, SCHEME)
    assert isinstance(node.done[0], ev.Persist)
    assert [record.certificate for record in node.records(StoredCertificate)] == [made]
    assert node.core.view == 2


@pytest.mark.parametrize(("count", "needed"), [(4, 3), (5, 4), (7, 5), (10, 7)])
def test_quorum_is_n_minus_f(count, needed):
    """Section 1: "`f = (n-1)//3`, quorum `q = n - f`"."""
    node = Node(validators=members(*range(count)))
    block = make_block()
    for number in range(1, needed):
        node.tell(number, vote(number, NOTARIZE, 1, block))
    assert node.core.view == 1
    node.tell(1, propose(block))
    assert node.core.view == 2


def test_notarization_leads_to_a_finalize_vote():
    """Section 3: "unless `nullify(v)` was sent, send `finalize(v, block)`"."""
    node = Node()
    block = make_block()
    node.notarize(block)
    assert [(v.view, v.block_id) for v in node.votes(FINALIZE)] == [(1, block.id)]
    assert node.votes(FINALIZE)[0] in [record.vote for record in node.records(OwnVote)]


def test_notarization_from_a_peer_leads_to_a_finalize_vote_for_a_block_one_did_not_vote_for():
    """Section 3: "Notarize A then finalize B […] happen honestly"."""
    node = Node()
    node.tell(1, propose(make_block()))
    other = make_block(time_ms=START_MS + 5)
    node.tell(2, certificate(NOTARIZE, 1, other))
    assert [v.block_id for v in node.votes(FINALIZE)] == [other.id]


def test_notarization_after_own_nullify_leads_to_no_finalize_vote():
    """Section 3, "Never": finalize and nullify both in a view."""
    node = Node()
    node.wait(2_000)
    node.tell(1, certificate(NOTARIZE, 1, make_block()))
    assert node.core.view == 2
    assert not node.votes(FINALIZE)


def test_notarization_after_own_nullify_and_a_restart_leads_to_no_finalize_vote():
    """Section 3, "Never" and "Durable"."""
    node = Node()
    node.wait(2_000)
    node.restart()
    node.tell(1, certificate(NOTARIZE, 1, make_block()))
    assert node.core.view == 2
    assert not node.votes(FINALIZE)


def test_member_that_finalized_does_not_nullify_that_view():
    """Section 3, "Never": a view that one finalized is behind, and f+1 nullify votes do not change that."""
    node = Node()
    block = make_block()
    node.notarize(block)
    node.tell(2, vote(2, NULLIFY, 1))
    node.tell(3, vote(3, NULLIFY, 1))
    node.wait(10_000)
    assert all(v.view != 1 for v in node.votes(NULLIFY))


def test_member_whose_journal_holds_a_finalize_vote_alone_does_not_nullify_that_view():
    """Section 3, "Never": should the certificate be lost with which it came, the vote still binds."""
    record = OwnVote(vote(0, FINALIZE, 1, make_block()))
    node = Node()
    node.restart(journal_of={record.key: record.value})
    assert node.core.view == 1
    node.tell(2, vote(2, NULLIFY, 1))
    node.tell(3, vote(3, NULLIFY, 1))
    node.wait(10_000)
    assert not node.votes(NULLIFY)


def test_notarization_of_a_view_known_as_nullified_leads_to_no_finalize_vote():
    """Section 3: both certificates of one view can exist; who has moved on by nullification sends no finalize."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    node.tell(1, certificate(NOTARIZE, 1, make_block()))
    assert not node.votes(FINALIZE)


def test_finalization_makes_the_block_and_its_ancestors_final():
    """Section 3: "the block and all its ancestors are final"; Section 4: executed "in height order"."""
    node = Node()
    blocks = chain_of(4)
    for block in blocks:
        node.core._tree.add(block)
    node.tell(1, certificate(NOTARIZE, 1, blocks[0]))
    assert node.executed == []
    for number in (1, 2, 3):
        node.tell(number, vote(number, FINALIZE, 4, blocks[3]))
    assert node.executed == blocks


def test_certificate_known_already_is_not_stored_or_passed_on_again():
    """Section 3: "pass it on" once."""
    node = Node()
    first = certificate(NOTARIZE, 1, make_block())
    node.tell(1, first)
    node.tell(2, first)
    assert not node.records(StoredCertificate)
    assert not node.said(Certificate)


@pytest.mark.parametrize(
    "wrong",
    [
        certificate(NOTARIZE, 1, make_block(), signers=(1, 2)),
        certificate(NOTARIZE, 1, make_block(), of=members(1, 2, 3, 4)),
        Certificate(NOTARIZE, FOUR.epoch, View(1), make_block().id, b"\x0e", bytes(96)),
        Certificate(NOTARIZE, FOUR.epoch, View(1), make_block().id, b"\x1e", bytes(96)),
        Certificate(NOTARIZE, FOUR.epoch, View(1), make_block().id, b"\x0e\x00", bytes(96)),
        Certificate(NULLIFY, FOUR.epoch, View(1), make_block().id, b"\x0e", bytes(96)),
    ],
    ids=["below quorum", "of another set", "wrong aggregate", "padding bit", "long bitmap", "nullification of a block"],
)
def test_certificate_that_does_not_hold_is_refused_and_leaves_no_trace(wrong):
    """Section 3: exactly ceil(n/8) bytes, zero padding, a quorum's aggregate."""
    node = Node()
    before = node.state()
    node.tell(1, wrong)
    assert len(node.rejections()) == 1
    assert node.state() == before


def test_certificates_of_two_blocks_in_a_view_stop_the_validator():
    """Section 3: two notarizations in one view take more than f Byzantine members: stop and say so."""
    for kind in (NOTARIZE, FINALIZE):
        node = Node()
        node.tell(1, certificate(NOTARIZE, 1, make_block()))
        node.tell(1, certificate(kind, 1, make_block(time_ms=START_MS + 1)))
        assert "more than f" in node.effects(ev.Halt)[0].reason


# ---------------------------------------------------------------- bad votes


def test_bad_vote_found_at_aggregation_is_dropped_and_its_author_checked_from_then_on():
    """Section 3: "find the bad vote, and from then on verify that peer's votes on arrival"."""
    node = Node()
    block = make_block()
    node.tell(1, forged(vote(1, NOTARIZE, 1, block)))
    node.tell(2, vote(2, NOTARIZE, 1, block))
    assert not node.rejections()
    node.tell(3, vote(3, NOTARIZE, 1, block))
    assert node.effects(ev.Reject) == [ev.Reject(KEYS[1], "vote whose signature does not verify")]
    assert node.core.view == 1
    node.wait(node.core.delta_ms)
    node.tell(1, forged(vote(1, NULLIFY, 1)))
    assert node.effects(ev.Reject) == [ev.Reject(KEYS[1], "vote whose signature does not verify")]
    node.wait(node.core.delta_ms)
    node.tell(1, vote(1, NOTARIZE, 1, block))
    assert node.core.view == 2


def test_bad_vote_beyond_a_quorum_of_good_ones_does_not_stop_the_certificate():
    """Section 3: the bad one is left out, the others make the certificate."""
    node = Node(validators=SEVEN)
    block = make_block()
    node.tell(1, forged(vote(1, NULLIFY, 2)))
    node.tell(1, propose(block))
    node.tell(6, forged(vote(6, NOTARIZE, 1, block)))
    for number in (1, 2, 3, 4):
        node.tell(number, vote(number, NOTARIZE, 1, block))
    assert node.core.view == 2
    (made,) = node.said(Certificate)
    verify_certificate(made, SEVEN, NETWORK, SCHEME)
    assert KEYS[6] not in node.replica.signers(made)


def test_votes_are_not_verified_before_a_quorum():
    """Section 3: "Collect without verifying"."""
    calls: list[bytes] = []

    class Counting(type(SCHEME)):
        def verify(self, public_key: bytes, message: bytes, signature: bytes) -> None:
            calls.append(public_key)
            super().verify(public_key, message, signature)

    tally = Tally(NETWORK, FOUR, Counting())
    block = make_block()
    for number in range(4):
        one = vote(number, NOTARIZE, 1, block)
        assert tally.is_acceptable(number, one)
        tally.add(number, one)
    quorum, bad = tally.quorum(one.view, NOTARIZE, block.id)
    assert quorum is not None
    assert list(bad) == []
    assert calls == []


@pytest.mark.parametrize("author", [STRANGER, KEYS[4]])
def test_vote_from_outside_the_set_is_refused(author):
    """Section 3: only members vote, "accepted only on their signer's own authenticated connection"."""
    node = Node()
    before = node.state()
    node.tell(author, vote(1, NOTARIZE, 1, make_block()))
    assert node.rejections() == ["vote from outside the validator set"]
    assert node.state() == before


def test_vote_of_one_member_sent_by_another_counts_for_the_sender_and_is_found_bad():
    """Section 3: nobody can put a vote into another's mouth."""
    node = Node()
    block = make_block()
    for sender in (1, 2, 3):
        node.tell(sender, vote(1, NOTARIZE, 1, block))
    assert node.core.view == 1
    assert {effect.sender for effect in node.effects(ev.Reject)} == {KEYS[2], KEYS[3]}


def test_same_vote_many_times_counts_once():
    """Section 3: a quorum is of members, not of messages."""
    node = Node()
    block = make_block()
    for _ in range(5):
        node.tell(1, vote(1, NOTARIZE, 1, block))
        node.tell(2, vote(2, NOTARIZE, 1, block))
    assert node.core.view == 1


def test_votes_outside_the_window_are_not_kept():
    """Section 3: "Buffers per peer are bounded"; a far vote only makes the receiver ask for certificates."""
    node = Node()
    for view in range(1, 200):
        node.tell(1, vote(1, NULLIFY, view), vote(1, NOTARIZE, view, make_block(view)))
    assert max(node.replica._tally._votes) == 1 + VIEWS_AHEAD_MAX
    node.tell(2, certificate(NULLIFY, 100, signers=(1, 2, 3)))
    assert node.core.view == 101
    for view in range(1, 200):
        node.tell(2, vote(2, NULLIFY, view))
    kept = [view for view in node.replica._tally._votes if node.replica._tally.get(View(view), NULLIFY, 2)]
    assert (min(kept), max(kept)) == (101 - VIEWS_BEHIND_MAX, 101 + VIEWS_AHEAD_MAX)


def test_one_members_claim_of_a_later_view_moves_nobody():
    """Section 3: "one validator's claim moves nobody"."""
    node = Node()
    node.tell(1, vote(1, NULLIFY, 5), vote(1, NOTARIZE, 6, make_block(6)), vote(1, FINALIZE, 6, make_block(6)))
    assert node.core.view == 1


@pytest.mark.parametrize("epoch", [0, 2, 3])
def test_vote_of_another_epoch_counts_nowhere(epoch):
    """Section 3: "Each vote, certificate and block carries and signs (epoch, view)"."""
    node = Node()
    for number in (1, 2, 3):
        node.tell(number, vote(number, NULLIFY, 1, epoch=epoch))
    assert node.core.view == 1
    assert not node.replica._tally._votes


def test_votes_below_the_last_final_view_are_dropped():
    """Section 3: nothing needs them, so that memory stays bounded."""
    node = Node()
    block = make_block()
    node.tell(1, vote(1, NOTARIZE, 1, block), vote(2, NULLIFY, 1))
    node.finalize([block])
    node.tell(2, vote(2, NOTARIZE, 1, block))
    assert not any(view <= 1 for view in node.replica._tally._votes)


# ---------------------------------------------------------------- evidence


def contradictions() -> dict[str, tuple[Vote, Vote]]:
    one, other = make_block(3), make_block(3, time_ms=START_MS + 1)
    return {
        "two notarize": (vote(1, NOTARIZE, 3, one), vote(1, NOTARIZE, 3, other)),
        "two finalize": (vote(1, FINALIZE, 3, one), vote(1, FINALIZE, 3, other)),
        "finalize after nullify": (vote(1, NULLIFY, 3), vote(1, FINALIZE, 3, one)),
        "nullify after finalize": (vote(1, FINALIZE, 3, one), vote(1, NULLIFY, 3)),
    }


@pytest.mark.parametrize("what", list(contradictions()))
def test_contradicting_votes_are_evidence_once(what):
    """Section 3, "Evidence is exactly"; "it counts once per validator and epoch"."""
    node = Node()
    first, second = contradictions()[what]
    node.tell(1, first)
    assert not node.effects(ev.EvidenceFound)
    node.tell(1, second)
    (found,) = node.effects(ev.EvidenceFound)
    assert found.author == KEYS[1]
    assert verify_evidence(found.evidence, NETWORK, SCHEME) == (KEYS[1], 1)
    node.tell(1, second)
    node.tell(1, vote(1, NULLIFY, 4), vote(1, FINALIZE, 4, make_block(4)))
    assert not node.effects(ev.EvidenceFound)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (vote(1, NOTARIZE, 3, make_block(3)), vote(1, NULLIFY, 3)),
        (vote(1, NOTARIZE, 3, make_block(3)), vote(1, FINALIZE, 3, make_block(3, time_ms=START_MS + 1))),
        (vote(1, NOTARIZE, 3, make_block(3)), vote(1, NOTARIZE, 3, make_block(3))),
        (vote(1, NOTARIZE, 3, make_block(3)), vote(1, NOTARIZE, 4, make_block(4))),
        (vote(1, NULLIFY, 3), vote(1, FINALIZE, 4, make_block(4))),
    ],
    ids=["notarize, nullify", "notarize A, finalize B", "the same twice", "other views", "nullify, finalize later"],
)
def test_votes_that_honest_members_make_are_no_evidence(first, second):
    """Section 3: "(Notarize A then finalize B, or notarize then nullify, happen honestly.)"."""
    node = Node()
    node.tell(1, first)
    node.tell(1, second)
    assert not node.effects(ev.EvidenceFound)
    assert not node.rejections()


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("what", list(contradictions()))
def test_contradiction_with_a_bad_signature_is_no_evidence_and_its_author_is_checked_from_then_on(what, bad):
    """Section 3: "Both signatures verify alone"."""
    node = Node()
    pair = list(contradictions()[what])
    pair[bad] = forged(pair[bad])
    node.tell(1, pair[0])
    node.tell(1, pair[1])
    assert not node.effects(ev.EvidenceFound)
    assert node.rejections() == ["vote whose signature does not verify"]
    node.wait(node.core.delta_ms)
    node.tell(1, forged(vote(1, NULLIFY, 5)))
    assert node.rejections() == ["vote whose signature does not verify"]


def test_contradicting_second_vote_does_not_count():
    """Section 3: the first vote of a liar stands, the other is evidence only."""
    node = Node()
    one, other = make_block(), make_block(time_ms=START_MS + 1)
    node.tell(1, vote(1, NOTARIZE, 1, one), vote(1, NOTARIZE, 1, other))
    node.tell(2, vote(2, NOTARIZE, 1, other))
    node.tell(3, vote(3, NOTARIZE, 1, other))
    assert node.core.view == 1


# ---------------------------------------------------------------- a lost journal


def test_certificate_with_ones_bit_for_a_vote_that_the_journal_lacks_mutes_the_key():
    """Section 3, "Durable": "A validator whose vote log is missing, or older than a certificate that bears its bit"."""
    node = Node()
    node.tell(1, certificate(NOTARIZE, 1, make_block(), signers=(0, 1, 2)))
    assert node.core.view == 2
    assert not node.core.is_voting
    assert [record.bls_key for record in node.records(Muted)] == [KEYS[0]]
    assert not node.signed
    node.tell(2, propose(make_block(2, 2, make_block().id), certificate(NOTARIZE, 1, make_block())))
    node.wait(20_000)
    assert not node.signed


def test_muted_validator_stays_muted_over_a_restart():
    """Section 3, "Durable"."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1, signers=(0, 1, 2)))
    node.restart()
    assert not node.core.is_voting
    node.wait(20_000)
    assert not node.signed


def test_certificate_with_ones_bit_for_another_block_mutes():
    """Section 3, "Durable": the journal holds a vote, but not that one."""
    node = Node()
    node.tell(1, propose(make_block()))
    node.tell(1, certificate(NOTARIZE, 1, make_block(time_ms=START_MS + 1), signers=(0, 1, 2)))
    assert not node.core.is_voting
    assert not node.votes(FINALIZE)


def test_certificate_with_ones_bit_for_a_vote_in_the_journal_does_not_mute():
    """Section 3: also after a restart."""
    node = Node()
    block = make_block()
    node.tell(1, propose(block))
    node.restart()
    node.tell(1, certificate(NOTARIZE, 1, block, signers=(0, 1, 2)))
    assert node.core.is_voting
    assert node.votes(FINALIZE)


def test_validator_told_that_its_journal_is_lost_does_not_vote():
    """Section 3, "Durable": "A validator whose vote log is missing […] never votes again under that key"."""
    node = Node(lost=True)
    assert [record.bls_key for record in node.records(Muted)] == [KEYS[0]]
    node.tell(1, propose(make_block()))
    node.wait(20_000)
    assert not node.signed
    node.restart()
    assert not node.core.is_voting


def test_muted_validator_still_follows_and_answers():
    """Section 3: it votes on nothing; all else goes on."""
    node = Node(lost=True)
    block = make_block()
    node.finalize([block])
    assert node.executed == [block]
    node.tell(2, CertificatesRequest(FOUR.epoch, View(1)))
    assert [c.view for c in node.answered(Certificates)[0].certificates] == [1]


def test_block_id_of_a_vote_is_what_its_signature_covers():
    """Section 1: "A signature made for one purpose, network, epoch or view is worth nothing for another"."""
    node = Node()
    block, other = make_block(), BlockId(sha256(b"other"))
    for number in (1, 2, 3):
        honest = vote(number, NOTARIZE, 1, other)
        node.tell(number, Vote(NOTARIZE, honest.epoch, honest.view, block.id, honest.signature))
    assert node.core.view == 1
    for number in (1, 2, 3):
        honest = vote(number, NOTARIZE, 1, block)
        node.tell(number, Vote(FINALIZE, honest.epoch, honest.view, block.id, honest.signature))
    assert node.replica.last_final_view == 0
