# SPDX-License-Identifier: Apache-2.0
"""A kiosk's journeys with an emulated card: each of its transactions, to the receipt and the ledger."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from desk_cards_rig import ORGANISATION, OWN_PIN
from kiosk_rig import ADDRESS_FIELDS, COMPANY, NAME, PHONE, HeldPhone, KioskRig
from sqlalchemy import select
from store_rig import Rig

from chain import p256
from identity.api.desk.cards_life import CardState
from identity.api.desk.tables import DeskAccess
from identity.api.kiosk.base import PhoneState
from identity.api.kiosk.phone import payment_of
from identity.api.kiosk.session import IDLE_MS_MAX, TICK_MS, State
from identity.api.kiosk.statements import Kind
from identity.api.kiosk.tables import RECORDED, KioskStatement
from identity.cards.authority import compressed_key, load_certificate
from membership.anchors import load_anchor
from membership.pb import membership_pb2


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KioskRig]:
    folder = tmp_path_factory.mktemp("kiosk")
    rig = Rig(folder, None)
    yield KioskRig(rig, folder)
    rig.close()


@pytest.fixture
def kiosk(shared: KioskRig) -> KioskRig:
    """The kiosk, started anew: of what was before it has its folder alone."""
    shared.phones = HeldPhone()
    shared.started()
    return shared


def statements(kiosk: KioskRig, person_id: str) -> list[KioskStatement]:
    with kiosk.cards.store.read() as session:
        return list(session.scalars(select(KioskStatement).where(KioskStatement.person_id == person_id)))


async def test_change_of_address_is_signed_as_shown_filed_and_proven_on_the_ledger(kiosk: KioskRig) -> None:
    person_id, _, chip = kiosk.holder()
    await kiosk.address_signed(chip)
    assert kiosk.state is State.RECEIPT
    (receipt,) = kiosk.printer.receipts
    stated = receipt.signed.statement
    assert ADDRESS_FIELDS["plate"] in "".join(stated.lines)
    p256.verify(compressed_key(load_certificate(receipt.signed.certificate)), stated.message, receipt.signed.signature)
    kind, stream = membership_pb2.ANCHOR_KIND_AUDIT, stated.stream_bytes
    anchor = load_anchor(kiosk.cards.rules.state.get, ORGANISATION, kind, stream)
    assert anchor is not None
    assert anchor.digest == stated.recorded(receipt.signed.signature)
    assert receipt.filed is not None
    assert receipt.proof
    row = statements(kiosk, person_id)[-1]
    assert row.state == RECORDED
    assert kiosk.disk() == b""


async def test_each_opening_of_a_person_at_a_kiosk_is_an_access_that_the_person_sees(kiosk: KioskRig) -> None:
    person_id, _, chip = kiosk.holder()

    def accesses() -> list[tuple[str, str]]:
        with kiosk.cards.store.read() as session:
            rows = session.scalars(select(DeskAccess).where(DeskAccess.person_id == person_id))
            return [(row.organisation, row.reason) for row in rows]

    before = len(accesses())
    await kiosk.log_in(chip)
    assert kiosk.kiosk.session.visit is not None
    assert kiosk.kiosk.session.visit.holder is not None
    assert kiosk.kiosk.session.visit.holder.name == NAME
    assert accesses()[before:] == [(ORGANISATION, "at-counter")]
    await kiosk.remove()
    await kiosk.log_in(chip)
    assert accesses()[before:] == [(ORGANISATION, "at-counter")] * 2


async def test_certificate_is_made_of_what_the_ledger_proves_now(kiosk: KioskRig) -> None:
    person_id, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.kiosk.certify(kiosk.turn, "en")
    (attested,) = kiosk.printer.certificates
    assert attested.holder.registration == kiosk.cards.registration(person_id).hex()
    assert attested.holder.level == "high"
    assert kiosk.state is State.RECEIPT


async def test_small_payment_is_signed_with_amount_and_payee_in_the_words(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.stated(Kind.PAYMENT, _bill(kiosk, "B-1"))
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    said = "".join(kiosk.printer.receipts[0].signed.statement.lines)
    assert "400.00" in said
    assert kiosk.bills[0].payee in said


async def test_large_payment_is_signed_only_after_the_phone_has_confirmed_the_same_words(kiosk: KioskRig) -> None:
    person_id, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.stated(Kind.PAYMENT, _bill(kiosk, "B-2"))
    await kiosk.kiosk.ask_phone(kiosk.turn)
    assert kiosk.state is State.PHONE
    await kiosk.pass_s()
    assert kiosk.state is State.PHONE
    assert isinstance(kiosk.phones, HeldPhone)
    assert kiosk.kiosk.session.visit is not None
    stated = kiosk.kiosk.session.visit.statement
    assert stated is not None
    assert kiosk.phones.asked == [(stated.message, payment_of(stated))]
    kiosk.phones.person = person_id
    kiosk.phones.state = PhoneState.CONFIRMED
    await kiosk.pass_s()
    assert kiosk.state is State.CONFIRM
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert kiosk.printer.receipts[0].signed.phone == kiosk.phones.answer(*kiosk.phones.asked[0])


async def test_declined_on_the_phone_signs_nothing(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    kiosk.bills.append(replace(kiosk.bills[1], reference="B-3"))
    await kiosk.log_in(chip)
    await kiosk.stated(Kind.PAYMENT, _bill(kiosk, "B-3"))
    await kiosk.kiosk.ask_phone(kiosk.turn)
    assert isinstance(kiosk.phones, HeldPhone)
    kiosk.phones.state = PhoneState.DECLINED
    await kiosk.pass_s()
    assert kiosk.state is State.MENU
    assert kiosk.printer.receipts == []
    assert kiosk.disk() == b""


async def test_card_in_the_reader_is_stopped_by_its_holder_and_counts_no_more(kiosk: KioskRig) -> None:
    _, card_id, chip = kiosk.holder(other=True)
    await kiosk.log_in(chip)
    assert kiosk.kiosk.session.visit is not None
    assert kiosk.kiosk.session.visit.holder is not None
    (way,) = kiosk.kiosk.session.visit.holder.ways
    assert way.is_here
    await kiosk.stated(Kind.STOP, {"way": "card", "id": way.id, "reference": way.reference})
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert kiosk.printer.receipts[0].filed is not None
    assert kiosk.cards.card(card_id).state is CardState.SUSPENDED
    await kiosk.remove()
    await kiosk.log_in(chip)
    assert kiosk.state is State.TAKE
    assert kiosk.kiosk.notice is not None
    assert kiosk.kiosk.notice.key == "kiosk.notice.card-ended"


async def test_lost_card_is_stopped_without_a_card_by_number_and_telephone(kiosk: KioskRig) -> None:
    _, card_id, _ = kiosk.holder(other=True)
    await kiosk.pass_s()
    assert (await kiosk.kiosk.stop_lost(kiosk.number, "13900009999")).key == "kiosk.notice.nobody-fits"
    assert kiosk.cards.card(card_id).state is CardState.ACTIVE
    assert (await kiosk.kiosk.stop_lost(kiosk.number, PHONE)).parameters == {"count": 1}
    assert kiosk.cards.card(card_id).state is CardState.SUSPENDED


async def test_company_is_acted_for_under_a_mandate_that_the_ledger_proves(kiosk: KioskRig) -> None:
    person_id, _, chip = kiosk.holder()
    mandate = await kiosk.mandated(person_id)
    await kiosk.log_in(chip)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    fields = kiosk.kiosk.company_fields(visit, mandate)
    assert fields is not None
    await kiosk.stated(Kind.COMPANY, fields)
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    said = "".join(kiosk.printer.receipts[0].signed.statement.lines)
    assert COMPANY.name_zh in said
    assert COMPANY.uscc in said


async def test_idle_session_is_wiped_within_a_minute_and_the_card_is_let_go(kiosk: KioskRig) -> None:
    assert IDLE_MS_MAX + TICK_MS < 60_000
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.pass_s(IDLE_MS_MAX / 1000 - 1)
    assert kiosk.state is State.MENU
    kiosk.kiosk.touch()
    await kiosk.pass_s(IDLE_MS_MAX / 1000 - 1)
    assert kiosk.state is State.MENU
    await kiosk.pass_s(1)
    assert kiosk.state is State.TAKE
    assert kiosk.kiosk.session.visit is None
    await kiosk.pass_s(600)
    assert kiosk.state is State.TAKE
    await kiosk.remove()
    assert kiosk.state is State.IDLE


async def test_card_taken_out_ends_the_session_at_each_step(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()

    async def at_pin() -> None:
        await kiosk.insert(chip)

    async def at_menu() -> None:
        await kiosk.log_in(chip)

    async def at_form() -> None:
        await at_menu()
        kiosk.kiosk.choose(kiosk.turn, Kind.ADDRESS)

    async def at_confirm() -> None:
        await at_menu()
        await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)

    async def at_receipt() -> None:
        await kiosk.address_signed(chip)

    for reach in (at_pin, at_menu, at_form, at_confirm, at_receipt):
        await reach()
        assert kiosk.kiosk.session.visit is not None
        await kiosk.remove()
        assert (kiosk.state, kiosk.kiosk.session.visit) == (State.IDLE, None)


async def test_pages_show_each_step_in_both_languages_and_no_browser_keeps_them(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.pass_s()
    async with kiosk.serving() as screen:
        assert "Insert your card, or use your phone" in await screen.see()
        assert "请插卡，或用手机" in await screen.see("zh-CN")
        await kiosk.insert(chip)
        assert "3 tries left" in await screen.see()
        assert (await screen.touch("/pin", pin=OWN_PIN)).status_code == 303
        assert NAME in await screen.see()
        await screen.touch("/choose", what="address")
        wrong = await screen.touch("/state", district="zumiao", plate="12", room="")
        assert "6 to 24 digits" in wrong.text
        await screen.touch("/state", district="zumiao", plate="440604001002003", room="1203")
        page = await screen.see()
        assert "440604001002003" in page
        await screen.touch("/sign", pin=OWN_PIN)
        assert "Taken" in await screen.see()
        printed = await screen.web.get("/print")
        assert printed.headers["cache-control"] == "no-store"
        assert printed.content.startswith(b"%PDF")
        await screen.touch("/leave")
        assert "Please take your card" in await screen.see()
        assert (await screen.web.get("/print")).status_code == 409


def _bill(kiosk: KioskRig, reference: str) -> dict[str, str]:
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    bill = kiosk.kiosk.bill(visit, reference)
    assert bill is not None
    return {
        "reference": bill.reference,
        "payee": bill.payee,
        "purpose": bill.purpose,
        "amount_fen": str(bill.amount_fen),
    }
