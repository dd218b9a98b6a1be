# SPDX-License-Identifier: Apache-2.0
"""A credential for whoever tries the wallet out: an invented resident whom two played officers register.

It goes the way of any registration: the uniqueness service registers the number's tag, one officer proposes, another
confirms, and the issuer hands out no more than they confirmed. The officers' keys are made from the network's id.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from secrets import randbelow
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import Message

from chain.p256 import P256Signer
from chain.types import Network, sha256
from cli.errors import MissingError, WorldError
from cli.language import t
from cli.output import emit
from cli.scenes import residents
from cli.scenes.admitting import code_of
from cli.scenes.identity_desk import PHONE, SceneLedger
from cli.scenes.offices import Offices, find_offices
from cli.services import explained
from cli.uniqueness import tagger_of
from client.errors import TransportError
from client.session import Session
from identity.api.desk import offer_pages, persons
from identity.api.desk.base import DeskContext
from identity.api.desk.details import Details
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.part import DESK_SITE
from identity.api.desk.persons import Secrets
from identity.api.desk.registering import change_of
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.api.issuer.offers import OFFER_MS, Offer
from identity.commitments import holder_commitment
from identity.documents import DocumentKind
from identity.officers import load_officer, officer_key, registrar_digest
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person, person_key, proposal_digest
from membership.pb import membership_pb2
from membership.state import signer_pb
from node.testnet import REGISTRAR
from service.settings import Settings, load_settings
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.store import Store, new_id, open_store
from service.store.replays import unix_ms

ADDRESS: Final = "广东省佛山市禅城区同济西路 9 号"
WALLET_PORT: Final = 8808
DUTIES: Final = {Role.CLERK: pb.DUTY_ENROL, Role.APPROVER: pb.DUTY_CONFIRM}


@dataclass(frozen=True, slots=True)
class Made:
    """An offer, and of whom."""

    resident: residents.Resident
    offer: Offer


def offer_credential(named: Path | None) -> None:
    """Register somebody invented, and print the link by which a wallet takes their credential.

    Raises:
        MissingError: No such network runs, or there are no offices beside it.
        WorldError: They do not answer.
    """
    offices = find_offices(named)
    if not offices.settings.is_file():
        raise MissingError("demo.no-offices", t("demo.no-offices", root=offices.network.root))
    with explained():
        settings = load_settings(offices.settings)
        store = open_store(settings.store, {})
        try:
            made = asyncio.run(_made(offices, settings, store))
        except TransportError:
            raise WorldError("demo.no-offices", t("demo.no-offices", root=offices.network.root)) from None
        finally:
            store.close()
    wallet = settings.address("citizen", WALLET_PORT).public_origin
    link = f"{wallet}/#{quote(made.offer.uri, safe='')}"
    emit(
        {"link": link, "digits": made.offer.tx_code, "name": made.resident.name, "number": made.resident.id_number},
        t("demo.credential.made", name=made.resident.name, number=made.resident.id_number),
        t("demo.credential.link", minutes=OFFER_MS // 60_000),
        link,
        t("demo.credential.digits", digits=made.offer.tx_code),
        t("demo.credential.next", wallet=wallet),
    )


async def _made(offices: Offices, settings: Settings, store: Store) -> Made:
    home = offices.network.home
    async with home.session() as session:
        officers = {role: officer_signer(session.network, role) for role in DUTIES}
        await _appoint(offices, session, officers)
        resident = next(residents.residents(1, randbelow(2**32)))
        born = f"{resident.id_number[6:10]}-{resident.id_number[10:12]}-{resident.id_number[12:14]}"
        details = Details(
            DocumentKind.RESIDENT_CARD, resident.id_number, resident.name, born, address=ADDRESS, phone=PHONE
        )
        known = Secrets.new()
        tagger = tagger_of(settings)
        assert tagger is not None, "the offices' own settings name one"
        holder = holder_commitment(known.registration_id, bytes.fromhex(known.holder_salt))
        async with tagger:
            await tagger.register(details.number_kind, details.tagged_number, registrar_digest(REGISTRAR), holder)
        await _signed(
            session, officers[Role.CLERK], pb.Enrol(id=known.registration_id, change=change_of(details, known))
        )
        place = person_key(known.registration_id)
        record = load_person({place: (await session.read(place)).value}.get, known.registration_id)
        assert record is not None, "it was proposed just now"
        confirm = pb.Confirm(id=known.registration_id, digest=proposal_digest(record.proposal))
        await _signed(session, officers[Role.APPROVER], confirm)
        desk = DeskContext(store, DESK_SITE, SceneLedger(session), None, None, settings.retention, unix_ms)
        offer = await asyncio.to_thread(_offered, desk, details, known, settings.issuing.origin)
        return Made(resident, offer)


def _offered(desk: DeskContext, details: Details, known: Secrets, issuer: str) -> Offer:
    """Keep whoever was confirmed, and offer them what counts of them."""
    ids = [new_id() for _ in range(4)]
    clerk = Officer(ids[0], ids[1], "Clerk", Role.CLERK, REGISTRAR, ids[2], ids[3], desk.now(), bytes(32))
    with desk.store.write() as session:
        row: DeskPerson = persons.create(desk, session, clerk)
        persons.keep_secrets(desk, session, row, known.confirmed())
        persons.settle(desk, session, row, details, PersonState.ACTIVE)
        note_access(desk, session, clerk, row.person_id, Reason.CASE)
        person_id = row.person_id
    return offer_pages.offer(desk, clerk, person_id, issuer)


def officer_signer(network: Network, role: Role) -> P256Signer:
    """The key of a played officer."""
    secret = int.from_bytes(sha256(b"a played officer\x00" + role.encode() + b"\x00" + network)[1:], "big")
    return P256Signer(ec.derive_private_key(secret, ec.SECP256R1()))


async def _appoint(offices: Offices, session: Session, officers: dict[Role, P256Signer]) -> None:
    """Make the played officers' keys the registrar's, and appoint them, unless an earlier run did."""
    governor = offices.network.home.signer(REGISTRAR)
    states = await session.read_many([officer_key(one.signer) for one in officers.values()])
    known = {state.key: state.value for state in states}
    for role, own in officers.items():
        if load_officer(known.get, own.signer) is not None:
            continue
        purposes = [membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST]
        add = membership_pb2.AddKey(key=membership_pb2.KeyGrant(key=signer_pb(own.signer), purposes=purposes))
        number = sha256(own.signer.public_key)[:16]
        appoint = pb.AppointOfficer(key=signer_pb(own.signer), officer=number, duties=[DUTIES[role]])
        assert await code_of(session, [governor, own], add, appoint) == ""


async def _signed(session: Session, officer: P256Signer, message: Message) -> None:
    """An officer's act, which the rules take."""
    code = await code_of(session, [officer], message)
    assert code == "", code
