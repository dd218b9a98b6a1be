# SPDX-License-Identifier: Apache-2.0
"""Requests to correct or to erase something, from the person's word to the desk's answer.

    open --take--> taken --answer--> done | declined;  open, taken --withdraw--> withdrawn

What is done about one is the desk's (a case of correction, an erasure with two officers); here stands only what was
asked, how far it is, and what the person is told. 个人信息保护法, articles 46, 47 and 50: a refusal gives its reason.
"""

import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from identity.api.desk.base import DeskContext
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import NOT_NOW, UNKNOWN_CASE
from identity.api.desk.tables import DeskPerson
from identity.api.issuer.denied import Denied, Error
from identity.api.space import notices
from identity.api.space.acts import Signed, SpaceContext, count
from identity.api.space.tables import SpaceRequest
from identity.jose import JsonObject
from service.problems import Problem
from service.sign_in.sessions import Officer

TEXT_CHARACTERS_MAX: Final = 2_000
"""What is wrong and how it should read; documents are shown at the desk."""
OPEN_MAX: Final = 5
"""Open requests of one person: more is a conversation, which a desk is better for."""
LISTED_MAX: Final = 200
REFERENCE_BYTES: Final = 5


class Kind(StrEnum):
    """What is asked for."""

    CORRECT = "correct"
    ERASE = "erase"


class State(StrEnum):
    """How far it is."""

    OPEN = "open"
    TAKEN = "taken"
    DONE = "done"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


LIVING: Final = (State.OPEN, State.TAKEN)
ANSWERS: Final = (State.DONE, State.DECLINED)


def make(space: SpaceContext, signed: Signed) -> JsonObject:
    """Take a request.

    Raises:
        Denied: The act lacks something, another registrar keeps the person, or enough are open.
    """
    kind, text = signed.word("kind"), signed.word("text", TEXT_CHARACTERS_MAX).strip()
    if kind not in set(Kind) or not text:
        raise Denied(Error.INVALID_REQUEST, "kind is correct or erase, and text says what")
    count(space, signed, "request-made")
    desk = space.desk
    with desk.store.write() as session:
        person = session.scalar(select(DeskPerson).where(DeskPerson.person_id == signed.person_id).with_for_update())
        if person is None:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, "another registrar keeps the registration")
        own = select(func.count()).where(SpaceRequest.person_id == signed.person_id, SpaceRequest.state.in_(LIVING))
        if (session.scalar(own) or 0) >= OPEN_MAX:
            raise Denied(Error.CREDENTIAL_REQUEST_DENIED, f"{OPEN_MAX} requests are open; withdraw one or wait")
        row = SpaceRequest(
            person_id=signed.person_id,
            organisation=person.organisation,
            reference=f"D-{secrets.token_hex(REFERENCE_BYTES).upper()}",
            kind=kind,
            state=State.OPEN,
            made_ms=desk.now(),
            changed_ms=desk.now(),
            staff_id="",
        )
        desk.store.people.seal(session, row, SpaceRequest.text, text)
        session.flush()
        return {"request": to_json(desk, session, row)}


def withdraw(space: SpaceContext, signed: Signed) -> JsonObject:
    """The person no longer wants it.

    Raises:
        Denied: There is none, or it is answered.
    """
    count(space, signed, "request-withdrawn")
    desk = space.desk
    with desk.store.write() as session:
        row = session.get(SpaceRequest, signed.word("id", 32), with_for_update=True)
        if row is None or row.person_id != signed.person_id or row.state not in LIVING:
            raise Denied(Error.INVALID_REQUEST, "there is no such open request of yours")
        row.state, row.changed_ms = State.WITHDRAWN, desk.now()
        return {"request": to_json(desk, session, row)}


def of_person(session: Session, person_id: str) -> Sequence[SpaceRequest]:
    """A person's requests, newest first."""
    own = select(SpaceRequest).where(SpaceRequest.person_id == person_id).order_by(SpaceRequest.made_ms.desc())
    return session.scalars(own.limit(LISTED_MAX)).all()


def to_json(desk: DeskContext, session: Session, row: SpaceRequest) -> JsonObject:
    """A request as its person follows it."""
    people = desk.store.people
    return {
        "id": row.id,
        "reference": row.reference,
        "kind": row.kind,
        "state": row.state,
        "made_ms": row.made_ms,
        "changed_ms": row.changed_ms,
        "text": people.open(session, row, SpaceRequest.text) or "",
        "answer": people.open(session, row, SpaceRequest.answer) or "",
    }


# ---------------------------------------------------------------- at the desk


def listed(session: Session, organisation: str) -> Sequence[SpaceRequest]:
    """An organisation's requests: those that wait first, the oldest of them first. What they say stays sealed."""
    own = select(SpaceRequest).where(SpaceRequest.organisation == organisation)
    living = own.where(SpaceRequest.state.in_(LIVING)).order_by(SpaceRequest.made_ms)
    over = own.where(SpaceRequest.state.not_in(LIVING)).order_by(SpaceRequest.changed_ms.desc())
    found = [*session.scalars(living.limit(LISTED_MAX))]
    return [*found, *session.scalars(over.limit(max(0, LISTED_MAX - len(found))))]


def waiting(session: Session, organisation: str) -> int:
    """How many wait at an organisation."""
    own = select(func.count()).where(SpaceRequest.organisation == organisation, SpaceRequest.state.in_(LIVING))
    return session.scalar(own) or 0


def found(session: Session, officer: Officer, request_id: str, *, hold: bool = False) -> SpaceRequest:
    """A request at the officer's organisation.

    Raises:
        Problem: There is none.
    """
    row = session.get(SpaceRequest, request_id, with_for_update=hold or None)
    if row is None or row.organisation != officer.organisation:
        raise Problem(UNKNOWN_CASE)
    return row


def opened(desk: DeskContext, session: Session, officer: Officer, request_id: str) -> tuple[SpaceRequest, JsonObject]:
    """A request with what it says, for an officer who gave a reason for looking at its person.

    Raises:
        Problem: There is none, or no reason was given.
    """
    row = found(session, officer, request_id)
    require_reason(desk, session, officer, row.person_id)
    return row, to_json(desk, session, row)


def take(desk: DeskContext, officer: Officer, request_id: str) -> None:
    """An officer begins with it.

    Raises:
        Problem: There is none, it is begun or over, or no reason was given for looking at its person.
    """
    with desk.store.write() as session:
        row = found(session, officer, request_id, hold=True)
        require_reason(desk, session, officer, row.person_id)
        if row.state != State.OPEN:
            raise Problem(NOT_NOW)
        row.state, row.changed_ms, row.staff_id = State.TAKEN, desk.now(), officer.staff_id
        desk.record(session, officer, "request.taken", row.id)


def answer(desk: DeskContext, officer: Officer, request_id: str, state: str, text: str) -> None:
    """Close it with what the person is told; they get a notice.

    Args:
        desk: Which desk.
        officer: Who answers.
        request_id: Which.
        state: One of ANSWERS.
        text: What was done, or why it is declined; not empty.

    Raises:
        Problem: There is none, nobody took it, or there is no such answer; or no reason was given for looking.
    """
    if state not in ANSWERS or not text.strip() or len(text) > TEXT_CHARACTERS_MAX:
        raise Problem(NOT_NOW)
    with desk.store.write() as session:
        row = found(session, officer, request_id, hold=True)
        require_reason(desk, session, officer, row.person_id)
        if row.state != State.TAKEN:
            raise Problem(NOT_NOW)
        row.state, row.changed_ms, row.staff_id = State(state), desk.now(), officer.staff_id
        desk.store.people.seal(session, row, SpaceRequest.answer, text.strip())
        notices.tell(desk, session, row.person_id, notices.ANSWERED)
        desk.record(session, officer, "request.answered", row.id)
