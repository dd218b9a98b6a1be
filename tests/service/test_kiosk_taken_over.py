# SPDX-License-Identifier: Apache-2.0
"""A kiosk that was taken over, before an office that believes it nothing: each test is named by the attack."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from desk_cards_rig import ORGANISATION, OWN_PIN
from kiosk_rig import ADDRESS_FIELDS, DAY_MS, LIVENESS, NAME, PHONE, SMALL, HeldPhone, KioskRig, refusal, signed_by
from sqlalchemy import func, select
from store_rig import Rig

from chain.types import sha256
from client.errors import TransportError
from identity.api.desk import cards_phone
from identity.api.desk.cards import Reason as CardReason
from identity.api.desk.cards_binding import revocation
from identity.api.desk.cards_life import CardState
from identity.api.desk.looking_up import Reason
from identity.api.desk.tables import DeskAccess
from identity.api.kiosk.base import (
    SCAN_S_MAX,
    Bill,
    CardProof,
    OfficeAway,
    OfficeRefused,
    PhoneProof,
    opening_message,
    phone_message,
)
from identity.api.kiosk.boxes import seal, unseal
from identity.api.kiosk.filing import AWAY_MAX
from identity.api.kiosk.office import STATEMENT_AGE_MS_MAX
from identity.api.kiosk.office_base import CLOCK_MS_MAX
from identity.api.kiosk.presence import presence_line
from identity.api.kiosk.session import OutOfTurn, State
from identity.api.kiosk.statements import Kind
from identity.api.kiosk.tables import RECEIVED, RECORDED, REFUSED, KioskStatement
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from membership.anchors import load_anchor
from membership.pb import membership_pb2
from service.sign_in.roles import Role


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KioskRig]:
    folder = tmp_path_factory.mktemp("kiosk-taken-over")
    rig = Rig(folder, None)
    yield KioskRig(rig, folder)
    rig.close()


@pytest.fixture
def kiosk(shared: KioskRig) -> Iterator[KioskRig]:
    """The kiosk, started anew; the clock goes back to where it was."""
    shared.phones, shared.bills = HeldPhone(), [SMALL]
    shared.started()
    clock_ms = shared.rig.clock_ms
    yield shared
    shared.rig.clock_ms = clock_ms


@pytest.fixture
def cut(kiosk: KioskRig) -> pytest.MonkeyPatch:
    """The ledger takes no transaction, though it is read, until this is undone."""
    context = pytest.MonkeyPatch()
    context.setattr(kiosk.cards.ledger, "submit_one", _fails)
    return context


async def _fails(_transaction: object) -> Any:
    raise TransportError("no node answers")


def state_of(kiosk: KioskRig, stream: bytes) -> str | None:
    with kiosk.cards.store.read() as session:
        return session.scalar(select(KioskStatement.state).where(KioskStatement.stream == stream))


def stop_of(card_id: str) -> dict[str, str]:
    return {"way": "card", "id": card_id, "reference": f"K-{card_id[:8].upper()}"}


def pays(bill: Bill) -> dict[str, str]:
    return {
        "reference": bill.reference,
        "payee": bill.payee,
        "purpose": bill.purpose,
        "amount_fen": str(bill.amount_fen),
    }


# ---------------------------------------------------------------- a second statement under the same stream


async def test_second_statement_under_a_stream_that_waits_or_was_filed_is_refused_and_stops_nobodys_card(
    kiosk: KioskRig, cut: pytest.MonkeyPatch
) -> None:
    _, _, chip = kiosk.holder()
    _, theirs, _ = kiosk.holder(other=True)
    stream, first = signed_by(kiosk, chip, Kind.ADDRESS, ADDRESS_FIELDS)
    with pytest.raises(OfficeAway):
        await kiosk.office.file(stream, first)
    assert state_of(kiosk, stream) == RECEIVED
    cut.undo()
    bill = Bill("B-none", "attacker", "x", 99_900_000)
    seconds = [
        signed_by(kiosk, chip, kind, fields, stream=stream.hex())[1]
        for kind, fields in ((Kind.STOP, stop_of(theirs)), (Kind.PAYMENT, pays(bill)), (Kind.ADDRESS, ADDRESS_FIELDS))
    ]
    for second in seconds:
        assert await refusal(kiosk, stream, second) == "kiosk.statement"
    assert kiosk.cards.card(theirs).state is CardState.ACTIVE
    await kiosk.office.file(stream, first)
    for second in seconds:
        assert await refusal(kiosk, stream, second) == "kiosk.statement"
    anchor = load_anchor(kiosk.cards.rules.state.get, ORGANISATION, membership_pb2.ANCHOR_KIND_AUDIT, stream)
    assert anchor is not None
    assert anchor.digest == unseal(first, kiosk.desk.box()).recorded


async def test_statement_that_waited_is_checked_again_and_ends_when_its_card_was_stopped_meanwhile(
    kiosk: KioskRig, cut: pytest.MonkeyPatch
) -> None:
    _, card_id, chip = kiosk.holder(other=True)
    stream, sealed = signed_by(kiosk, chip, Kind.ADDRESS, ADDRESS_FIELDS)
    with pytest.raises(OfficeAway):
        await kiosk.office.file(stream, sealed)
    cut.undo()
    assert await kiosk.office.stop_lost(kiosk.number, PHONE) == 1
    assert kiosk.cards.card(card_id).state is CardState.SUSPENDED
    assert await refusal(kiosk, stream, sealed) == "kiosk.card-ended"
    assert await refusal(kiosk, stream, sealed) == "kiosk.statement"
    assert state_of(kiosk, stream) == REFUSED


async def test_stop_of_the_very_card_that_signed_it_is_recorded_though_that_card_counts_no_more(
    kiosk: KioskRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, card_id, chip = kiosk.holder(other=True)
    stream, sealed = signed_by(kiosk, chip, Kind.STOP, stop_of(card_id))
    with monkeypatch.context() as context:
        context.setattr(kiosk.desk, "_record", _fails_twice)  # power fails once the card is stopped
        with pytest.raises(OfficeAway):
            await kiosk.office.file(stream, sealed)
    assert kiosk.cards.card(card_id).state is CardState.SUSPENDED
    await kiosk.office.file(stream, sealed)
    assert state_of(kiosk, stream) == RECORDED


async def _fails_twice(_device: object, _opened: object) -> None:
    raise TransportError("no node answers")


# ---------------------------------------------------------------- opening a person without the card


async def test_proof_that_is_signed_while_the_card_is_in_opens_nobody_later_elsewhere_or_a_second_time(
    kiosk: KioskRig,
) -> None:
    person_id, _, chip = kiosk.holder()
    piv, device = Piv(chip), kiosk.device.signer.public_key
    chip.insert()
    piv.select()
    piv.verify_pin(OWN_PIN)
    guid, now_ms = piv.guid(), kiosk.rig.clock_ms
    assert guid is not None

    async def proof(later_ms: int, nonce: bytes = b"") -> CardProof:
        nonce = nonce or await kiosk.office.challenge()
        message = opening_message(device, now_ms + later_ms, nonce)
        return CardProof(guid, now_ms + later_ms, nonce, piv.sign(Slot.AUTHENTICATE, sha256(message)))

    def seen() -> int:
        own = select(func.count()).select_from(DeskAccess).where(DeskAccess.person_id == person_id)
        with kiosk.cards.store.read() as session:
            return session.scalar(own.where(DeskAccess.reason == Reason.COUNTER)) or 0

    before = seen()
    delays = (CLOCK_MS_MAX + 1, 25 * 60_000, 7 * DAY_MS)
    kept = [await proof(later_ms) for later_ms in delays]
    right, again = await proof(0), await proof(0)
    made_up = await proof(0, bytes(40))
    chip.remove()  # from here on there is no card
    assert (await kiosk.office.open(right)).name == NAME
    assert (await kiosk.office.open(again)).name == NAME
    assert seen() == before + 2  # each opening is one more that the person sees
    for replayed in (right, again, made_up, replace(right, nonce=bytes(7))):
        with pytest.raises(OfficeRefused, match=r"kiosk\.visit"):
            await kiosk.office.open(replayed)
    for later_ms, one in zip(delays, kept, strict=True):
        kiosk.rig.clock_ms = now_ms + later_ms
        with pytest.raises(OfficeRefused, match=r"kiosk\.visit"):
            await kiosk.office.open(one)
    assert seen() == before + 2


async def test_phones_answer_that_is_kept_opens_nobody_later(kiosk: KioskRig) -> None:
    person_id, _, _ = kiosk.holder()
    phone, device, now_ms = kiosk.phones, kiosk.device.signer.public_key, kiosk.rig.clock_ms
    assert phone is not None
    phone.person = person_id
    for later_ms in (SCAN_S_MAX * 1000 + CLOCK_MS_MAX + 1, 7 * DAY_MS):
        kiosk.rig.clock_ms = now_ms
        nonce = await kiosk.office.challenge()
        answer = phone.answer(phone_message(device, now_ms + later_ms, nonce), None)
        kiosk.rig.clock_ms = now_ms + later_ms
        with pytest.raises(OfficeRefused, match=r"kiosk\.visit"):
            await kiosk.office.open(PhoneProof(now_ms + later_ms, nonce, answer))


# ---------------------------------------------------------------- showing one thing, having another signed


async def test_lines_that_say_something_else_than_the_fields_or_nothing_are_refused(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    fields = pays(SMALL)
    right = unseal(signed_by(kiosk, chip, Kind.PAYMENT, fields)[1], kiosk.desk.box()).statement.lines
    # no method found anybody, and without one nobody stands there at the highest level
    claims = [presence_line("high", method, "zh-CN") for method in (LIVENESS, "")]
    wrong = [("金额：1.00 元，图书馆",), (), right[:-1], right[::-1], *[(*right, one) for one in claims]]
    for lines in wrong:
        stream, sealed = signed_by(kiosk, chip, Kind.PAYMENT, fields, lines=tuple(lines))
        assert await refusal(kiosk, stream, sealed) == "kiosk.statement"
        assert state_of(kiosk, stream) is None


async def test_power_or_scope_beyond_what_a_kiosk_signs_for_is_refused(kiosk: KioskRig) -> None:
    person_id, _, chip = kiosk.holder()
    mandate = await kiosk.mandated(person_id)
    await kiosk.log_in(chip)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    fields = kiosk.kiosk.company_fields(visit, mandate)
    assert fields is not None
    scope = {"scope": "bank-accounts; guarantee of 10 000 000"}
    for beyond in ({"power": "dispose"}, scope, {"power": "dispose"} | scope):
        assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.COMPANY, fields | beyond)) == "kiosk.mandate"
    await kiosk.office.file(*signed_by(kiosk, chip, Kind.COMPANY, fields))


async def test_stop_that_names_one_card_to_the_holder_and_another_to_the_office_stops_none(kiosk: KioskRig) -> None:
    _, card_id, chip = kiosk.holder()
    fields = stop_of(card_id) | {"reference": "K-00000000"}
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.STOP, fields)) == "kiosk.way"
    assert kiosk.cards.card(card_id).state is CardState.ACTIVE


# ---------------------------------------------------------------- stops and queues


async def test_card_whose_stop_failed_for_minutes_is_stopped_once_the_ledger_is_back(
    kiosk: KioskRig, cut: pytest.MonkeyPatch
) -> None:
    _, card_id, chip = kiosk.holder(other=True)
    stream, sealed = signed_by(kiosk, chip, Kind.STOP, stop_of(card_id))
    for _ in range(cards_phone.NUMBER_DAY_MAX + 2):
        with pytest.raises(OfficeAway):
            await kiosk.office.file(stream, sealed)
        with pytest.raises(TransportError):
            await cards_phone.suspend(kiosk.cards.desk, kiosk.cards.clerk, card_id)
    cut.undo()
    await kiosk.office.file(stream, sealed)
    assert kiosk.cards.card(card_id).state is CardState.SUSPENDED
    assert await cards_phone.suspend(kiosk.cards.desk, kiosk.cards.clerk, card_id) is CardState.SUSPENDED


async def test_stop_of_a_card_that_an_officer_has_revoked_meanwhile_ends_and_the_queue_goes_on(
    kiosk: KioskRig, cut: pytest.MonkeyPatch
) -> None:
    _, card_id, chip = kiosk.holder(other=True)
    _, _, other = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.stated(Kind.STOP, stop_of(card_id))
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    stuck = kiosk.printer.receipts[0].signed.statement.stream_bytes
    await kiosk.remove()
    await kiosk.address_signed(other)
    waiting = kiosk.printer.receipts[1].signed.statement.stream_bytes
    assert kiosk.kiosk.filing.waiting == 2
    cut.undo()
    card = kiosk.cards.card(card_id)
    person = card.person_id
    ended = revocation(card, kiosk.cards.registration(person), kiosk.cards.record(person), CardReason.LOST)
    assert kiosk.cards.act(Role.APPROVER, ended[0]) == ""
    kiosk.cards.observe(card_id)
    await kiosk.pass_s(20)
    assert (state_of(kiosk, stuck), state_of(kiosk, waiting)) == (REFUSED, RECORDED)
    assert (kiosk.kiosk.filing.waiting, kiosk.disk()) == (0, b"")


async def test_statement_that_waits_for_good_ends_after_two_weeks(kiosk: KioskRig, cut: pytest.MonkeyPatch) -> None:
    _, _, chip = kiosk.holder()
    stream, sealed = signed_by(kiosk, chip, Kind.ADDRESS, ADDRESS_FIELDS)
    with pytest.raises(OfficeAway):
        await kiosk.office.file(stream, sealed)
    cut.undo()
    kiosk.rig.clock_ms += STATEMENT_AGE_MS_MAX + 1
    assert await refusal(kiosk, stream, sealed) == "kiosk.clock"
    assert state_of(kiosk, stream) == REFUSED


async def test_statements_that_the_office_cannot_take_hold_up_none_behind_them(
    kiosk: KioskRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.pass_s()
    kiosk.office.is_reachable = False
    for _ in range(AWAY_MAX + 1):
        await kiosk.address_signed(chip)
        await kiosk.remove()
    kiosk.office.is_reachable = True
    stuck = {one.signed.statement.stream_bytes for one in kiosk.printer.receipts[:AWAY_MAX]}
    last = kiosk.printer.receipts[AWAY_MAX].signed.statement.stream_bytes
    file = kiosk.office.file
    asked: list[bytes] = []

    async def grudging(stream: bytes, sealed: str) -> Any:
        asked.append(stream)
        if stream in stuck:
            raise OfficeAway("not now")
        return await file(stream, sealed)

    with monkeypatch.context() as context:
        context.setattr(kiosk.office, "file", grudging)
        for _ in range(2):
            await kiosk.pass_s(20)
    assert state_of(kiosk, last) == RECORDED
    assert kiosk.kiosk.filing.waiting == AWAY_MAX
    assert len(asked) <= 2 * AWAY_MAX + 1  # an office that is away is not asked for each
    await kiosk.pass_s(20)
    assert kiosk.kiosk.filing.waiting == 0


# ---------------------------------------------------------------- payments in pieces


async def test_small_payments_of_a_day_want_the_phone_as_one_large_payment_does_and_no_bill_is_filed_twice(
    kiosk: KioskRig,
) -> None:
    _, _, chip = kiosk.holder(other=True)
    kiosk.bills = [replace(SMALL, reference=f"P-{number}", amount_fen=99_999) for number in range(4)]
    for bill in kiosk.bills[:2]:
        await kiosk.office.file(*signed_by(kiosk, chip, Kind.PAYMENT, pays(bill)))
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.PAYMENT, pays(kiosk.bills[2]))) == "kiosk.phone"
    kiosk.rig.clock_ms += DAY_MS
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.PAYMENT, pays(kiosk.bills[0]))) == "kiosk.bill"
    await kiosk.office.file(*signed_by(kiosk, chip, Kind.PAYMENT, pays(kiosk.bills[2])))


async def test_kiosk_asks_the_phone_once_the_cards_own_share_of_a_day_is_used_up_and_shows_no_bill_twice(
    kiosk: KioskRig,
) -> None:
    _, _, chip = kiosk.holder(other=True)
    kiosk.bills = [replace(SMALL, reference=f"S-{number}", amount_fen=120_000) for number in range(2)]
    await kiosk.log_in(chip)
    await kiosk.stated(Kind.PAYMENT, pays(kiosk.bills[0]))
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert kiosk.state is State.RECEIPT
    kiosk.kiosk.back(kiosk.turn)
    await kiosk.stated(Kind.PAYMENT, pays(kiosk.bills[1]))
    with pytest.raises(OutOfTurn):
        await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    kiosk.kiosk.back(kiosk.turn)
    for _ in range(2):  # in this visit, and as the office says in the next one
        visit = kiosk.kiosk.session.visit
        assert visit is not None
        assert visit.holder is not None
        assert (visit.holder.bills, visit.holder.card_fen) == ((kiosk.bills[1],), 120_000)
        await kiosk.remove()
        await kiosk.log_in(chip)


async def test_phones_word_that_is_none_frees_no_small_payment_from_the_days_sum(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    kiosk.bills = [replace(SMALL, reference="F-1", amount_fen=100)]
    stream, sealed = _with_phone(kiosk, chip, pays(kiosk.bills[0]))
    assert await refusal(kiosk, stream, sealed) == "kiosk.phone"


def _with_phone(kiosk: KioskRig, chip: EmulatedCard, fields: dict[str, str]) -> tuple[bytes, str]:
    stream, sealed = signed_by(kiosk, chip, Kind.PAYMENT, fields)
    signed = replace(unseal(sealed, kiosk.desk.box()), phone="invented")
    return stream, seal(signed, kiosk.desk.box_key())
