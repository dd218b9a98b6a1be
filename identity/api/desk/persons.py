# SPDX-License-Identifier: Apache-2.0
"""Natural persons of the desk in the private store: found, read, written; what joins them to the ledger is sealed."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.api.desk.base import DeskContext
from identity.api.desk.details import Details
from identity.api.desk.problems import UNKNOWN_PERSON
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.commitments import SALT_BYTES
from service.problems import Problem
from service.sign_in.sessions import Officer

REGISTRATION_BYTES = 16


@dataclass(frozen=True, slots=True)
class Secrets:
    """What joins a person to records on the ledger; hex. Destroying it is erasure.

    Attributes:
        registration: Id of the registration; used once, so another one follows a withdrawn one.
        salt: Of the commitment to the data as they count.
        proposed_salt: Of the commitment to what is proposed.
        holder_salt: Of the uniqueness tag's commitment to the registration.
        pairwise: From it relying parties' pseudonyms are made; it outlives cards and changes.
    """

    registration: str
    salt: str
    proposed_salt: str
    holder_salt: str
    pairwise: str

    @classmethod
    def new(cls) -> "Secrets":
        """Of somebody who begins to be registered."""
        return cls(secrets.token_hex(REGISTRATION_BYTES), "", *(secrets.token_hex(SALT_BYTES) for _ in range(3)))

    @property
    def registration_id(self) -> bytes:
        """16 bytes."""
        return bytes.fromhex(self.registration)

    def next_registration(self) -> "Secrets":
        """For the next attempt, after a proposal was withdrawn: an id is used once; a seat that was taken stays."""
        fresh = Secrets.new()
        return replace(self, registration=fresh.registration, proposed_salt=fresh.proposed_salt)

    def next_proposal(self) -> "Secrets":
        """For the next proposal under the same registration."""
        return replace(self, proposed_salt=secrets.token_hex(SALT_BYTES))

    def encode(self) -> str:
        """As they are sealed."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> "Secrets":
        """What `encode` wrote."""
        return cls(**json.loads(text))

    def confirmed(self) -> "Secrets":
        """What was proposed counts."""
        return replace(self, salt=self.proposed_salt)


@dataclass(frozen=True, slots=True)
class Found:
    """A person with what is sealed, opened.

    Attributes:
        details: What counts; None before the first approval.
    """

    row: DeskPerson
    name: str
    number: str
    phone: str
    details: Details | None
    secrets: Secrets

    @property
    def state(self) -> PersonState:
        """What they are to the desk."""
        return PersonState(self.row.state)


def create(desk: DeskContext, session: Session, officer: Officer) -> DeskPerson:
    """Make a person with a key of their own, of whom nothing is known yet."""
    now_ms = desk.now()
    person_id = desk.store.people.add(session)
    row = DeskPerson(
        person_id=person_id,
        organisation=officer.organisation,
        state=PersonState.DRAFT,
        created_ms=now_ms,
        changed_ms=now_ms,
    )
    desk.store.people.seal(session, row, DeskPerson.secrets, Secrets.new().encode())
    session.flush()
    desk.record(session, officer, "person.begun", person_id)
    return row


def load(desk: DeskContext, session: Session, officer: Officer, person_id: str, *, hold: bool = False) -> Found:
    """A person of the officer's organisation. Who shows it has called `require_reason` before.

    Raises:
        Problem: There is none here.
    """
    return load_of(desk, session, officer.organisation, person_id, hold=hold)


def load_of(desk: DeskContext, session: Session, organisation: str, person_id: str, *, hold: bool = False) -> Found:
    """A person of an organisation.

    Raises:
        Problem: There is none there.
    """
    wanted = (DeskPerson.person_id == person_id) & (DeskPerson.organisation == organisation)
    query = select(DeskPerson).where(wanted)
    row = session.scalar(query.with_for_update() if hold else query)
    if row is None:
        raise Problem(UNKNOWN_PERSON)
    return read(desk, session, row)


def read(desk: DeskContext, session: Session, row: DeskPerson) -> Found:
    """A person's row, opened."""
    people = desk.store.people
    details = people.open(session, row, DeskPerson.details)
    return Found(
        row,
        people.open(session, row, DeskPerson.name) or "",
        people.open(session, row, DeskPerson.number) or "",
        people.open(session, row, DeskPerson.phone) or "",
        Details.decode(details) if details else None,
        Secrets.decode(people.open(session, row, DeskPerson.secrets) or ""),
    )


def name(desk: DeskContext, session: Session, row: DeskPerson, details: Details) -> None:
    """Write what a person is found by; that something is proposed under it does not make it count."""
    people = desk.store.people
    people.seal(session, row, DeskPerson.name, details.name)
    people.seal(session, row, DeskPerson.number, details.number)
    people.seal(session, row, DeskPerson.phone, details.phone or None)
    people.seal(session, row, DeskPerson.likeness, details.likeness)
    row.changed_ms = desk.now()


def settle(desk: DeskContext, session: Session, row: DeskPerson, details: Details, state: PersonState) -> None:
    """Write what counts from now on."""
    name(desk, session, row, details)
    desk.store.people.seal(session, row, DeskPerson.details, details.encode())
    row.state = state


def keep_secrets(desk: DeskContext, session: Session, row: DeskPerson, changed: Secrets) -> None:
    """Write a person's secrets, before anything that names them goes to the ledger."""
    desk.store.people.seal(session, row, DeskPerson.secrets, changed.encode())


def others_with_number(desk: DeskContext, session: Session, person_id: str, details: Details) -> Sequence[DeskPerson]:
    """Persons under the same number, this one left out, whose registration goes on or counts."""
    rows = desk.store.people.find(session, DeskPerson.number, details.number)
    over = (PersonState.DROPPED, PersonState.REVOKED, PersonState.DECEASED)
    wanted = DeskPerson.id.in_(rows) & (DeskPerson.person_id != person_id) & DeskPerson.state.not_in(over)
    return session.scalars(select(DeskPerson).where(wanted)).all()


def others_alike(desk: DeskContext, session: Session, person_id: str, details: Details) -> Sequence[DeskPerson]:
    """Persons of the same name and birth date under another number, whose registration goes on or counts."""
    rows = desk.store.people.find(session, DeskPerson.likeness, details.likeness)
    wanted = (
        DeskPerson.id.in_(rows)
        & (DeskPerson.person_id != person_id)
        & DeskPerson.state.in_((PersonState.ACTIVE, PersonState.SUSPENDED, PersonState.DRAFT))
    )
    return session.scalars(select(DeskPerson).where(wanted)).all()
