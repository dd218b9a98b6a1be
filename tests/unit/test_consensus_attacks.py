# SPDX-License-Identifier: Apache-2.0
"""What single liars and lost disks once could do to the core, each as the shortest run that showed it."""

import pytest

from chain.certificate import Certificate
from chain.checkpoint import CertifiedCheckpoint, Checkpoint, ClosingCheckpoint
from chain.consensus import events as ev
from chain.consensus.follow import QUEUED_MAX
from chain.consensus.messages import (
    BlockRequest,
    BlockResponse,
    BlockWithBodies,
    Certificates,
    ClosingRequest,
    Closings,
    Moved,
    Range,
    decode_message,
    encode_message,
)
from chain.consensus.tally import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY
from chain.errors import InvalidMessage
from chain.memory import MemoryDatabase
from chain.types import Epoch, View
from tests.unit.consensus_rig import (
    KEYS,
    Node,
    certificate,
    certify,
    chain_of,
    checkpoint_vote,
    close,
    digest,
    forged,
    make_block,
    make_checkpoint,
    members,
    propose,
    vote,
)

NEXT = members(0, 1, 2, 3, 4, epoch=2)


def moved() -> tuple[Node, list]:
    """A node in epoch 2 of five, with one void block left behind in epoch 1."""
    node = Node()
    blocks = chain_of(3)
    node.closing[blocks[1].height] = NEXT
    node.finalize(blocks)
    node.tell(1, certify(make_checkpoint(blocks[1], NEXT)))
    assert node.core.epoch == 2
    return node, blocks


@pytest.mark.parametrize("view", [2**63 - 3, 2**63 + 1, 2**64 - 3])
def test_proposal_for_a_view_beyond_all_counting_is_refused(view):
    """Section 1: whatever a peer sends is a value or an error."""
    node = Node()
    assert node.replica.leader(View(view)) == KEYS[1]
    node.tell(1, propose(make_block(view)))
    assert node.rejections() == ["proposal with no nullification for each skipped view"]


def test_proposal_over_more_skipped_views_than_it_carries_is_voted_for_once_the_rest_is_held():
    """Section 3: "the older ones are asked for"; an epoch outlives any number of nullified views."""
    node = Node()
    skipped = range(1, 1_101)
    for view in skipped:
        node.tell(1, certificate(NULLIFY, view))
    assert node.core.view == 1_101
    node.tell(1, propose(make_block(1_101), None, *skipped[-1024:]))
    assert [v.view for v in node.votes(NOTARIZE)] == [1_101]


def test_void_block_is_not_served_after_the_closing_certificate():
    """Section 5: "only until the server holds the closing certificate"."""
    node, blocks = moved()
    node.tell(3, BlockRequest(blocks[2].id))
    assert not node.answered(BlockResponse)


def test_block_requests_are_answered_at_a_bounded_pace():
    """Section 3: 34 bytes asked must not yield 680 KB answered without bound."""
    node = Node()
    block = make_block(digests=[digest(str(number)) for number in range(1000)])
    node.tell(1, propose(block))
    node.tell(3, *[BlockRequest(block.id)] * 100)
    assert len(node.answered(BlockResponse)) == 1


def test_lost_journal_does_not_vote_in_the_epoch_where_it_voted_before():
    """Section 3, "Durable": the peers lead it back there; it must not vote a second time."""
    node = Node()
    first = make_block()
    node.closing[first.height] = NEXT
    node.finalize([first])
    node.tell(1, certify(make_checkpoint(first, NEXT)))
    node.tell(1, propose(make_block(1, None, first, epoch=2)))
    assert node.votes(NOTARIZE)
    node.journal = MemoryDatabase()
    node.core = node._build(lost=True)
    node.start()
    node.tell(1, Closings((close(first, NEXT),)))
    node.tell(1, propose(make_block(1, None, first, epoch=2, time_ms=first.time_ms + 7)))
    assert node.core.epoch == 2
    assert not node.core.is_voting
    assert not node.votes(NOTARIZE)


def test_records_of_former_epochs_are_forgotten():
    """Votes and certificates of an epoch whose closing certificate is stored serve nobody."""
    node = Node()
    first, second = chain_of(2)
    node.notarize(first)
    node.notarize(second, parent=certificate(NOTARIZE, 1, first))
    node.closing[first.height] = NEXT
    node.tell(1, certificate(FINALIZE, 1, first))
    node.tell(1, certify(make_checkpoint(first, NEXT)))
    assert node.core.epoch == 2
    left = [key for key in node.journal.pairs() if key[:1] in {b"v", b"c"} and key[1:9] == (1).to_bytes(8, "big")]
    assert left == []
    assert b"b" + second.id not in node.journal.pairs()


def test_ranges_that_nobody_asked_for_do_not_grow_the_queue():
    """Section 3: buffers are bounded."""
    node = Node()
    node.executes = False
    blocks = chain_of(4 * QUEUED_MAX)
    for at in range(0, len(blocks), 128):
        part = blocks[at : at + 128]
        proof = certificate(FINALIZE, part[-1].view, part[-1])
        node.tell(1, Range(tuple(BlockWithBodies(block, ()) for block in part), proof))
    assert len(node.core._follow._chain) <= QUEUED_MAX + 128


def test_newest_checkpoint_signature_counts_though_many_older_ones_are_kept():
    """Section 3: it is the newest that is sent again."""
    node = Node()
    blocks = chain_of(140)
    node.tell(1, *(checkpoint_vote(1, make_checkpoint(block)) for block in blocks[:128]))
    node.finalize(blocks)
    for number in (1, 2):
        node.tell(number, checkpoint_vote(number, make_checkpoint(blocks[-1])))
    assert node.core.certified_height == 140


def test_forged_certificates_of_one_peer_cost_one_verification_at_a_time():
    """Verifying costs more than forging."""
    node = Node()
    bad = tuple(Certificate(NULLIFY, Epoch(1), View(view), NO_BLOCK, b"\x0e", bytes(96)) for view in range(1, 500))
    node.tell(1, Certificates(bad))
    assert len(node.rejections()) == 1
    node.tell(2, certificate(NULLIFY, 1))
    assert node.core.view == 2


def test_refused_proposal_is_refused_once():
    """One lie, one line."""
    node = Node()
    node.tell(1, propose(make_block(height=2)))
    assert len(node.rejections()) == 1
    node.tell(2, Moved(Epoch(1)))
    assert node.rejections() == []


def test_request_for_closings_of_the_own_epoch_is_answered_with_moved():
    """Section 5: a leaver waits until it has heard from q of the new set, however often it restarts."""
    node, _ = moved()
    node.tell(3, ClosingRequest(Epoch(2)))
    assert node.answered(Moved) == [Moved(Epoch(2))]


def test_signature_of_the_former_epoch_does_not_count_against_its_successor_in_the_set():
    """Section 4: signatures are collected per epoch; an index of another set is somebody else."""
    node = Node()
    first = make_block()
    later = make_block(1, None, first, epoch=2)
    stale = checkpoint_vote(1, make_checkpoint(make_block(2, None, first)))
    node.tell(1, stale)
    node.closing[first.height] = NEXT
    node.finalize([first])
    node.tell(1, certify(make_checkpoint(first, NEXT)))
    for number in (1, 2, 3):
        node.tell(number, checkpoint_vote(number, make_checkpoint(later)))
    node.finalize([later], of=NEXT, signers=(1, 2, 3, 4))
    assert node.core.certified_height == later.height
    assert not node.effects(ev.Halt)


def test_move_of_a_stranger_leaves_no_trace():
    """Only members of a known set are heard of."""
    node = Node()
    before = node.state()
    node.tell(6, Moved(Epoch(1)))
    assert node.state() == before


def test_message_of_too_many_parts_is_refused_before_it_is_parsed():
    """Section 1: two bytes of input must not become an object of a hundred."""
    with pytest.raises(InvalidMessage, match="parts"):
        decode_message(b"\x7a\x80\x80\x80\x02" + b"\x0a\x00" * (2 * 1024 * 1024))
    for field in (b"\x3a", b"\x4a"):
        size = 1024 * 1024
        with pytest.raises(InvalidMessage, match="at most"):
            decode_message(field + b"\x80\x80\x40" + b"\x0a\x00" * (size // 2))


def test_largest_messages_that_are_allowed_are_read():
    """The bounds leave room for what honest peers send."""
    block = make_block(digests=[digest(str(number)) for number in range(20_000)])
    assert decode_message(encode_message(BlockResponse(block))) == BlockResponse(block)
    many = Certificates(tuple(certificate(NULLIFY, 2**40 + view) for view in range(512)))
    assert decode_message(encode_message(many)) == many


def test_checkpoint_decodes_what_it_encodes():
    """Section 4: one encoding."""
    checkpoint = make_checkpoint(make_block())
    assert Checkpoint.decode(checkpoint.encode()) == checkpoint


def test_refused_vote_of_a_member_is_not_evidence():
    """Section 3: both signatures verify alone, or there is no evidence."""
    node = Node()
    node.tell(1, vote(1, NULLIFY, 1))
    assert not node.effects(ev.EvidenceFound)


def test_forged_checkpoints_of_one_peer_cost_one_verification_at_a_time():
    """Section 3: hundreds a second of them must not starve the others."""
    node = Node()
    blocks = chain_of(50)
    bad = [CertifiedCheckpoint(make_checkpoint(block).encode(), b"\x0e", bytes(96)) for block in blocks]
    node.tell(1, *bad)
    assert len(node.rejections()) == 1
    node.tell(2, certify(make_checkpoint(blocks[0])))
    assert node.core.certified_height == 1


def test_forged_ranges_and_closings_of_one_peer_cost_one_verification_at_a_time():
    """Section 7: likewise."""
    node = Node()
    (block,) = chain_of(1)
    bad = Range((BlockWithBodies(block, ()),), Certificate(FINALIZE, Epoch(1), View(1), block.id, b"\x0e", bytes(96)))
    node.tell(1, *[bad] * 20)
    assert len(node.rejections()) == 1
    closing = close(block, NEXT)
    wrong = ClosingCheckpoint(CertifiedCheckpoint(closing.certified.checkpoint, b"\x0e", bytes(96)), closing.next)
    node.tell(2, *[Closings((wrong,))] * 20)
    assert len(node.rejections()) == 1
    node.tell(3, Closings((closing,)))
    assert node.core.epoch == 2


def test_bad_votes_of_a_suspect_cost_one_verification_at_a_time():
    """Section 3: "from then on verify that peer's votes on arrival", and no more of them than is worth it."""
    node = Node()
    block = make_block()
    node.tell(1, forged(vote(1, NOTARIZE, 1, block)))
    node.tell(2, vote(2, NOTARIZE, 1, block))
    node.tell(3, vote(3, NOTARIZE, 1, block))
    assert len(node.rejections()) <= 1
    node.tell(1, *[forged(vote(1, NULLIFY, view)) for view in range(1, 16)])
    assert len(node.rejections()) <= 1
