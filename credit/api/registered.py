# SPDX-License-Identifier: Apache-2.0
"""Where credit meets what the registrar keeps of the same person, and what relying parties are registered for.

A person whom the desk registered in this very store has one list of accesses, which their credential names, and one
data space, which shows and withdraws their consents: looks at their credit stand in that list, and consents to read
it stand in that space. Whoever is not registered here, and companies, have a list of credit's own.

What an organisation may ask, its registration on the ledger says: a purpose of credit is one of its purposes that
names `credit-<purpose>/report` or `credit-<purpose>/grade`.  Source: docs/identity.md, "Relying parties".
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from credit.api.base import CreditContext
from credit.api.subjects import Kind
from credit.api.tables import CreditSubject
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from identity.api.space.consents import CONSENTS_MAX
from identity.api.space.tables import SpaceConsent
from identity.consents import consent_commitment
from identity.pb import identity_pb2
from identity.relying import refused_at

CLAIMS: Final = ("grade", "report")
"""What may be asked of credit, by the names that registrations give it."""
_SPACE_PARTS: Final = ("content", "salt", "person_secret", "party_secret")
"""By the names that the data space has for what makes a consent."""
_LIVING: Final = (PersonState.ACTIVE, PersonState.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Kept:
    """What opens a consent, and what ends it.

    Attributes:
        content: Bytes of `ConsentContent`.
        person: What the person reveals to end it.
        party: What the organisation reveals to end it.
    """

    content: bytes
    salt: bytes
    person: bytes = field(repr=False)
    party: bytes = field(repr=False)

    @property
    def commitment(self) -> bytes:
        """On the ledger."""
        return consent_commitment(self.content, self.salt)

    @property
    def in_order(self) -> tuple[bytes, ...]:
        """All that makes it."""
        return (self.content, self.salt, self.person, self.party)

    def encode(self) -> str:
        """As it is sealed."""
        return json.dumps([part.hex() for part in self.in_order])

    @classmethod
    def decode(cls, text: str) -> "Kept":
        """What `encode` wrote."""
        return cls(*(bytes.fromhex(part) for part in json.loads(text)))


def attribute(purpose: str, claim: str) -> str:
    """How registrations and consents name what is read: "credit-tender/report"."""
    assert claim in CLAIMS, "there is nothing else to read"
    return f"credit-{purpose}/{claim}"


def asked_for(
    registration: identity_pb2.RelyingPartyRecord | None, purpose: str, time_ms: int
) -> identity_pb2.RelyingPurpose | None:
    """The registered purpose under which an organisation may ask for one of credit's; None: it may not.

    Args:
        registration: As the ledger has it.
        purpose: One of `reading.PURPOSES`.
        time_ms: The checkpoint's.
    """
    if registration is None or refused_at(registration, time_ms) is not None:
        return None
    wanted = {attribute(purpose, claim) for claim in CLAIMS}
    return next((one for one in registration.terms.purposes if wanted & set(one.attributes)), None)


def person_of(context: CreditContext, session: Session, subject: CreditSubject) -> str:
    """Whose list of accesses and data space a subject's looks and consents stand in.

    Returns:
        The person whom the desk registered under the same number in this store; else the subject's own.
    """
    found = _registered(context, session, subject, _LIVING)
    return subject.person_id if found is None else found


def active_person_of(context: CreditContext, session: Session, subject: CreditSubject) -> str | None:
    """The person whom the desk registered in this store and whose registration counts; None: nobody."""
    return _registered(context, session, subject, (PersonState.ACTIVE,))


def _registered(
    context: CreditContext, session: Session, subject: CreditSubject, states: Sequence[PersonState]
) -> str | None:
    people = context.store.people
    number = people.open(session, subject, CreditSubject.number) if subject.kind == Kind.PERSON else None
    for row_id in people.find(session, DeskPerson.number, number) if number else ():
        row = session.get(DeskPerson, row_id)
        if row is not None and row.state in states:
            return row.person_id
    return None


def put_consent(context: CreditContext, session: Session, subject: CreditSubject, kept: Kept) -> None:
    """Let the person's data space have a consent, with what ends it; whoever has none is passed over.

    Args:
        context: Which service.
        session: The transaction that keeps the consent here.
        subject: Who consents.
        kept: The consent.
    """
    person_id = person_of(context, session, subject)
    own = select(func.count()).select_from(SpaceConsent).where(SpaceConsent.person_id == person_id)
    if person_id == subject.person_id or (session.scalar(own) or 0) >= CONSENTS_MAX:
        return
    row = SpaceConsent(person_id=person_id, made_ms=context.now())
    parts = {name: part.hex() for name, part in zip(_SPACE_PARTS, kept.in_order, strict=True)}
    context.store.people.seal(session, row, SpaceConsent.content, json.dumps({**parts, "evidence": {}}))


def space_consents(context: CreditContext, session: Session, subject: CreditSubject) -> list[Kept]:
    """Consents of a person's data space, newest first; also such as the wallet gave or narrowed."""
    person_id = person_of(context, session, subject)
    if person_id == subject.person_id:
        return []
    query = select(SpaceConsent).where(SpaceConsent.person_id == person_id).order_by(SpaceConsent.made_ms.desc())
    found = []
    for row in session.scalars(query.limit(CONSENTS_MAX)):
        value = json.loads(context.store.people.open(session, row, SpaceConsent.content) or "{}")
        found.append(Kept(*(bytes.fromhex(value[name]) for name in _SPACE_PARTS)))
    return found
