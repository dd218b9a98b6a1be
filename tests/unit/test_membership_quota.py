# SPDX-License-Identifier: Apache-2.0
"""Operations a second: bursts, refill, debts, and who pays."""

import pytest

from chain.codec import encode
from chain.transaction import Operation
from chain.types import Millis
from identity.access_rules import BATCH_SIZES
from membership.parameters import PARAMETERS
from membership.pb import membership_pb2 as pb
from membership.quota import Bucket, Delayed, Granted, charged_organisation, full, rate_of, take, weight
from membership.state import load_organisation
from tests.access_rig import batch, entry
from tests.rig import Rig, four, genesis, organisation, signer

RATE = 100
NOW = Millis(1_000_000)


def spend(bucket: Bucket, operations: int, now_ms: int) -> Bucket:
    outcome = take(bucket, operations, RATE, Millis(now_ms))
    assert isinstance(outcome, Granted)
    return outcome.bucket


def test_quiet_organisation_has_two_seconds_quota_at_once_and_no_more() -> None:
    bucket = spend(full(RATE, NOW), 2 * RATE, NOW)
    assert take(bucket, 1, RATE, NOW) == Delayed(10)


@pytest.mark.parametrize(("operations", "wait_ms"), [(1, 10), (2, 20), (150, 1_500), (200, 2_000)])
def test_delay_is_what_the_missing_operations_take_to_come(operations: int, wait_ms: int) -> None:
    empty = spend(full(RATE, NOW), 2 * RATE, NOW)
    assert take(empty, operations, RATE, NOW) == Delayed(wait_ms)
    assert isinstance(take(empty, operations, RATE, Millis(NOW + wait_ms - 1)), Delayed)
    assert isinstance(take(empty, operations, RATE, Millis(NOW + wait_ms)), Granted)


def test_transaction_larger_than_the_bucket_passes_when_it_is_full_and_is_paid_off() -> None:
    bucket = spend(full(RATE, NOW), 1_000, NOW)
    assert take(bucket, 1, RATE, NOW) == Delayed(8_010)
    assert isinstance(take(bucket, 1_000, RATE, Millis(NOW + 9_999)), Delayed)
    assert isinstance(take(bucket, 1_000, RATE, Millis(NOW + 10_000)), Granted)


def test_refill_stops_at_the_burst_and_a_clock_set_back_takes_nothing_away() -> None:
    bucket = spend(full(RATE, NOW), 200, NOW)
    assert spend(bucket, 1, NOW + 60_000) == Bucket(199_000, Millis(NOW + 60_000))
    assert take(bucket, 1, RATE, Millis(NOW - 5_000)) == Delayed(10)


def test_over_a_minute_no_more_passes_than_rate_and_burst() -> None:
    bucket, granted = full(RATE, NOW), 0
    for now_ms in range(NOW, NOW + 60_000, 7):
        outcome = take(bucket, 3, RATE, Millis(now_ms))
        if isinstance(outcome, Granted):
            bucket, granted = outcome.bucket, granted + 3
    assert 60 * RATE <= granted <= 62 * RATE


def test_operations_that_cost_pairings_weigh_more() -> None:
    assert weight([Operation.make("identity.Attest", bytes(900))] * 7) == 7
    assert weight([Operation.make("membership.ReportEvidence", b"")]) >= 50
    assert weight([Operation.make(f"membership.{name}", b"") for name in ("Propose", "AddKey")]) > 100


def test_batch_of_access_entries_weighs_as_much_as_it_writes() -> None:
    for size in BATCH_SIZES:
        entries = batch(*(entry(i) for i in range(size)))
        assert weight([Operation.make("identity.RecordAccesses", encode(entries))]) == size + 1


def test_event_that_names_many_goods_weighs_more_than_one_that_names_few() -> None:
    few, many = (weight([Operation.make("traceability.RecordEvent", bytes(size))]) for size in (200, 10_000))
    assert (few, many) == (5, 201)


def test_rate_is_the_organisations_own_or_the_parameters() -> None:
    own = {**organisation("org-b"), "quota_operations_s": 7}
    rig = Rig(genesis([organisation("org-a"), own], [("v0", "org-a")], {"quota-operations-s": 9}))
    rates = []
    for name in ("org-a", "org-b"):
        found = load_organisation(rig.state.get, name)
        assert found is not None
        rates.append(rate_of(rig.state.get, found))
    assert rates == [9, 7]
    default = load_organisation(Rig(four()).state.get, "org-a")
    assert default is not None
    assert rate_of(Rig(four()).state.get, default) == PARAMETERS[pb.PARAMETER_QUOTA_OPERATIONS_S].default


def test_first_known_signer_pays() -> None:
    rig = Rig(four())
    strangers = [signer("nobody"), signer("none")]
    assert charged_organisation(rig.state.get, strangers, rig.time_ms) is None
    paying = charged_organisation(rig.state.get, [*strangers, signer("org-b:submit")], rig.time_ms)
    assert paying is not None
    assert paying.id == "org-b"
