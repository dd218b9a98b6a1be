# SPDX-License-Identifier: Apache-2.0
"""What is durable, what may be forgotten, and what a restart finds: docs/protocol.md, section 3, "Durable"."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.certificate import Certificate
from chain.consensus import events as ev
from chain.consensus import journal
from chain.consensus.block import Block
from chain.consensus.blocktree import KEPT_BELOW, BlockTree
from chain.consensus.journal import (
    Muted,
    NewestCheckpoint,
    OwnCheckpoint,
    OwnVote,
    Record,
    StoredBlock,
    StoredCertificate,
    StoredClosing,
)
from chain.consensus.messages import CheckpointVote, Proposal
from chain.consensus.outbox import Outbox
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY
from chain.errors import InvalidMessage
from chain.memory import MemoryDatabase
from chain.types import BlockId, Epoch, Height, View
from tests.unit.consensus_rig import (
    FOUR,
    KEYS,
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


def records() -> list[Record]:
    """One of each kind."""
    block = make_block()
    checkpoint = make_checkpoint(block)
    return [
        OwnVote(vote(0, NOTARIZE, 1, block)),
        OwnVote(vote(0, NULLIFY, 2)),
        StoredCertificate(certificate(NOTARIZE, 1, block)),
        StoredBlock(block),
        OwnCheckpoint(Height(1), checkpoint_vote(0, checkpoint)),
        NewestCheckpoint(certify(checkpoint)),
        StoredClosing(Epoch(1), close(block, NEXT)),
        Muted(KEYS[0]),
    ]


def test_journal_reads_back_what_was_written():
    """Section 3: a restart finds each kind of record."""
    block = make_block()
    database = MemoryDatabase({record.key: record.value for record in records()})
    found = journal.load(database, lost=True)
    assert found.votes == (vote(0, NOTARIZE, 1, block), vote(0, NULLIFY, 2))
    assert found.certificates == (certificate(NOTARIZE, 1, block),)
    assert found.blocks == {block.id: block}
    assert found.checkpoints == {1: checkpoint_vote(0, make_checkpoint(block))}
    assert found.newest == certify(make_checkpoint(block))
    assert found.closings == {1: close(block, NEXT)}
    assert found.muted == KEYS[0]
    assert found.lost


def test_empty_journal_is_that_of_a_first_start():
    assert journal.load(MemoryDatabase()) == journal.Durable()


@pytest.mark.parametrize("record", records()[:-1], ids=lambda record: type(record).__name__)
def test_damaged_record_is_an_error(record):
    """A record that does not decode is a damaged disk, and the caller says so."""
    with pytest.raises(InvalidMessage):
        journal.load(MemoryDatabase({record.key: record.value[:-1]}))


def test_records_of_different_epochs_views_and_kinds_have_different_keys():
    """Section 3: "vote logs are keyed by both"."""
    keys = [
        OwnVote(vote(0, kind, view, None if kind == NULLIFY else make_block(), epoch=epoch)).key
        for epoch in (1, 2)
        for view in (1, 2, 256)
        for kind in (NOTARIZE, NULLIFY, FINALIZE)
    ]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)


def test_step_persists_once_and_before_anything_else():
    """The driver's contract: one batch, one sync a step."""
    outbox = Outbox()
    outbox.broadcast((KEYS[1],), certificate(NULLIFY, 1))
    outbox.persist(Muted(KEYS[0]))
    outbox.persist_lazily(NewestCheckpoint(certify(make_checkpoint(make_block()))))
    effects = outbox.drain()
    assert [type(effect) for effect in effects] == [ev.Persist, ev.Broadcast]
    assert [type(record) for record in effects[0].records] == [Muted, NewestCheckpoint]
    assert outbox.drain() == []


def test_record_on_which_nothing_rests_waits_for_the_next_batch():
    """The newest certificate alone is not worth a sync."""
    outbox = Outbox()
    outbox.persist_lazily(NewestCheckpoint(certify(make_checkpoint(make_block()))))
    assert outbox.drain() == []
    outbox.persist(Muted(KEYS[0]))
    assert len(outbox.drain()[0].records) == 2


def test_certified_block_and_what_lies_below_the_last_final_view_is_forgotten():
    """Section 3: "each certificate above the last final view; each notarized block […] until a certified checkpoint
    covers them"."""
    node = Node()
    blocks = chain_of(3)
    parent = None
    for block in blocks:
        node.notarize(block, parent=parent)
        parent = certificate(NOTARIZE, block.view, block)
    node.tell(1, certificate(FINALIZE, 2, blocks[1]))
    node.tell(1, certify(make_checkpoint(blocks[1])))
    node.finalize([blocks[2]])
    forgotten = [block for effect in node.effects(ev.Forget) for block in effect.blocks]
    assert forgotten == blocks[:2]
    left = journal.load(node.journal)
    assert set(left.blocks) == {blocks[2].id}
    assert {v.view for v in left.votes} == {3}
    assert all(c.view == 3 for c in left.certificates)
    assert left.newest == certify(make_checkpoint(blocks[1]))


def test_what_lies_above_the_last_final_view_is_not_forgotten_and_a_restart_finds_it():
    """Section 3: "each certificate above the last final view", or a restart would fall back to old views."""
    node = Node()
    blocks = chain_of(3)
    parent = None
    for block in blocks:
        node.notarize(block, parent=parent)
        parent = certificate(NOTARIZE, block.view, block)
    node.tell(1, certificate(FINALIZE, 1, blocks[0]))
    node.tell(1, certify(make_checkpoint(blocks[0])))
    node.tell(1, vote(1, NULLIFY, 4))
    assert node.core.view == 4
    left = journal.load(node.journal)
    assert {(v.view, v.kind) for v in left.votes} >= {(view, kind) for view in (2, 3) for kind in (NOTARIZE, FINALIZE)}
    assert {(c.view, c.kind) for c in left.certificates} >= {(1, FINALIZE), (2, NOTARIZE), (3, NOTARIZE)}
    node.restart()
    assert (node.core.view, node.replica.last_final_view) == (4, 1)


def test_block_is_not_forgotten_before_its_checkpoint_is_certified():
    """Section 3: nobody may remember a block that only voters have."""
    node = Node()
    block = make_block()
    node.notarize(block)
    node.tell(1, certificate(FINALIZE, 1, block))
    node.tell(1, certificate(NULLIFY, 2))
    assert block.id in journal.load(node.journal).blocks


def test_newest_finalization_is_never_forgotten():
    """Section 3: it is what a proposal on that block must carry, and what older votes are answered with."""
    node = Node()
    blocks = chain_of(5)
    for block in blocks:
        node.finalize([block])
        node.tell(1, certify(make_checkpoint(block)))
        stored = [c for c in journal.load(node.journal).certificates if c.kind == FINALIZE]
        assert certificate(FINALIZE, block.view, block) in stored
        assert len(stored) <= 2


def test_memory_of_blocks_is_bounded_below_the_certified_height():
    """Blocks well below the certified height stand in the ledger's store."""
    blocks = chain_of(200)
    tree = BlockTree(blocks)
    tree.prune(Height(200))
    assert [block.height for block in tree.at_or_below(Height(200))] == list(range(200 - KEPT_BELOW, 201))
    assert tree.get(blocks[0].id) is None
    assert tree.above(Height(199)) == [blocks[-1]]


def test_validator_keeps_few_blocks_below_the_certified_height():
    """Memory is bounded however long a validator runs."""
    node = Node()
    blocks = chain_of(3 * KEPT_BELOW)
    node.finalize(blocks)
    node.tell(1, certify(make_checkpoint(blocks[-1])))
    node.finalize([make_block(len(blocks) + 1, None, blocks[-1])])
    assert len(node.core._tree.at_or_below(Height(1_000))) <= KEPT_BELOW + 2


def test_restarted_leader_builds_on_the_executed_block_though_its_journal_has_forgotten_it():
    """Section 3, "Durable": the newest executed block may be what nobody remembers after a crash of all."""
    node = Node(3)
    first, second = chain_of(2)
    node.finalize([first], signers=(0, 1, 2))
    node.tell(1, certify(make_checkpoint(first), (0, 1, 2)))
    node.finalize([second], signers=(0, 1, 2))
    node.tell(1, certify(make_checkpoint(second), (0, 1, 2)))
    node.journal.write({}, [StoredBlock(first).key, StoredBlock(second).key])
    node.restart()
    assert node.core.view == 3
    node.wait(1_000)
    assert [proposal.block.parent_id for proposal in node.said(Proposal)] == [second.id]


# ---------------------------------------------------------------- crash anywhere, restart, go on

ACTIONS = ("propose", "certificates", "votes", "nullify", "finalize", "checkpoint", "wait", "crash")


class History:
    """Drives one member through views; every crash restarts it from its journal, with all that was forgotten gone."""

    def __init__(self) -> None:
        self.node = Node()
        self.chain: list[tuple[Block, Certificate]] = []

    def act(self, action: str, salt: int) -> None:
        node, view = self.node, self.node.core.view
        parent, proof, skipped = self._parent(view)
        block = make_block(view, None, parent, time_ms=node.now + salt)
        others = (1, 2, 3)
        match action:
            case "propose":
                if view % 4 != 0:
                    node.tell(view % 4, propose(block, proof, *skipped))
            case "certificates":
                made = certificate(NOTARIZE, view, self._voted(view) or block)
                self._know(block, made)
                node.tell(1, made)
            case "votes":
                target = self._voted(view) or block.id
                for number in others:
                    node.tell(number, vote(number, NOTARIZE, view, target))
                self._know(block, certificate(NOTARIZE, view, target))
            case "nullify":
                node.tell(1, certificate(NULLIFY, view))
            case "finalize":
                if self.chain:
                    final = self.chain[-1 - min(salt, len(self.chain) - 1)][0]
                    node.tell(2, certificate(FINALIZE, final.view, final))
            case "checkpoint":
                if node.executed:
                    node.tell(3, certify(make_checkpoint(node.executed[-1])))
            case "wait":
                node.wait(700 * (salt + 1))
            case "crash":
                self._crash()

    def _crash(self) -> None:
        view, final = self.node.core.view, self.node.replica.last_final_view
        self.node.restart()
        assert self.node.core.view >= view, "a restarted member is in an earlier view"
        assert self.node.replica.last_final_view >= final, "a restarted member lost a finalization"

    def _voted(self, view: View) -> BlockId | None:
        own = [v.block_id for v in self.node.signed if v.view == view and v.kind == NOTARIZE]
        return own[0] if own else None

    def _know(self, block: Block, made: Certificate) -> None:
        found = self.node.core._tree.get(made.block_id) or block
        if found.id == made.block_id:
            self.node.core._tree.add(found)
            self.chain.append((found, made))

    def _parent(self, view: View) -> tuple[Block | None, Certificate | None, range]:
        below = [(block, made) for block, made in self.chain if block.view < view]
        if not below:
            return None, None, range(1, view)
        block, made = below[-1]
        return block, made, range(block.view + 1, view)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2)), min_size=5, max_size=40))
def test_member_that_crashes_anywhere_votes_never_twice_and_never_falls_back(actions):
    """Section 3, "Never" and "Durable": the rig checks each vote that is sent against all before, over any restart, and
    that it is durable; `Forget` has deleted whatever it named."""
    history = History()
    for action, salt in actions:
        history.act(action, salt)
    history.act("crash", 0)
    history.node.wait(10_000)


def test_history_of_the_property_above_reaches_what_it_is_about():
    """That the property runs over finalizations, forgetting and restarts, not over rejections alone."""
    history = History()
    forgot = 0
    for _ in range(12):
        for action in ("propose", "votes", "finalize", "checkpoint", "wait", "nullify", "crash"):
            history.act(action, 2 if action == "wait" else 0)
            forgot += sum(len(effect.keys) for effect in history.node.effects(ev.Forget))
    node = history.node
    assert node.replica.last_final_view > 8
    assert node.core.certified_height > 8
    assert {v.kind for v in node.signed} == {NOTARIZE, NULLIFY, FINALIZE}
    assert forgot > 20


def test_crash_at_each_prefix_of_what_was_persisted_sends_no_contradicting_vote():
    """Section 7: "Crash at any instant, at any write": each batch is whole or absent, and nothing after it was sent."""
    sent: list[tuple[dict[bytes, bytes], int]] = []
    node = Node(1)
    sent.append((node.journal.pairs(), len(node.signed)))
    node.wait(1_000)
    (proposal,) = node.said(Proposal)
    block = proposal.block
    sent.append((node.journal.pairs(), len(node.signed)))
    for number in (0, 2):
        node.tell(number, vote(number, NOTARIZE, 1, block))
        sent.append((node.journal.pairs(), len(node.signed)))
    node.tell(0, certificate(NULLIFY, 2, signers=(0, 2, 3)))
    sent.append((node.journal.pairs(), len(node.signed)))
    votes = list(node.signed)
    for pairs, count in sent:
        again = Node(1)
        again.signed = votes[:count]
        again.now = node.now
        again.restart(journal_of=pairs)
        again.tell(0, certificate(NOTARIZE, 1, block, signers=(0, 2, 3)))
        again.wait(10_000)
    assert count == len(votes) >= 2


def test_signature_on_a_checkpoint_is_forgotten_once_a_higher_certificate_covers_it():
    """Section 3: "one's newest checkpoint signature, until one holds a certificate at that height or above"."""
    node = Node()
    blocks = chain_of(3)
    node.finalize(blocks)
    assert sorted(journal.load(node.journal).checkpoints) == [1, 2, 3]
    node.tell(1, certify(make_checkpoint(blocks[2])))
    node.finalize([make_block(4, None, blocks[2])])
    assert sorted(journal.load(node.journal).checkpoints) == [3, 4]
    assert node.said(CheckpointVote)


def test_void_blocks_leave_the_journal_with_their_epoch():
    """Section 5: nobody needs them once the closing certificate is stored; their transactions are the driver's."""
    node = Node()
    first, second = chain_of(2)
    node.notarize(first)
    node.notarize(second, parent=certificate(NOTARIZE, 1, first))
    node.closing[first.height] = NEXT
    node.tell(1, certificate(FINALIZE, 2, second))
    node.tell(1, certify(make_checkpoint(first, NEXT)))
    assert [block.id for forget in node.effects(ev.Forget) for block in forget.blocks] == [second.id]
    assert second.id not in journal.load(node.journal).blocks
    assert node.core.validators == NEXT != FOUR
