# SPDX-License-Identifier: Apache-2.0
"""From epoch to epoch: docs/protocol.md, section 5."""

from dataclasses import replace

import pytest

from chain.certificate import Certificate
from chain.checkpoint import ClosingCheckpoint, ValidatorSet
from chain.consensus import events as ev
from chain.consensus.block import Block
from chain.consensus.journal import StoredClosing
from chain.consensus.messages import (
    CLOSINGS_MAX,
    BlockResponse,
    BlockWithBodies,
    Certificates,
    CertificatesRequest,
    CheckpointVote,
    ClosingRequest,
    Closings,
    Moved,
    Proposal,
    Range,
)
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.types import Epoch, Millis, View
from tests.unit.consensus_rig import (
    FOUR,
    KEYS,
    STRANGER,
    Node,
    certificate,
    certify,
    chain_of,
    checkpoint_vote,
    close,
    make_block,
    make_checkpoint,
    members,
    propose,
    vote,
)

NEXT = members(0, 1, 2, 3, 4, epoch=2)
WITHOUT_ME = members(1, 2, 3, 4, epoch=2)


def closed(next_set: ValidatorSet = NEXT, length: int = 2) -> tuple[Node, list[Block]]:
    """A member that executed its epoch's closing block, the last of these, and has no certificate of it yet."""
    node = Node()
    blocks = chain_of(length)
    node.closing[blocks[-1].height] = next_set
    node.finalize(blocks)
    return node, blocks


def moved(next_set: ValidatorSet = NEXT) -> tuple[Node, list[Block]]:
    """A member that has moved on to the next epoch."""
    node, blocks = closed(next_set)
    node.tell(1, certify(make_checkpoint(blocks[-1], next_set)))
    assert node.core.epoch == 2
    return node, blocks


# ---------------------------------------------------------------- closing


def test_member_that_executed_the_closing_block_sends_no_new_vote():
    """Section 5: "Who has executed the closing block sends no new vote or proposal of that epoch"."""
    node, blocks = closed()
    before = list(node.signed)
    following = make_block(3, None, blocks[-1])
    node.tell(3, propose(following, certificate(FINALIZE, 2, blocks[-1])))
    node.tell(3, certificate(NOTARIZE, 3, following))
    node.tell(2, vote(2, NULLIFY, 4))
    node.tell(3, vote(3, NULLIFY, 4))
    node.wait(20_000)
    assert node.signed == before


def test_leader_that_executed_the_closing_block_sends_no_new_proposal():
    """Section 5: nor a proposal."""
    node, blocks = closed(length=3)
    assert node.replica.leader(node.core.view) == KEYS[0]
    node.step(ev.PendingChanged(pending=True))
    assert not node.effects(ev.RequestPayload)
    node.wait(10_000)
    assert not node.said(Proposal)
    assert blocks[-1].view == 3


def test_member_that_executed_the_closing_block_still_answers_and_rebroadcasts():
    """Section 5: "but still answers and rebroadcasts"."""
    node, blocks = closed()
    node.tell(3, CertificatesRequest(Epoch(1), View(1)))
    assert [c.view for c in node.answered(Certificates)[0].certificates] == [2]
    node.wait(5_000)
    assert set(node.said(CheckpointVote)) == {checkpoint_vote(0, make_checkpoint(blocks[-1], NEXT))}
    assert node.said(Certificate)


def test_member_restarted_after_executing_the_closing_block_sends_no_new_vote():
    """Section 5: the store's newest block closes the epoch, as before the crash."""
    node, blocks = closed()
    node.restart()
    following = make_block(3, None, blocks[-1])
    before = list(node.signed)
    node.tell(3, propose(following, certificate(FINALIZE, 2, blocks[-1])))
    node.wait(20_000)
    assert node.signed == before


# ---------------------------------------------------------------- moving


def test_member_moves_on_the_closing_certificate_and_the_list_that_it_executed():
    """Section 5: "A validator moves on the closing certificate and the list", and says so (`Moved`)."""
    node, blocks = closed()
    node.tell(1, certify(make_checkpoint(blocks[-1], NEXT)))
    assert node.core.epoch == 2
    assert node.core.view == 1
    assert [effect.validators for effect in node.effects(ev.EpochEntered)] == [NEXT]
    (announced,) = [e for e in node.effects(ev.Broadcast) if isinstance(e.message, Moved)]
    assert announced.message == Moved(Epoch(2))
    assert set(announced.to) == {*FOUR.keys, *NEXT.keys} - {KEYS[0]}


def test_member_moves_on_a_quorum_of_signatures_on_the_closing_checkpoint():
    """Section 5: the certificate may be made here."""
    node, blocks = closed()
    closing = make_checkpoint(blocks[-1], NEXT)
    node.tell(1, checkpoint_vote(1, closing))
    node.tell(2, checkpoint_vote(2, closing))
    assert node.core.epoch == 2


def test_member_moves_on_certificate_and_list_before_it_has_executed_and_signs_once_it_has():
    """Section 5: "executed or not, and signs checkpoints once it has executed"."""
    node = Node()
    blocks = chain_of(2)
    node.closing[blocks[-1].height] = NEXT
    node.tell(1, Closings((close(blocks[-1], NEXT),)))
    assert node.core.epoch == 2
    assert node.executed == []
    first = make_block(1, None, blocks[-1], epoch=2)
    node.tell(1, propose(first))
    assert [v.epoch for v in node.votes(NOTARIZE)] == [2]
    node.tell(1, BlockResponse(blocks[1]))
    node.tell(1, BlockResponse(blocks[0]))
    assert node.executed == blocks
    node.tell(1, certificate(FINALIZE, 1, first, epoch=2, signers=(1, 2, 3, 4), of=NEXT))
    assert node.executed == [*blocks, first]
    assert node.said(CheckpointVote) == [checkpoint_vote(0, make_checkpoint(first))]


def test_closing_certificate_is_durable_before_anything_of_the_next_epoch_is_sent():
    """Section 3, "Durable": "A closing certificate, with its list of validators, before anything of the next epoch"."""
    node, blocks = closed()
    node.tell(1, certify(make_checkpoint(blocks[-1], NEXT)))
    assert isinstance(node.done[0], ev.Persist)
    (record,) = node.records(StoredClosing)
    assert (record.epoch, record.closing) == (1, close(blocks[-1], NEXT))


def test_restarted_validator_is_in_the_epoch_after_its_newest_stored_closing_certificate():
    """Section 3, "Durable": "a restarted validator is in the epoch after its newest stored one"."""
    node, blocks = moved()
    node.restart()
    assert (node.core.epoch, node.core.view) == (2, 1)
    assert node.core.validators == NEXT
    assert node.core.closings(Epoch(1)) == (close(blocks[-1], NEXT),)


def test_several_closing_checkpoints_at_once_lead_through_the_epochs():
    """Section 5: one that was away for long gets them in one answer."""
    node = Node()
    first = chain_of(1)[0]
    second = make_block(1, None, first, epoch=2)
    three = members(1, 2, 3, 4, epoch=3)
    node.tell(1, Closings((close(first, NEXT), close(second, three, (1, 2, 3, 4), NEXT))))
    assert node.core.epoch == 3
    assert not node.core.is_member
    assert [r.epoch for r in node.records(StoredClosing)] == [1, 2]


def wrong_closings() -> dict[str, ClosingCheckpoint]:
    block = chain_of(1)[0]
    skipping = members(0, 1, 2, 3, 4, epoch=3)
    junk = replace(certify(make_checkpoint(block, NEXT)), checkpoint=b"")
    plain = ClosingCheckpoint(certify(make_checkpoint(block)), NEXT.encode())
    return {
        "below quorum": close(block, NEXT, (1, 2)),
        "another list than named": replace(close(block, NEXT), next=WITHOUT_ME.encode()),
        "a list for a later epoch": close(block, skipping),
        "a checkpoint that closes nothing": plain,
        "a list that does not decode": replace(close(block, NEXT), next=b"\xff"),
        "an empty list": replace(close(block, NEXT), next=b""),
        "a checkpoint that does not decode": ClosingCheckpoint(junk, NEXT.encode()),
    }  # fmt: skip


@pytest.mark.parametrize("what", list(wrong_closings()))
def test_closing_checkpoint_that_does_not_hold_is_refused_and_leaves_no_trace(what):
    """Section 5: "the list travels with the closing checkpoint", whose certificate and hash both hold."""
    node = Node()
    before = node.state()
    node.tell(1, Closings((wrong_closings()[what],)))
    assert len(node.rejections()) == 1
    assert node.core.epoch == 1
    assert node.state() == before


def test_checkpoint_of_an_epoch_above_its_closing_height_is_refused():
    """Section 5: "A checkpoint of an epoch above its closing height is refused"."""
    node, blocks = moved()
    above = make_block(3, None, blocks[-1])
    before = node.state()
    node.tell(1, certify(make_checkpoint(above)))
    assert node.rejections() == ["checkpoint above its epoch's closing height"]
    assert node.state() == before


# ---------------------------------------------------------------- void blocks


def test_final_block_above_the_closing_one_is_never_executed_or_signed():
    """Section 5: "Later blocks of that epoch are void: never executed or checkpointed"."""
    node = Node()
    blocks = chain_of(4)
    node.closing[blocks[1].height] = NEXT
    node.finalize(blocks)
    assert node.executed == blocks[:2]
    assert len(node.said(CheckpointVote)) == 2
    node.tell(1, certify(make_checkpoint(blocks[1], NEXT)))
    assert node.executed == blocks[:2]


def test_block_that_becomes_final_above_an_executed_closing_block_is_not_executed():
    """Section 5: those who have not executed yet may still finalize it."""
    node, blocks = closed()
    node.finalize([make_block(3, None, blocks[-1])])
    assert node.replica.last_final_view == 3
    assert node.executed == blocks


def test_void_blocks_are_handed_back_when_the_epoch_is_left():
    """Section 5: "their transactions go back to the mempool"."""
    node = Node()
    blocks = chain_of(4)
    node.closing[blocks[1].height] = NEXT
    node.finalize(blocks)
    node.tell(1, certify(make_checkpoint(blocks[1], NEXT)))
    assert [effect.block for effect in node.effects(ev.Void)] == blocks[2:]


def test_void_block_made_final_after_the_closing_certificate_is_not_executed():
    """Section 5: whatever made or will make it final."""
    node = Node()
    blocks = chain_of(3)
    node.closing[blocks[1].height] = NEXT
    node.executes = False
    node.finalize(blocks)
    node.tell(1, Closings((close(blocks[1], NEXT),)))
    node.executes = True
    node.execute_now()
    assert node.executed == blocks[:2]
    node.restart()
    assert node.executed == blocks[:2]


def test_restarted_validator_that_has_not_executed_the_closing_block_knows_which_blocks_are_void():
    """Section 5: the stored closing certificate says where the epoch ended."""
    node = Node()
    node.executes = False
    blocks = chain_of(3)
    node.tell(1, Closings((close(blocks[1], NEXT),)))
    node.restart()
    ranged = tuple(BlockWithBodies(block, ()) for block in blocks)
    node.tell(1, Range(ranged, certificate(FINALIZE, 3, blocks[2])))
    assert node.rejections() == ["range with void blocks"]


# ---------------------------------------------------------------- the next epoch


def test_next_epoch_starts_with_view_1_on_the_closing_block():
    """Section 5: "The next epoch starts with view 1. Its first block's parent is the closing block: view 0 […] (so the
    proposal carries no parent certificate); height + 1"."""
    node, blocks = closed()
    node.me = 0
    node.tell(1, certify(make_checkpoint(blocks[-1], NEXT)))
    for view in range(1, 5):
        node.tell(1, certificate(NULLIFY, view, epoch=2, signers=(1, 2, 3, 4), of=NEXT))
    assert node.replica.leader(View(5)) == KEYS[0]
    node.wait(1_000)
    (proposal,) = node.said(Proposal)
    assert proposal.parent is None
    assert (proposal.block.epoch, proposal.block.view) == (2, 5)
    assert (proposal.block.parent_id, proposal.block.height) == (blocks[-1].id, blocks[-1].height + 1)
    assert proposal.block.time_ms > blocks[-1].time_ms


@pytest.mark.parametrize(
    ("first", "accepted"),
    [
        (lambda closing: make_block(1, None, closing, epoch=2), True),
        (lambda closing: make_block(1, 4, closing.id, epoch=2, time_ms=closing.time_ms + 1), False),
        (lambda closing: make_block(1, 3, closing.id, epoch=2, time_ms=closing.time_ms), False),
        (lambda closing: make_block(1, None, None, epoch=2), False),
        (lambda closing: make_block(1, None, make_block(3, None, closing), epoch=2), False),
    ],
    ids=["on the closing block", "wrong height", "time of the closing block", "on genesis", "on a void block"],
)
def test_first_block_of_an_epoch_stands_on_the_closing_block_and_is_later(first, accepted):
    """Section 5: "height + 1; time later than the checkpoint's"."""
    node, blocks = moved()
    node.tell(1, propose(first(blocks[-1])))
    assert bool(node.votes(NOTARIZE)) is accepted


def test_delay_bound_starts_afresh_in_the_next_epoch():
    """Section 5: "Δ starts afresh"."""
    node, blocks = closed()
    for view in range(3, 9):
        node.tell(1, certificate(NULLIFY, view))
    assert node.core.delta_ms > 500
    node.tell(1, certify(make_checkpoint(blocks[-1], NEXT)))
    assert node.core.delta_ms == 500


def test_what_is_pending_is_pending_in_the_next_epoch():
    """Section 3: timers are short while there is something to order; the driver tells changes only."""
    node, blocks = closed()
    node.step(ev.PendingChanged(pending=True))
    node.tell(1, certify(make_checkpoint(blocks[-1], NEXT)))
    node.wait(2 * node.core.delta_ms)
    assert [v.epoch for v in node.signed if v.kind == NULLIFY] == [2]


def test_votes_of_the_former_epoch_do_not_count_in_the_next():
    """Section 3: "vote logs are keyed by both" epoch and view."""
    node, _ = moved()
    for number in (1, 2, 3, 4):
        node.tell(number, vote(number, NULLIFY, 1))
    assert node.core.view == 1
    node.tell(1, certificate(NULLIFY, 1, signers=(1, 2, 3)))
    assert node.core.view == 1


def test_same_view_of_the_next_epoch_is_voted_in_anew():
    """Section 3: a restarted view count would otherwise forbid it, or reuse signatures."""
    node = Node()
    first = make_block()
    node.notarize(first)
    node.closing[first.height] = NEXT
    node.tell(1, certificate(FINALIZE, 1, first))
    node.tell(1, certify(make_checkpoint(first, NEXT)))
    node.tell(1, propose(make_block(1, None, first, epoch=2)))
    assert [(v.epoch, v.view) for v in node.votes(NOTARIZE)] == [(2, 1)]
    node.restart()
    assert [(v.epoch, v.view) for v in node.votes(NOTARIZE)] == [(2, 1)]


def test_muted_validator_votes_in_no_later_epoch_under_its_key():
    """Section 3: "never votes again under that key"."""
    node = Node(lost=True)
    first = make_block()
    node.closing[first.height] = NEXT
    node.finalize([first])
    node.tell(1, certify(make_checkpoint(first, NEXT)))
    assert node.core.epoch == 2
    node.tell(1, propose(make_block(1, None, first, epoch=2)))
    node.wait(20_000)
    assert not node.signed
    node.restart()
    assert not node.core.is_voting


# ---------------------------------------------------------------- messages across epochs


@pytest.mark.parametrize(
    "message",
    [
        vote(3, NULLIFY, 5),
        certificate(NULLIFY, 5),
        propose(make_block(3)),
        CertificatesRequest(Epoch(1), View(1)),
        ClosingRequest(Epoch(1)),
        Moved(Epoch(1)),
        checkpoint_vote(3, make_checkpoint(make_block())),
    ],
    ids=lambda message: type(message).__name__,
)
def test_message_of_an_earlier_epoch_is_answered_with_the_closing_checkpoints_at_a_bounded_pace(message):
    """Section 3: "A message of an earlier epoch is answered with the closing checkpoints from there on"; section 5:
    "Members of the new set answer old-epoch messages for good"."""
    node, blocks = moved()
    node.now = Millis(node.now + 3_600_000)
    node.tell(3, *[message] * 10)
    assert node.effects(ev.Send) == [ev.Send(KEYS[3], Closings((close(blocks[-1], NEXT),)))]


@pytest.mark.parametrize(
    "message",
    [
        vote(3, NULLIFY, 5, epoch=2),
        certificate(NULLIFY, 5, epoch=2),
        Certificates((certificate(NULLIFY, 5, epoch=2), certificate(NULLIFY, 6, epoch=2))),
        propose(make_block(3, epoch=2)),
        CertificatesRequest(Epoch(2), View(1)),
        Moved(Epoch(2)),
        checkpoint_vote(3, make_checkpoint(make_block(epoch=2))),
        certify(make_checkpoint(make_block(epoch=2))),
    ],
    ids=lambda message: type(message).__name__,
)
def test_message_of_a_later_epoch_makes_its_receiver_ask_its_sender_at_a_bounded_pace(message):
    """Section 3: "one of a later epoch makes the receiver ask its sender for them (`ClosingRequest`)"."""
    node = Node()
    node.tell(3, *[message] * 10)
    assert node.effects(ev.Send) == [ev.Send(KEYS[3], ClosingRequest(Epoch(1)))]
    assert node.core.epoch == 1


def test_closing_checkpoints_in_one_answer_are_bounded():
    """Section 3: bounded batches; who gets as many asks again."""
    node = Node(me=5)
    block = chain_of(1)[0]
    closings = []
    for epoch in range(1, CLOSINGS_MAX + 4):
        of = FOUR if epoch == 1 else members(0, 1, 2, 3, epoch=epoch)
        closings.append(close(block, members(0, 1, 2, 3, epoch=epoch + 1), of=of))
        block = make_block(1, None, block, epoch=epoch + 1)
    node.tell(1, Closings(tuple(closings)))
    assert node.core.epoch == CLOSINGS_MAX + 4
    node.now = Millis(node.now + 10_000)
    node.tell(3, ClosingRequest(Epoch(1)))
    assert node.answered(Closings) == [Closings(tuple(closings[:CLOSINGS_MAX]))]


# ---------------------------------------------------------------- leaving and joining


def test_leaver_may_leave_once_it_has_heard_from_a_quorum_of_the_new_set():
    """Section 5: "A leaver signs, rebroadcasts and answers until it has heard from q of the new set"."""
    node, _ = moved(WITHOUT_ME)
    assert not node.core.is_member
    for sender in (1, 2, 3):
        assert not node.core.may_leave
        node.tell(sender, Moved(Epoch(2)))
    assert node.core.may_leave


def test_leaver_does_not_count_strangers_repetitions_or_members_that_have_not_moved():
    """Section 5: q members of the new set."""
    node, _ = moved(WITHOUT_ME)
    for _ in range(4):
        node.tell(1, Moved(Epoch(2)))
    node.tell(2, Moved(Epoch(1)))
    node.tell(STRANGER, Moved(Epoch(2)))
    node.tell(KEYS[7], Moved(Epoch(2)))
    assert not node.core.may_leave


def test_member_may_not_leave():
    """Section 5: only one that is no member any more."""
    node, _ = moved(NEXT)
    for sender in (1, 2, 3, 4):
        node.tell(sender, Moved(Epoch(2)))
    assert not node.core.may_leave


def test_leaver_votes_no_more_and_answers():
    """Section 5: it "answers until it has heard from q of the new set"."""
    node, blocks = moved(WITHOUT_ME)
    before = list(node.signed)
    node.tell(2, propose(make_block(1, None, blocks[-1], epoch=2)))
    node.wait(10_000)
    assert node.signed == before
    node.tell(3, vote(3, NULLIFY, 5))
    assert node.answered(Closings) == [Closings((close(blocks[-1], WITHOUT_ME),))]


def test_leaver_rebroadcasts_its_signature_on_the_closing_checkpoint_until_it_is_certified():
    """Section 5: "leavers silent on executing" stalled 40 of 120 runs."""
    node, blocks = closed(WITHOUT_ME)
    node.wait(3_000)
    assert checkpoint_vote(0, make_checkpoint(blocks[-1], WITHOUT_ME)) in node.said(CheckpointVote)


def test_joiner_signs_nothing_before_its_epoch_and_votes_in_it():
    """Section 5: "it polls for closing checkpoints and final blocks, and signs nothing before its epoch"."""
    node = Node(me=4)
    block = make_block()
    node.tell(1, propose(block), certificate(NOTARIZE, 1, block))
    node.wait(3_000)
    assert node.signed == []
    assert node.answered(ClosingRequest)
    node.closing[block.height] = NEXT
    node.tell(1, Closings((close(block, NEXT),)))
    assert node.core.is_voting
    node.tell(1, propose(make_block(1, None, block, epoch=2)))
    assert [v.epoch for v in node.votes(NOTARIZE)] == [2]
