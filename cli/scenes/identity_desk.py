# SPDX-License-Identifier: Apache-2.0
"""The desk of the scene `identity`: a private store, two officers with staff cards, and the offices behind them."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from google.protobuf.message import Message
from sqlalchemy import select

from chain.ed25519 import Ed25519Signer
from chain.signing import Scheme, Signer, TransactionSigner
from chain.transaction import Operation, SignedTransaction
from chain.types import Network, sha256
from cli.devnet.network import Devnet
from cli.scenes import residents
from cli.scenes.admitting import Office, admit, code_of
from cli.scenes.stage import Stage
from client.answers import ProvenTransaction
from client.session import Session
from identity.api.desk import cards, cards_making, stock
from identity.api.desk.base import DeskContext, Proven
from identity.api.desk.cards import Opened
from identity.api.desk.cards_history import history
from identity.api.desk.cards_life import CardState, CardStep
from identity.api.desk.cards_shop import Shop, trial_shop
from identity.api.desk.part import DESK_SITE
from identity.api.desk.persons import Secrets
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.api.tagging.keys import TagKeys
from identity.cards.card import WrongPin
from identity.cards.emulator import EmulatedCard
from identity.cards.objects import FACTORY_MANAGEMENT_KEY, FACTORY_PIN, Slot
from identity.cards.piv import Piv
from identity.officers import load_officer, officer_key
from identity.pb import identity_pb2 as pb
from identity.person_data import canonical_data, data_commitment
from identity.uniqueness import TAG_KEY_KEY, UNIQUENESS_ROLE, load_tag_key
from membership.pb import membership_pb2
from membership.state import signer_pb
from node.testnet import REGISTRAR
from service.notices.tables import Notice
from service.registrar_settings import UniquenessSettings
from service.settings import RetentionSettings, StoreSettings
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.store import Store, new_id, open_store
from service.store.replays import unix_ms

PHONE = "13900001234"
UNIQUENESS_OFFICE = "uniqueness-office"
TAG_KEYS = "tag-keys"
"""Folder of the uniqueness service's keys, in the network's."""


class StaffCard:
    """An officer's card: an emulated one that signs transactions with its key 9C."""

    def __init__(self) -> None:
        self._piv = Piv(EmulatedCard())
        self._piv.select()
        self._piv.authenticate_management(FACTORY_MANAGEMENT_KEY)
        made = self._piv.generate(Slot.SIGN)
        self._signer = Signer(Scheme.P256, bytes([2 + (made[-1] & 1)]) + made[1:33])

    @property
    def signer(self) -> Signer:
        """Scheme and public key."""
        return self._signer

    def sign(self, message: bytes) -> bytes:
        """The PIN, and then one signature."""
        self._piv.verify_pin(FACTORY_PIN)
        return self._piv.sign(Slot.SIGN, sha256(message))


@dataclass(frozen=True, slots=True)
class Staff:
    """Somebody who works at the desk.

    Attributes:
        number: The officer's on the ledger.
    """

    officer: Officer
    signer: StaffCard
    number: bytes


@dataclass(frozen=True, slots=True)
class SceneLedger:
    """The desk's way to the network, on the scene's own session."""

    session: Session

    @property
    def network(self) -> Network:
        """SHA-256 of the genesis file."""
        return self.session.network

    async def read(self, keys: Sequence[bytes]) -> Proven:
        """State keys under one checkpoint, with proof."""
        states = await self.session.read_many(keys)
        return Proven({state.key: state.value for state in states}, states[0].checkpoint.time_ms)

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """Submit one and wait for its verified receipt."""
        return await self.session.submit_one(transaction)


@dataclass(frozen=True, slots=True)
class SceneDesk:
    """The desk as the scene uses it.

    Attributes:
        service: The desk's own key, `submit` only.
        uniqueness: The uniqueness service's key.
    """

    session: Session
    store: Store
    context: DeskContext
    shop: Shop
    clerk: Staff
    approver: Staff
    service: TransactionSigner
    uniqueness: TransactionSigner

    @property
    def organisation(self) -> str:
        """The registrar's id on the ledger."""
        return REGISTRAR

    async def code(self, signer: TransactionSigner, *operations: Message | Operation) -> str:
        """Have somebody sign operations and send them; "" or the code of the rule that refused."""
        return await code_of(self.session, [signer], *operations)

    async def record(self, registration: bytes) -> pb.PersonRecord:
        """What the ledger says of a registration, proven."""
        found = await cards.on_ledger(self.context, registration)
        assert found is not None, "the scene asks for what it has written"
        return found

    async def are_appointed(self) -> bool:
        """Whether both officers stand on the ledger, each with one duty and a number of their own."""
        keys = [officer_key(one.signer.signer) for one in (self.clerk, self.approver)]
        proven = await self.context.ledger.read(keys)
        records = [load_officer(proven.values.get, one.signer.signer) for one in (self.clerk, self.approver)]
        duties = [list(record.duties) for record in records if record is not None]
        return duties == [[pb.DUTY_ENROL], [pb.DUTY_CONFIRM]] and self.clerk.number != self.approver.number

    def commitment(self, person: residents.Resident, known: Secrets) -> bytes:
        """What the ledger commits to of a person."""
        data = canonical_data({"name": person.name, "number": person.id_number})
        return data_commitment(data, bytes.fromhex(known.proposed_salt))

    def keep_person(self, person: residents.Resident, known: Secrets) -> str:
        """Keep a person whose enrolment was confirmed; the id in the store."""
        people, now_ms = self.store.people, self.context.now()
        with self.store.write() as session:
            person_id = people.add(session)
            row = DeskPerson(
                person_id=person_id,
                organisation=REGISTRAR,
                state=PersonState.ACTIVE,
                created_ms=now_ms,
                changed_ms=now_ms,
            )
            people.seal(session, row, DeskPerson.name, person.name)
            people.seal(session, row, DeskPerson.number, person.id_number)
            people.seal(session, row, DeskPerson.phone, PHONE)
            people.seal(session, row, DeskPerson.secrets, json.dumps(asdict(known.confirmed())))
        return person_id

    def card(self, card_id: str) -> Opened:
        """A card, opened."""
        with self.store.read() as session:
            return cards.opened(self.context, session, REGISTRAR, card_id)

    def receive_blanks(self, reference: str, first: str, count: int) -> None:
        """Take blanks into stock, which both officers count; blocks.

        Args:
            reference: What the delivery note is called.
            first: The first one's serial number.
            count: How many there are.
        """
        with self.store.write() as session:
            count_id = stock.receive(self.store, session, self.clerk.officer.person_id, reference, first, count, 1)
        for one in (self.clerk, self.approver):
            with self.store.write() as session:
                stock.enter_figure(self.store, session, one.officer.person_id, count_id, count, self.context.now())

    def print_card(self, card_id: str) -> None:
        """Note that a card was printed; blocks."""
        with self.store.write() as session:
            row = cards.own(session, REGISTRAR, card_id, held=True)
            cards.step(self.context, session, row, CardStep.PRINT, self.clerk.officer)

    def observe(self, card_id: str, record: pb.PersonRecord) -> CardState:
        """Let a card's row follow the ledger."""
        return cards.observe(self.context, REGISTRAR, card_id, record)

    def pin(self, card_id: str) -> str:
        """The PIN of a card's letter."""
        return cards_making.letter_of(self.context, REGISTRAR, card_id).pin

    def takes(self, chip: EmulatedCard, pin: str) -> bool:
        """Whether a card takes a PIN."""
        piv = Piv(chip)
        piv.select()
        try:
            piv.verify_pin(pin)
        except WrongPin:
            return False
        chip.reset()
        return True

    def notices(self) -> list[str]:
        """What the holder is to be told."""
        with self.store.read() as session:
            return sorted(session.scalars(select(Notice.kind)))

    def steps(self, card_id: str) -> int:
        """How many steps stand in a card's history."""
        with self.store.read() as session:
            return len(history(session, cards.own(session, REGISTRAR, card_id)))

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()


async def open_desk(stage: Stage, session: Session) -> SceneDesk:
    """Admit the uniqueness service, appoint two officers, and open the desk's store."""
    home = stage.network.home
    governor = home.signer(REGISTRAR)
    uniqueness = await admit_uniqueness(stage.network, session)
    service = Ed25519Signer(secrets.token_bytes(32))
    grant = membership_pb2.KeyGrant(key=signer_pb(service.signer), purposes=[membership_pb2.PURPOSE_SUBMIT])
    assert await code_of(session, [governor, service], membership_pb2.AddKey(key=grant)) == ""
    clerk = await _appointed(session, governor, Role.CLERK, pb.DUTY_ENROL)
    approver = await _appointed(session, governor, Role.APPROVER, pb.DUTY_CONFIRM)
    settings = StoreSettings(folder=str(stage.folder / "desk"), keys=str(stage.folder / "keys"), allow_plain=True)
    store = open_store(settings, {})
    context = DeskContext(store, DESK_SITE, SceneLedger(session), None, service, RetentionSettings(), unix_ms)
    shop = trial_shop(stage.folder / "cards", store.secret("desk/trial-cards"), unix_ms())
    return SceneDesk(session, store, context, shop, clerk, approver, service, uniqueness)


def uniqueness_seed(network: Network) -> bytes:
    """The secret of the uniqueness service's key in scenes; 32 bytes."""
    return sha256(b"scene identity: uniqueness\x00" + network)


async def admit_uniqueness(network: Devnet, session: Session) -> Ed25519Signer:
    """The members vote the uniqueness service in, unless an earlier run did, and it begins its first key."""
    signer = Ed25519Signer(uniqueness_seed(session.network))
    office = Office(UNIQUENESS_OFFICE, "唯一性服务", "Uniqueness Office", (UNIQUENESS_ROLE,), signer)
    await admit(Stage(network, network.root), session, [office])
    key = await session.read(TAG_KEY_KEY)
    if not load_tag_key({TAG_KEY_KEY: key.value}.get).key_version:
        settings = UniquenessSettings(keys=str(network.root / TAG_KEYS), allow_plain=True)
        TagKeys(settings, {}).make(1)  # kept before the ledger is told: a real service may go on with it
        assert await code_of(session, [signer], pb.RotateTagKey(key_version=1)) == ""
    return signer


async def _appointed(session: Session, governor: TransactionSigner, role: Role, duty: pb.Duty.ValueType) -> Staff:
    """An officer with a staff card, whose key the registrar's governing key adds and appoints."""
    card, number = StaffCard(), secrets.token_bytes(16)
    purposes = [membership_pb2.PURPOSE_SUBMIT, membership_pb2.PURPOSE_ATTEST]
    add = membership_pb2.AddKey(key=membership_pb2.KeyGrant(key=signer_pb(card.signer), purposes=purposes))
    appoint = pb.AppointOfficer(key=signer_pb(card.signer), officer=number, duties=[duty])
    assert await code_of(session, [governor, card], add, appoint) == ""
    ids = [new_id() for _ in range(4)]
    officer = Officer(ids[0], ids[1], role.title(), role, REGISTRAR, ids[2], ids[3], unix_ms(), bytes(32))
    return Staff(officer, card, number)
