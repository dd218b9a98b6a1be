# SPDX-License-Identifier: Apache-2.0
"""What a verified receipt hands out, and what a verifier remembers; the many ways to be wrong stand in the corpus."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chain import receipt
from chain.certificate import BlsScheme
from chain.codec import encode
from chain.ed25519 import Ed25519Signer
from chain.errors import InvalidCertificate, InvalidGenesis, InvalidReceipt, LedgerError
from chain.light_client import TrustAnchor
from chain.log import leaf_hash
from chain.pb import ledger_pb2 as pb
from chain.proven import PROOFS_MAX, verify_inclusions
from chain.receipt import FailedInclusion, VerifiedInclusion, VerifiedState, Verifier
from chain.transaction import Operation, SignedTransaction, build
from chain.types import BLOCK_TRANSACTIONS_MAX, TRANSACTION_LIFETIME_MS_MAX, Millis
from sim.instant_ledger import InstantLedger

NAMES = ("a", "b", "c", "d")
SIGNER = Ed25519Signer(b"\x01" * 32)
KEY = b"status/a/1"


def transaction(ledger: InstantLedger, number: int, count: int = 1) -> SignedTransaction:
    operations = [Operation.make("test.Act", b"%d %d" % (number, i)) for i in range(count)]
    expires = Millis(ledger.checkpoint.time_ms + 60_000)
    return build(operations, [SIGNER], expires, number.to_bytes(16, "big"), ledger.genesis.network)


def small_ledger() -> InstantLedger:
    ledger = InstantLedger(NAMES)
    failure = pb.Failure(code="test.refused", operation=1)
    ledger.append(
        [(transaction(ledger, 0, 2), None), (transaction(ledger, 1, 2), failure), (transaction(ledger, 2), None)],
        {b"test/x": b"1", b"test/y": b"2"},
    )
    return ledger


class CountingScheme(BlsScheme):
    """BLS that counts how often it works."""

    def __init__(self) -> None:
        self.verified = 0

    def fast_aggregate_verify(self, public_keys: Sequence[bytes], message: bytes, signature: bytes) -> None:
        self.verified += 1
        super().fast_aggregate_verify(public_keys, message, signature)


def test_receipt_hands_out_what_the_ledger_recorded():
    ledger = small_ledger()
    verified = receipt.verify(ledger.receipt([(0, 1), (2, 0)], [b"test/x", KEY]), ledger.genesis)
    assert verified.checkpoint == ledger.checkpoint
    assert (verified.epoch, verified.time_ms) == (1, ledger.checkpoint.time_ms)
    first, second = verified.inclusions
    assert (first.operation.type, first.operation.body, first.operation_index) == ("test.Act", b"0 1", 1)
    assert (first.height, first.position, first.leaf_index, first.time_ms) == (1, 0, 0, ledger.checkpoint.time_ms)
    assert first.transaction_id == ledger.records[0].transaction.id
    assert first.header.signers == (SIGNER.signer,)
    assert (second.position, second.leaf_index) == (2, 2)
    assert verified.failures == ()
    assert verified.states == (VerifiedState(KEY, None), VerifiedState(b"test/x", b"1"))


def test_failed_operation_is_no_verified_inclusion():
    ledger = small_ledger()
    verified = receipt.verify(ledger.receipt([(1, 0)]), ledger.genesis)
    assert verified.inclusions == ()
    (failed,) = verified.failures
    assert isinstance(failed, FailedInclusion)
    assert not isinstance(failed, VerifiedInclusion)
    assert (failed.code, failed.failed_operation, failed.operation_index) == ("test.refused", 1, 0)


def test_receipt_is_verified_against_bytes_a_loaded_genesis_or_an_anchor():
    ledger = small_ledger()
    raw = ledger.receipt([(0, 0)])
    for trusted in (ledger.genesis_bytes, ledger.genesis, TrustAnchor.from_genesis(ledger.genesis)):
        assert receipt.verify(raw, trusted).inclusions[0].leaf_index == 0
    with pytest.raises(InvalidGenesis):
        receipt.verify(raw, b"{}")


def test_proofs_of_all_operations_are_those_made_one_by_one():
    ledger = small_ledger()
    record = ledger.records[0]
    path = ledger.log.prove_inclusion(0, ledger.checkpoint.log_size)
    made = receipt.make_inclusions(record.transaction, record.entry, 0, path)
    assert made == [ledger.inclusion(0, 0), ledger.inclusion(0, 1)]


def test_certificate_is_verified_once_for_many_receipts():
    ledger = small_ledger()
    scheme = CountingScheme()
    verifier = Verifier(ledger.genesis, scheme)
    for place in ((0, 0), (0, 1), (2, 0)):
        verifier.verify(ledger.receipt([place]))
    assert scheme.verified == 1
    for field, value in (
        ("aggregate", ledger.certify(replace(ledger.checkpoint, log_size=9)).aggregate),
        ("bitmap", ledger.certify(signers=[0, 1, 2]).bitmap),
    ):
        wrong = pb.Receipt.FromString(ledger.receipt([(0, 0)]))
        assert getattr(wrong.checkpoint, field) != value
        setattr(wrong.checkpoint, field, value)
        with pytest.raises(InvalidCertificate):
            verifier.verify(encode(wrong))
    assert scheme.verified == 3


def test_refused_receipt_teaches_the_verifier_nothing():
    ledger = small_ledger()
    verifier = Verifier(ledger.genesis)
    before = verifier.anchor
    ledger.append([(transaction(ledger, 3), None)], next_names=("b", "c", "d"))
    ledger.append([(transaction(ledger, 4), None)])
    raw = ledger.receipt([(0, 0)])
    wrong = pb.Receipt.FromString(raw)
    wrong.inclusions[0].leaf_index = 1
    with pytest.raises(InvalidReceipt):
        verifier.verify(encode(wrong))
    assert verifier.anchor is before
    verifier.verify(raw)
    assert (verifier.anchor.epoch, verifier.anchor.newest) == (2, ledger.checkpoint)


def test_verifier_goes_on_from_the_anchor_that_it_handed_out():
    ledger = small_ledger()
    ledger.append(next_names=("b", "c", "d"))
    ledger.append()
    kept = receipt.verify(ledger.receipt([(0, 0)]), ledger.genesis).anchor
    assert receipt.verify(ledger.receipt([(0, 0)], from_epoch=2), kept).epoch == 2
    verifier = Verifier(ledger.genesis)
    verifier.advance(ledger.closings)
    assert verifier.verify(ledger.receipt([(2, 0)], from_epoch=2)).epoch == 2


def test_older_receipt_does_not_take_the_verifier_back():
    ledger = small_ledger()
    ledger.append(next_names=("b", "c", "d"))
    ledger.append()
    second = ledger.receipt([(0, 0)])
    ledger.append(next_names=("c", "d"))
    ledger.append()
    verifier = Verifier(ledger.genesis)
    verifier.verify(ledger.receipt([(0, 0)]))
    before = verifier.anchor
    with pytest.raises(InvalidReceipt, match="proven anew"):
        verifier.verify(second)
    assert verifier.verify(second, older_epochs=True).epoch == 2
    assert verifier.anchor == before
    assert before.epoch == 3


def test_states_have_an_age_and_operations_have_none():
    ledger = small_ledger()
    now_ms = ledger.checkpoint.time_ms + 5_000
    state = ledger.receipt([], [KEY])
    receipt.verify(state, ledger.genesis, state_age_ms_max=5_000, now_ms=now_ms)
    with pytest.raises(InvalidReceipt, match="5000 ms old") as refusal:
        receipt.verify(state, ledger.genesis, state_age_ms_max=4_999, now_ms=now_ms)
    assert refusal.value.code == "receipt.too-old"
    receipt.verify(ledger.receipt([(0, 0)]), ledger.genesis, state_age_ms_max=0, now_ms=now_ms)
    skewed = ledger.checkpoint.time_ms - receipt.CLOCK_SKEW_MS_MAX
    receipt.verify(state, ledger.genesis, state_age_ms_max=0, now_ms=skewed)
    with pytest.raises(InvalidReceipt, match="clock"):
        receipt.verify(state, ledger.genesis, state_age_ms_max=0, now_ms=skewed - 1)


def test_entry_that_validators_cannot_have_written_is_refused_even_if_it_stands_in_the_log():
    ledger = small_ledger()
    ledger.append()
    good = pb.Entry.FromString(ledger.records[0].entry)
    without_result = pb.Entry.FromString(encode(good))
    without_result.ClearField("success")
    checkpoint = ledger.checkpoint
    for entry, reason in (
        (good, None),
        (without_result, "no result"),
        (_with(good, time_ms=checkpoint.time_ms + 1), "time"),
        (_with(good, height=2), "time"),
        (_with(good, height=3), "height"),
        (_with(good, height=0), "height"),
        (_with(good, position=BLOCK_TRANSACTIONS_MAX), "height"),
    ):
        raw = encode(entry)
        inclusion = receipt.make_inclusion(ledger.records[0].transaction, 0, raw, 0, [])
        one = replace(checkpoint, log_size=1, log_root=leaf_hash(raw))
        if reason is None:
            assert len(verify_inclusions([inclusion], one)[0]) == 1
            continue
        with pytest.raises(InvalidReceipt, match=reason):
            verify_inclusions([inclusion], one)


def _with(entry: pb.Entry, **changes: int) -> pb.Entry:
    changed = pb.Entry.FromString(encode(entry))
    for field, value in changes.items():
        setattr(changed, field, value)
    return changed


@pytest.mark.parametrize("late_ms", [-1, TRANSACTION_LIFETIME_MS_MAX + 1])
def test_entry_of_a_transaction_that_could_not_execute_is_refused(late_ms):
    ledger = InstantLedger(NAMES)
    expires = Millis(ledger.checkpoint.time_ms + 1_000 + late_ms)
    act = build([Operation.make("test.Act", b"")], [SIGNER], expires, bytes(16), ledger.genesis.network)
    ledger.append([(act, None)], {b"test/x": b"1"})
    with pytest.raises(InvalidReceipt, match="could not execute"):
        receipt.verify(ledger.receipt([(0, 0)]), ledger.genesis)


@pytest.mark.parametrize(
    "failure", [pb.Failure(), pb.Failure(code="x" * 129), pb.Failure(code="test.refused", operation=1)]
)
def test_failure_without_a_code_or_with_an_operation_that_is_not_there_is_refused(failure):
    ledger = InstantLedger(NAMES)
    ledger.append([(transaction(ledger, 0), failure)], {b"test/x": b"1"})
    with pytest.raises(InvalidReceipt, match="failure"):
        receipt.verify(ledger.receipt([(0, 0)]), ledger.genesis)


def test_receipt_with_more_parts_than_the_limits_is_refused():
    ledger = small_ledger()
    message = pb.Receipt.FromString(ledger.receipt([(0, 0)], [KEY]))
    for field, count in (
        ("inclusions", PROOFS_MAX),
        ("states", PROOFS_MAX),
        ("epochs", receipt.CLOSINGS_MAX),
    ):
        many = pb.Receipt(checkpoint=message.checkpoint)
        parts = getattr(many, field)
        for _ in range(count + 1):
            parts.add()
        with pytest.raises(LedgerError, match="at most"):
            receipt.verify(encode(many), ledger.genesis)
    with pytest.raises(LedgerError, match="at most"):
        receipt.verify(bytes(receipt.RECEIPT_BYTES_MAX + 1), ledger.genesis)


def test_quorum_minus_one_is_refused_at_each_size():
    for n in (1, 2, 3, 4, 7, 10):
        ledger = InstantLedger([f"v{i}" for i in range(n)])
        ledger.append([(transaction(ledger, 0), None)], {b"test/x": b"1"})
        message = pb.Receipt.FromString(ledger.receipt([(0, 0)]))
        receipt.verify(encode(message), ledger.genesis)
        few = range(n - (n - 1) // 3 - 1)
        if few:
            message.checkpoint.CopyFrom(ledger.certify(signers=few).to_pb())
            with pytest.raises(InvalidCertificate, match="quorum"):
                receipt.verify(encode(message), ledger.genesis)
