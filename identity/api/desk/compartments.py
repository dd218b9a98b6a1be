# SPDX-License-Identifier: Apache-2.0
"""Private compartments: the desk keeps what a person sealed with their own device, and hands it back.

It looks at the form alone: that two keys open it. Neither the desk nor the store has one of them, so a copy of the
store, its keys included, opens nothing. Erasing the person takes it along.

Whoever has the wallet's device can put something that nothing opens in its place. So what stood there is kept for a
while, and handed back at the counter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from identity.api.desk import notices, persons
from identity.api.desk.base import DAY_MS, HOUR_MS, DeskContext
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import NO_COMPARTMENT, NOT_A_COMPARTMENT
from identity.api.desk.tables import DeskCompartment, DeskCompartmentBefore, DeskPerson
from identity.compartment import keys_of
from identity.jose import InvalidToken
from service.problems import Problem
from service.sign_in.sessions import Officer

BEFORE_MS: Final = 30 * DAY_MS
"""How long one is kept whose place another one took: until its holder has noticed and come to the counter."""
STOOD_MS_MIN: Final = HOUR_MS
"""One that stood for less is not kept: somebody is trying, or fills the place."""
BEFORE_MAX: Final = 31
"""Of one person, 1 MB at most. Once there are as many no more are kept, so that no flood pushes out the first ones."""

_BATCH: Final = 100
"""Rows that are deleted in one round: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Before:
    """A compartment whose place another one took.

    Attributes:
        kept_ms: Since when it stood there.
        replaced_ms: Until when.
    """

    id: str
    kept_ms: int
    replaced_ms: int
    size_bytes: int


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
        found = _row(session, person_id)
        if found is not None:
            set_aside(desk, session, found)
        row = found or DeskCompartment(person_id=person_id)
        row.kept_ms, row.size_bytes = desk.now(), len(sealed)
        desk.store.people.seal(session, row, DeskCompartment.content, sealed.decode("utf-8"))
        session.add(row)
        session.flush()
        desk.record(session, officer, "compartment.kept", person_id)
        if found is not None:
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


def set_aside(desk: DeskContext, session: Session, row: DeskCompartment) -> None:
    """Keep what stands there for a while, before another one takes its place.

    Args:
        desk: Which desk.
        session: A transaction that writes and holds the row.
        row: The compartment, before it changes.
    """
    now_ms = desk.now()
    own = DeskCompartmentBefore.person_id == row.person_id
    session.execute(delete(DeskCompartmentBefore).where(own, DeskCompartmentBefore.replaced_ms <= now_ms - BEFORE_MS))
    count = session.scalar(select(func.count()).select_from(DeskCompartmentBefore).where(own)) or 0
    content = desk.store.people.open(session, row, DeskCompartment.content)
    if content is None or now_ms - row.kept_ms < STOOD_MS_MIN or count >= BEFORE_MAX:
        return
    kept = DeskCompartmentBefore(
        person_id=row.person_id, kept_ms=row.kept_ms, size_bytes=row.size_bytes, replaced_ms=now_ms
    )
    desk.store.people.seal(session, kept, DeskCompartmentBefore.content, content)
    session.flush()


def before(desk: DeskContext, session: Session, person_id: str) -> Sequence[Before]:
    """Compartments of a person whose place another one took of late, the latest first."""
    own = DeskCompartmentBefore.person_id == person_id
    wanted = own & (DeskCompartmentBefore.replaced_ms > desk.now() - BEFORE_MS)
    query = select(DeskCompartmentBefore).where(wanted).order_by(DeskCompartmentBefore.replaced_ms.desc())
    return [
        Before(row.id, row.kept_ms, row.replaced_ms, row.size_bytes) for row in session.scalars(query.limit(BEFORE_MAX))
    ]


def forget_before(desk: DeskContext) -> int:
    """Delete those that were kept long enough; how many."""
    with desk.store.write() as session:
        old = select(DeskCompartmentBefore.id).where(DeskCompartmentBefore.replaced_ms <= desk.now() - BEFORE_MS)
        found = session.scalars(old.limit(_BATCH)).all()
        session.execute(delete(DeskCompartmentBefore).where(DeskCompartmentBefore.id.in_(found)))
    return len(found)


def hand_back(desk: DeskContext, officer: Officer, person_id: str, before_id: str = "") -> bytes:
    """The compartment, for the person to open elsewhere.

    Args:
        desk: Which desk.
        officer: Who hands it back.
        person_id: To whom.
        before_id: One whose place another one took; "": the one that is kept.

    Raises:
        Problem: No reason was given for looking at them, or they have none.
    """
    with desk.store.write() as session:
        require_reason(desk, session, officer, person_id)
        if before_id:
            sealed = _sealed_before(desk, session, person_id, before_id)
        else:
            found = load(desk, session, person_id)
            sealed = None if found is None else found.sealed
        if sealed is None:
            raise Problem(NO_COMPARTMENT)
        desk.record(session, officer, "compartment.handed-back", person_id)
        return sealed


def _sealed_before(desk: DeskContext, session: Session, person_id: str, before_id: str) -> bytes | None:
    if before_id not in {one.id for one in before(desk, session, person_id)}:
        return None
    row = session.get(DeskCompartmentBefore, before_id)
    content = None if row is None else desk.store.people.open(session, row, DeskCompartmentBefore.content)
    return None if content is None else content.encode()


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
        session.execute(delete(DeskCompartmentBefore).where(DeskCompartmentBefore.person_id == person_id))
        desk.record(session, officer, "compartment.removed", person_id)
        _tell(desk, session, officer, person_id)


def _tell(desk: DeskContext, session: Session, officer: Officer, person_id: str) -> None:
    """Nobody takes a compartment away without its holder hearing of it."""
    notices.tell(desk, session, persons.load(desk, session, officer, person_id), "compartment-changed")


def _row(session: Session, person_id: str) -> DeskCompartment | None:
    return session.scalar(select(DeskCompartment).where(DeskCompartment.person_id == person_id))
