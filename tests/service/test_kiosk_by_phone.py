# SPDX-License-Identifier: Apache-2.0
"""Visits that a phone begins at a kiosk, without a card; and how sure a visit is of who stands there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from desk_cards_rig import OWN_PIN
from kiosk_rig import ADDRESS_FIELDS, DAY_MS, LIVENESS, NAME, HeldPhone, KioskRig
from sqlalchemy import select
from store_rig import Rig

from chain.types import sha256
from identity.api.kiosk.base import OfficeRefused, PhoneProof, PhoneState, phone_message
from identity.api.kiosk.boxes import Signed, seal
from identity.api.kiosk.presence import CommandProvider
from identity.api.kiosk.session import IDLE_MS_MAX, WAIT_MS_MAX, OutOfTurn, State
from identity.api.kiosk.statements import Kind, make
from identity.api.kiosk.tables import RECORDED, KioskPresence, KioskStatement
from identity.liveness import Evidence
from identity.pb import identity_pb2 as pb
from membership.anchors import load_anchor
from membership.pb import membership_pb2
from service.errors import ConfigError


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KioskRig]:
    folder = tmp_path_factory.mktemp("kiosk-phone")
    rig = Rig(folder, None)
    yield KioskRig(rig, folder)
    rig.close()


@pytest.fixture
def kiosk(shared: KioskRig) -> KioskRig:
    shared.phones, shared.liveness = HeldPhone(), None
    shared.started()
    return shared


def phone_of(kiosk: KioskRig) -> HeldPhone:
    assert isinstance(kiosk.phones, HeldPhone)
    return kiosk.phones


async def scanned(kiosk: KioskRig, person_id: str) -> None:
    """Somebody's phone answers the kiosk's code."""
    await kiosk.pass_s()
    phone = phone_of(kiosk)
    phone.person, phone.state = person_id, PhoneState.OPEN
    await kiosk.kiosk.scan(kiosk.turn)
    assert kiosk.state is State.SCAN
    phone.state = PhoneState.CONFIRMED
    await kiosk.pass_s()


async def confirmed(kiosk: KioskRig, kind: Kind, fields: dict[str, str]) -> Signed:
    """A statement that the phone answers; what the kiosk printed of it."""
    phone_of(kiosk).state = PhoneState.OPEN
    await kiosk.stated(kind, fields)
    await kiosk.kiosk.ask_phone(kiosk.turn)
    assert kiosk.state is State.PHONE
    phone_of(kiosk).state = PhoneState.CONFIRMED
    await kiosk.pass_s(2)
    assert kiosk.state is State.RECEIPT, kiosk.kiosk.session.visit
    kiosk.kiosk.back(kiosk.turn)
    return kiosk.printer.receipts[-1].signed


def payment(kiosk: KioskRig, index: int) -> dict[str, str]:
    bill = kiosk.bills[index]
    return {
        "reference": bill.reference,
        "payee": bill.payee,
        "purpose": bill.purpose,
        "amount_fen": str(bill.amount_fen),
    }


async def test_phone_begins_a_visit_that_certifies_pays_acts_for_a_company_and_stops_a_card(kiosk: KioskRig) -> None:
    person_id, card_id, _ = kiosk.holder(other=True)
    mandate = await kiosk.mandated(person_id)
    await scanned(kiosk, person_id)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    assert visit.holder is not None
    assert (kiosk.state, visit.holder.name, visit.card) == (State.MENU, NAME, None)
    assert not any(way.is_here for way in visit.holder.ways)
    await kiosk.kiosk.certify(kiosk.turn, "en")
    assert len(kiosk.printer.certificates) == 1
    kiosk.kiosk.back(kiosk.turn)
    company = kiosk.kiosk.company_fields(visit, mandate)
    assert company is not None
    stop = {"way": "card", "id": card_id, "reference": f"K-{card_id[:8].upper()}"}
    for kind, fields in ((Kind.PAYMENT, payment(kiosk, 1)), (Kind.COMPANY, company), (Kind.STOP, stop)):
        signed = await confirmed(kiosk, kind, fields)
        assert (signed.is_by_phone, signed.statement.kind) == (True, kind)
        anchor = load_anchor(
            kiosk.cards.rules.state.get,
            visit.holder.registrar,
            membership_pb2.ANCHOR_KIND_AUDIT,
            signed.statement.stream_bytes,
        )
        assert anchor is not None
        assert anchor.digest == signed.recorded
    assert phone_of(kiosk).asked[1][1] == {
        "amount": "12500.00",
        "currency": "CNY",
        "payee": kiosk.bills[1].payee,
        "reference": kiosk.bills[1].reference,
    }
    shown = phone_of(kiosk).asked[2][1]
    assert shown is not None
    assert (shown["act"], shown["subject"], shown["number"]) == ("company", company["company"], company["uscc"])
    assert "年度报告" in shown["matter"]
    assert phone_of(kiosk).asked[3][1] == {"act": "stop-card", "subject": stop["reference"]}
    assert kiosk.cards.card(card_id).state == "suspended"
    with kiosk.cards.store.read() as session:
        rows = list(session.scalars(select(KioskStatement).where(KioskStatement.person_id == person_id)))
    assert [row.state for row in rows] == [RECORDED] * 3
    await kiosk.kiosk.leave(kiosk.turn)
    assert (kiosk.state, kiosk.kiosk.session.visit, kiosk.disk()) == (State.IDLE, None, b"")


async def test_change_of_address_needs_the_card_at_the_kiosk_and_at_the_office(kiosk: KioskRig) -> None:
    person_id, _, _ = kiosk.holder()
    await scanned(kiosk, person_id)
    with pytest.raises(OutOfTurn):
        kiosk.kiosk.choose(kiosk.turn, Kind.ADDRESS)
    async with kiosk.serving() as screen:
        page = await screen.see()
        assert "Needs your card" in page
        assert "Signed in with your phone" in page
    key = kiosk.device.signer.public_key
    stated = make(Kind.ADDRESS, ADDRESS_FIELDS, language="en", device=key, place="x", now_ms=kiosk.rig.clock_ms)
    answer = phone_of(kiosk).answer(stated.message, None)
    sealed = seal(Signed(stated, b"", b"", b"", answer), kiosk.desk.box_key())
    with pytest.raises(OfficeRefused, match=r"kiosk\.signature"):
        await kiosk.office.file(stated.stream_bytes, sealed)


async def test_answer_to_something_else_a_second_time_or_too_late_opens_nobody(kiosk: KioskRig) -> None:
    person_id, _, _ = kiosk.holder()
    phone, now_ms = phone_of(kiosk), kiosk.rig.clock_ms
    phone.person = person_id
    key = kiosk.device.signer.public_key

    async def proof(
        device: bytes = key, time_ms: int = now_ms, payment: dict[str, str] | None = None, other: bytes = b""
    ) -> PhoneProof:
        nonce = await kiosk.office.challenge()
        return PhoneProof(time_ms, nonce, phone.answer(phone_message(device, time_ms, other or nonce), payment))

    right = await proof()
    for attack, code in (
        (await proof(b"\x02" + bytes(32)), "kiosk.phone"),
        (await proof(other=b"x" * 40), "kiosk.phone"),
        (await proof(payment={"amount": "1.00"}), "kiosk.phone"),
        (await proof(time_ms=now_ms - DAY_MS), "kiosk.clock"),
        (PhoneProof(now_ms, bytes(40), phone.answer(phone_message(key, now_ms, bytes(40)), None)), "kiosk.visit"),
    ):
        with pytest.raises(OfficeRefused) as refused:
            await kiosk.office.open(attack)
        assert refused.value.code == code
    assert (await kiosk.office.open(right)).name == NAME
    with pytest.raises(OfficeRefused, match=r"kiosk\.visit"):
        await kiosk.office.open(right)
    phone.person = "nobody"
    with pytest.raises(OfficeRefused, match=r"kiosk\.person"):
        await kiosk.office.open(await proof())


async def test_another_persons_phone_does_not_confirm_what_this_visitor_stated(kiosk: KioskRig) -> None:
    person_id, _, _ = kiosk.holder()
    other = kiosk.person()
    _, theirs, _ = kiosk.holder(other=True)
    await scanned(kiosk, person_id)
    await kiosk.stated(Kind.STOP, {"way": "card", "id": theirs, "reference": "K-1"})
    phone_of(kiosk).state, phone_of(kiosk).person = PhoneState.OPEN, other
    await kiosk.kiosk.ask_phone(kiosk.turn)
    phone_of(kiosk).state = PhoneState.CONFIRMED
    await kiosk.pass_s(2)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    assert visit.notice is not None
    assert (kiosk.state, visit.notice.key) == (State.MENU, "kiosk.notice.refused")
    assert kiosk.cards.card(theirs).state == "active"


async def test_suspended_persons_phone_opens_nothing(kiosk: KioskRig) -> None:
    person_id = kiosk.person()
    suspend = pb.SetPersonStatus(
        id=kiosk.cards.registration(person_id), status=pb.STATUS_SUSPENDED, reason=pb.REASON_HOLDER_REQUEST
    )
    assert kiosk.cards.rules.code("desk@p256", suspend) == ""
    await scanned(kiosk, person_id)
    assert kiosk.state is State.IDLE
    assert kiosk.kiosk.notice is not None
    assert kiosk.kiosk.notice.key == "kiosk.notice.phone-unknown"


async def test_code_goes_when_it_is_declined_left_idle_or_a_card_is_put_in(kiosk: KioskRig) -> None:
    _, _, chip = kiosk.holder()
    await kiosk.pass_s()
    await kiosk.kiosk.scan(kiosk.turn)
    phone_of(kiosk).state = PhoneState.DECLINED
    await kiosk.pass_s(2)
    assert kiosk.state is State.IDLE
    phone_of(kiosk).state = PhoneState.OPEN
    await kiosk.kiosk.scan(kiosk.turn)
    kiosk.kiosk.back(kiosk.turn)
    assert (kiosk.state, kiosk.kiosk.session.visit) == (State.IDLE, None)
    await kiosk.kiosk.scan(kiosk.turn)
    await kiosk.pass_s(WAIT_MS_MAX // 1000)
    assert kiosk.state is State.IDLE
    await kiosk.kiosk.scan(kiosk.turn)
    await kiosk.insert(chip)
    await kiosk.pass_s()
    assert kiosk.state is State.PIN
    with pytest.raises(OutOfTurn):
        await kiosk.kiosk.scan(kiosk.turn)


async def test_visit_by_phone_is_wiped_when_nobody_touches_the_screen(kiosk: KioskRig) -> None:
    person_id, _, _ = kiosk.holder()
    await scanned(kiosk, person_id)
    await kiosk.pass_s(IDLE_MS_MAX // 1000)
    assert (kiosk.state, kiosk.kiosk.session.visit) == (State.IDLE, None)


# How sure it is -------------------------------------------------------------------------------------------------------


class Camera:
    """A method that says what a test wants, of what it is asked."""

    method = LIVENESS

    def __init__(self, kiosk: KioskRig, *, is_live: bool = True, method: str = LIVENESS, about: bytes = b"") -> None:
        self._kiosk, self._is_live, self._about = kiosk, is_live, about
        self.method = method

    def check(self, challenge: bytes) -> Evidence:
        named = (self._about or challenge).hex()
        return Evidence(self.method, named, self._is_live, self._kiosk.rig.clock_ms, sha256(b"record").hex())


def kept(kiosk: KioskRig, person_id: str) -> list[Evidence]:
    store = kiosk.cards.store
    with store.read() as session:
        rows = list(session.scalars(select(KioskPresence).where(KioskPresence.person_id == person_id)))
        texts = [store.people.open(session, row, KioskPresence.content) or "" for row in rows]
    return [Evidence.decode(text.encode()) for text in texts]


async def opened_with(kiosk: KioskRig, camera: Camera | None) -> tuple[str, str]:
    """Level and method of a visit by card, where a camera stands or none."""
    kiosk.liveness = camera
    kiosk.started()
    _, _, chip = kiosk.holder()
    await kiosk.log_in(chip)
    visit = kiosk.kiosk.session.visit
    assert visit is not None
    assert visit.holder is not None
    assert visit.holder.level == "high"  # the registration's own is another thing
    return visit.holder.presence, visit.holder.method


async def test_visit_that_nobody_sees_is_of_a_lower_level_and_says_so_on_screen_and_in_what_is_signed(
    kiosk: KioskRig,
) -> None:
    assert await opened_with(kiosk, None) == ("substantial", "")
    async with kiosk.serving() as screen:
        assert "Nobody has seen that you yourself stand here" in await screen.see()
        await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
        await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert "未核验站在机前的是谁" in kiosk.printer.receipts[-1].signed.statement.lines[-1]


async def test_named_method_that_finds_a_living_person_raises_the_level_and_is_kept_as_evidence(
    kiosk: KioskRig,
) -> None:
    person_id, _, _ = kiosk.holder()
    before = len(kept(kiosk, person_id))
    assert await opened_with(kiosk, Camera(kiosk)) == ("high", LIVENESS)
    (evidence,) = kept(kiosk, person_id)[before:]
    assert (evidence.method, evidence.is_live) == (LIVENESS, True)
    await kiosk.stated(Kind.ADDRESS, ADDRESS_FIELDS)
    await kiosk.kiosk.sign(kiosk.turn, OWN_PIN)
    assert LIVENESS in kiosk.printer.receipts[-1].signed.statement.lines[-1]


async def test_check_that_finds_nobody_is_kept_and_one_of_another_method_or_opening_is_not(kiosk: KioskRig) -> None:
    person_id, _, _ = kiosk.holder()
    before = len(kept(kiosk, person_id))
    assert await opened_with(kiosk, Camera(kiosk, is_live=False)) == ("substantial", "")
    assert [one.is_live for one in kept(kiosk, person_id)[before:]] == [False]
    assert await opened_with(kiosk, Camera(kiosk, method="stranger/1")) == ("substantial", "")
    assert await opened_with(kiosk, Camera(kiosk, about=b"another opening")) == ("substantial", "")
    assert len(kept(kiosk, person_id)) == before + 1


def program(folder: Path, text: str) -> CommandProvider:
    path = folder / "camera.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return CommandProvider(LIVENESS, [str(path)])


def test_liveness_program_is_given_the_challenge_and_its_word_is_read_strictly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Evidence(LIVENESS, "CHALLENGE", is_live=True, checked_ms=7, record="ab" * 32).encode().decode()
    text = said.replace("CHALLENGE", "'$1'")
    monkeypatch.setenv("ZHIXIN_PASSPHRASE", "the kiosk's own")
    found = program(tmp_path, f"[ -z \"$ZHIXIN_PASSPHRASE\" ] && printf '%s\\n' '{text}'").check(b"c" * 32)
    assert found == Evidence(LIVENESS, (b"c" * 32).hex(), is_live=True, checked_ms=7, record="ab" * 32)
    monkeypatch.setattr("identity.api.kiosk.presence.CHECK_S_MAX", 0.3)
    for wrong in ("exit 1", "echo nonsense", "exec sleep 20", f"printf '%s' '{text.replace(LIVENESS, 'other/1')}'"):
        with pytest.raises(OSError, match=r"liveness program|camera\.sh"):
            program(tmp_path, wrong).check(b"c" * 32)
    for name, command in (("", ["x"]), ("Bad Name", ["x"]), (LIVENESS, [])):
        with pytest.raises(ConfigError, match=r"kiosk\.liveness"):
            CommandProvider(name, command)
