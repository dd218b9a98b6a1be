# SPDX-License-Identifier: Apache-2.0
"""The node's pure parts: outgoing queues, bodies, waiters, the clock watch; and admission with a fake gate."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from chain.application import Execution
from chain.checkpoint import Checkpoint
from chain.codec import encode
from chain.consensus.block import Block
from chain.ed25519 import Ed25519Signer
from chain.errors import LedgerError, Refused
from chain.pb import ledger_pb2
from chain.signing import Signer
from chain.transaction import Operation, SignedTransaction, build, decode
from chain.types import BlockId, BlsKey, Digest, Epoch, Height, Millis, Network, View, sha256
from node import admission as admission_module
from node.admission import Admission
from node.bodies import BodyStore
from node.clock import ClockWatch, check_clock
from node.config import AdmissionConfig, MempoolConfig
from node.errors import ConfigError
from node.lanes import Entry, Lane
from node.logs import Limiter
from node.mempool import Mempool
from node.outbox import ADVERTISED_MAX, Outbox, Urgency
from node.waiters import Waiters

NETWORK = Network(sha256(b"parts"))
NOW = Millis(1_000_000)
SIGNER = Ed25519Signer(sha256(b"signer"))
_SALTS = itertools.count()


def transaction(
    expires_at_ms: int = NOW + 60_000, network: Network = NETWORK, signers: Sequence[Ed25519Signer] = (SIGNER,)
) -> SignedTransaction:
    operation = Operation.make("test.Nothing", b"")
    return build([operation], signers, Millis(expires_at_ms), next(_SALTS).to_bytes(16), network)


def forged(signed: SignedTransaction, signer: Signer) -> SignedTransaction:
    """The same with a wrong signature of one signer."""
    message = ledger_pb2.Transaction.FromString(signed.raw)
    message.signatures[signed.signers.index(signer)] = bytes(64)
    return decode(encode(message))


def block(height: int, transactions: Sequence[SignedTransaction], view: int = 1) -> Block:
    digests = tuple(each.digest for each in transactions)
    parent = BlockId(sha256(b"parent"))
    return Block.make(Epoch(1), View(view), Height(height), parent, Millis(NOW + height), digests)


# ---------------------------------------------------------------- outgoing queues


def test_frame_holds_votes_before_answers_before_gossip() -> None:
    outbox = Outbox(1_000, 1_000)
    outbox.put_transactions([b"t"])
    outbox.put_message(b"answer", Urgency.ANSWER)
    outbox.put_message(b"vote", Urgency.VOTE)
    outbox.put_advertised([Digest(b"d" * 32)])
    frame = outbox.next_frame()
    assert frame is not None
    assert list(frame.messages) == [b"vote", b"answer"]
    assert list(frame.transactions) == [b"t"]
    assert list(frame.advertised) == [b"d" * 32]
    assert outbox.next_frame() is None
    assert (bool(outbox), outbox.size_bytes) == (False, 0)


def test_frame_stays_within_its_bound_unless_one_message_exceeds_it() -> None:
    outbox = Outbox(10_000, 100)
    for _ in range(5):
        outbox.put_message(bytes(60), Urgency.VOTE)
    outbox.put_message(bytes(500), Urgency.ANSWER)
    outbox.put_transactions([bytes(40), bytes(40), bytes(300)])
    sizes = []
    while (frame := outbox.next_frame()) is not None:
        sizes.append(sum(map(len, (*frame.messages, *frame.transactions))))
    assert sum(sizes) == 5 * 60 + 500 + 380
    assert [size for size in sizes if size > 100] == [500, 300]


def test_full_queue_drops_gossip_first_then_the_oldest_answers() -> None:
    outbox = Outbox(100, 1_000)
    outbox.put_transactions([bytes(40), bytes(40)])
    outbox.put_message(bytes(30), Urgency.ANSWER)
    outbox.put_message(b"v" * 60, Urgency.VOTE)
    outbox.put_message(b"a" * 40, Urgency.ANSWER)
    frame = outbox.next_frame()
    assert frame is not None
    assert list(frame.messages) == [b"v" * 60, b"a" * 40]
    assert not frame.transactions
    assert outbox.dropped == 3


def test_gossip_never_displaces_messages_and_the_only_message_is_never_dropped() -> None:
    outbox = Outbox(100, 1_000)
    outbox.put_message(bytes(200), Urgency.VOTE)
    outbox.put_transactions([bytes(10)])
    frame = outbox.next_frame()
    assert frame is not None
    assert (len(frame.messages), len(frame.transactions)) == (1, 0)


def test_advertised_digests_are_bounded_newest_kept() -> None:
    outbox = Outbox(10**6, 10**6)
    digests = [Digest(number.to_bytes(32)) for number in range(ADVERTISED_MAX + 10)]
    outbox.put_advertised(digests)
    sent: list[bytes] = []
    while (frame := outbox.next_frame()) is not None:
        sent += frame.advertised
    assert sent == digests[10:]


# ---------------------------------------------------------------- bodies


def test_bodies_of_a_stored_block_go_once_it_is_covered_and_executed() -> None:
    bodies, listed = BodyStore(), [transaction(), transaction()]
    stored = block(1, listed)
    bodies.take(stored, listed)
    assert bodies.not_durable(stored) == listed
    bodies.stored(stored, listed)
    assert bodies.not_durable(stored) == []
    bodies.settle(stored.digests)
    assert sorted(bodies.release([stored])) == sorted(stored.digests)
    assert bodies.get(listed[0].digest) is listed[0], "kept in memory for peers that are slightly behind"
    assert bodies.count == 0


def test_bodies_of_an_abandoned_block_stay_until_executed_elsewhere_or_expired() -> None:
    bodies, mine, shared = BodyStore(), transaction(NOW + 10), transaction(NOW + 99)
    abandoned, winner = block(1, [mine, shared]), block(1, [shared], view=2)
    for each, listed in ((abandoned, [mine, shared]), (winner, [shared])):
        bodies.take(each, listed)
        bodies.stored(each, bodies.not_durable(each))
    bodies.settle([shared.digest])
    assert bodies.release([abandoned, winner]) == [shared.digest]
    assert bodies.unsettled() == [mine]
    assert bodies.expire(Millis(NOW + 10)) == []
    assert bodies.expire(Millis(NOW + 11)) == [mine.digest]


def test_bodies_read_back_after_a_restart_wait_again_unless_settled() -> None:
    bodies, first, second = BodyStore(), transaction(), transaction()
    bodies.load(first)
    bodies.load(second)
    bodies.adopt(block(3, [first]))
    assert set(map(id, bodies.unsettled())) == {id(first), id(second)}
    bodies.settle([first.digest, second.digest])
    assert bodies.expire(NOW) == [second.digest], "a journaled block still lists the other"
    assert bodies.release([block(3, [first])]) == [first.digest]


def test_blocks_that_never_were_stored_are_named_for_release() -> None:
    bodies, listed = BodyStore(), [transaction()]
    seen, kept = block(5, listed), block(6, listed)
    bodies.take(seen, listed)
    bodies.take(kept, listed)
    bodies.stored(kept, listed)
    assert bodies.tentative(Height(4)) == []
    assert bodies.tentative(Height(6)) == [seen]
    assert bodies.release([seen]) == []
    assert bodies.get(listed[0].digest) is listed[0]


# ---------------------------------------------------------------- waiters


def execution(height: int, transactions: Sequence[SignedTransaction], log_size: int) -> Execution:
    made = block(height, transactions)
    hashed = sha256(b"x")
    checkpoint = Checkpoint(NETWORK, Epoch(1), Height(height), made.time_ms, made.id, log_size, hashed, hashed, b"")
    entries = tuple(b"entry" + each.id for each in transactions)
    ids = tuple(each.id for each in transactions)
    expiries = tuple(int(each.expires_at_ms) for each in transactions)
    return Execution(made, tuple(transactions), entries, ids, expiries, (), checkpoint, None, ())


def test_stream_gets_its_own_transactions_once_certified_and_no_others() -> None:
    waiters, told = Waiters(), []
    sink = waiters.open(lambda: told.append(1))
    mine, others = transaction(), transaction()
    waiters.wait(sink, [(mine.id, mine.expires_at_ms)])
    done = execution(4, [others, mine], 10)
    waiters.executed(done)
    assert not told
    assert sink.take(Height(3), 9) == []
    waiters.certified(done.checkpoint)
    assert told
    (found,) = sink.take(Height(4), 9)
    assert (found.transaction, found.leaf_index, found.entry) == (mine, 9, b"entry" + mine.id)
    assert (sink.count, waiters.count) == (0, 0)


def test_waiter_for_an_expired_transaction_is_let_go_and_told() -> None:
    waiters, told = Waiters(), []
    sink = waiters.open(lambda: told.append(1))
    mine = transaction(NOW + 5)
    waiters.wait(sink, [(mine.id, mine.expires_at_ms)])
    waiters.expire(Millis(NOW + 5))
    assert sink.count == 1
    waiters.expire(Millis(NOW + 6))
    assert (sink.count, waiters.count, told) == (0, 0, [1])


def test_closed_stream_leaves_no_trace() -> None:
    waiters, mine = Waiters(), transaction()
    sinks = [waiters.open(lambda: None) for _ in range(2)]
    for sink in sinks:
        waiters.wait(sink, [(mine.id, mine.expires_at_ms)])
    waiters.close(sinks[0])
    assert waiters.count == 1
    waiters.close(sinks[1])
    assert waiters.count == 0


# ---------------------------------------------------------------- clock and log pace


def test_clock_behind_the_newest_block_is_refused() -> None:
    check_clock(Millis(NOW + 60_000), NOW, 60_000)
    with pytest.raises(ConfigError, match="NTP"):
        check_clock(Millis(NOW + 60_001), NOW, 60_000)


def test_clock_is_doubted_only_when_most_peers_agree() -> None:
    warned: list[int] = []
    watch = ClockWatch(60_000, warned.append)
    keys = [BlsKey(bytes([number]) * 48) for number in range(3)]
    watch.note(keys[0], Millis(NOW + 100_000), NOW, 3)
    watch.note(keys[1], NOW, NOW, 3)
    assert not warned
    watch.note(keys[2], Millis(NOW + 90_000), NOW, 3)
    assert warned == [100_000]


def test_log_lines_about_one_subject_are_paced_and_counted() -> None:
    now = [0]
    limiter = Limiter(1_000, lambda: now[0])
    assert [limiter.allows("a"), limiter.allows("a"), limiter.allows("b"), limiter.allows("a")] == [0, None, 0, None]
    now[0] = 1_000
    assert limiter.allows("a") == 2


# ---------------------------------------------------------------- admission


class Gate:
    """Admits all but what it is told to refuse."""

    def __init__(self, *refused: Digest) -> None:
        self.refused = refused
        self.asked = 0

    async def find_known(self, transactions: Sequence[SignedTransaction], now_ms: Millis) -> list[int | None]:
        self.asked += len(transactions)
        known = [[place for place, signer in enumerate(t.signers) if signer == SIGNER.signer] for t in transactions]
        return [places[0] if places else None for places in known]

    async def admit(
        self, transactions: Sequence[SignedTransaction], now_ms: Millis, *, from_client: bool
    ) -> list[str | LedgerError]:
        return [Refused("no", "test.no") if t.digest in self.refused else "organisation" for t in transactions]


def admission(gate: Gate, mempool: Mempool, gossip: list[bytes], **limits: int) -> Admission:
    return Admission(
        NETWORK,
        gate,
        mempool,
        gossip=gossip.extend,
        changed=lambda: None,
        now=lambda: NOW,
        config=AdmissionConfig(**limits),
    )


def codes(outcomes: Sequence[SignedTransaction | LedgerError]) -> list[str]:
    return [outcome.code if isinstance(outcome, LedgerError) else "" for outcome in outcomes]


async def test_each_transaction_of_a_request_gets_its_own_outcome_in_order() -> None:
    good, refused, foreign = transaction(), transaction(), transaction(network=Network(sha256(b"other")))
    mempool, gossip = Mempool(MempoolConfig()), []
    admitting = admission(Gate(refused.digest), mempool, gossip)
    admitting.start()
    raws = [b"junk", good.raw, refused.raw, foreign.raw, good.raw, bytes(300_000)]
    outcomes = await admitting.submit(raws, from_client=True)
    assert codes(outcomes) == [
        "message.invalid", "", "test.no", "signature.invalid", "transaction.pending", "transaction.too-large",
    ]  # fmt: skip
    assert (mempool.count, gossip) == (1, [good.raw])
    assert codes(await admitting.submit([good.raw], from_client=True)) == ["transaction.pending"]
    assert not admitting.is_checking(good.digest)
    await admitting.stop()


async def test_what_a_peer_gossips_is_checked_the_same_and_not_sent_on() -> None:
    good, foreign = transaction(), transaction(network=Network(sha256(b"other")))
    mempool, gossip = Mempool(MempoolConfig()), []
    admitting = admission(Gate(), mempool, gossip)
    admitting.start()
    assert codes(await admitting.submit([good.raw, foreign.raw], from_client=False)) == ["", "signature.invalid"]
    assert (mempool.count, gossip) == (1, [])
    await admitting.stop()


async def test_full_queue_refuses_with_a_time_to_come_back() -> None:
    admitting = admission(Gate(), Mempool(MempoolConfig()), [], queue_count_max=12)
    admitting.start()
    outcomes = await admitting.submit([transaction().raw for _ in range(5)], from_client=True)
    assert codes(outcomes) == ["", "", "", "admission.busy", "admission.busy"]
    await admitting.stop()


async def test_strangers_cost_no_signature_check_and_a_member_named_without_its_consent_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[tuple[Signer, ...]] = []
    verify = admission_module.verify_signatures

    def count(signed: SignedTransaction, network: Network) -> None:
        checked.append(signed.signers)
        verify(signed, network)

    monkeypatch.setattr(admission_module, "verify_signatures", count)
    strangers = [Ed25519Signer(sha256(bytes([number]))) for number in range(20)]
    others = [transaction(signers=strangers[number:]) for number in range(8)]
    named = forged(transaction(signers=[SIGNER, *strangers]), SIGNER.signer)
    both, gate = transaction(signers=[SIGNER, strangers[0]]), Gate()
    admitting = admission(gate, Mempool(MempoolConfig()), [])
    admitting.start()
    raws = [*(each.raw for each in others), named.raw, both.raw]
    outcomes = await admitting.submit(raws, from_client=True)
    assert codes(outcomes) == ["transaction.unknown-signer"] * 8 + ["signature.invalid", ""]
    assert sorted(map(len, checked)) == [1, 1, 2]
    assert all(signers[0] == SIGNER.signer for signers in checked if len(signers) == 1)
    asked = gate.asked
    assert codes(await admitting.submit([transaction().raw], from_client=True)) == [""]
    assert gate.asked == asked, "a signer that was met before is not asked about"
    await admitting.stop()


async def test_queue_counts_signatures_and_one_stream_leaves_room_for_others() -> None:
    admitting = admission(Gate(), Mempool(MempoolConfig()), [], queue_count_max=40)
    heavy = [transaction(signers=[SIGNER, *(Ed25519Signer(sha256(bytes([n]))) for n in range(5))]) for _ in range(2)]
    flood = asyncio.create_task(admitting.submit([each.raw for each in heavy], from_client=True, source=1))
    other = asyncio.create_task(admitting.submit([transaction().raw], from_client=True, source=2))
    await asyncio.sleep(0)
    admitting.start()
    assert codes(await flood) == ["", "admission.busy"]
    assert codes(await other) == [""]
    await admitting.stop()


def test_sources_have_their_turns_and_what_comes_back_stands_first() -> None:
    lane: Lane[str] = Lane(1_000, 1_000)
    for number in range(40):
        lane.add(Entry(f"a{number}", "a", 1, 1))
    heavy = Entry("b0", "b", 64, 1)
    lane.add(heavy)
    lane.add(Entry("b1", "b", 1, 1))
    first = [entry.item for entry in lane.take(96, 1_000)]
    assert first == [*(f"a{number}" for number in range(16)), "b0", *(f"a{number}" for number in range(16, 32))]
    lane.add(heavy, at_front=True)
    assert [entry.item for entry in lane.extract(lambda item: item == "b1")] == ["b1"]
    assert [entry.item for entry in lane.take(1, 1_000)] == ["b0"]
    assert [entry.item for entry in lane.take(99, 2)] == ["a32", "a33"]
    assert lane.count == 6
    assert [lane.has_room("a", 244, 1), lane.has_room("a", 245, 1), lane.has_room("c", 994, 1)] == [True, False, True]


async def test_bodies_for_a_vote_are_verified_and_not_admitted() -> None:
    mempool = Mempool(MempoolConfig())
    admitting = admission(Gate(), mempool, [])
    admitting.start()
    assert codes(await admitting.verify([transaction().raw, b"junk"])) == ["", "message.invalid"]
    assert mempool.count == 0
    await admitting.stop()
