# SPDX-License-Identifier: Apache-2.0
"""Entering a view, proposing, notarizing, nullifying: docs/protocol.md, section 3, "Enter", "Notarize", "Nullify"."""

import pytest

from chain.checkpoint import Checkpoint
from chain.consensus import events as ev
from chain.consensus.block import Block
from chain.consensus.journal import OwnVote, StoredBlock
from chain.consensus.messages import BlockRequest, BlockResponse, Proposal
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.errors import InvalidMessage
from chain.types import BlockId, Millis, View, sha256
from tests.unit.consensus_rig import (
    GENESIS_MS,
    KEYS,
    NETWORK,
    START_MS,
    STRANGER,
    Net,
    Node,
    certificate,
    chain_of,
    digest,
    make_block,
    make_checkpoint,
    propose,
    vote,
)

GENESIS = BlockId(NETWORK)


# ---------------------------------------------------------------- proposing


def test_first_leader_with_nothing_to_order_proposes_on_genesis_within_the_idle_interval():
    """Section 3: "a leader proposes within `idle_interval` even when idle"; the first block stands on genesis."""
    node = Node(1)
    assert node.wait(999) == [] or not node.said(Proposal)
    node.wait(1)
    (proposal,) = node.said(Proposal)
    assert proposal.parent is None
    assert proposal.nullifications == ()
    block = proposal.block
    assert (block.epoch, block.view, block.height, block.parent_id, block.digests) == (1, 1, 1, GENESIS, ())
    assert block.time_ms == node.now


def test_leader_with_pending_transactions_asks_for_a_payload_and_proposes_it():
    """Section 3, "Enter v": the leader proposes; the driver chooses what."""
    node = Node(1)
    node.step(ev.PendingChanged(pending=True))
    (request,) = node.effects(ev.RequestPayload)
    assert (request.epoch, request.view, request.ancestors) == (1, 1, ())
    node.step(ev.PayloadOffered(request.epoch, request.view, (digest("a"), digest("b"))))
    (proposal,) = node.said(Proposal)
    assert proposal.block.digests == (digest("a"), digest("b"))
    assert node.votes(NOTARIZE)[0].block_id == proposal.block.id


def test_leader_offered_an_empty_payload_proposes_an_empty_block_before_its_followers_lose_patience():
    """Section 3: a leader proposes even when there turns out to be nothing."""
    node = Node(1)
    node.step(ev.PendingChanged(pending=True))
    node.wait(100)
    node.step(ev.PayloadOffered(node.core.epoch, node.core.view, ()))
    node.wait(node.core.delta_ms)
    (proposal,) = node.said(Proposal)
    assert proposal.block.digests == ()


def test_leader_offered_a_payload_of_a_past_view_does_not_propose_it():
    """A late answer of the driver belongs to a view that is over."""
    node = Node(1)
    node.step(ev.PendingChanged(pending=True))
    node.wait(100)
    node.tell(2, certificate(NULLIFY, 1, signers=(0, 2, 3)))
    node.step(ev.PayloadOffered(node.core.epoch, View(1), (digest("a"),)))
    assert not node.said(Proposal)


def test_leader_proposes_on_the_newest_notarized_block_with_its_certificate():
    """Section 3: "on the newest notarized block it knows; the `Proposal` carries the parent's notarization"."""
    node = Node(2)
    parent = make_block(1)
    node.tell(1, propose(parent))
    notarization = certificate(NOTARIZE, 1, parent, signers=(0, 1, 3))
    node.tell(1, notarization)
    node.wait(1_000)
    (proposal,) = node.said(Proposal)
    assert proposal.parent == notarization
    assert proposal.nullifications == ()
    assert (proposal.block.parent_id, proposal.block.height) == (parent.id, 2)
    assert proposal.block.time_ms > parent.time_ms


def test_leader_after_nullified_views_carries_a_nullification_for_each_ascending():
    """Section 3: "and a nullification for every view skipped in between, ascending"."""
    node = Node(0)
    parent = make_block(1)
    node.tell(1, propose(parent))
    node.tell(1, certificate(NOTARIZE, 1, parent))
    node.tell(1, certificate(NULLIFY, 2))
    node.tell(1, certificate(NULLIFY, 3))
    node.wait(1_000)
    (proposal,) = node.said(Proposal)
    assert proposal.block.parent_id == parent.id
    assert [(c.kind, c.view) for c in proposal.nullifications] == [(NULLIFY, 2), (NULLIFY, 3)]


def test_leader_that_lacks_a_nullification_in_between_does_not_propose_until_it_has_it():
    """Section 3: a proposal without each nullification would be refused."""
    node = Node(0)
    node.tell(1, certificate(NULLIFY, 1))
    node.tell(1, certificate(NULLIFY, 3))
    node.wait(1_200)
    assert not node.said(Proposal)
    node.tell(1, certificate(NULLIFY, 2))
    (proposal,) = node.said(Proposal)
    assert [c.view for c in proposal.nullifications] == [1, 2, 3]


def test_leader_that_lacks_the_parent_block_asks_those_who_signed_for_it():
    """Section 3: the block itself is needed for height and time."""
    node = Node(2)
    parent = make_block(1)
    node.tell(1, certificate(NOTARIZE, 1, parent, signers=(0, 1, 3)))
    assert node.answered(BlockRequest) == [BlockRequest(parent.id)]
    assert node.effects(ev.Send)[0].to in node.replica.signers(certificate(NOTARIZE, 1, parent, signers=(0, 1, 3)))
    node.wait(1_000)
    assert not node.said(Proposal)


def test_leader_persists_its_block_and_vote_before_the_proposal_goes_out():
    """Section 3: "The block and its transactions are on disk before it is sent"."""
    node = Node(1)
    node.wait(1_000)
    kinds = [type(effect) for effect in node.done]
    assert kinds.index(ev.Persist) < kinds.index(ev.Broadcast)
    (proposal,) = node.said(Proposal)
    assert [record.block for record in node.records(StoredBlock)] == [proposal.block]
    assert [record.vote.block_id for record in node.records(OwnVote)] == [proposal.block.id]


def test_leader_restarted_after_its_proposal_sends_the_same_one_again():
    """Section 3, "Durable" and "Lost messages": never another block in the same view."""
    node = Node(1)
    node.wait(1_000)
    (proposal,) = node.said(Proposal)
    node.now = Millis(node.now + 5_000)
    node.restart()
    assert node.said(Proposal) == [proposal]
    node.wait(10_000)
    assert {p.block.id for p in node.said(Proposal)} <= {proposal.block.id}


def test_member_that_does_not_lead_does_not_propose():
    """Section 3: leader by rotation, the validator at place v % n."""
    for me in (0, 2, 3):
        node = Node(me)
        node.wait(5_000)
        assert not node.said(Proposal)


def test_leaders_rotate_by_place():
    """Section 3: "leader by rotation: the validator at place `v % n` of the set"."""
    net = Net()
    net.run(5_000)
    blocks = net.nodes[0].executed
    assert len(blocks) >= 3
    for block in blocks:
        leader = net.nodes[block.view % 4]
        assert any(v.view == block.view for v in leader.signed)
        assert leader.key == net.nodes[0].replica.leader(block.view)


def test_leader_far_above_the_certified_height_proposes_an_empty_block():
    """Section 4: "A leader proposes empty blocks, at its normal time, while its proposal's height is more than 64 above
    its newest certified one"."""
    for length, empty in ((63, False), (64, True)):
        node = Node((length + 1) % 4)
        node.executes = False
        blocks = chain_of(length)
        others = tuple(number for number in range(4) if number != node.me)
        for block in blocks:
            node.core._tree.add(block)
        node.now = Millis(blocks[-1].time_ms + 1_000)
        node.tell(others[0], certificate(FINALIZE, length, blocks[-1], signers=others))
        done = [*node.step(ev.PendingChanged(pending=True)), *node.wait(node.core.delta_ms)]
        assert any(isinstance(effect, ev.RequestPayload) for effect in done) is not empty
        assert bool(node.said(Proposal)) is empty
        if empty:
            assert node.said(Proposal)[0].block.digests == ()


def test_payload_request_names_the_ancestors_that_may_not_be_executed_yet():
    """Section 2: a transaction executes at most once; a proposer leaves out what its ancestors list."""
    node = Node(3)
    first, second = chain_of(2)
    node.tell(1, propose(first))
    node.tell(1, certificate(NOTARIZE, 1, first, signers=(0, 1, 2)))
    node.tell(2, propose(second, certificate(NOTARIZE, 1, first, signers=(0, 1, 2))))
    node.tell(1, certificate(NOTARIZE, 2, second, signers=(0, 1, 2)))
    node.step(ev.PendingChanged(pending=True))
    node.wait(100)
    (request,) = node.effects(ev.RequestPayload)
    assert request.ancestors == (second, first)
    assert request.time_ms > second.time_ms


# ---------------------------------------------------------------- notarizing


def test_member_votes_for_the_first_proposal_of_the_views_leader():
    """Section 3, "Notarize"; block and vote are persisted in the same batch, before the vote is sent."""
    node = Node()
    block = make_block()
    node.tell(1, propose(block))
    assert [v.block_id for v in node.votes(NOTARIZE)] == [block.id]
    assert isinstance(node.done[0], ev.Persist)
    assert [record.block for record in node.records(StoredBlock)] == [block]
    assert [record.vote for record in node.records(OwnVote)] == node.votes(NOTARIZE)


def test_member_that_voted_does_not_vote_for_a_second_proposal_of_the_view():
    """Section 3: "At most one notarize vote per view"."""
    node = Node()
    node.tell(1, propose(make_block()))
    node.tell(1, propose(make_block(time_ms=START_MS + 1)))
    assert not node.votes(NOTARIZE)
    assert not node.records(OwnVote)


def test_member_restarted_after_its_vote_does_not_vote_for_another_block():
    """Section 3, "Never" and "Durable": the journal is what its Persist effects wrote."""
    node = Node()
    first = make_block()
    node.tell(1, propose(first))
    node.restart()
    assert [v.block_id for v in node.votes(NOTARIZE)] == [first.id]
    node.tell(1, propose(make_block(time_ms=START_MS + 1)))
    assert not node.votes(NOTARIZE)


def test_member_that_has_not_the_bodies_votes_only_once_it_has():
    """Section 3: "each transaction's body held, canonical, with valid signatures"."""
    node = Node()
    block = make_block(digests=[digest("a")])
    node.tell(1, propose(block))
    assert not node.votes(NOTARIZE)
    (request,) = node.effects(ev.RequestBodies)
    assert request.block == block
    assert request.peers[0] == node.replica.leader(1)
    assert len(request.peers) == 3
    node.step(ev.BodiesHeld(BlockId(sha256(b"another"))))
    assert not node.votes(NOTARIZE)
    node.step(ev.BodiesHeld(block.id))
    assert [v.block_id for v in node.votes(NOTARIZE)] == [block.id]


def test_member_told_that_bodies_break_a_rule_nullifies():
    """Section 3: "Nullify: […] an invalid proposal"."""
    node = Node()
    block = make_block(digests=[digest("a")])
    node.tell(1, propose(block))
    node.step(ev.BodiesRefused(block.id, "a transaction without a valid signature"))
    assert node.votes(NULLIFY)
    assert "valid signature" in node.rejections()[0]
    node.step(ev.BodiesHeld(block.id))
    assert not node.votes(FINALIZE)


@pytest.mark.parametrize("height", [0, 2, 3, 2**64 - 1])
def test_member_offered_a_wrong_height_nullifies(height):
    """Section 3: "height = parent's + 1"."""
    node = Node()
    node.tell(1, propose(make_block(height=height)))
    assert not node.votes(NOTARIZE)
    assert node.votes(NULLIFY)
    assert "height" in node.rejections()[0]


@pytest.mark.parametrize("time_ms", [GENESIS_MS, GENESIS_MS - 1, 0])
def test_member_offered_a_time_not_later_than_the_parents_nullifies(time_ms):
    """Section 3: "time later than the parent's"."""
    node = Node()
    node.tell(1, propose(make_block(time_ms=time_ms)))
    assert not node.votes(NOTARIZE)
    assert node.votes(NULLIFY)
    assert "parent" in node.rejections()[0]


def test_member_offered_a_time_one_millisecond_after_the_parents_votes():
    """Section 3: the edge of the rule above."""
    node = Node()
    node.tell(1, propose(make_block(time_ms=GENESIS_MS + 1)))
    assert node.votes(NOTARIZE)


@pytest.mark.parametrize(("late_ms", "votes"), [(60_000, True), (60_001, False)])
def test_member_offered_a_late_time_votes_up_to_sixty_seconds(late_ms, votes):
    """Section 3: "60 s behind the local clock"."""
    node = Node()
    block = make_block()
    node.now = Millis(block.time_ms + late_ms)
    node.tell(1, propose(block))
    assert bool(node.votes(NOTARIZE)) is votes


def test_member_offered_a_slightly_early_time_waits_and_then_votes():
    """Section 3: "at most 2 s ahead […] (a slightly early one waits)"."""
    node = Node()
    node.tell(1, propose(make_block(time_ms=node.now + 2_050)))
    assert not node.votes(NOTARIZE)
    assert not node.votes(NULLIFY)
    node.wait(49)
    assert not node.votes(NOTARIZE)
    node.wait(1)
    assert node.votes(NOTARIZE)


def test_member_offered_a_far_too_early_time_nullifies_when_the_view_is_over():
    """Section 3: the view's own timer bounds how long an early proposal waits."""
    node = Node()
    node.tell(1, propose(make_block(time_ms=node.now + 1_000_000)))
    node.wait(3_000)
    assert not node.votes(NOTARIZE)
    assert node.votes(NULLIFY)


def test_member_that_lacks_the_parent_asks_for_it_and_votes_once_it_has_come():
    """Section 3: height and time are compared with the parent's."""
    node = Node(3)
    first, second = chain_of(2)
    notarization = certificate(NOTARIZE, 1, first, signers=(0, 1, 2))
    node.tell(2, propose(second, notarization))
    assert not node.votes(NOTARIZE)
    assert ev.Send(KEYS[2], BlockRequest(first.id)) in node.done
    node.tell(2, BlockResponse(first))
    assert [v.block_id for v in node.votes(NOTARIZE)] == [second.id]


def wrong_proposals() -> dict[str, tuple[int, Proposal]]:
    """Who sends it, and the proposal, to a member that knows view 1's notarization and is in view 2."""
    first = make_block(1)
    second = make_block(2, None, first)
    third = make_block(3, None, first)
    notarization = certificate(NOTARIZE, 1, first)
    other = make_block(1, time_ms=START_MS + 7)
    misplaced = certificate(NOTARIZE, 2, first)
    foreign = certificate(NOTARIZE, 1, first, epoch=2)
    return {
        "from another than the leader": (1, propose(second, notarization)),
        "parent certificate of another block": (2, propose(make_block(2, None, other), notarization)),
        "no parent certificate": (2, propose(second)),
        "parent certificate is a nullification": (
            2, Proposal(make_block(2, 2, BlockId(b"")), certificate(NULLIFY, 1), ()),
        ),
        "parent certificate of another epoch": (2, Proposal(second, foreign, ())),
        "parent certificate of the same view": (
            2, Proposal(make_block(2, 2, first.id), certificate(NOTARIZE, 2, first), ()),
        ),
        "a skipped view without its nullification": (3, propose(third, notarization)),
        "the nullification of another view": (3, propose(third, notarization, 1)),
        "a nullification twice": (3, propose(third, notarization, 2, 2)),
        "a nullification too many": (2, propose(second, notarization, 1)),
        "a notarization in place of a nullification": (3, Proposal(third, notarization, (misplaced,))),
        "a nullification of another epoch": (3, Proposal(third, notarization, (certificate(NULLIFY, 2, epoch=2),))),
        "a first block of the epoch above skipped views": (2, propose(make_block(2, 1), None)),
    }  # fmt: skip


@pytest.mark.parametrize("what", list(wrong_proposals()))
def test_malformed_proposal_is_refused_and_leaves_no_trace(what):
    """Section 3, "Notarize": "parent notarized and skipped views nullified; […] epoch and view right"."""
    node = Node()
    first = make_block(1)
    node.tell(1, propose(first))
    node.tell(1, certificate(NOTARIZE, 1, first))
    assert node.core.view == 2
    before = node.state()
    sender, proposal = wrong_proposals()[what]
    node.tell(sender, proposal)
    assert len(node.rejections()) == 1
    assert [type(effect) for effect in node.done] == [ev.Reject, ev.WakeAt]
    assert node.state() == before


def test_proposal_from_a_stranger_is_refused():
    """Section 3: only the leader proposes."""
    node = Node()
    before = node.state()
    node.tell(STRANGER, propose(make_block()))
    assert "leader" in node.rejections()[0]
    assert node.state() == before


@pytest.mark.parametrize("carried", ["parent", "nullification"])
def test_proposal_with_a_certificate_that_does_not_hold_is_refused(carried):
    """Section 3: "parent notarized and skipped views nullified" means by certificates that verify."""
    node = Node()
    first = make_block(1)
    weak = {"signers": (1, 2)}
    parent = certificate(NOTARIZE, 1, first, **(weak if carried == "parent" else {}))
    skipped = certificate(NULLIFY, 2, **(weak if carried == "nullification" else {}))
    node.tell(3, Proposal(make_block(3, None, first), parent, (skipped,)))
    assert "quorum" in node.rejections()[-1]
    assert node.core.view < 3
    assert all(v.kind == FINALIZE for v in node.signed)


def test_proposal_that_leaves_out_a_final_block_is_refused():
    """Section 3: what is final stays; a parent below the last final view forks."""
    node = Node()
    first = make_block(1)
    second = make_block(2, None, first)
    node.finalize([first, second])
    assert node.core.view == 3
    before = node.state()
    node.tell(3, propose(make_block(3, None, first), certificate(NOTARIZE, 1, first), 2))
    assert "leaves out a final block" in node.rejections()[0]
    node.tell(3, propose(make_block(3), None, 1, 2))
    assert "leaves out a final block" in node.rejections()[0]
    assert node.state() == before
    node.tell(3, propose(make_block(3, None, second), certificate(NOTARIZE, 2, second)))
    assert node.votes(NOTARIZE)


def test_proposal_for_a_view_ahead_counts_by_its_certificates():
    """Section 3: "A message for a view ahead counts only with a certificate"."""
    node = Node()
    block = make_block(3)
    node.tell(3, propose(block, None, 1, 2))
    assert node.core.view == 3
    assert [v.block_id for v in node.votes(NOTARIZE)] == [block.id]


def test_proposal_may_stand_on_a_block_whose_finalization_it_carries():
    """Section 3: a finalization proves more than a notarization."""
    node = Node()
    first = make_block(1)
    node.tell(1, propose(first))
    second = make_block(2, None, first)
    node.tell(2, propose(second, certificate(FINALIZE, 1, first)))
    assert node.replica.last_final_view == 1
    assert [v.block_id for v in node.votes(NOTARIZE)] == [second.id]


def test_block_with_repeated_digests_or_hashes_of_other_lengths_does_not_decode():
    """Section 3: "limits; distinct digests"."""
    for block in (
        make_block(digests=[digest("a"), digest("a")]),
        make_block(digests=[digest("a")[:31]]),
        make_block(parent=BlockId(b"short")),
    ):
        with pytest.raises(InvalidMessage):
            Block.decode(block.raw)
    good = make_block(digests=[digest("a"), digest("b")])
    assert Block.decode(good.raw) == good


# ---------------------------------------------------------------- nullifying


def test_member_without_a_proposal_nullifies_on_the_leader_timer():
    """Section 3: "Leader timer 2Δ […] With nothing to order, both are longer by `idle_interval`"."""
    node = Node()
    node.wait(1_999)
    assert not node.votes(NULLIFY)
    node.wait(1)
    assert {v.view for v in node.votes(NULLIFY)} == {1}
    assert [record.vote for record in node.records(OwnVote)] == node.signed


def test_member_with_a_proposal_nullifies_on_the_view_timer():
    """Section 3: "view timer 3Δ"; notarize, then nullify, happens honestly."""
    node = Node()
    node.tell(1, propose(make_block()))
    node.wait(2_499)
    assert not node.votes(NULLIFY)
    node.wait(1)
    assert [v.view for v in node.votes(NULLIFY)] == [1]


def test_member_nullifies_once_a_view():
    """Section 3: own votes are rebroadcast, not cast again."""
    node = Node()
    node.wait(20_000)
    assert len({v.signature for v in node.votes(NULLIFY)}) == 1
    assert len(node.records(OwnVote)) == 1


def test_member_that_hears_f_nullify_votes_does_not_follow_and_with_one_more_it_does():
    """Section 3: "f+1 nullify votes of the view"."""
    node = Node()
    node.tell(2, vote(2, NULLIFY, 1))
    assert not node.votes(NULLIFY)
    node.tell(3, vote(3, NULLIFY, 1))
    assert [v.view for v in node.votes(NULLIFY)] == [1]


def test_member_follows_the_leaders_own_nullify_and_no_other_single_one():
    """Section 3: "Nullify: […] the leader's own nullify"."""
    for sender, follows in ((1, True), (2, False), (3, False)):
        node = Node()
        node.tell(sender, vote(sender, NULLIFY, 1))
        assert bool(node.votes(NULLIFY)) is follows


def test_member_that_heard_f_plus_one_nullify_votes_ahead_nullifies_on_entering():
    """Section 3: they count as soon as the view is the current one."""
    node = Node()
    node.tell(2, vote(2, NULLIFY, 2))
    node.tell(3, vote(3, NULLIFY, 2))
    assert not node.votes(NULLIFY)
    node.tell(3, certificate(NULLIFY, 1))
    assert [v.view for v in node.votes(NULLIFY)] == [2]


def test_member_that_nullified_still_notarizes_a_late_proposal_and_does_not_finalize_it():
    """Section 3: "Never: […] `finalize` and `nullify` both in a view"."""
    node = Node()
    node.wait(2_000)
    assert node.votes(NULLIFY)
    block = make_block()
    node.notarize(block)
    assert node.core.view == 2
    assert [v.kind for v in node.signed] == [NULLIFY, NOTARIZE]


def test_follower_never_votes_or_proposes():
    """Section 5: who is not in the set signs nothing."""
    node = Node(follower=True)
    block = make_block()
    node.tell(1, propose(block), certificate(NOTARIZE, 1, block), certificate(FINALIZE, 1, block))
    node.tell(2, BlockResponse(block))
    node.wait(20_000)
    assert node.signed == []
    assert node.executed == [block]


def test_single_validator_orders_alone():
    """Section 1: n = 1 has f = 0 and q = 1."""
    net = Net(1)
    net.run(5_000)
    node = net.nodes[0]
    assert len(node.executed) >= 3
    assert node.core.certified_height == len(node.executed)
    assert make_checkpoint(node.executed[0]) == Checkpoint.decode(make_checkpoint(node.executed[0]).encode())
