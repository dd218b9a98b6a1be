# SPDX-License-Identifier: Apache-2.0
"""Attacks on a kiosk, and what the world does to one: each test is named by the attack."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from desk_cards_rig import ORGANISATION, OWN_PIN
from kiosk_rig import ADDRESS_FIELDS, NAME, PHONE, HeldPhone, KioskRig, refusal, signed_by
from sqlalchemy import func, select
from store_rig import Rig

from chain.errors import InvalidMessage
from chain.p256 import P256Signer
from chain.types import sha256
from client.errors import TransportError
from identity.api.accesses.signed_requests import HEADER, Asked, sign
from identity.api.desk.cards_life import CardState
from identity.api.kiosk import boxes, office_lost
from identity.api.kiosk.base import CardProof, OfficeAway, OfficeRefused, opening_message
from identity.api.kiosk.journal import ENTRIES_MAX, Entry, Journal, JournalFull
from identity.api.kiosk.office import STATEMENT_AGE_MS_MAX
from identity.api.kiosk.office_client import LocalOffice
from identity.api.kiosk.office_lost import NUMBER_HOUR_MAX, PHONE_HOUR_MAX
from identity.api.kiosk.session import OutOfTurn, State
from identity.api.kiosk.standing import AGE_MS_MAX, LOOK_MS, Standing
from identity.api.kiosk.statements import Kind, Statement, make
from identity.api.kiosk.tables import KioskStatement
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import Slot
from identity.cards.piv import Piv
from identity.pb import identity_pb2 as pb
from membership.anchors import anchor_key
from membership.pb import membership_pb2

WRONG = "111111"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KioskRig]:
    folder = tmp_path_factory.mktemp("kiosk-attacks")
    rig = Rig(folder, None)
    yield KioskRig(rig, folder)
    rig.close()


@pytest.fixture
def kiosk(shared: KioskRig) -> KioskRig:
    """The kiosk, started anew, with a line that holds."""
    shared.phones = HeldPhone()
    shared.office.is_reachable = shared.states.is_reachable = True
    shared.office.loses_answers = False
    shared.started()
    return shared


def filed(kiosk: KioskRig) -> int:
    with kiosk.cards.store.read() as session:
        return session.scalar(select(func.count()).select_from(KioskStatement)) or 0


# ---------------------------------------------------------------- PINs


async def test_guessing_pins_through_the_kiosk_costs_the_cards_own_tries_and_the_last_one_is_asked_for(
    kiosk: KioskRig,
) -> None:
    _, _, chip = kiosk.holder(other=True)
    await kiosk.insert(chip)
    for left in (2, 1):
        await kiosk.kiosk.enter_pin(kiosk.turn, WRONG)
        assert kiosk.kiosk.session.visit is not None
        assert kiosk.kiosk.session.visit.tries_left == left
    await kiosk.kiosk.enter_pin(kiosk.turn, WRONG)  # not dared: the card is not asked
    assert kiosk.state is State.PIN
    await kiosk.remove()
    await kiosk.insert(chip)  # taking it out brings no try back
    assert kiosk.kiosk.session.visit is not None
    assert kiosk.kiosk.session.visit.tries_left == 1
    await kiosk.kiosk.enter_pin(kiosk.turn, WRONG, dares_last_try=True)
    assert kiosk.state is State.BLOCKED
    with pytest.raises(OutOfTurn):
        await kiosk.kiosk.enter_pin(kiosk.turn, OWN_PIN)
    await kiosk.remove()
    await kiosk.insert(chip)
    assert kiosk.state is State.BLOCKED


async def test_two_touches_of_one_button_cost_one_try(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder(other=True)
    await kiosk.insert(chip)
    turn = kiosk.turn
    await kiosk.kiosk.enter_pin(turn, WRONG)
    with pytest.raises(OutOfTurn):
        await kiosk.kiosk.enter_pin(turn, WRONG)
    assert kiosk.kiosk.session.visit is not None
    assert kiosk.kiosk.session.visit.tries_left == 2


async def test_pin_that_no_card_has_costs_no_try(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.insert(chip)
    await kiosk.kiosk.enter_pin(kiosk.turn, "12ab")
    assert kiosk.kiosk.session.visit is not None
    assert kiosk.kiosk.session.visit.tries_left == 3


async def test_pin_is_in_no_log_line_and_stays_verified_in_no_card(
    kiosk: KioskRig, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, chip = kiosk.holder()
    async with kiosk.serving() as screen:
        await kiosk.insert(chip)
        await screen.touch("/pin", pin="864200")
        await screen.touch("/pin", pin=OWN_PIN)
        assert kiosk.state is State.MENU
    assert Piv(chip).pin_tries_left() == 3  # None would say that it is verified
    said = capsys.readouterr()
    assert not any(pin in said.out + said.err for pin in ("864200", OWN_PIN))


# ---------------------------------------------------------------- the kiosk's own key


@pytest.mark.parametrize(
    ("status", "standing"),
    [(pb.STATUS_SUSPENDED, Standing.SUSPENDED), (pb.STATUS_REVOKED, Standing.REVOKED)],
)
async def test_kiosk_with_a_revoked_key_is_out_of_service_says_so_and_drops_who_is_there(
    kiosk: KioskRig, status: int, standing: Standing
) -> None:
    with another_device(kiosk, int(status) + 1_000) as rig:
        _, _, chip = rig.holder()
        await rig.log_in(chip)
        assert rig.state is State.MENU
        rig.device_status(status)
        await rig.pass_s(LOOK_MS / 1000)
        assert rig.kiosk.licence.standing is standing
        assert rig.kiosk.session.visit is None
        async with rig.serving() as screen:
            assert "out of service" in await screen.see()
            assert NAME not in await screen.see()
        await rig.remove()
        await rig.insert(chip)
        assert rig.kiosk.session.visit is None


async def test_kiosk_with_an_unknown_key_never_begins(kiosk: KioskRig) -> None:
    with another_device(kiosk, 5_000, registered=False) as rig:
        await rig.pass_s()
        assert rig.kiosk.licence.standing is Standing.UNKNOWN
        assert not rig.kiosk.is_serving


async def test_office_tells_a_kiosk_with_a_revoked_key_nothing(kiosk: KioskRig) -> None:
    with another_device(kiosk, 6_000) as rig:
        rig.device_status(pb.STATUS_REVOKED)
        proof = CardProof(bytes(16), rig.rig.clock_ms, bytes(40), bytes(64))
        for ask in (
            rig.office.box_key,
            lambda: rig.office.open(proof),
            lambda: rig.office.file(bytes(16), "x"),
            lambda: rig.office.stop_lost(rig.number, PHONE),
        ):
            with pytest.raises(OfficeAway, match="does not deal"):
                await ask()


@contextmanager
def another_device(kiosk: KioskRig, number: int, *, registered: bool = True) -> Iterator[KioskRig]:
    """The same office, with another kiosk before it."""
    device, office = kiosk.device, kiosk.office
    kiosk.device = P256Signer(ec.derive_private_key(number, ec.SECP256R1()))
    if registered:
        kiosk.register()
    kiosk.office = replace(office, office=LocalOffice(kiosk.desk, kiosk.device))
    kiosk.started()
    yield kiosk
    kiosk.device, kiosk.office = device, office


# ---------------------------------------------------------------- pages


async def test_page_of_another_origin_or_under_another_name_is_refused(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.insert(chip)
    async with kiosk.serving() as screen:
        await screen.see()
        form = {"turn": kiosk.turn, "pin": OWN_PIN}
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "http://localhost:8801"},
            {"origin": "null"},
            {"sec-fetch-site": "same-site"},
            {"origin": "http://localhost:8809"},  # own origin, no form token
        ):
            answer = await screen.web.post("/pin", data=form, headers=headers)
            assert answer.status_code == 403, headers
        rebound = await screen.web.get("/", headers={"host": "kiosk.evil.example"})
        assert rebound.status_code == 421
        assert kiosk.state is State.PIN


async def test_form_of_a_session_before_does_nothing_in_this_one(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    old = kiosk.turn
    await kiosk.remove()
    await kiosk.log_in(chip)
    async with kiosk.serving() as screen:
        for path in ("/choose", "/state", "/sign", "/back", "/leave", "/phone"):
            assert (await screen.touch(path, turn=old, what="address")).status_code == 409
        assert kiosk.state is State.MENU


# ---------------------------------------------------------------- cards


async def test_card_swapped_mid_transaction_signs_nothing(kiosk: KioskRig) -> None:
    _, _, mine = kiosk.holder()
    _, _, other = kiosk.holder(other=True)
    await kiosk.log_in(mine)
    await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
    before = filed(kiosk)
    kiosk.slot.insert(other)  # type: ignore[attr-defined]  # faster than the kiosk looks
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert kiosk.kiosk.session.visit is None
    assert (filed(kiosk), kiosk.disk()) == (before, b"")


async def test_card_pulled_while_it_signs_leaves_nothing(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
    chip.remove()
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert (kiosk.kiosk.session.visit, kiosk.disk()) == (None, b"")


async def test_copy_of_a_cards_certificates_and_a_card_of_elsewhere_are_refused_before_any_pin(
    kiosk: KioskRig,
) -> None:
    _, _, chip = kiosk.holder()
    copied = EmulatedCard.load(chip.save())
    copied.state.keys[Slot.CARD] = EmulatedCard().state.keys.get(Slot.CARD) or ec.generate_private_key(ec.SECP256R1())
    for card in (copied, EmulatedCard()):
        await kiosk.insert(card)
        assert kiosk.state is State.TAKE
        assert kiosk.kiosk.notice is not None
        assert kiosk.kiosk.notice.key == "kiosk.notice.card-unusable"
        await kiosk.remove()


async def test_emulated_card_is_refused_where_only_real_ones_count(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    kiosk.kiosk._own = replace(kiosk.kiosk._own, takes_emulated=False)
    await kiosk.insert(chip)
    assert kiosk.state is State.TAKE


# ---------------------------------------------------------------- what is signed


async def test_kiosk_that_has_something_else_signed_than_the_bill_is_refused_by_the_office(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    bill = kiosk.bills[0]
    fields = {
        "reference": bill.reference,
        "payee": "somebody else",
        "purpose": bill.purpose,
        "amount_fen": str(bill.amount_fen),
    }
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.PAYMENT, fields)) == "kiosk.bill"


async def test_large_payment_without_the_phones_word_is_refused_by_the_office(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    bill = kiosk.bills[1]
    fields = {
        "reference": bill.reference,
        "payee": bill.payee,
        "purpose": bill.purpose,
        "amount_fen": str(bill.amount_fen),
    }
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.PAYMENT, fields)) == "kiosk.phone"


async def test_strangers_card_cannot_be_stopped_with_ones_own(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    _, theirs, _ = kiosk.holder(other=True)
    fields = {"way": "card", "id": theirs, "reference": f"K-{theirs[:8].upper()}"}
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.STOP, fields)) == "kiosk.way"
    assert kiosk.cards.card(theirs).state is CardState.ACTIVE


@pytest.mark.parametrize("key", ["", "zz", "00" * 32])
async def test_phone_that_is_not_the_holders_cannot_be_stopped(kiosk: KioskRig, key: str) -> None:
    _, _, chip = kiosk.holder()
    fields = {"way": "phone", "id": key, "reference": "S-1"}
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.STOP, fields)) == "kiosk.way"


async def test_statement_of_another_kiosk_another_stream_or_an_old_one_is_refused(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    stream, sealed = signed_by(kiosk, chip, Kind.ADDRESS, ADDRESS_FIELDS, device="02" + "11" * 32)
    assert await refusal(kiosk, stream, sealed) == "kiosk.statement"
    stream, sealed = signed_by(kiosk, chip, Kind.ADDRESS, ADDRESS_FIELDS)
    assert await refusal(kiosk, bytes(16), sealed) == "kiosk.statement"
    old_ms = kiosk.rig.clock_ms - STATEMENT_AGE_MS_MAX - 1
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.ADDRESS, ADDRESS_FIELDS, time_ms=old_ms)) == "kiosk.clock"
    assert await refusal(kiosk, stream, sealed[:-4] + "AAAA") == "kiosk.statement"


async def test_proof_of_a_card_for_another_kiosk_or_of_another_time_opens_nobody(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    chip.insert()
    piv = Piv(chip)
    piv.select()
    guid, now_ms = piv.guid(), kiosk.rig.clock_ms
    assert guid is not None

    async def proof(device: bytes, time_ms: int) -> CardProof:
        piv.verify_pin(OWN_PIN)
        nonce = await kiosk.office.challenge()
        message = opening_message(device, time_ms, nonce)
        return CardProof(guid, time_ms, nonce, piv.sign(Slot.AUTHENTICATE, sha256(message)))

    own = kiosk.device.signer.public_key
    for given, code in (
        (await proof(b"\x02" + bytes(32), now_ms), "kiosk.signature"),
        (await proof(own, now_ms - 120_000), "kiosk.clock"),
        (replace(await proof(own, now_ms), time_ms=now_ms + 1), "kiosk.signature"),
        (replace(await proof(own, now_ms), guid=bytes(16)), "kiosk.card-unknown"),
    ):
        with pytest.raises(OfficeRefused) as refused:
            await kiosk.office.open(given)
        assert refused.value.code == code


@pytest.mark.parametrize("change", ["", "x", "fields", "lines", "kind", "spaces"])
def test_bytes_that_are_no_statement_are_refused(change: str) -> None:
    stated = make(Kind.ADDRESS, ADDRESS_FIELDS, language="en", device=b"\x02" + bytes(32), place="x", now_ms=1)
    assert Statement.decode(stated.encode()) == stated
    members = json.loads(stated.encode())
    if change == "spaces":
        raw = json.dumps(members, ensure_ascii=False, sort_keys=True).encode()
    else:
        raw = json.dumps(members | {change: 7}, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(InvalidMessage):
        Statement.decode(raw if change else b"")


# ---------------------------------------------------------------- mandates


async def test_mandate_that_ends_between_the_screen_and_the_signature_signs_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("kiosk-mandate")
    rig = Rig(folder, None)
    kiosk = KioskRig(rig, folder)
    person_id, _, chip = kiosk.holder()
    mandate = await kiosk.mandated(person_id)
    await kiosk.log_in(chip)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    fields = kiosk.kiosk.company_fields(visit, mandate)
    assert fields is not None
    await kiosk.stated(Kind.COMPANY, fields)
    assert kiosk.state is State.CONFIRM
    assert kiosk.cards.rules.code("bob@webauthn", pb.EndMandate(id=bytes.fromhex(mandate))) == ""
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert visit.notice is not None
    assert visit.notice.key == "kiosk.notice.mandate-over"
    assert (kiosk.state, kiosk.disk()) == (State.CONFIRM, b"")
    # and a kiosk that does not look, or for a company that never gave one, gets nothing filed
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.COMPANY, fields)) == "kiosk.mandate"
    other = fields | {"mandate": "00" * 32}
    assert await refusal(kiosk, *signed_by(kiosk, chip, Kind.COMPANY, other)) == "kiosk.mandate"
    rig.close()


# ---------------------------------------------------------------- power and network


async def test_loss_of_power_before_the_signature_leaves_nothing_and_after_it_one_statement_that_is_sent(
    kiosk: KioskRig,
) -> None:
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

    for reach in (at_pin, at_menu, at_form, at_confirm):
        await reach()
        assert kiosk.disk() == b""
        kiosk.started()
        assert (kiosk.state, kiosk.kiosk.filing.waiting) == (State.IDLE, 0)
    before = filed(kiosk)
    await at_confirm()
    kiosk.office.is_reachable = False  # the power fails before the office has heard
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    kiosk.started()
    assert kiosk.kiosk.filing.waiting == 1
    kiosk.office.is_reachable = True
    await kiosk.pass_s()
    assert (kiosk.kiosk.filing.waiting, kiosk.disk(), filed(kiosk)) == (0, b"", before + 1)


async def test_loss_of_power_after_the_office_has_filed_files_nothing_twice(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    before, height = filed(kiosk), kiosk.cards.rules.height
    kiosk.office.loses_answers = True
    await kiosk.address_signed(chip)
    assert filed(kiosk) == before + 1
    once = kiosk.cards.rules.height
    assert once == height + 1
    kiosk.started()
    kiosk.office.loses_answers = False
    await kiosk.pass_s()
    assert (kiosk.kiosk.filing.waiting, filed(kiosk), kiosk.cards.rules.height) == (0, before + 1, once)


async def test_office_that_loses_power_between_writing_down_and_recording_goes_on_when_asked_again(
    kiosk: KioskRig,
) -> None:
    _, _, chip = kiosk.holder()
    kiosk.cards.ledger.is_reachable = True
    await kiosk.log_in(chip)
    await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
    submit = kiosk.cards.ledger.submit_one
    kiosk.cards.ledger.submit_one = _fails  # type: ignore[method-assign]  # the ledger goes away at this moment
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    kiosk.cards.ledger.submit_one = submit  # type: ignore[method-assign]  # and comes back
    assert kiosk.printer.receipts[0].filed is None
    assert kiosk.kiosk.filing.waiting == 1
    await kiosk.pass_s(20)
    assert kiosk.kiosk.filing.waiting == 0


async def _fails(_transaction: object) -> Any:
    raise TransportError("no node answers")


async def test_network_loss_leaves_a_signed_statement_pending_says_so_and_says_of_the_rest_that_it_waits(
    kiosk: KioskRig,
) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.pass_s()
    kiosk.office.is_reachable = kiosk.states.is_reachable = False
    await kiosk.log_in(chip)
    assert kiosk.state is State.MENU
    for kind in (Kind.PAYMENT, Kind.STOP, Kind.COMPANY):
        with pytest.raises(OutOfTurn):
            kiosk.kiosk.choose(kiosk.turn, kind)
    with pytest.raises(OutOfTurn):
        await kiosk.kiosk.certify(kiosk.turn, "en")
    await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    receipt = kiosk.printer.receipts[0]
    assert (receipt.filed, receipt.proof) == (None, b"")
    stream = receipt.signed.statement.stream_bytes
    key = anchor_key(ORGANISATION, membership_pb2.ANCHOR_KIND_AUDIT, stream)
    assert key not in kiosk.cards.rules.state
    kiosk.office.is_reachable = kiosk.states.is_reachable = True
    await kiosk.pass_s(LOOK_MS / 1000)
    assert key in kiosk.cards.rules.state
    assert kiosk.disk() == b""


async def test_kiosk_that_was_cut_off_too_long_serves_nobody(kiosk: KioskRig) -> None:
    await kiosk.pass_s()
    kiosk.states.is_reachable = False
    await kiosk.pass_s(AGE_MS_MAX / 1000 - 10)
    assert kiosk.kiosk.is_serving
    await kiosk.pass_s(20)
    assert kiosk.kiosk.licence.standing is Standing.UNPROVEN


async def test_disk_of_a_kiosk_with_statements_waiting_holds_nothing_personal(kiosk: KioskRig) -> None:
    person_id, _, chip = kiosk.holder()
    await kiosk.pass_s()
    kiosk.office.is_reachable = False
    await kiosk.address_signed(chip)
    found = kiosk.disk()
    assert found
    registration = kiosk.cards.registration(person_id).hex()
    guid = str(kiosk.cards.card(kiosk.holder()[1]).guid)
    for word in (NAME, ADDRESS_FIELDS["plate"], "祖庙", registration, guid, OWN_PIN, PHONE, person_id):
        assert word.encode() not in found
    assert all(path.stat().st_mode & 0o077 == 0 for path in (kiosk.folder / "kiosk").rglob("*"))
    kiosk.office.is_reachable = True
    await kiosk.pass_s(20)


async def test_card_that_ended_before_the_network_came_back_gets_nothing_filed(kiosk: KioskRig) -> None:
    _, card_id, chip = kiosk.holder(other=True)
    await kiosk.pass_s()
    kiosk.office.is_reachable = False
    await kiosk.address_signed(chip)
    before = filed(kiosk)
    kiosk.office.is_reachable = True
    assert await kiosk.office.stop_lost(kiosk.number, PHONE) == 1
    await kiosk.pass_s(20)
    assert (filed(kiosk), kiosk.kiosk.filing.waiting) == (before, 0)
    assert kiosk.cards.card(card_id).state is CardState.SUSPENDED


def test_full_journal_takes_nothing_more_and_half_written_files_are_dropped(kiosk: KioskRig) -> None:
    folder = kiosk.folder / "full"
    journal = Journal(folder)
    for number in range(ENTRIES_MAX):
        (folder / f"{number:032x}.json").write_bytes(b"{}")
    with pytest.raises(JournalFull):
        journal.add(Entry("f" * 32, "0" * 64, "x", 1))
    (folder / f".{'e' * 32}.json.12ab").write_bytes(b"half")
    assert not list(Journal(folder)._folder.glob(".*"))


# ---------------------------------------------------------------- the office over HTTP


async def test_request_that_no_registered_kiosk_signed_or_that_is_sent_twice_is_refused(kiosk: KioskRig) -> None:
    stranger = P256Signer(ec.derive_private_key(9, ec.SECP256R1()))

    def headers(key: P256Signer, path: str = "/kiosks/key", body: bytes = b"{}") -> dict[str, str]:
        asked = Asked("localhost:8803", "POST", path, body)
        return {HEADER: sign(key, asked, kiosk.rig.clock_ms), "content-type": "application/json"}

    async with (
        kiosk.office_over_http() as transport,
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8803") as web,
    ):
        once = headers(kiosk.device)
        answer = await web.post("/kiosks/key", content=b"{}", headers=once)
        assert answer.json() == {"key": kiosk.desk.box_key().hex()}
        for wrong in (once, headers(stranger), headers(kiosk.device, "/kiosks/lost"), {}):
            answer = await web.post("/kiosks/key", content=b"{}", headers=wrong)
            assert (answer.status_code, answer.json()["code"]) == (403, "kiosk.device")


async def test_office_over_http_tells_and_refuses_what_it_does_in_process(kiosk: KioskRig) -> None:
    _, card_id, chip = kiosk.holder(other=True)
    async with kiosk.office_over_http():
        await kiosk.log_in(chip)
        visit = kiosk.kiosk.session.visit
        assert visit is not None
        assert visit.holder is not None
        assert (visit.holder.name, [way.id for way in visit.holder.ways]) == (NAME, [card_id])
        await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
        await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
        assert kiosk.printer.receipts[0].filed is not None
        with pytest.raises(OfficeRefused, match="nobody-fits"):
            await kiosk.office.stop_lost(kiosk.number, "1234567")
        assert await kiosk.office.stop_lost(kiosk.number, PHONE) == 1
        await kiosk.remove()
        await kiosk.log_in(chip)
        assert kiosk.kiosk.notice is not None
        assert kiosk.kiosk.notice.key == "kiosk.notice.card-ended"


def test_sealed_statement_opens_for_the_office_alone(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    _, sealed = signed_by(kiosk, chip, Kind.ADDRESS, ADDRESS_FIELDS)
    with pytest.raises(InvalidMessage):
        boxes.unseal(sealed, ec.generate_private_key(ec.SECP256R1()))
    assert boxes.unseal(sealed, kiosk.desk.box()).statement.fields == ADDRESS_FIELDS


# ---------------------------------------------------------------- somebody without a card


async def test_guessing_numbers_and_telephones_is_held_up_for_each_of_them_at_each_kiosk(kiosk: KioskRig) -> None:
    _, card_id, _ = kiosk.holder(other=True)
    for _ in range(NUMBER_HOUR_MAX):
        with pytest.raises(OfficeRefused, match="nobody-fits"):
            await kiosk.office.stop_lost(kiosk.number, "10000000000")
    with pytest.raises(OfficeRefused, match="too-many"):
        await kiosk.office.stop_lost(kiosk.number, PHONE)
    assert kiosk.cards.card(card_id).state is CardState.ACTIVE
    codes = []
    for number in range(PHONE_HOUR_MAX + 1):
        with pytest.raises(OfficeRefused) as refused:
            await kiosk.office.stop_lost(f"H{number:08d}9", "10000000001")
        codes.append(refused.value.code)
    assert (codes[0], codes[-2], codes[-1]) == ("kiosk.nobody-fits", "kiosk.nobody-fits", "kiosk.too-many")


async def test_stopping_lost_cards_is_not_switched_off_with_made_up_numbers_or_at_another_kiosk(
    kiosk: KioskRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, card_id, _ = kiosk.holder(other=True)
    number = kiosk.number
    with another_device(kiosk, 7_000):
        for _ in range(NUMBER_HOUR_MAX):
            with pytest.raises(OfficeRefused, match="nobody-fits"):
                await kiosk.office.stop_lost(number, "10000000000")
        with pytest.raises(OfficeRefused, match="too-many"):
            await kiosk.office.stop_lost(number, PHONE)
    for made_up in range(2 * PHONE_HOUR_MAX):
        with pytest.raises(OfficeRefused, match="nobody-fits"):
            await kiosk.office.stop_lost(f"G{made_up:08d}9", f"1000001{made_up:04d}")
    assert await kiosk.office.stop_lost(number, PHONE) == 1
    assert kiosk.cards.card(card_id).state is CardState.SUSPENDED
    monkeypatch.setattr(office_lost, "MISSES_HOUR_MAX", 1)  # and yet a program can't try on and on
    with pytest.raises(OfficeRefused, match="too-many"):
        await kiosk.office.stop_lost("G1", "10000020000")
