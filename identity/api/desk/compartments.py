# SPDX-License-Identifier: Apache-2.0
"""Private compartments: the desk keeps what a person sealed with their own device, and hands it back.

It looks at the form alone: that two keys open it. Neither the desk nor the store has one of them, so a copy of the
store, its keys included, opens nothing. Erasing the person takes it along.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.api.desk import persons
from identity.api.desk.base import DeskContext
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import NO_COMPARTMENT, NOT_A_COMPARTMENT
from identity.api.desk.tables import DeskCompartment, DeskPerson
from identity.compartment import keys_of
from identity.jose import InvalidToken
from service.problems import Problem
from service.sign_in.sessions import Officer


@dataclass(frozen=True, slots=True)
class Kept:
    """A compartment as it is kept.

    Attributes:
        sealed: Bytes, as the person sealed them.
        keys: By what names the two keys are known that open it.
        kept_ms: Since when.
    """

    sealed: bytes
    keys: tuple[str, str]
    kept_ms: int


def keep(desk: DeskContext, officer: Officer, person_id: str, sealed: bytes) -> None:
    """Keep a person's compartment in the place of the one before, if any.

    Raises:
        Problem: No reason was given for looking at them, or it is no compartment.
    """
    try:
        keys_of(sealed)
    except InvalidToken:
        raise Problem(NOT_A_COMPARTMENT) from None
    with desk.store.write() as session:
        require_reason(desk, session, officer, person_id)
        session.scalar(select(DeskPerson.id).where(DeskPerson.person_id == person_id).with_for_update())
        before = _row(session, person_id)
        row = before or DeskCompartment(person_id=person_id)
        row.kept_ms, row.size_bytes = desk.now(), len(sealed)
        desk.store.people.seal(session, row, DeskCompartment.content, sealed.decode("utf-8"))
        session.add(row)
        session.flush()
        desk.record(session, officer, "compartment.kept", person_id)
        if before is not None:
            _tell(desk, session, officer, person_id)


def load(desk: DeskContext, session: Session, person_id: str) -> Kept | None:
    """A person's compartment; None: they have none. Who shows it has called `require_reason` before."""
    row = _row(session, person_id)
    if row is None:
        return None
    text = desk.store.people.open(session, row, DeskCompartment.content)
    assert text is not None, "each row has its content"
    sealed = text.encode()
    return Kept(sealed, keys_of(sealed), row.kept_ms)


def hand_back(desk: DeskContext, officer: Officer, person_id: str) -> bytes:
    """The compartment, for the person to open elsewhere.

    Raises:
        Problem: No reason was given for looking at them, or they have none.
    """
    with desk.store.write() as session:
        require_reason(desk, session, officer, person_id)
        found = load(desk, session, person_id)
        if found is None:
            raise Problem(NO_COMPARTMENT)
        desk.record(session, officer, "compartment.handed-back", person_id)
        return found.sealed


def remove(desk: DeskContext, officer: Officer, person_id: str) -> None:
    """The person wants it kept no longer.

    Raises:
        Problem: No reason was given for looking at them, or they have none.
    """
    with desk.store.write() as session:
        require_reason(desk, session, officer, person_id)
        row = _row(session, person_id)
        if row is None:
            raise Problem(NO_COMPARTMENT)
        desk.store.people.remove(session, row)
        desk.record(session, officer, "compartment.removed", person_id)
        _tell(desk, session, officer, person_id)


def _tell(desk: DeskContext, session: Session, officer: Officer, person_id: str) -> None:
    """Nobody takes a compartment away without its holder hearing of it."""
    persons.notify(desk, session, persons.load(desk, session, officer, person_id), "compartment-changed")


def _row(session: Session, person_id: str) -> DeskCompartment | None:
    return session.scalar(select(DeskCompartment).where(DeskCompartment.person_id == person_id))
