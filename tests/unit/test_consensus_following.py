# SPDX-License-Identifier: Apache-2.0
"""Catching up by certificates, by block and by range: docs/protocol.md, sections 3, 4, 5 and 7."""

from collections.abc import Sequence

import pytest

from chain.consensus import events as ev
from chain.consensus.block import Block
from chain.consensus.follow import FETCH_BY_ID_MAX, QUEUED_MAX, RANGE_COUNT
from chain.consensus.messages import (
    BlockRequest,
    BlockResponse,
    BlockWithBodies,
    Certificates,
    ClosingRequest,
    Closings,
    Range,
    RangeRequest,
)
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.types import Height
from tests.unit.consensus_rig import (
    FOUR,
    KEYS,
    Node,
    certificate,
    certify,
    chain_of,
    close,
    digest,
    make_block,
    make_checkpoint,
    members,
)

NEXT = members(0, 1, 2, 3, 4, epoch=2)


def range_of(blocks: Sequence[Block], proof: object = None) -> Range:
    """A range of blocks without transactions under the finalization of its last."""
    last = blocks[-1]
    shown = certificate(FINALIZE, last.view, last, epoch=last.epoch) if proof is None else proof
    return Range(tuple(BlockWithBodies(block, ()) for block in blocks), shown)  # type: ignore[arg-type]


# ---------------------------------------------------------------- by certificates and by id


def test_member_behind_catches_up_by_certificates():
    """Section 3: "Who lacks a certificate above its last final view asks for it by view"."""
    node = Node()
    blocks = chain_of(3)
    node.tell(1, Certificates(tuple(certificate(NOTARIZE, block.view, block) for block in blocks)))
    assert node.core.view == 4
    node.tell(1, Certificates((certificate(FINALIZE, 3, blocks[2]), certificate(NULLIFY, 4))))
    assert node.replica.last_final_view == 3
    assert node.core.view == 5


def test_final_block_that_is_missing_is_fetched_by_id_down_to_what_is_known():
    """Section 7: "by id, from those who voted for it or on it"."""
    node = Node()
    blocks = chain_of(3)
    node.tell(1, certificate(FINALIZE, 3, blocks[2]))
    for block in reversed(blocks):
        (request,) = node.answered(BlockRequest)
        assert request == BlockRequest(block.id)
        assert node.executed == []
        node.tell(2, BlockResponse(block))
    assert node.executed == blocks


def test_blocks_execute_in_height_order_one_at_a_time():
    """Section 4: "Final blocks execute in height order, never speculatively"."""
    node = Node()
    node.executes = False
    blocks = chain_of(3)
    node.finalize(blocks)
    assert [effect.block for effect in node.effects(ev.Execute)] == blocks[:1]
    node.wait(1_000)
    assert not node.effects(ev.Execute)
    node.execute_now()
    assert [effect.block for effect in node.effects(ev.Execute)] == blocks[1:2]
    node.execute_now()
    assert [effect.block for effect in node.effects(ev.Execute)] == blocks[2:]


def test_notarized_block_is_not_executed():
    """Section 4: "never speculatively"."""
    node = Node()
    node.notarize(make_block())
    assert node.executed == []


def test_block_that_is_final_is_executed_without_bodies_from_its_peers():
    """Section 4: the driver has or pulls them; it is told whom to ask."""
    node = Node()
    node.executes = False
    block = make_block(digests=[digest("a")])
    node.finalize([block])
    (effect,) = node.effects(ev.Execute)
    assert effect.transactions is None
    assert set(effect.peers) == set(KEYS[1:4])


# ---------------------------------------------------------------- by range


def test_range_under_a_finalization_is_executed_with_its_bodies():
    """Section 7: "A node behind pulls final blocks with their certificates in parallel ranges […] and checks each"."""
    node = Node()
    node.executes = False
    block = make_block(digests=[digest("a"), digest("b")])
    proof = certificate(FINALIZE, 1, block)
    node.tell(1, Range((BlockWithBodies(block, (b"a", b"b")),), proof))
    (effect,) = node.effects(ev.Execute)
    assert (effect.block, effect.transactions) == (block, (b"a", b"b"))


def test_range_under_a_certified_checkpoint_is_executed_and_its_certificate_taken():
    """Section 7: a certified checkpoint of the last block proves all below it final."""
    node = Node()
    blocks = chain_of(5)
    node.tell(1, range_of(blocks, certify(make_checkpoint(blocks[-1]))))
    assert node.executed == blocks
    assert node.core.certified_height == 5


def wrong_ranges() -> dict[str, Range]:
    blocks = chain_of(3)
    stray = make_block(2, 2, make_block(9).id)
    with_body = make_block(digests=[digest("a")])
    proof = certificate(FINALIZE, 1, with_body)
    foreign = make_block(2, None, blocks[0], epoch=2)
    void = chain_of(1, epoch=7)
    return {
        "broken link": range_of([blocks[0], stray]),
        "heights with a gap": range_of([blocks[0], make_block(2, 3, blocks[0].id)]),
        "first block on another parent": range_of([make_block(1, 1, make_block(9).id)]),
        "blocks of two epochs": range_of([blocks[0], foreign], certificate(FINALIZE, 2, foreign, epoch=2)),
        "proof of a block before the last": range_of(blocks, certificate(FINALIZE, 2, blocks[1])),
        "proof is a notarization": range_of(blocks, certificate(NOTARIZE, 3, blocks[2])),
        "proof is a nullification": range_of(blocks, certificate(NULLIFY, 3)),
        "proof below quorum": range_of(blocks, certificate(FINALIZE, 3, blocks[2], signers=(1, 2))),
        "checkpoint below quorum": range_of(blocks, certify(make_checkpoint(blocks[2]), (1, 2))),
        "checkpoint of a block before the last": range_of(blocks, certify(make_checkpoint(blocks[1]))),
        "epoch not known here": range_of(void),
        "body not listed": Range((BlockWithBodies(with_body, (b"other",)),), proof),
        "body left out": Range((BlockWithBodies(with_body, ()),), proof),
        "body too many": Range((BlockWithBodies(with_body, (b"a", b"b")),), proof),
        "bodies repeated": Range((BlockWithBodies(with_body, (b"a", b"a")),), proof),
    }


@pytest.mark.parametrize("what", list(wrong_ranges()))
def test_bad_range_is_refused_and_leaves_no_trace(what):
    """Section 7: "and checks each"."""
    node = Node()
    before = node.state()
    node.tell(1, wrong_ranges()[what])
    assert len(node.rejections()) == 1, what
    assert node.executed == []
    assert node.state() == before


def test_range_with_void_blocks_is_refused():
    """Section 5: "Later blocks of that epoch are void: never executed"."""
    node = Node()
    node.executes = False
    blocks = chain_of(3)
    node.closing[blocks[1].height] = NEXT
    node.tell(1, Closings((close(blocks[1], NEXT),)))
    assert node.core.epoch == 2
    node.tell(1, range_of(blocks))
    assert node.rejections() == ["range with void blocks"]
    node.executes = True
    node.tell(2, range_of(blocks[:2], certify(make_checkpoint(blocks[1], NEXT))))
    assert node.executed == blocks[:2]


def test_range_across_the_end_of_an_epoch_is_refused():
    """Section 7: the proof of one epoch says nothing of another's blocks."""
    node = Node()
    closing = make_block()
    first = make_block(1, None, closing, epoch=2)
    node.tell(1, Closings((close(closing, NEXT),)))
    proof = certificate(FINALIZE, 1, first, epoch=2, signers=(1, 2, 3, 4), of=NEXT)
    node.tell(1, range_of([closing, first], proof))
    assert node.rejections() == ["range whose blocks do not form a chain within one epoch"]
    assert node.executed == []
    node.closing[closing.height] = NEXT
    node.tell(2, range_of([closing]), range_of([first], proof))
    assert node.executed == [closing, first]


def test_range_that_does_not_continue_the_chain_is_useless_and_not_wrong():
    """Section 7: ranges come in parallel; one that overlaps what is known is no offence."""
    node = Node()
    blocks = chain_of(3)
    node.tell(1, range_of(blocks[1:]))
    assert not node.rejections()
    assert node.executed == []
    node.tell(1, range_of(blocks[:2]))
    node.tell(1, range_of(blocks[:2]))
    assert not node.rejections()
    assert node.executed == blocks[:2]


def test_member_with_a_final_block_and_a_gap_below_asks_for_ranges():
    """Section 7: "by ranges of heights with a proof, from those who have executed and forgotten it"."""
    node = Node()
    far = make_block(50, 50, make_block(49).id)
    node.tell(1, certificate(FINALIZE, 50, far))
    node.wait(5_000)
    asked = [(e.to, e.message) for e in node.effects(ev.Send) if isinstance(e.message, RangeRequest)]
    assert {message for _, message in asked} == {RangeRequest(Height(1), RANGE_COUNT)}
    assert len({to for to, _ in asked}) > 1
    assert len(asked) <= 5_000 // (2 * node.core.delta_ms) + 1


def test_member_that_got_a_range_and_is_still_behind_asks_for_the_next():
    """Section 7: range after range until nothing is missing."""
    node = Node()
    blocks = chain_of(20)
    node.tell(1, certificate(FINALIZE, 20, blocks[-1]))
    node.tell(2, range_of(blocks[:10]))
    assert ev.Send(KEYS[2], RangeRequest(Height(11), RANGE_COUNT)) in node.done
    node.tell(2, range_of(blocks[10:]))
    assert node.executed == blocks
    assert not node.answered(RangeRequest)


def test_gap_too_large_for_memory_is_not_fetched_by_id():
    """Section 7: a gap larger than the limit is closed by ranges alone."""
    node = Node()
    height = FETCH_BY_ID_MAX + 2
    far = make_block(height, height, make_block(9).id)
    node.finalize([far])
    node.wait(3_000)
    assert not node.answered(BlockRequest)
    assert node.answered(RangeRequest)


def test_member_with_enough_queued_asks_for_no_further_range():
    """Section 7: memory for bodies that wait for execution is bounded."""
    node = Node()
    node.executes = False
    blocks = chain_of(QUEUED_MAX + 10)
    node.tell(1, range_of(blocks[:QUEUED_MAX]))
    node.tell(1, certificate(FINALIZE, blocks[-1].view, blocks[-1]))
    node.wait(5_000)
    assert not node.answered(RangeRequest)
    node.execute_now()
    node.wait(5_000)
    assert RangeRequest(Height(QUEUED_MAX + 1), RANGE_COUNT) in node.answered(RangeRequest)


def test_restarted_member_goes_on_from_its_executed_tip():
    """Section 3, "Durable": execution starts where the ledger's store ends."""
    node = Node()
    blocks = chain_of(4)
    node.finalize(blocks[:2])
    node.restart()
    assert node.executed == blocks[:2]
    node.finalize(blocks[2:])
    assert node.executed == blocks


def test_restarted_member_with_a_finalization_in_its_journal_executes_what_it_had_not():
    """Section 3, "Durable": a finalization is durable, so its block is final after a crash as before."""
    node = Node()
    node.executes = False
    block = make_block()
    node.notarize(block)
    node.tell(1, certificate(FINALIZE, 1, block))
    node.executes = True
    node.restart()
    assert node.executed == [block]


def test_follower_polls_for_blocks_and_closing_checkpoints():
    """Section 5: "it polls for closing checkpoints and final blocks, and signs nothing before its epoch"."""
    node = Node(follower=True)
    node.wait(3_000)
    assert len(node.answered(RangeRequest)) == len(node.answered(ClosingRequest))
    assert 3 <= len(node.answered(RangeRequest)) <= 7
    assert {e.to for e in node.effects(ev.Send)} == set(FOUR.keys)
    blocks = chain_of(3)
    node.tell(1, range_of(blocks))
    assert node.executed == blocks
    assert node.answered(RangeRequest) == [RangeRequest(Height(4), RANGE_COUNT)]
