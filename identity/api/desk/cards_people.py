# SPDX-License-Identifier: Apache-2.0
"""Registered persons as the work on cards and mandates needs them: their record on the ledger, name and number."""

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.api.desk import cards_problems as kinds
from identity.api.desk.base import DeskContext
from identity.api.desk.problems import UNKNOWN_PERSON
from identity.api.desk.states import PersonState
from identity.api.desk.tables import DeskPerson
from service.problems import Problem


@dataclass(frozen=True, slots=True)
class Registered:
    """A person with a registration on the ledger.

    Attributes:
        person_id: Of the store.
        registration: Id of the record on the ledger.
    """

    person_id: str
    registration: bytes
    name: str
    number: str
    state: PersonState


def registered(
    desk: DeskContext, session: Session, organisation: str, person_id: str, *, held: bool = False
) -> Registered:
    """A person of this desk whose enrolment was confirmed, suspended or not.

    Args:
        desk: Which desk.
        session: A transaction; one that writes if the row is to be held.
        organisation: Whose desk.
        person_id: Of the store.
        held: Nobody else works on this person's cards until the transaction ends.

    Raises:
        Problem: There is no such person here, or they are not registered, or no longer.
    """
    wanted = (DeskPerson.person_id == person_id) & (DeskPerson.organisation == organisation)
    query = select(DeskPerson).where(wanted)
    row = session.scalar(query.with_for_update() if held else query)
    if row is None:
        raise Problem(UNKNOWN_PERSON)
    if row.state not in (PersonState.ACTIVE, PersonState.SUSPENDED):
        raise Problem(kinds.NOT_REGISTERED)
    people = desk.store.people
    found = json.loads(people.open(session, row, DeskPerson.secrets) or "{}")
    assert found.get("registration"), "whoever is registered has a record on the ledger"
    return Registered(
        person_id,
        bytes.fromhex(found["registration"]),
        people.open(session, row, DeskPerson.name) or "",
        people.open(session, row, DeskPerson.number) or "",
        PersonState(row.state),
    )
