# SPDX-License-Identifier: Apache-2.0
"""Who stands before the kiosk of the scene `kiosk`: a holder with card and phone, and a company that gave a mandate."""

import secrets
from dataclasses import dataclass

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from chain.p256 import P256Signer
from chain.signing import Signer
from chain.types import sha256
from cli.scenes import residents
from cli.scenes.identity_desk import PHONE, SceneDesk
from identity.api.desk import cards, cards_binding, cards_handover, cards_making, legal, mandates
from identity.api.desk.cards import Reason
from identity.api.desk.details import Details
from identity.api.desk.legal import Particulars
from identity.api.desk.mandate_codes import Secret
from identity.api.desk.mandates import Terms
from identity.api.desk.persons import Secrets
from identity.api.desk.tables import DeskPerson
from identity.cards.emulator import EmulatedCard
from identity.cards.piv import Piv
from identity.commitments import SALT_BYTES, anchor_of, control_commitment, holder_commitment
from identity.documents import DocumentKind
from identity.officers import registrar_digest
from identity.pb import identity_pb2 as pb
from identity.registrations import proposal_digest

PIN = "864209"
ADDRESS = "佛山市禅城区同济西路 9 号"
DAY_MS = 86_400_000
BLANKS = 3
COMPANY = Particulars("91110000600037341L", "佛山某某食品有限公司", "Foshan Food Ltd", "李卫", "440604197501010019")
_TAG_KEY = b"scene kiosk: the uniqueness service's own key"


@dataclass(frozen=True, slots=True)
class KioskHolder:
    """Somebody with a card and a phone.

    Attributes:
        chip: The card, emulated in this process.
        phone_key: What stands on the ledger for the phone's key; 32 bytes.
    """

    resident: residents.Resident
    person_id: str
    card_id: str
    known: Secrets
    chip: EmulatedCard
    phone_key: bytes


async def arrive(desk: SceneDesk, resident: residents.Resident, phone: P256Signer) -> KioskHolder:
    """Enrol somebody, bind the phone, and hand over a card: what the scene `identity` shows step by step."""
    known = Secrets.new()
    await _enrol(desk, resident, known)
    person_id = desk.keep_person(resident, known)
    born = f"{resident.id_number[6:10]}-{resident.id_number[10:12]}-{resident.id_number[12:14]}"
    details = Details(DocumentKind.RESIDENT_CARD, resident.id_number, resident.name, born, address=ADDRESS, phone=PHONE)
    await run_in_threadpool(_keep_details, desk, person_id, details)
    phone_key = await _bind_phone(desk, known, phone.signer)
    card_id, chip = await _hand_over(desk, person_id, known)
    return KioskHolder(resident, person_id, card_id, known, chip, phone_key)


def _keep_details(desk: SceneDesk, person_id: str, details: Details) -> None:
    with desk.store.write() as session:
        row = session.scalars(select(DeskPerson).where(DeskPerson.person_id == person_id)).one()
        desk.store.people.seal(session, row, DeskPerson.details, details.encode())


async def _enrol(desk: SceneDesk, resident: residents.Resident, known: Secrets) -> None:
    tag = pb.RegisterTag(
        key_version=1,
        tag=sha256(_TAG_KEY + resident.id_number.encode()),
        registrar=registrar_digest(desk.organisation),
        holder=holder_commitment(known.registration_id, bytes.fromhex(known.holder_salt)),
    )
    change = pb.Change(
        commitment=desk.commitment(resident, known),
        assurance_level=pb.ASSURANCE_LEVEL_HIGH,
        proofing_method=pb.PROOFING_METHOD_DOCUMENT_INSPECTED,
    )
    assert await desk.code(desk.uniqueness, tag) == ""
    assert await desk.code(desk.clerk.signer, pb.Enrol(id=known.registration_id, change=change)) == ""
    await _confirm(desk, known)


async def _confirm(desk: SceneDesk, known: Secrets) -> None:
    record = await desk.record(known.registration_id)
    confirm = pb.Confirm(id=known.registration_id, digest=proposal_digest(record.proposal))
    assert await desk.code(desk.approver.signer, confirm) == ""


async def _bind_phone(desk: SceneDesk, known: Secrets, signer: Signer) -> bytes:
    """Two officers bind the key of a phone."""
    purpose = pb.CONTROL_PURPOSE_AUTHENTICATE
    commitment = control_commitment(purpose, signer, secrets.token_bytes(SALT_BYTES))
    change = pb.Change(binds=[pb.NewKey(purpose=purpose, commitment=commitment)])
    assert await desk.code(desk.clerk.signer, pb.ProposeChange(id=known.registration_id, change=change)) == ""
    await _confirm(desk, known)
    return commitment


async def _hand_over(desk: SceneDesk, person_id: str, known: Secrets) -> tuple[str, EmulatedCard]:
    context, registration = desk.context, known.registration_id
    await run_in_threadpool(desk.receive_blanks, "LS-7", "CC26-700001", BLANKS)
    card_id, chip = cards.request(context, desk.clerk.officer, person_id, Reason.FIRST), EmulatedCard()
    cards_making.make(
        context, desk.clerk.officer, card_id, lambda journal, _: desk.shop.personalise(context, chip, journal)
    )
    card = desk.card(card_id)
    proposal, _ = cards_binding.proposal(card, None, registration, await desk.record(registration))
    assert await desk.code(desk.clerk.signer, *proposal) == ""
    confirmation, _ = cards_binding.confirmation(card, None, registration, await desk.record(registration))
    assert await desk.code(desk.approver.signer, *confirmation) == ""
    desk.observe(card_id, await desk.record(registration))
    await run_in_threadpool(desk.print_card, card_id)
    cards_handover.hand_over(context, desk.clerk.officer, card_id, Piv(chip), desk.pin(card_id), PIN)
    return card_id, chip


async def mandate(desk: SceneDesk, holder: KioskHolder) -> bytes:
    """A company is registered and lets the holder sign in its business with the register; the mandate's id."""
    context, organisation = desk.context, desk.organisation
    company_id = legal.draft(context, desk.clerk.officer, COMPANY)

    def company() -> legal.Opened:
        with desk.store.read() as session:
            return legal.open_company(context, session, organisation, company_id)

    if await legal.on_ledger(context, COMPANY.uscc) is None:
        assert await desk.code(desk.clerk.signer, *legal.proposal(company())[0]) == ""
        record = await legal.on_ledger(context, COMPANY.uscc)
        assert await desk.code(desk.approver.signer, *legal.confirmation(company(), record)[0]) == ""
    legal.observe(context, organisation, company_id, await legal.on_ledger(context, COMPANY.uscc))
    now_ms = context.now()
    terms = Terms(
        "company",
        COMPANY.uscc,
        holder.person_id,
        ["business-register"],
        ["sign"],
        0,
        now_ms - DAY_MS,
        now_ms + 30 * DAY_MS,
        may_delegate=False,
        document="董事会决议 3",
    )
    row_id = mandates.draft(context, desk.clerk.officer, terms)

    def drafted() -> tuple[mandates.Content, dict[str, Secret]]:
        with desk.store.read() as session:
            row = mandates.own(session, organisation, row_id)
            return mandates.content_of(context, session, row), dict(mandates.slips(context, session, row))

    content, slips = await run_in_threadpool(drafted)
    assert await desk.code(desk.clerk.signer, *mandates.grant(content, mandates.reference_of(row_id))[0]) == ""
    for side, secret in slips.items():
        which = pb.SIDE_PRINCIPAL if side == "principal" else pb.SIDE_AGENT
        accept = pb.AcceptMandate(id=bytes.fromhex(content.id), side=which, proof=anchor_of(secret.raw))
        assert await desk.code(desk.service, accept) == ""
    mandates.observe(context, organisation, row_id, await mandates.on_ledger(context, content))
    return bytes.fromhex(content.id)
