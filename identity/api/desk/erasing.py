# SPDX-License-Identifier: Apache-2.0
"""Erasure at a person's request: two officers, a waiting period, an account of what went and what law retains.

What goes: the person's key, every row and index entry about them, pictures, receipts, and the acts that officers
prepared about them. Records on the ledger stay, and mean nothing any more: salts and ids were sealed under that key.
Somebody who is registered is revoked first: a registration that counts without anybody knowing whose it is would be
nobody's.
"""

import json
from dataclasses import asdict, dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from identity.api.desk import notices, persons
from identity.api.desk.base import DAY_MS, DeskContext
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import NOT_NOW, OWN_WORK, UNKNOWN_PERSON
from identity.api.desk.states import OPEN_STATES, ErasureState, PersonState
from identity.api.desk.tables import (
    DeskAccess,
    DeskCase,
    DeskDuplicate,
    DeskErasure,
    DeskImage,
    DeskPerson,
    DeskStep,
)
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.sign_in.tables import PreparedAct
from service.store import Act, new_id

GROUNDS = ("withdrawn-consent", "purpose-ended", "unlawful", "own-request")
"""个人信息保护法, article 47."""
ERASABLE = (PersonState.DRAFT, PersonState.DROPPED, PersonState.REVOKED, PersonState.DECEASED)
"""Whose registration does not count, or never did."""
DUE_MAX = 100
"""Erasures of one round."""


@dataclass(frozen=True, slots=True)
class Account:
    """What was erased and what was not; it names nobody and outlives the data.

    Attributes:
        backups_until_ms: When the last backup that holds the person's sealed rows runs out; they open no more as soon
            as an epoch of the store ends.
    """

    cases: int
    steps: int
    images: int
    accesses: int
    acts: int
    backups_until_ms: int


def request(desk: DeskContext, officer: Officer, person_id: str, ground: str) -> str:
    """Take a person's request to erase.

    Returns:
        The request's id.

    Raises:
        Problem: The registration counts still, a case is open, or a request is there already.
    """
    with desk.store.write() as session:
        require_reason(desk, session, officer, person_id)
        found = persons.load(desk, session, officer, person_id, hold=True)
        open_ones = (DeskCase.person_id == person_id) & DeskCase.state.in_(OPEN_STATES)
        asked = (DeskErasure.person_id == person_id) & DeskErasure.state.in_(
            (ErasureState.REQUESTED, ErasureState.WAITING)
        )
        if (
            found.state not in ERASABLE
            or session.scalar(select(DeskCase.id).where(open_ones).limit(1)) is not None
            or session.scalar(select(DeskErasure.id).where(asked).limit(1)) is not None
        ):
            raise Problem(NOT_NOW)
        row = DeskErasure(
            id=new_id(),
            person_id=person_id,
            organisation=officer.organisation,
            state=ErasureState.REQUESTED,
            ground=ground,
            requested_by=officer.staff_id,
            requested_ms=desk.now(),
            confirmed_by="",
            due_ms=0,
            done_ms=0,
            account="",
        )
        session.add(row)
        session.flush()
        desk.record(session, officer, "erasure.requested", row.id)
        return row.id


def confirm(desk: DeskContext, officer: Officer, erasure_id: str) -> None:
    """A second officer confirms; the waiting period begins, and the person is told by every channel.

    Raises:
        Problem: It is the same officer, or there is nothing to confirm.
    """
    with desk.store.write() as session:
        row = _held(session, officer, erasure_id, ErasureState.REQUESTED)
        if row.requested_by == officer.staff_id:
            raise Problem(OWN_WORK)
        row.state, row.confirmed_by = ErasureState.WAITING, officer.staff_id
        row.due_ms = desk.now() + desk.retention.erasure_days * DAY_MS
        found = persons.load(desk, session, officer, row.person_id)
        notices.tell(desk, session, found, "erasure-waits")
        desk.record(session, officer, "erasure.confirmed", row.id)


def cancel(desk: DeskContext, officer: Officer, erasure_id: str) -> None:
    """The person objects, or the request was a mistake.

    Raises:
        Problem: It is over, or there is none.
    """
    with desk.store.write() as session:
        row = _held(session, officer, erasure_id, ErasureState.REQUESTED, ErasureState.WAITING)
        row.state = ErasureState.CANCELLED
        desk.record(session, officer, "erasure.cancelled", row.id)


def due(desk: DeskContext) -> list[str]:
    """Persons whose waiting period is over."""
    with desk.store.read() as session:
        wanted = (DeskErasure.state == ErasureState.WAITING) & (DeskErasure.due_ms <= desk.now())
        return list(session.scalars(select(DeskErasure.person_id).where(wanted).limit(DUE_MAX)))


def erase(desk: DeskContext, person_id: str, actor: str) -> Account:
    """Erase a person now. Whoever calls has seen to it that this may be.

    Args:
        desk: Which desk.
        person_id: Whose data.
        actor: Random id of who does it.

    Raises:
        PersonErased: There never was such a person.
        StorageError: Not done, or not whole; opening the store goes on with it.
    """
    with desk.store.write() as session:
        about = select(DeskStep.act_id).where((DeskStep.person_id == person_id) & (DeskStep.act_id != ""))
        account = Account(
            cases=_count(session, DeskCase, person_id),
            steps=_count(session, DeskStep, person_id),
            images=_count(session, DeskImage, person_id),
            accesses=_count(session, DeskAccess, person_id),
            acts=session.scalar(select(func.count()).select_from(PreparedAct).where(PreparedAct.id.in_(about))) or 0,
            backups_until_ms=desk.now() + desk.retention.backup_days * DAY_MS,
        )
        # a crash after this line leaves a person without the acts about them; the next call erases them
        session.execute(delete(PreparedAct).where(PreparedAct.id.in_(about)))
        session.execute(delete(DeskDuplicate).where(DeskDuplicate.other_id == person_id))
        for row in session.scalars(select(DeskErasure).where(DeskErasure.person_id == person_id).with_for_update()):
            if row.state == ErasureState.WAITING and not row.account:  # one that broke off has counted before
                row.account = json.dumps(asdict(account))
    desk.store.erase(person_id, actor)
    with desk.store.write() as session:
        for row in session.scalars(select(DeskErasure).where(DeskErasure.person_id == person_id).with_for_update()):
            if row.state == ErasureState.WAITING:
                row.state, row.done_ms = ErasureState.DONE, desk.now()
        desk.store.record(session, Act(actor, "erasure.done", person_id))
    return account


def carry_out(desk: DeskContext, person_id: str, actor: str) -> Account:
    """Erase somebody for whom two officers asked and whose waiting period is over.

    Args:
        desk: Which desk.
        person_id: Whose data.
        actor: Random id of who does it.

    Raises:
        Problem: Nobody asked, no second officer confirmed, or it is too early.
    """
    if person_id not in due(desk):
        raise Problem(NOT_NOW)
    return erase(desk, person_id, actor)


def account_of(row: DeskErasure) -> Account | None:
    """What a request's erasure came to; None before it."""
    return Account(**json.loads(row.account)) if row.account else None


def exists(session: Session, person_id: str) -> bool:
    """Whether the desk has this person."""
    return session.scalar(select(DeskPerson.id).where(DeskPerson.person_id == person_id)) is not None


def _held(session: Session, officer: Officer, erasure_id: str, *states: ErasureState) -> DeskErasure:
    wanted = (DeskErasure.id == erasure_id) & (DeskErasure.organisation == officer.organisation)
    row = session.scalar(select(DeskErasure).where(wanted).with_for_update())
    if row is None:
        raise Problem(UNKNOWN_PERSON)
    if row.state not in states:
        raise Problem(NOT_NOW)
    return row


def _count(session: Session, table: type[DeskCase | DeskStep | DeskImage | DeskAccess], person_id: str) -> int:
    return session.scalar(select(func.count()).select_from(table).where(table.person_id == person_id)) or 0
