# SPDX-License-Identifier: Apache-2.0
"""One member against whatever members and strangers may send, well-formed or not, in any order.

No exception, no contradicting vote, bounded memory, and no trace of what was refused. Source: docs/protocol.md,
sections 1 and 3; the driver's contract in `chain.consensus.events`.
"""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.certificate import Certificate
from chain.checkpoint import CertifiedCheckpoint, Checkpoint
from chain.consensus import events as ev
from chain.consensus.block import Block
from chain.consensus.checkpoints import HEIGHTS_PER_PEER_MAX
from chain.consensus.messages import (
    BlockRequest,
    BlockResponse,
    BlockWithBodies,
    Bodies,
    BodiesRequest,
    Certificates,
    CertificatesRequest,
    CheckpointVote,
    ClosingRequest,
    Closings,
    Message,
    Moved,
    Proposal,
    Range,
    RangeRequest,
    Vote,
    decode_message,
    encode_message,
)
from chain.consensus.outbox import COURTESIES_MAX
from chain.consensus.tally import FINALIZE, NOTARIZE, NULLIFY, VIEWS_AHEAD_MAX, VIEWS_BEHIND_MAX
from chain.errors import InvalidMessage
from chain.types import BlockId, BlsKey, Epoch, Height, Millis, View, sha256
from tests.unit.consensus_rig import (
    FOUR,
    KEYS,
    NETWORK,
    START_MS,
    STRANGER,
    Node,
    certificate,
    certify,
    chain_of,
    checkpoint_vote,
    close,
    digest,
    forged,
    make_checkpoint,
    members,
    vote,
)

LIAR = 1
EFFECTS_MAX = 64
"""One message leads to a handful of effects; a core that answers one with more talks to itself."""
NUMBERS = st.one_of(st.integers(0, 8), st.sampled_from([2**31, 2**62, 2**64 - 1]))
"""Views ahead, heights and epochs. Huge views belong to votes and certificates; see `BLOCKS`."""
NEXT = members(0, 1, 2, 3, 4, epoch=2)
CHAIN = tuple(chain_of(6))
PARENTS = st.sampled_from([BlockId(NETWORK), *(block.id for block in CHAIN), BlockId(sha256(b"nowhere"))])


def _block(view: int, height: int, parent: BlockId, late_ms: int, epoch: int, names: list[str]) -> Block:
    digests = tuple(digest(name) for name in names)
    return Block.make(Epoch(epoch), View(view), Height(height), parent, Millis(START_MS + late_ms), digests)


BLOCKS = st.one_of(
    st.sampled_from(CHAIN),
    st.builds(
        _block,
        st.integers(0, 2**40),
        NUMBERS,
        PARENTS,
        st.sampled_from([-100_000, 0, 1, 5, 3_000, 10**12]),
        st.sampled_from([1, 1, 1, 0, 2]),
        st.lists(st.sampled_from("abc"), unique=True, max_size=2),
    ),
    st.builds(_block, st.integers(1, 6), st.integers(1, 6), PARENTS, st.integers(0, 50), st.just(1), st.just([])),
)
KINDS = st.sampled_from([NOTARIZE, NULLIFY, FINALIZE])


def _checkpoint(end: int) -> Checkpoint:
    return make_checkpoint(CHAIN[end - 1])


def _vote(kind: int, view: int, block: Block, epoch: int, good: bool) -> Vote:
    made = vote(LIAR, kind, view, None if kind == NULLIFY else block, epoch=epoch)  # type: ignore[arg-type]
    return made if good else forged(made)


def _junk_certificate(kind: int, view: int, block: Block, epoch: int, bitmap: bytes) -> Certificate:
    block_id = BlockId(b"") if kind == NULLIFY else block.id
    return Certificate(kind, Epoch(epoch), View(view), block_id, bitmap, sha256(b"junk") * 3)  # type: ignore[arg-type]


VIEWS = st.one_of(st.integers(0, 6), NUMBERS)
EPOCHS = st.sampled_from([1, 1, 1, 1, 0, 2, 2**64 - 1])
VOTES = st.builds(_vote, KINDS, VIEWS, BLOCKS, EPOCHS, st.booleans())
JUNK = st.builds(_junk_certificate, KINDS, VIEWS, BLOCKS, EPOCHS, st.sampled_from([b"\x0e", b"\x1e", b"", b"\x0e\x00"]))
TRUE = st.one_of(
    st.builds(lambda block: certificate(NOTARIZE, block.view, block), st.sampled_from(CHAIN)),
    st.builds(lambda view: certificate(NULLIFY, view), st.integers(1, 6)),
    st.builds(lambda block: certificate(FINALIZE, block.view, block), st.sampled_from(CHAIN)),
)
"""A liar can pass on certificates that honest members made, here of one chain, and nullifications."""
CERTIFICATES = st.one_of(JUNK, TRUE)
CHECKPOINTS = st.builds(
    lambda block, epoch, state: replace(make_checkpoint(block, state=state), epoch=Epoch(epoch)),
    BLOCKS,
    EPOCHS,
    st.sampled_from([b"state", b"other"]),
)
CERTIFIED = st.one_of(
    st.builds(lambda block: certify(make_checkpoint(block)), st.sampled_from(CHAIN)),
    st.builds(lambda checkpoint: CertifiedCheckpoint(checkpoint.encode(), b"\x0e", bytes(96)), CHECKPOINTS),
    st.builds(CertifiedCheckpoint, st.binary(max_size=20), st.just(b"\x0e"), st.just(bytes(96))),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    VOTES,
    CERTIFICATES,
    st.builds(Proposal, BLOCKS, st.none() | CERTIFICATES, st.lists(CERTIFICATES, max_size=3).map(tuple)),
    st.builds(lambda checkpoint: checkpoint_vote(LIAR, checkpoint), CHECKPOINTS),
    st.builds(CheckpointVote, st.binary(max_size=20), st.just(bytes(96))),
    CERTIFIED,
    st.builds(CertificatesRequest, EPOCHS, NUMBERS),
    st.builds(Certificates, st.lists(CERTIFICATES, max_size=4).map(tuple)),
    st.builds(ClosingRequest, EPOCHS),
    st.builds(Closings, st.lists(st.builds(lambda block: close(block, NEXT, (1, 2)), BLOCKS), max_size=2).map(tuple)),
    st.builds(BlockRequest, PARENTS),
    st.builds(BlockResponse, BLOCKS),
    st.builds(
        Range,
        st.lists(st.builds(BlockWithBodies, BLOCKS, st.sampled_from([(), (b"a",)])), min_size=1, max_size=4).map(tuple),
        CERTIFICATES | CERTIFIED,
    ),
    st.sampled_from([BodiesRequest(()), Bodies((b"a",)), RangeRequest(Height(1), 300)]),
    st.builds(Moved, EPOCHS),
)


def _told(number: int) -> tuple[BlsKey, Message]:
    """The proposal of one block of the chain, from its leader; the member under test leads view 4 itself."""
    block = CHAIN[number]
    proof = certificate(NOTARIZE, number, CHAIN[number - 1]) if number else None
    return KEYS[block.view % 4], Proposal(block, proof, ())


LED = st.builds(
    lambda block, views: (KEYS[LIAR], Proposal(block, None, tuple(certificate(NULLIFY, view) for view in views))),
    st.builds(
        _block,
        st.sampled_from([1, 5]),
        st.sampled_from([1, 1, 2]),
        st.just(BlockId(NETWORK)),
        st.sampled_from([0, 1, 2_050, 10**12, -100_000]),
        st.just(1),
        st.lists(st.sampled_from("ab"), unique=True, max_size=1),
    ),
    st.sampled_from([(), (1, 2, 3, 4), (1, 2, 3)]),
)
"""Proposals of the views that the liar leads."""
HONEST = st.one_of(
    st.tuples(st.sampled_from([KEYS[2], KEYS[3]]), TRUE),
    st.builds(_told, st.sampled_from([0, 1, 2, 4, 5])),
    st.tuples(st.just(KEYS[2]), st.builds(BlockResponse, st.sampled_from(CHAIN))),
    st.builds(
        lambda end: (KEYS[3], Range(tuple(BlockWithBodies(b, ()) for b in CHAIN[:end]), certify(_checkpoint(end)))),
        st.integers(1, len(CHAIN)),
    ),
)
"""What honest members say of the chain, lost, repeated and out of order."""
STEPS = st.one_of(
    LED,
    HONEST,
    st.tuples(st.sampled_from([KEYS[LIAR], KEYS[LIAR], STRANGER, KEYS[7]]), MESSAGES),
    st.tuples(st.none(), st.integers(1, 3_000)),
)


def assert_bounded(node: Node, steps: int) -> None:
    """What is kept of peers, against the named maxima."""
    replica, checkpoints = node.replica, node.core._checkpoints
    assert len(replica._tally._votes) <= VIEWS_BEHIND_MAX + VIEWS_AHEAD_MAX + 1
    assert all(len(votes) <= 3 * len(FOUR.keys) for votes in replica._tally._votes.values())
    assert all(len(votes) <= HEIGHTS_PER_PEER_MAX for votes in checkpoints._votes.values())
    assert len(node.core._courtesy._last) <= COURTESIES_MAX
    assert len(replica._accused) <= 1
    assert len(node.core._moved) <= len(FOUR.keys)
    assert len(replica.wanted) <= 2
    # Blocks come in as a proposal of a view, as asked for, or in a range: never more than one message brings.
    assert len(node.core._tree.at_or_below(Height(2**64))) <= len(CHAIN) + steps


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=10, max_size=60))
def test_member_survives_any_messages_of_one_liar_and_of_strangers(steps):
    """Sections 1 and 3: "Buffers per peer are bounded"; a reason for anything wrong, never an exception."""
    node = Node()
    for sender, what in steps:
        if sender is None:
            node.wait(what)
        else:
            effects = node.tell(sender, what)
            assert len(effects) <= EFFECTS_MAX
        assert not node.effects(ev.Halt), "one liar halted the core"
    assert node.core.epoch == 1, "one liar closed an epoch"
    assert_bounded(node, len(steps))
    node.restart()
    node.wait(5_000)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=20), st.sampled_from([KEYS[LIAR], STRANGER]), MESSAGES)
def test_message_that_is_refused_whole_leaves_no_trace(steps, sender, message):
    """STYLE, "Shape of a core": "a rejected message leaves no trace", the marks of its author's distrust excepted."""
    node = Node()
    for known, what in steps:
        if known is None:
            node.wait(what)
        else:
            node.tell(known, what)
    # A step that refuses something without any message says nothing about the message.
    quiet = not any(isinstance(effect, ev.Reject) for effect in node.step(ev.Wake()))
    before, view = distrusting(node), node.core.view
    node.tell(sender, message)
    if quiet and [type(effect) for effect in node.done] == [ev.Reject, ev.WakeAt]:
        assert distrusting(node) == before
        assert node.core.view == view


def distrusting(node: Node) -> object:
    """The core's state without whom it distrusts and without the votes that this may drop."""
    tally, checkpoints = node.replica._tally, node.core._checkpoints
    suspects, votes = tally._suspects, tally._votes
    others, signatures = checkpoints._suspects, checkpoints._votes
    tally._suspects, tally._votes, checkpoints._suspects, checkpoints._votes = set(), {}, set(), {}
    try:
        return node.state()
    finally:
        tally._suspects, tally._votes, checkpoints._suspects, checkpoints._votes = suspects, votes, others, signatures


@settings(max_examples=200, deadline=None)
@given(MESSAGES)
def test_message_survives_its_encoding_or_is_refused(message):
    """`decode_message(encode_message(m)) == m` for what is well-shaped; the rest is `InvalidMessage`."""
    try:
        decoded = decode_message(encode_message(message))
    except InvalidMessage:
        return
    assert decoded == message


def test_memory_stays_bounded_over_thousands_of_votes_and_signatures_of_one_liar():
    """Section 3: "Buffers per peer are bounded"."""
    node = Node()
    for number in range(1, 2_000):
        block = CHAIN[number % len(CHAIN)]
        node.tell(LIAR, vote(LIAR, NULLIFY, number), vote(LIAR, FINALIZE, number % 40 + 1, block))
        node.tell(LIAR, checkpoint_vote(LIAR, replace(make_checkpoint(block), height=Height(number))))
        node.tell(LIAR, Moved(Epoch(number)), BlockResponse(block))
        node.tell(BlsKey(b"%048d" % number), Moved(Epoch(number)), vote(LIAR, NULLIFY, 1))
    assert_bounded(node, 1)
