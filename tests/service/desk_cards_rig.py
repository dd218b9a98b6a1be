# SPDX-License-Identifier: Apache-2.0
"""The desk's work on cards, companies and mandates, without a browser: a store, and the ledger's real rules."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from store_rig import Rig

from chain.errors import Refused
from chain.transaction import Operation, SignedTransaction
from chain.types import Network
from client.answers import ProvenTransaction
from client.errors import TransportError
from identity.api.desk import cards, cards_binding, cards_making, stock
from identity.api.desk.base import DeskContext, Proven
from identity.api.desk.cards import Reason
from identity.api.desk.cards_handover import hand_over
from identity.api.desk.cards_life import CardState, CardStep
from identity.api.desk.cards_people import registered
from identity.api.desk.cards_shop import Shop, trial_shop
from identity.api.desk.part import DESK_SITE
from identity.api.desk.persons import Secrets
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.cards.emulator import EmulatedCard
from identity.cards.piv import Piv
from identity.pb import identity_pb2 as pb
from identity.registrations import load_person
from service.settings import RetentionSettings
from service.sign_in.roles import Role
from service.sign_in.sessions import Officer
from service.store import new_id
from tests.identity_rig import IdentityRig
from tests.rig import NETWORK

ORGANISATION = "org-r"
KEYS = {Role.CLERK: "ann@p256", Role.APPROVER: "bob@webauthn"}
"""Whose key on the ledger an officer of a role has."""


@dataclass
class RulesLedger:
    """The rules of the ledger, executed at once."""

    rules: IdentityRig
    network: Network = NETWORK
    is_reachable: bool = True
    done: dict[bytes, "Executed"] = field(default_factory=dict)

    async def read(self, keys: Sequence[bytes]) -> Proven:
        if not self.is_reachable:
            raise TransportError("no node answers")
        return Proven({key: self.rules.state.get(key) for key in keys}, self.rules.time_ms)

    async def submit_one(self, transaction: SignedTransaction) -> ProvenTransaction:
        """As the registrar's service submits; the signature itself is a stand-in."""
        if not self.is_reachable:
            raise TransportError("no node answers")
        if transaction.id not in self.done:
            code = self.rules.code("desk@p256", *transaction.operations)
            if code:
                raise Refused("the rules refuse it", code)
            self.done[transaction.id] = Executed()
        return self.done[transaction.id]  # type: ignore[return-value]  # a stand-in for a proven transaction


class Executed:
    """What the ledger answers, without its proof."""

    failed = None

    def receipt(self) -> bytes:
        return b"receipt"


@dataclass
class CardsRig:
    """A desk and its officers."""

    rig: Rig
    rules: IdentityRig = field(default_factory=IdentityRig)

    def __post_init__(self) -> None:
        self.rig.clock_ms = self.rules.time_ms
        self.store = self.rig.open(self.rig.settings())
        self.ledger = RulesLedger(self.rules)
        self.desk = DeskContext(
            self.store, DESK_SITE, self.ledger, None, None, RetentionSettings(), lambda: self.rig.clock_ms
        )
        self.shop = trial(self.desk)
        self.clerk, self.approver, self.supervisor = (
            self.officer(role) for role in (Role.CLERK, Role.APPROVER, Role.SUPERVISOR)
        )

    def officer(self, role: Role) -> Officer:
        ids = [new_id() for _ in range(4)]
        return Officer(ids[0], ids[1], role.title(), role, ORGANISATION, ids[2], ids[3], self.rig.clock_ms, b"b" * 32)

    def person(self, name: str = "陈小明", number: str = "11010519491231002X") -> str:
        """Somebody registered, on the ledger too; the id in the store."""
        known = Secrets.new()
        self.rules.enrolled(person=known.registration_id)
        people = self.store.people
        with self.store.write() as session:
            person_id = people.add(session)
            row = DeskPerson(
                person_id=person_id,
                organisation=ORGANISATION,
                state=PersonState.ACTIVE,
                created_ms=self.rig.clock_ms,
                changed_ms=self.rig.clock_ms,
            )
            people.seal(session, row, DeskPerson.name, name)
            people.seal(session, row, DeskPerson.number, number)
            people.seal(session, row, DeskPerson.secrets, json.dumps(asdict(known)))
        return person_id

    def stock(self, count: int = 5, first: str = "CC26-0001") -> None:
        """Blank cards that two people have counted."""
        with self.store.write() as session:
            count_id = stock.receive(self.store, session, self.supervisor.staff_id, "LS-1", first, count, 1)
            for officer in (self.supervisor, self.clerk):
                stock.enter_figure(self.store, session, officer.staff_id, count_id, count, 1)

    def registration(self, person_id: str) -> bytes:
        """Id of a person's record on the ledger."""
        with self.store.read() as session:
            return registered(self.desk, session, ORGANISATION, person_id).registration

    def record(self, person_id: str) -> pb.PersonRecord:
        """What the ledger says of a person."""
        found = load_person(self.rules.state.get, self.registration(person_id))
        assert found is not None
        return found

    def pin(self, card_id: str) -> str:
        """The PIN of a card's letter."""
        return cards_making.letter_of(self.desk, ORGANISATION, card_id).pin

    def card(self, card_id: str) -> cards.Opened:
        """A card, opened."""
        with self.store.read() as session:
            return cards.opened(self.desk, session, ORGANISATION, card_id)

    def observe(self, card_id: str) -> CardState:
        """Let a card's row follow the ledger."""
        return cards.observe(self.desk, ORGANISATION, card_id, self.record(self.card(card_id).person_id))

    def made(
        self, person_id: str, reason: Reason = Reason.FIRST, replaces: str | None = None
    ) -> tuple[str, EmulatedCard]:
        """A personalised card that nobody has bound."""
        card_id, chip = cards.request(self.desk, self.clerk, person_id, reason, replaces), EmulatedCard()
        cards_making.make(
            self.desk, self.clerk, card_id, lambda journal, _: self.shop.personalise(self.desk, chip, journal)
        )
        return card_id, chip

    def bind(self, card_id: str) -> CardState:
        """Two officers bind a card's keys."""
        card = self.card(card_id)
        replaced = None if card.replaces is None else self.card(card.replaces)
        registration = self.registration(card.person_id)
        proposal, _ = cards_binding.proposal(card, replaced, registration, self.record(card.person_id))
        assert self.act(Role.CLERK, proposal) == ""
        confirmation, _ = cards_binding.confirmation(card, replaced, registration, self.record(card.person_id))
        assert self.act(Role.APPROVER, confirmation) == ""
        return self.observe(card_id)

    def printed(
        self, person_id: str, reason: Reason = Reason.FIRST, replaces: str | None = None
    ) -> tuple[str, EmulatedCard]:
        """A card that waits for its holder."""
        card_id, chip = self.made(person_id, reason, replaces)
        assert self.bind(card_id) is CardState.BOUND
        self.print(card_id)
        return card_id, chip

    def print(self, card_id: str) -> None:
        """Face and letter are printed."""
        with self.store.write() as session:
            row = cards.own(session, ORGANISATION, card_id, held=True)
            cards.step(self.desk, session, row, CardStep.PRINT, self.clerk)

    def active(
        self, person_id: str, reason: Reason = Reason.FIRST, replaces: str | None = None
    ) -> tuple[str, EmulatedCard]:
        """A card that its holder has."""
        card_id, chip = self.printed(person_id, reason, replaces)
        hand_over(self.desk, self.clerk, card_id, Piv(chip), self.pin(card_id), OWN_PIN)
        return card_id, chip

    def act(self, signer: Role | str, operations: Sequence[Operation]) -> str:
        """Have somebody sign operations; "" or the code of the rule that refused."""
        name = KEYS[signer] if isinstance(signer, Role) else signer
        return self.rules.code(name, *operations)


OWN_PIN = "864209"


def trial(desk: DeskContext) -> Shop:
    """A workshop whose cards lie nowhere but in the test."""
    return trial_shop(Path("/nowhere"), bytes(32), desk.now())
