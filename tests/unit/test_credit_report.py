# SPDX-License-Identifier: Apache-2.0
"""A report is complete or refused: whatever is left out, added or altered, it fails; and it was shown to this asker."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.codec import encode
from chain.errors import InvalidReceipt, InvalidSignature, LedgerError
from chain.p256 import P256Signer
from chain.strict_json import canonical
from chain.types import sha256
from credit import report
from credit.catalogue import class_key
from credit.events import slot_key
from credit.logs import log_key
from credit.pb import credit_pb2 as pb
from credit.report import Opened, keys_of, make
from credit.score import score
from credit.scorecard import parse
from credit.scorecards import scorecard_key
from credit.slots import Content, content_commitment
from sim.instant_ledger import InstantLedger
from tests.credit_rig import HONOUR, PENALTY, content, log, opening, record, salt, slot
from tests.unit.test_credit_score import CARD

COUNT = 5
CONTENTS = [content(20_000 + i, "serious" if i % 2 == 0 else "none") for i in range(COUNT)]
HOLDER = P256Signer(ec.derive_private_key(7, ec.SECP256R1()))
NONCE = bytes(range(16))


def event(i: int, name: str = "log", **changes: object) -> pb.EventRecord:
    """What stands in the i-th slot."""
    message = record(i, 101 if i % 2 == 0 else 301, CONTENTS[i], name)
    fields: dict[str, object] = {
        "class": getattr(message, "class"),
        "class_version": 1,
        "source": "org-x",
        "registrar": "org-r",
        "status": pb.EVENT_STATUS_ACTIVE,
        "content": message.content,
        "next": message.next,
        "objection": message.objection,
        "upheld": i == 2,  # so that both readers of records meet it
    }
    return pb.EventRecord(**{**fields, **changes})


def state(count: int = COUNT, name: str = "log") -> dict[bytes, bytes]:
    """A ledger's state with one log."""
    states = {slot_key(slot(i, name)): encode(event(i, name)) for i in range(count)}
    states[log_key(log(name))] = encode(pb.LogRecord(registrar="org-r"))
    states[class_key(101, 1)] = encode(pb.PutClass(**PENALTY))
    states[class_key(301, 1)] = encode(pb.PutClass(**HONOUR))
    states[scorecard_key(1, 1)] = canonical(CARD)
    return states


@pytest.fixture(scope="module")
def ledger() -> InstantLedger:
    made = InstantLedger(("a", "b", "c", "d"))
    made.append([], {**state(), **state(name="other")})
    return made


def opened(count: int = COUNT, name: str = "log") -> Opened:
    return Opened(slot(0, name), salt(name), tuple(opening(i, CONTENTS[i], name) for i in range(count)))


def whole(ledger: InstantLedger, scorecard: tuple[int, int] | None = (1, 1)) -> bytes:
    keys = keys_of(opened(), [event(i) for i in range(COUNT)], scorecard)
    return make(opened(), ledger.receipt([], list(keys)), scorecard)


def code_of(raw: bytes, ledger: InstantLedger) -> str:
    try:
        report.verify(raw, ledger.genesis)
    except LedgerError as error:
        return error.code
    return ""


def test_report_tells_all_that_is_recorded(ledger: InstantLedger) -> None:
    found = report.verify(whole(ledger), ledger.genesis)
    assert [entry.content for entry in found.entries] == CONTENTS
    assert [entry.slot for entry in found.entries] == [slot(i) for i in range(COUNT)]
    assert (found.log, found.first_slot, found.record.registrar) == (log(), slot(0), "org-r")
    assert found.checkpoint == ledger.checkpoint
    events = [entry.event for entry in found.entries]
    assert [(one.number, one.found, one.published_days_max) for one in events[:2]] == [
        (101, "serious", 1_096),
        (301, "none", 0),
    ]
    assert found.score() == score(events, parse(canonical(CARD)), found.as_of)


def test_event_found_less_severe_than_its_class_counts_no_longer_than_what_it_was_found_to_be() -> None:
    catalogued = pb.PutClass(severity=pb.SEVERITY_SERIOUS, publication_days_max=1_096)
    days = [report.published_days_max(catalogued, severity) for severity in ("minor", "general", "serious")]
    assert days == [92, 366, 1_096]
    catalogued.publication_days_max = 60
    assert report.published_days_max(catalogued, "minor") == 60


@pytest.mark.parametrize("shown", [(), (1,), (0, 2)])
def test_withheld_events_are_counted_and_need_the_verifiers_leave(
    ledger: InstantLedger, shown: tuple[int, ...]
) -> None:
    raw = report.withhold(whole(ledger), {slot(i) for i in shown})
    assert code_of(raw, ledger) == "receipt.withheld"
    found = report.verify(raw, ledger.genesis, allow_withheld=True)
    assert [entry.content is not None for entry in found.entries] == [i in shown for i in range(COUNT)]
    message = pb.Report.FromString(raw)
    del message.openings[-1]
    with pytest.raises(LedgerError):
        report.verify(encode(message), ledger.genesis, allow_withheld=True)


def test_event_that_keeps_back_half_of_what_opens_it_is_refused(ledger: InstantLedger) -> None:
    for field in ("content", "content_salt"):
        message = pb.Report.FromString(whole(ledger))
        setattr(message.openings[0], field, b"")
        with pytest.raises(LedgerError):
            report.verify(encode(message), ledger.genesis, allow_withheld=True)


def test_empty_log_is_a_report_too(ledger: InstantLedger) -> None:
    made = InstantLedger(("a", "b", "c", "d"))
    made.append([], state(0))
    raw = make(opened(0), made.receipt([], list(keys_of(opened(0), []))))
    assert report.verify(raw, made.genesis).entries == ()


@pytest.mark.parametrize("end", range(COUNT))
def test_report_that_ends_early_is_refused(ledger: InstantLedger, end: int) -> None:
    keys = keys_of(opened(end), [event(i) for i in range(end)])
    assert code_of(make(opened(end), ledger.receipt([], list(keys))), ledger) == "receipt.incomplete"


@pytest.mark.parametrize("missing", range(COUNT))
def test_report_with_one_event_left_out_is_refused(ledger: InstantLedger, missing: int) -> None:
    kept = [i for i in range(COUNT) if i != missing]
    openings = [opening(i, CONTENTS[i]) for i in kept]
    if missing:
        openings[missing - 1].next_slot = slot(missing + 1)
        first = slot(0)
    else:
        first = slot(1)
    short = Opened(first, salt("log"), tuple(openings))
    raw = make(short, ledger.receipt([], list(keys_of(short, [event(i) for i in kept]))))
    assert code_of(raw, ledger) == ("receipt.altered" if missing else "receipt.unknown-log")


def test_report_of_a_second_log_is_refused_where_that_was_never_opened(ledger: InstantLedger) -> None:
    short = Opened(slot(0, "third"), salt("third"))
    assert code_of(make(short, ledger.receipt([], list(keys_of(short, [])))), ledger) == "receipt.unknown-log"


def test_slot_of_another_log_cannot_be_put_in(ledger: InstantLedger) -> None:
    mixed = (*opened().openings[:2], *opened(COUNT, "other").openings[2:])
    mixed[1].next_slot = slot(2, "other")
    one = Opened(slot(0), salt("log"), mixed)
    events = [event(i, "log" if i < 2 else "other") for i in range(COUNT)]
    assert code_of(make(one, ledger.receipt([], list(keys_of(one, events)))), ledger) == "receipt.altered"


def test_log_that_leads_back_to_itself_is_refused() -> None:
    made = InstantLedger(("a", "b", "c", "d"))
    states = state(2)
    round_trip = opening(1, CONTENTS[1])
    round_trip.next_slot = slot(0)
    from credit.slots import link_commitment  # noqa: PLC0415 - this test alone links by hand

    states[slot_key(slot(1))] = encode(event(1, next=link_commitment(slot(0), salt("n", 1))))
    made.append([], states)
    looped = Opened(slot(0), salt("log"), (opening(0, CONTENTS[0]), round_trip, opening(0, CONTENTS[0])))
    events = [event(0), event(1), event(0)]
    with pytest.raises(InvalidReceipt, match="already"):
        report.verify(make(looped, made.receipt([], list(keys_of(looped, events)))), made.genesis)


def test_content_more_severe_than_its_class_is_refused() -> None:
    made = InstantLedger(("a", "b", "c", "d"))
    worse = content(severity="serious")
    states = state(2)
    states[slot_key(slot(1))] = encode(event(1, content=content_commitment(worse, salt("c", 1))))
    made.append([], states)
    one = Opened(slot(0), salt("log"), (opening(0, CONTENTS[0]), opening(1, worse)))
    with pytest.raises(InvalidReceipt, match="more severe"):
        report.verify(make(one, made.receipt([], list(keys_of(one, [event(0), event(1)])))), made.genesis)


def test_receipt_that_proves_too_little_or_too_much_is_refused(ledger: InstantLedger) -> None:
    keys = keys_of(opened(), [event(i) for i in range(COUNT)])
    for key in keys:
        raw = make(opened(), ledger.receipt([], [other for other in keys if other != key]))
        with pytest.raises(InvalidReceipt, match="lacks"):
            report.verify(raw, ledger.genesis)
    with pytest.raises(InvalidReceipt, match="more than"):
        report.verify(make(opened(), ledger.receipt([], [*keys, log_key(log("other"))])), ledger.genesis)
    with pytest.raises(InvalidReceipt, match="lacks"):
        report.verify(make(opened(), ledger.receipt([], list(keys)), (1, 1)), ledger.genesis)


def test_report_of_another_network_is_refused(ledger: InstantLedger) -> None:
    other = InstantLedger(("e", "f", "g", "h"))
    with pytest.raises(LedgerError):
        report.verify(whole(ledger), other.genesis)


def test_report_older_than_its_purpose_allows_is_refused(ledger: InstantLedger) -> None:
    now_ms = ledger.checkpoint.time_ms + 10_000
    report.verify(whole(ledger), ledger.genesis, age_ms_max=10_000, now_ms=now_ms)
    with pytest.raises(InvalidReceipt) as caught:
        report.verify(whole(ledger), ledger.genesis, age_ms_max=9_999, now_ms=now_ms)
    assert caught.value.code == "receipt.too-old"


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_altering_any_byte_makes_a_report_fail(ledger: InstantLedger, seed: int) -> None:
    raw = bytearray(whole(ledger))
    draw = random.Random(seed)
    at = draw.randrange(len(raw))
    raw[at] ^= draw.randint(1, 255)
    with pytest.raises(LedgerError):
        report.verify(bytes(raw), ledger.genesis)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_openings_left_out_doubled_or_swapped_make_a_report_fail(ledger: InstantLedger, seed: int) -> None:
    draw = random.Random(seed)
    message = pb.Report.FromString(whole(ledger))
    openings = list(message.openings)
    match draw.randrange(3):
        case 0:
            del openings[draw.randrange(COUNT)]
        case 1:
            openings.insert(draw.randrange(COUNT + 1), draw.choice(openings))
        case _:
            first, second = draw.sample(range(COUNT), 2)
            openings[first], openings[second] = openings[second], openings[first]
    del message.openings[:]
    message.openings.extend(openings)
    with pytest.raises(LedgerError):
        report.verify(encode(message), ledger.genesis)


# ---------------------------------------------------------------- shown


def shown(ledger: InstantLedger, audience: str = "bank", nonce: bytes = NONCE, ahead_ms: int = 0) -> bytes:
    at_ms = ledger.checkpoint.time_ms + ahead_ms
    return report.show(whole(ledger), ledger.genesis.network, HOLDER, audience, "tender", nonce, at_ms)


def check(raw: bytes, ledger: InstantLedger, **changes: object) -> str:
    arguments: dict[str, object] = {
        "holder": HOLDER.signer,
        "audience": "bank",
        "purpose": "tender",
        "nonce": NONCE,
        "now_ms": ledger.checkpoint.time_ms,
        "age_ms_max": 60_000,
    }
    try:
        report.verify_shown(raw, ledger.genesis, **{**arguments, **changes})  # type: ignore[arg-type]  # a table of faults
    except LedgerError as error:
        return error.code
    return ""


def test_shown_report_is_for_one_asker_one_request_and_one_moment(ledger: InstantLedger) -> None:
    raw = shown(ledger)
    assert check(raw, ledger) == ""
    assert check(raw, ledger, audience="shop") == "receipt.audience"
    assert check(raw, ledger, nonce=bytes(16)) == "receipt.audience"
    assert check(raw, ledger, holder=P256Signer(ec.derive_private_key(8, ec.SECP256R1())).signer) == "receipt.holder"
    assert check(shown(ledger, ahead_ms=-300_001), ledger) == "receipt.shown-time"
    assert check(shown(ledger, ahead_ms=300_001), ledger) == "receipt.shown-time"


def test_shown_report_that_somebody_else_relabels_is_refused(ledger: InstantLedger) -> None:
    message = pb.ShownReport.FromString(shown(ledger, audience="shop"))
    message.audience = "bank"
    with pytest.raises(InvalidSignature):
        report.verify_shown(
            encode(message),
            ledger.genesis,
            holder=HOLDER.signer,
            audience="bank",
            purpose="tender",
            nonce=NONCE,
            now_ms=ledger.checkpoint.time_ms,
            age_ms_max=60_000,
        )


def test_report_shown_for_one_purpose_and_used_for_another_is_refused(ledger: InstantLedger) -> None:
    raw = shown(ledger)
    assert check(raw, ledger, purpose="trust-approval") == "receipt.purpose"
    assert check(raw, ledger, purpose="") == "receipt.purpose"
    message = pb.ShownReport.FromString(raw)
    message.purpose = "trust-approval"  # whoever was shown it writes another purpose on it
    assert check(encode(message), ledger, purpose="trust-approval") == "signature.invalid"
    message.purpose = ""
    assert check(encode(message), ledger, purpose="") == "receipt.purpose"


def test_content_that_contradicts_itself_has_no_encoding() -> None:
    for wrong in (
        Content("serious", 2, 1),
        Content("bad", 1, 1),
        Content("minor", -1, 1),
        Content("minor", 1, 1, evidence=sha256(b"")[:31]),
    ):
        with pytest.raises(LedgerError):
            wrong.encode()
