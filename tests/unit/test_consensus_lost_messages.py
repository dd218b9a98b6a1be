# SPDX-License-Identifier: Apache-2.0
"""Rebroadcasts, answers and their bounds: docs/protocol.md, section 3, "Lost messages"."""

from chain.certificate import Certificate
from chain.consensus import events as ev
from chain.consensus.messages import (
    CERTIFICATES_MAX,
    BlockRequest,
    BlockResponse,
    Certificates,
    CertificatesRequest,
    Proposal,
)
from chain.consensus.outbox import COURTESIES_MAX, Courtesy
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.types import BlockId, BlsKey, Epoch, Millis, View, sha256
from tests.unit.consensus_rig import (
    KEYS,
    START_MS,
    Net,
    Node,
    certificate,
    chain_of,
    make_block,
    members,
    propose,
    vote,
)

EPOCH = Epoch(1)


def test_member_in_a_view_rebroadcasts_its_votes_and_the_certificate_that_led_into_it():
    """Section 3: "in a view, rebroadcast own votes, the certificate that led into it"."""
    node = Node()
    lead_in = certificate(NULLIFY, 1)
    node.tell(1, lead_in)
    block = make_block(2)
    node.tell(2, propose(block, None, 1))
    node.wait(2_400)
    assert lead_in in node.said(Certificate)
    assert [v.block_id for v in node.votes(NOTARIZE)] == [block.id]


def test_rebroadcasts_keep_a_bounded_pace():
    """Section 3: "at a bounded pace": one round in 2Δ."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    node.wait(20_000)
    rounds = 20_000 // (2 * node.core.delta_ms)
    assert 0 < len(node.said(Certificate)) <= rounds
    assert 0 < len(node.votes(NULLIFY)) <= rounds + 1


def test_leader_rebroadcasts_its_proposal():
    """Section 3: what a leader said in this view may have been lost, too."""
    node = Node(1)
    node.wait(1_000)
    (proposal,) = node.said(Proposal)
    node.wait(3_000)
    assert proposal in node.said(Proposal)


def test_finalize_votes_above_the_last_final_block_are_sent_again_and_those_below_are_not():
    """Section 3: "finalize votes above the last final block"."""
    node = Node()
    first = make_block(1)
    node.notarize(first)
    second = make_block(2, None, first)
    node.notarize(second, parent=certificate(NOTARIZE, 1, first))
    node.wait(3_000)
    assert {v.view for v in node.votes(FINALIZE)} == {1, 2}
    node.finalize([first])
    node.wait(3_000)
    assert {v.view for v in node.votes(FINALIZE)} == {2}


def test_restarted_member_rebroadcasts_the_certificate_that_led_into_its_view_and_counts_its_votes_again():
    """Section 3: "counts its own votes again and rebroadcasts the certificate that led into its view"."""
    node = Node()
    lead_in = certificate(NULLIFY, 1)
    node.tell(1, lead_in)
    block = make_block(2)
    node.tell(2, propose(block, None, 1))
    node.restart()
    assert node.core.view == 2
    assert node.said(Certificate) == [lead_in]
    assert [v.block_id for v in node.votes(NOTARIZE)] == [block.id]
    node.tell(1, vote(1, NOTARIZE, 2, block))
    node.tell(2, vote(2, NOTARIZE, 2, block))
    assert node.core.view == 3


def test_own_vote_that_completes_a_quorum_alone_does_so_after_a_restart():
    """Section 3: a single validator that died between vote and certificate goes on."""
    node = Node(validators=members(0))
    before = node.journal.pairs()
    node.wait(1_000)
    vote_only = {key: value for key, value in node.journal.pairs().items() if key[:1] in {b"v", b"b"}}
    assert vote_only
    notarized = {key: value for key, value in vote_only.items() if key[-1] == NOTARIZE or key[:1] == b"b"}
    node.signed.clear()
    node.restart(journal_of={**before, **notarized})
    assert node.core.view >= 2


def test_member_with_a_hole_in_its_certificates_asks_one_peer_after_another_from_there():
    """Section 3: "Who lacks a certificate above its last final view asks for it by view"."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    node.tell(1, certificate(NULLIFY, 4))
    node.wait(5_000)
    requests = [(e.to, e.message) for e in node.effects(ev.Send) if isinstance(e.message, CertificatesRequest)]
    assert {message.from_view for _, message in requests} == {2}
    assert {to for to, _ in requests} == set(KEYS[1:4])
    node.tell(1, Certificates((certificate(NULLIFY, 2), certificate(NULLIFY, 3))))
    node.wait(5_000)
    assert not node.answered(CertificatesRequest)


def test_vote_of_a_view_ahead_makes_its_receiver_ask_its_author_at_a_bounded_pace():
    """Section 3: "A message for a view ahead counts only with a certificate"; so ask for that."""
    node = Node()
    node.tell(2, *(vote(2, NULLIFY, view) for view in range(3, 10)))
    assert [e.to for e in node.effects(ev.Send)] == [KEYS[2]]
    assert node.answered(CertificatesRequest) == [CertificatesRequest(EPOCH, View(1))]
    node.now = Millis(node.now + node.core.delta_ms)
    node.tell(2, vote(2, NULLIFY, 3))
    assert len(node.answered(CertificatesRequest)) == 1


def test_request_for_certificates_is_answered_from_that_view_on_ascending():
    """Section 3: "`CertificatesRequest`, bounded batches"."""
    node = Node()
    for view in range(1, 6):
        node.tell(1, certificate(NULLIFY, view))
    node.tell(3, CertificatesRequest(EPOCH, View(3)))
    (answer,) = node.answered(Certificates)
    assert [c.view for c in answer.certificates] == [3, 4, 5]


def test_answer_to_a_request_for_certificates_starts_with_the_newest_finalization_and_is_bounded():
    """Section 3: bounded batches; below the finalization nothing is needed."""
    node = Node()
    first = make_block(1)
    node.finalize([first])
    for view in range(2, CERTIFICATES_MAX + 50):
        node.tell(1, certificate(NULLIFY, view))
    node.tell(3, CertificatesRequest(EPOCH, View(1)))
    (answer,) = node.answered(Certificates)
    assert answer.certificates[0].kind == FINALIZE
    assert len(answer.certificates) == CERTIFICATES_MAX
    views = [c.view for c in answer.certificates[1:]]
    assert views == sorted(views)


def test_requests_for_certificates_are_answered_at_a_bounded_pace():
    """Section 3: no peer makes a validator work without end."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    node.tell(3, *[CertificatesRequest(EPOCH, View(1))] * 50)
    assert len(node.answered(Certificates)) == 1
    node.now = Millis(node.now + node.core.delta_ms)
    node.tell(3, CertificatesRequest(EPOCH, View(1)))
    assert len(node.answered(Certificates)) == 1


def test_vote_for_an_older_view_is_answered_with_the_certificate_that_led_here():
    """Section 3: "a vote for an older view is answered with a newer certificate"."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    lead_in = certificate(NULLIFY, 2)
    node.tell(1, lead_in)
    node.tell(3, *[vote(3, NULLIFY, 1)] * 10)
    assert [(e.to, e.message) for e in node.effects(ev.Send)] == [(KEYS[3], lead_in)]


def test_proposal_for_an_older_view_is_answered_with_the_certificate_that_led_here():
    """Section 3: likewise for any message of a past view."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    lead_in = certificate(NULLIFY, 2)
    node.tell(1, lead_in)
    node.tell(1, propose(make_block(1)))
    assert ev.Send(KEYS[1], lead_in) in node.done
    assert not node.rejections()


def test_vote_of_the_view_that_just_ended_is_mere_delay_and_gets_no_answer():
    """Section 3: an answer to each straggler would double the traffic."""
    node = Node()
    node.tell(1, certificate(NULLIFY, 1))
    node.tell(3, vote(3, NULLIFY, 1))
    assert not node.effects(ev.Send)
    node.now = Millis(node.now + node.core.delta_ms)
    node.tell(3, vote(3, NOTARIZE, 1, make_block()))
    assert len(node.answered(Certificate)) == 1


def test_finalize_vote_at_or_below_the_last_final_view_is_answered_with_the_newest_finalization():
    """Section 3: "A finalize vote at or below one's last final view is answered with the newest finalization"."""
    node = Node()
    first, second = chain_of(2)
    node.finalize([first, second])
    node.tell(3, vote(3, FINALIZE, 1, first))
    assert not node.effects(ev.Send)
    node.now = Millis(node.now + node.core.delta_ms)
    for block in (first, second):
        node.now = Millis(node.now + node.core.delta_ms)
        node.tell(3, *[vote(3, FINALIZE, block.view, block)] * 10)
        assert [(c.kind, c.view) for c in node.answered(Certificate)] == [(FINALIZE, 2)]


def test_answers_are_bounded_for_each_peer_and_topic_apart():
    """One peer's questions do not silence the answers to another."""
    courtesy = Courtesy()
    one, other = BlsKey(b"1"), BlsKey(b"2")
    assert courtesy.allows(one, "a", Millis(0), 10)
    assert not courtesy.allows(one, "a", Millis(9), 10)
    assert courtesy.allows(other, "a", Millis(9), 10)
    assert courtesy.allows(one, "b", Millis(9), 10)
    assert courtesy.allows(one, "a", Millis(10), 10)


def test_memory_of_answers_is_bounded():
    """Section 3: what is remembered of peers is bounded, however many keys ask."""
    courtesy = Courtesy()
    for number in range(COURTESIES_MAX + 100):
        assert courtesy.allows(BlsKey(b"%d" % number), "a", Millis(0), 10)
    assert len(courtesy._last) == COURTESIES_MAX


def test_known_block_is_given_to_who_asks_for_it():
    """Section 3: who lacks a parent asks for it by id; an unknown id gets silence."""
    node = Node()
    block = make_block()
    node.tell(1, propose(block))
    node.tell(3, BlockRequest(block.id))
    assert node.answered(BlockResponse) == [BlockResponse(block)]
    node.tell(3, BlockRequest(BlockId(sha256(b"unknown"))))
    assert not node.answered(BlockResponse)


def test_block_that_nobody_asked_for_is_ignored():
    """Section 3: buffers are bounded: only what voting or following waits for is taken."""
    node = Node()
    before = node.state()
    node.tell(1, BlockResponse(make_block()))
    assert node.state() == before


def test_missing_block_is_asked_for_at_a_bounded_pace_of_one_peer_after_another():
    """Section 3: a withholding peer does not stop anyone: the next is asked after Δ."""
    node = Node()
    block = make_block(1, time_ms=START_MS + 3)
    node.tell(1, certificate(FINALIZE, 1, block))
    first = [e.to for e in node.effects(ev.Send) if isinstance(e.message, BlockRequest)]
    node.wait(4_000)
    asked = [*first, *(e.to for e in node.effects(ev.Send) if isinstance(e.message, BlockRequest))]
    assert set(asked) == set(KEYS[1:4])
    assert len(asked) <= 4_000 // node.core.delta_ms + 1


def test_network_cut_for_a_while_goes_on_after_it():
    """Section 3: with lost messages repaired, all members agree again."""
    net = Net()
    net.run(3_000)
    net.cut = {0, 1}
    net.run(15_000)
    stuck = [len(node.executed) for node in net.nodes]
    net.cut = set()
    net.run(15_000)
    assert all(len(node.executed) > max(stuck) for node in net.nodes)
    shortest = min(len(node.executed) for node in net.nodes)
    assert len({tuple(block.id for block in node.executed[:shortest]) for node in net.nodes}) == 1
