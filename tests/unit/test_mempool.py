# SPDX-License-Identifier: Apache-2.0
"""The pool of waiting transactions: bounds, fairness between organisations, claims, expiry."""

import itertools

import pytest

from chain.ed25519 import Ed25519Signer
from chain.errors import Refused
from chain.transaction import Operation, SignedTransaction, build
from chain.types import BlockId, Millis, Network, sha256
from node.config import MempoolConfig
from node.mempool import CLAIM_MS, OVERHEAD_BYTES, Busy, Mempool

NETWORK = Network(sha256(b"mempool"))
NOW = Millis(1_000_000)
SIGNER = Ed25519Signer(sha256(b"signer"))
_SALTS = itertools.count()


def transaction(expires_at_ms: int = NOW + 60_000, body: bytes = b"") -> SignedTransaction:
    operation = Operation.make("test.Nothing", body)
    return build([operation], [SIGNER], Millis(expires_at_ms), next(_SALTS).to_bytes(16), NETWORK)


def pool(**limits: int) -> Mempool:
    return Mempool(MempoolConfig(**limits))


def test_transaction_added_is_found_by_digest_and_id() -> None:
    mempool, added = pool(), transaction()
    mempool.add(added, "a", NOW)
    assert mempool.get(added.digest) is added
    assert mempool.holds(added.digest)
    assert mempool.holds_id(added.id)
    assert (mempool.count, mempool.unclaimed) == (1, 1)
    assert mempool.size_bytes == len(added.raw) + OVERHEAD_BYTES


def test_transaction_known_already_is_refused_as_pending() -> None:
    mempool, added = pool(), transaction()
    mempool.add(added, "a", NOW)
    with pytest.raises(Refused) as refusal:
        mempool.add(added, "a", NOW)
    assert refusal.value.code == "transaction.pending"
    assert mempool.count == 1


def test_pool_full_by_count_refuses_with_a_time_to_come_back() -> None:
    mempool = pool(count_max=2, organisation_share_percent=100, retry_after_ms=700)
    mempool.add(transaction(), "a", NOW)
    mempool.add(transaction(), "b", NOW)
    with pytest.raises(Busy) as refusal:
        mempool.add(transaction(), "c", NOW)
    assert (refusal.value.code, refusal.value.retry_after_ms) == ("mempool.full", 700)


def test_pool_full_by_bytes_refuses() -> None:
    mempool = pool(bytes_max=3 * OVERHEAD_BYTES, organisation_share_percent=100)
    mempool.add(transaction(), "a", NOW)
    mempool.add(transaction(body=bytes(100)), "a", NOW)
    with pytest.raises(Busy):
        mempool.add(transaction(body=bytes(OVERHEAD_BYTES)), "a", NOW)


def test_organisation_with_its_share_in_use_leaves_room_for_others() -> None:
    mempool = pool(count_max=4, organisation_share_percent=50)
    mempool.add(transaction(), "a", NOW)
    mempool.add(transaction(), "a", NOW)
    with pytest.raises(Busy) as refusal:
        mempool.add(transaction(), "a", NOW)
    assert refusal.value.code == "mempool.organisation-full"
    mempool.add(transaction(), "b", NOW)


def test_candidates_take_turns_between_organisations_each_oldest_first() -> None:
    mempool = pool()
    flood = [transaction() for _ in range(5)]
    few = [transaction() for _ in range(2)]
    for each in flood:
        mempool.add(each, "flood", NOW)
    for each in few:
        mempool.add(each, "few", NOW)
    chosen = list(mempool.candidates(NOW, ()))
    assert [c for c in chosen if c in flood] == flood
    assert [c for c in chosen if c in few] == few
    assert {c.digest for c in chosen[:4]} == {c.digest for c in [*flood[:2], *few]}


def test_candidates_leave_out_ancestors_and_what_expires_before_the_block() -> None:
    mempool = pool()
    early, late, listed = transaction(NOW + 10), transaction(NOW + 1000), transaction(NOW + 1000)
    for each in (early, late, listed):
        mempool.add(each, "a", NOW)
    assert list(mempool.candidates(Millis(NOW + 11), {listed.digest})) == [late]


def test_transaction_claimed_by_a_block_stays_but_is_not_to_order() -> None:
    mempool, added = pool(), transaction()
    mempool.add(added, "a", NOW)
    block = BlockId(b"b" * 32)
    mempool.claim(block, [added.digest, transaction().digest], NOW)
    assert (mempool.count, mempool.unclaimed) == (1, 0)
    mempool.release(block)
    assert mempool.unclaimed == 1


def test_claim_that_nobody_ends_lapses_and_a_repeated_one_is_prolonged() -> None:
    mempool, added = pool(), transaction()
    mempool.add(added, "a", NOW)
    block = BlockId(b"b" * 32)
    mempool.claim(block, [added.digest], NOW)
    mempool.claim(block, [added.digest], Millis(NOW + 500))
    mempool.release_lapsed(Millis(NOW + CLAIM_MS + 1))
    assert mempool.unclaimed == 0
    mempool.release_lapsed(Millis(NOW + CLAIM_MS + 501))
    assert mempool.unclaimed == 1


def test_release_of_one_block_leaves_the_claim_of_a_later_one() -> None:
    mempool, added = pool(), transaction()
    mempool.add(added, "a", NOW)
    first, second = BlockId(b"1" * 32), BlockId(b"2" * 32)
    mempool.claim(first, [added.digest], NOW)
    mempool.claim(second, [added.digest], NOW)
    mempool.release(first)
    assert mempool.unclaimed == 0
    mempool.release(second)
    assert mempool.unclaimed == 1


def test_settled_transactions_leave_and_others_stay() -> None:
    mempool, gone, stays = pool(), transaction(), transaction()
    mempool.add(gone, "a", NOW)
    mempool.add(stays, "a", NOW)
    mempool.claim(BlockId(b"b" * 32), [gone.digest, stays.digest], NOW)
    mempool.settle([gone.id, transaction().id])
    assert (mempool.count, mempool.unclaimed) == (1, 0)
    assert mempool.get(gone.digest) is None
    mempool.release(BlockId(b"b" * 32))
    assert mempool.unclaimed == 1


def test_expired_transactions_leave_in_any_order_of_arrival() -> None:
    mempool = pool()
    for offset in (30, 10, 20):
        mempool.add(transaction(NOW + offset), "a", NOW)
    assert mempool.expire(Millis(NOW + 10)) == 0
    assert mempool.expire(Millis(NOW + 21)) == 2
    assert mempool.count == 1


def test_readmission_ignores_limits_and_skips_what_is_here_or_expired() -> None:
    mempool, here = pool(count_max=1), transaction()
    mempool.add(here, "a", NOW)
    back, over = transaction(), transaction(NOW - 1)
    mempool.readmit([(here, "a"), (back, "a"), (over, "a")], NOW)
    assert mempool.count == 2
    assert mempool.get(back.digest) is back


def test_overdue_names_each_in_turn_and_only_what_no_block_holds() -> None:
    mempool = pool(advertise_after_ms=100, advertise_count_max=2)
    waiting = [transaction() for _ in range(4)]
    for each in waiting:
        mempool.add(each, "a", NOW)
    mempool.claim(BlockId(b"b" * 32), [waiting[1].digest], NOW)
    assert mempool.overdue(Millis(NOW + 99)) == []
    later = Millis(NOW + 200)
    assert mempool.overdue(later) == [waiting[0].digest, waiting[2].digest]
    assert mempool.overdue(later) == [waiting[3].digest]
    assert mempool.overdue(later) == []
    assert mempool.overdue(Millis(later + 100)) == [waiting[0].digest, waiting[2].digest]


def test_pool_over_a_long_life_holds_no_more_than_what_waits() -> None:
    mempool = pool()
    for _ in range(5_000):
        added = transaction()
        mempool.add(added, "a", NOW)
        mempool.settle([added.id])
    assert (mempool.count, mempool.size_bytes, mempool.unclaimed) == (0, 0, 0)
    assert len(mempool._expiries) < 2_000
    assert not mempool._queues
    assert not mempool._quiet


def test_organisation_in_debt_waits_and_others_do_not() -> None:
    mempool, flood, other = pool(), transaction(), transaction()
    mempool.add(flood, "flooder", NOW)
    mempool.add(other, "other", NOW)
    assert list(mempool.candidates(NOW, frozenset(), frozenset({"flooder"}))) == [other]
    assert set(mempool.candidates(NOW, frozenset())) == {flood, other}
