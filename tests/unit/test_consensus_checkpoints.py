# SPDX-License-Identifier: Apache-2.0
"""Signatures on what execution yielded: docs/protocol.md, section 4, and section 3, "Lost messages"."""

from dataclasses import replace

import pytest

from chain.certificate import verify_checkpoint, verify_evidence
from chain.checkpoint import CertifiedCheckpoint, Checkpoint
from chain.consensus import events as ev
from chain.consensus.checkpoints import HEIGHTS_PER_PEER_MAX
from chain.consensus.journal import NewestCheckpoint, OwnCheckpoint
from chain.consensus.messages import CheckpointVote, ClosingRequest
from chain.types import Height, Millis, Network, sha256
from tests.unit.consensus_rig import (
    FOUR,
    KEYS,
    NETWORK,
    SCHEME,
    STRANGER,
    Node,
    certify,
    chain_of,
    checkpoint_vote,
    make_block,
    make_checkpoint,
    members,
)


def executed(length: int = 1, **how: object) -> tuple[Node, list[Checkpoint]]:
    """A member that executed so many blocks, with what each yielded."""
    node = Node(**how)  # type: ignore[arg-type]
    blocks = chain_of(length)
    node.finalize(blocks)
    assert node.executed == blocks
    return node, [make_checkpoint(block) for block in blocks]


def other(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, state_root=sha256(b"another state"))


# ---------------------------------------------------------------- signing


def test_executed_block_is_signed_durably_before_the_signature_is_sent():
    """Section 4: "signs the checkpoint of every block it executed, durably, at most one per height"."""
    node, (checkpoint,) = executed()
    (signed,) = node.said(CheckpointVote)
    assert signed == checkpoint_vote(0, checkpoint)
    assert [(r.height, r.vote) for r in node.records(OwnCheckpoint)] == [(1, signed)]
    last = [index for index, e in enumerate(node.done) if isinstance(e, ev.Persist) and e.records]
    sent = [i for i, e in enumerate(node.done) if isinstance(e, ev.Broadcast) and isinstance(e.message, CheckpointVote)]
    assert max(last) < sent[0]


def test_each_executed_block_is_signed_once_and_again_the_same_after_a_restart():
    """Section 4: "at most one per height"."""
    node, checkpoints = executed(3)
    assert [v.checkpoint for v in node.said(CheckpointVote)] == [c.encode() for c in checkpoints]
    node.restart()
    assert node.said(CheckpointVote) == [checkpoint_vote(0, checkpoints[-1])]
    assert not node.records(OwnCheckpoint)


def test_block_executed_again_to_another_result_stops_the_validator_instead_of_signing_twice():
    """Section 4: "at most one per height": a crash between execution and commit, then a different outcome."""
    node = Node()
    (block,) = chain_of(1)
    node.finalize([block])
    tip, node._tip = node._tip, None
    assert tip is not None
    node.executes = False
    node.restart()
    node.finalize([block])
    node.step(ev.Executed(other(make_checkpoint(block)), None))
    assert not node.said(CheckpointVote)
    assert "another checkpoint" in node.effects(ev.Halt)[0].reason


def test_follower_signs_no_checkpoint():
    """Section 4: members of the block's epoch sign."""
    node, _ = executed(follower=True)
    assert not node.said(CheckpointVote)
    assert not node.records(OwnCheckpoint)


def test_quorum_of_signatures_makes_a_certificate():
    """Section 4: "q signatures make its certificate"."""
    node, (checkpoint,) = executed()
    node.tell(1, checkpoint_vote(1, checkpoint))
    assert not node.effects(ev.Certified)
    node.tell(2, checkpoint_vote(2, checkpoint))
    (certified,) = node.effects(ev.Certified)
    assert certified.checkpoint == checkpoint
    assert verify_checkpoint(certified.certified, FOUR, NETWORK, SCHEME) == checkpoint
    assert node.core.certified_height == 1


def test_certificates_may_skip_heights():
    """Section 4: "Certificates may skip heights, except closing ones"."""
    node, checkpoints = executed(3)
    node.tell(1, checkpoint_vote(1, checkpoints[2]))
    node.tell(2, checkpoint_vote(2, checkpoints[2]))
    assert [effect.checkpoint.height for effect in node.effects(ev.Certified)] == [3]
    node.tell(3, checkpoint_vote(3, checkpoints[0]))
    assert not node.effects(ev.Certified)


def test_certificate_is_announced_only_once_its_block_is_executed_here():
    """Section 2: "Only an entry under a certified checkpoint is acknowledged", by one that has the entry."""
    node = Node()
    node.executes = False
    (block,) = chain_of(1)
    node.finalize([block])
    node.tell(1, certify(make_checkpoint(block)))
    assert node.core.certified_height == 1
    assert not node.effects(ev.Certified)
    node.execute_now()
    assert [effect.checkpoint.height for effect in node.effects(ev.Certified)] == [1]


def test_block_below_the_certified_height_is_not_signed_any_more():
    """Section 3: a signature is of use only until a certificate covers its height."""
    node = Node()
    node.executes = False
    blocks = chain_of(2)
    node.finalize(blocks)
    node.tell(1, certify(make_checkpoint(blocks[1])))
    node.execute_now()
    assert not node.said(CheckpointVote)


def test_certified_checkpoint_makes_its_block_final():
    """Section 4: a quorum executed it, so it is final."""
    node = Node()
    block = make_block()
    node.core._tree.add(block)
    node.tell(1, certify(make_checkpoint(block)))
    assert node.executed == [block]


@pytest.mark.parametrize("wrong", ["below quorum", "another network", "stranger's set", "altered"])
def test_certified_checkpoint_that_does_not_hold_is_refused_and_leaves_no_trace(wrong):
    """Section 4: q signatures of the epoch's set, on these bytes."""
    checkpoint = make_checkpoint(make_block())
    message = {
        "below quorum": certify(checkpoint, (1, 2)),
        "another network": certify(replace(checkpoint, network=Network(sha256(b"elsewhere")))),
        "stranger's set": certify(checkpoint, of=members(1, 2, 3, 4)),
        "altered": replace(certify(checkpoint), checkpoint=other(checkpoint).encode()),
    }[wrong]
    node = Node()
    before = node.state()
    node.tell(1, message)
    assert len(node.rejections()) == 1
    assert node.state() == before


def test_bytes_that_are_no_checkpoint_are_refused_and_leave_no_trace():
    """Section 1: a decoder raises a reason for any bytes whatever."""
    node = Node()
    before = node.state()
    for junk in (b"", b"\xff" * 40, make_checkpoint(make_block()).encode()[:-1]):
        node.tell(1, CheckpointVote(junk, bytes(96)))
        assert len(node.rejections()) == 1
        node.tell(1, CertifiedCheckpoint(junk, b"\x0e", bytes(96)))
        assert len(node.rejections()) == 1
    assert node.state() == before


# ---------------------------------------------------------------- others' signatures


@pytest.mark.parametrize("sender", [STRANGER, KEYS[4]])
def test_signature_from_outside_the_set_is_refused(sender):
    """Section 4: "Every member of the block's epoch signs"."""
    node = Node()
    before = node.state()
    node.tell(sender, checkpoint_vote(1, make_checkpoint(make_block())))
    assert len(node.rejections()) == 1
    assert node.state() == before


def test_signature_for_another_network_is_refused():
    """Section 1: nothing of another network counts."""
    node = Node()
    before = node.state()
    node.tell(1, checkpoint_vote(1, replace(make_checkpoint(make_block()), network=Network(sha256(b"elsewhere")))))
    assert len(node.rejections()) == 1
    assert node.state() == before


def test_bad_signature_found_at_aggregation_is_dropped_and_its_author_checked_from_then_on():
    """Section 3: "find the bad vote, and from then on verify that peer's votes on arrival"."""
    node, (checkpoint,) = executed()
    bad = CheckpointVote(checkpoint.encode(), sha256(b"bad") * 3)
    node.tell(1, bad)
    node.tell(2, checkpoint_vote(2, checkpoint))
    assert node.effects(ev.Reject) == [ev.Reject(KEYS[1], "checkpoint signature that does not verify")]
    node.wait(node.core.delta_ms)
    node.tell(1, bad)
    assert node.effects(ev.Reject) == [ev.Reject(KEYS[1], "checkpoint signature that does not verify")]
    node.wait(node.core.delta_ms)
    node.tell(1, checkpoint_vote(1, checkpoint))
    assert node.core.certified_height == 1


def test_two_checkpoints_at_one_height_are_evidence_once():
    """Section 3: "or two checkpoints at one height"; "it counts once per validator and epoch"."""
    node = Node()
    first = make_checkpoint(make_block())
    node.tell(1, checkpoint_vote(1, first))
    node.tell(1, checkpoint_vote(1, other(first)))
    (found,) = node.effects(ev.EvidenceFound)
    assert verify_evidence(found.evidence, NETWORK, SCHEME) == (KEYS[1], 1)
    node.tell(1, checkpoint_vote(1, replace(first, state_root=sha256(b"a third"))))
    assert not node.effects(ev.EvidenceFound)


@pytest.mark.parametrize("bad", [0, 1])
def test_two_checkpoints_of_which_one_is_badly_signed_are_no_evidence(bad):
    """Section 3: "Both signatures verify alone"."""
    node = Node()
    first = make_checkpoint(make_block())
    pair = [checkpoint_vote(1, first), checkpoint_vote(1, other(first))]
    pair[bad] = replace(pair[bad], signature=sha256(b"bad") * 3)
    node.tell(1, *pair)
    assert not node.effects(ev.EvidenceFound)


def test_signatures_at_two_heights_are_no_evidence():
    """Section 3: only at one height do they contradict each other."""
    node = Node()
    for block in chain_of(3):
        node.tell(1, checkpoint_vote(1, make_checkpoint(block)))
    assert not node.effects(ev.EvidenceFound)


def test_signatures_kept_of_one_peer_are_bounded_and_the_newest_stay():
    """Section 3: "Buffers per peer are bounded"; the newest is what its author sends again."""
    node = Node()
    for height in range(1, HEIGHTS_PER_PEER_MAX + 100):
        node.tell(1, checkpoint_vote(1, make_checkpoint(make_block(height, height))))
    kept = node.core._checkpoints._votes[1]
    assert len(kept) == HEIGHTS_PER_PEER_MAX
    assert max(kept) == HEIGHTS_PER_PEER_MAX + 99


def test_signatures_that_a_certificate_covers_make_room_for_later_ones():
    """Section 3: the bound is on what is open, or a peer that signs all would be heard no more."""
    node = Node()
    blocks = chain_of(HEIGHTS_PER_PEER_MAX + 2)
    node.finalize(blocks)
    for block in blocks[:HEIGHTS_PER_PEER_MAX]:
        node.tell(1, checkpoint_vote(1, make_checkpoint(block)))
    node.tell(2, certify(make_checkpoint(blocks[HEIGHTS_PER_PEER_MAX - 1])))
    for number in (1, 2):
        node.tell(number, checkpoint_vote(number, make_checkpoint(blocks[-1])))
    assert node.core.certified_height == len(blocks)


def test_signatures_of_the_former_epoch_stand_in_nobodys_way_in_the_next():
    """Section 5: places in the set change from epoch to epoch."""
    node = Node()
    closing, void = chain_of(2)
    next_set = members(0, 2, 3, 4, 1, epoch=2)
    node.closing[closing.height] = next_set
    node.finalize([closing])
    node.tell(1, checkpoint_vote(1, make_checkpoint(void)))
    node.tell(1, certify(make_checkpoint(closing, next_set)))
    first = make_block(1, None, closing, epoch=2)
    node.finalize([first], of=next_set, signers=(1, 2, 3, 4))
    for number in (2, 3, 4):
        node.tell(number, checkpoint_vote(number, make_checkpoint(first)))
    assert node.core.certified_height == first.height


def test_member_accused_in_one_epoch_is_accused_again_in_the_next():
    """Section 3: evidence "counts once per validator and epoch"."""
    node = Node()
    closing = make_block()
    next_set = members(0, 1, 2, 3, 4, epoch=2)
    node.closing[closing.height] = next_set
    node.finalize([closing])
    pairs = [make_block(2, None, closing), make_block(1, None, closing, epoch=2)]
    for at, block in enumerate(pairs):
        node.tell(1, checkpoint_vote(1, make_checkpoint(block)))
        node.tell(1, checkpoint_vote(1, other(make_checkpoint(block))))
        (found,) = node.effects(ev.EvidenceFound)
        assert verify_evidence(found.evidence, NETWORK, SCHEME) == (KEYS[1], at + 1)
        node.tell(1, certify(make_checkpoint(closing, next_set)))


# ---------------------------------------------------------------- lost messages


def test_newest_signature_is_sent_again_until_a_certificate_covers_its_height():
    """Section 3: "Also one's newest checkpoint signature, until one holds a certificate at that height or above"."""
    node, checkpoints = executed(3)
    node.wait(5_000)
    assert set(node.said(CheckpointVote)) == {checkpoint_vote(0, checkpoints[2])}
    assert len(node.said(CheckpointVote)) <= 5_000 // (2 * node.core.delta_ms) + 1
    node.tell(1, certify(checkpoints[2]))
    node.wait(5_000)
    assert not node.said(CheckpointVote)


def test_signature_at_or_below_the_certified_height_is_answered_with_the_certificate_at_a_bounded_pace():
    """Section 3: who still asks for signatures lacks the certificate."""
    node, checkpoints = executed(2)
    newest = certify(checkpoints[1])
    node.tell(1, newest)
    node.tell(3, checkpoint_vote(3, checkpoints[0]))
    assert not node.effects(ev.Send)
    node.now = Millis(node.now + node.core.delta_ms)
    node.tell(3, *[checkpoint_vote(3, checkpoints[0])] * 10)
    assert node.effects(ev.Send) == [ev.Send(KEYS[3], newest)]


def test_newest_certificate_is_found_again_after_a_restart():
    """Section 3, "Durable": written with the next batch; nothing rests on it before."""
    node, checkpoints = executed(2)
    node.tell(1, certify(checkpoints[0]))
    node.finalize([make_block(3, None, node.executed[-1])])
    assert [r.certified for r in node.records(NewestCheckpoint)] == [certify(checkpoints[0])]
    node.restart()
    assert node.core.certified_height == 1


# ---------------------------------------------------------------- divergence


def test_certificate_on_another_checkpoint_than_ones_own_stops_the_validator():
    """Section 4: "A validator that sees a certificate […] on a checkpoint other than its own at that height stops"."""
    node, (checkpoint,) = executed()
    node.tell(1, certify(other(checkpoint)))
    assert "diverged" in node.effects(ev.Halt)[0].reason
    assert not node.effects(ev.Certified)


def test_validator_that_executes_to_another_checkpoint_than_was_certified_stops_without_signing():
    """Section 4: the certificate came first."""
    node = Node()
    block = make_block()
    node.executes = False
    node.finalize([block])
    node.tell(1, certify(other(make_checkpoint(block))))
    assert not node.effects(ev.Halt)
    node.execute_now()
    assert "diverged" in node.effects(ev.Halt)[0].reason
    assert not node.said(CheckpointVote)


def test_late_certificate_of_a_lower_height_that_contradicts_ones_own_stops_the_validator():
    """Section 4: also below the newest certified height, as far as own checkpoints are kept."""
    node, checkpoints = executed(3)
    node.tell(1, certify(checkpoints[2]))
    node.tell(1, certify(other(checkpoints[0])))
    assert node.effects(ev.Halt)


def test_f_plus_one_verified_signatures_on_another_checkpoint_stop_the_validator_and_f_do_not():
    """Section 4: "or f+1 verified signatures, on a checkpoint other than its own"."""
    node, (checkpoint,) = executed()
    node.tell(1, checkpoint_vote(1, other(checkpoint)))
    assert not node.effects(ev.Halt)
    node.tell(2, checkpoint_vote(2, other(checkpoint)))
    assert "2 validators' signatures" in node.effects(ev.Halt)[0].reason


def test_f_plus_one_signatures_of_which_one_is_bad_do_not_stop_the_validator():
    """Section 4: verified signatures; nobody can stop another by junk."""
    node, (checkpoint,) = executed()
    node.tell(1, checkpoint_vote(1, other(checkpoint)))
    node.tell(2, replace(checkpoint_vote(2, other(checkpoint)), signature=sha256(b"bad") * 3))
    assert not node.effects(ev.Halt)


def test_f_plus_one_signatures_that_came_before_execution_stop_the_validator_when_it_executes():
    """Section 4: whichever comes first."""
    node = Node()
    node.executes = False
    block = make_block()
    node.finalize([block])
    wrong = other(make_checkpoint(block))
    node.tell(1, checkpoint_vote(1, wrong))
    node.tell(2, checkpoint_vote(2, wrong))
    assert not node.effects(ev.Halt)
    node.execute_now()
    assert node.effects(ev.Halt)
    assert not node.said(CheckpointVote)


def test_closing_certificate_without_its_list_makes_its_receiver_ask_for_it():
    """Section 5: "A validator moves on the closing certificate and the list"."""
    node = Node()
    node.tell(1, certify(make_checkpoint(make_block(), members(0, 1, 2, epoch=2))))
    assert node.answered(ClosingRequest) == [ClosingRequest(FOUR.epoch)]
    assert node.core.epoch == 1
    assert node.core.certified_height == Height(1)
