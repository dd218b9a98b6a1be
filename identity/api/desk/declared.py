# SPDX-License-Identifier: Apache-2.0
"""What people declared at a kiosk and signed, from the filed statement to a changed registration, or a reason why not.

    waiting --take--> taken --the case is confirmed--> done
    taken --the case is dropped--> waiting;  waiting --decline--> declined

A declaration changes nothing by itself: a clerk sees to the documents in a case of change, whose form has the declared
address, and another officer confirms it. The statement stays as it was signed.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Select, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain import p256
from chain.errors import InvalidSignature
from identity.api.desk import cards, deciding, notices, persons
from identity.api.desk.base import DeskContext
from identity.api.desk.cards_keys import BoundKey
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import NOT_NOW, UNKNOWN_CASE
from identity.api.desk.states import CaseState
from identity.api.desk.tables import DeskCase, DeskDeclaration
from identity.api.kiosk.boxes import Signed, unseal
from identity.api.kiosk.office import KioskDesk, reference_of
from identity.api.kiosk.statements import Kind
from identity.api.kiosk.tables import RECORDED, KioskStatement
from identity.cards.objects import Slot
from identity.jose import JsonObject
from identity.registrations import counting_key
from membership.anchors import anchor_key, load_anchor
from membership.pb import membership_pb2
from service.language import add_messages
from service.problems import Problem
from service.sign_in.sessions import Officer

add_messages(Path(__file__).parent / "messages" / "declared")

KINDS: Final = (Kind.ADDRESS,)
"""Statements that somebody has to act on; the office itself does the others when they are filed."""
LISTED_MAX: Final = 200
ANSWER_CHARACTERS_MAX: Final = 2_000
ADDRESS_FIELDS: Final = ("district", "plate", "room")


class State(StrEnum):
    """How far a declaration is."""

    WAITING = "waiting"
    TAKEN = "taken"
    DONE = "done"
    DECLINED = "declined"


class Check(StrEnum):
    """What was found of a declaration's signature."""

    HOLDS = "holds"
    ENDED = "ended"
    """It holds; its key has ended since, or the registration does not count now."""
    PHONE = "phone"
    """No card signed it: its holder confirmed it on a phone."""
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration as the list shows it: nothing of a person.

    Attributes:
        id: The statement's.
        reference: As it stands on the paper that its author took along.
        case: Of the change; None: there is none.
    """

    id: str
    reference: str
    received_ms: int
    state: State
    case: DeskCase | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A declaration with what it says.

    Attributes:
        before: The address that counts now.
        address: The declared one, as the case's form begins.
        answer: Why it is not done, if so.
    """

    declared: Declared
    person_id: str
    signed: Signed
    before: str
    address: str
    answer: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What was checked of a declaration.

    Attributes:
        signature: By the holder's key.
        recorded_ms: When the ledger recorded its digest; 0: the ledger has another digest there, or none.
    """

    signature: Check
    recorded_ms: int


def listed(session: Session, organisation: str) -> list[Declared]:
    """An organisation's declarations: those that wait first, the oldest of them first."""
    rows = session.execute(_of(organisation).order_by(KioskStatement.received_ms.desc()).limit(LISTED_MAX)).all()
    found = [_declared(row[0], row[1], row[2]) for row in rows]
    living = sorted(
        (one for one in found if one.state in (State.WAITING, State.TAKEN)), key=lambda one: one.received_ms
    )
    return [*living, *(one for one in found if one.state not in (State.WAITING, State.TAKEN))]


def person_of(session: Session, officer: Officer, statement_id: str) -> str:
    """Whose declaration it is.

    Raises:
        Problem: There is none at the officer's organisation.
    """
    return _row(session, officer.organisation, statement_id)[0].person_id


def opened(desk: DeskContext, session: Session, officer: Officer, statement_id: str) -> Opened:
    """A declaration, for an officer who gave a reason for looking at its person.

    Raises:
        Problem: There is none, or no reason was given.
    """
    statement, declaration, case = _row(session, officer.organisation, statement_id)
    require_reason(desk, session, officer, statement.person_id)
    signed = _signed(desk, session, statement)
    found = persons.load(desk, session, officer, statement.person_id)
    answer = "" if declaration is None else desk.store.people.open(session, declaration, DeskDeclaration.answer)
    return Opened(
        _declared(statement, declaration, case),
        statement.person_id,
        signed,
        "" if found.details is None else found.details.address,
        " ".join(signed.statement.fields[name] for name in ADDRESS_FIELDS if signed.statement.fields[name]),
        answer or "",
    )


async def judge(desk: DeskContext, officer: Officer, one: Opened) -> Judged:
    """Check a declaration's signature by the card's key, that key on the ledger, and the digest that was recorded.

    Raises:
        TransportError: The ledger does not answer.
    """
    stated, kind = one.signed.statement, membership_pb2.ANCHOR_KIND_AUDIT
    proven = await desk.ledger.read([anchor_key(officer.organisation, kind, stated.stream_bytes)])
    record = load_anchor(proven.values.get, officer.organisation, kind, stated.stream_bytes)
    is_recorded = record is not None and record.digest == one.signed.recorded
    recorded_ms = record.since_ms if record is not None and is_recorded else 0
    return Judged(await _check_signature(desk, officer, one), recorded_ms)


async def _check_signature(desk: DeskContext, officer: Officer, one: Opened) -> Check:
    if not one.signed.signature:
        return Check.PHONE
    key, registration = await run_in_threadpool(_signing_key, desk, officer, one)
    if key is None:
        return Check.WRONG
    try:
        p256.verify(bytes.fromhex(key.public_key), one.signed.statement.message, one.signed.signature)
    except InvalidSignature:
        return Check.WRONG
    counting = counting_key(await cards.on_ledger(desk, registration), key.commitment, desk.now())
    return Check.HOLDS if counting is not None and counting.purpose == key.purpose else Check.ENDED


def take(desk: DeskContext, officer: Officer, statement_id: str) -> str:
    """Open a case of change whose form has the declared address; where it goes from there is the case's matter.

    Returns:
        The case's id.

    Raises:
        Problem: There is no such declaration, somebody deals with it, another change of the person is open, or no
            reason was given for looking at its person.
    """
    with desk.store.write() as session:
        one = _waiting(desk, session, officer, statement_id)
        case = deciding.begin_change(desk, session, officer, one.person_id, {"address": one.address})
        row = _held(session, one)
        row.case_id, row.staff_id, row.changed_ms = case.id, officer.staff_id, desk.now()
        session.add(row)
        desk.record(session, officer, "declaration.taken", statement_id)
        return case.id


def decline(desk: DeskContext, officer: Officer, statement_id: str, answer: str) -> None:
    """Leave the registration as it is, with a reason that its person reads; they get a notice.

    Raises:
        Problem: There is no such declaration, somebody deals with it, there is no reason, or none for looking.
    """
    if not answer.strip() or len(answer) > ANSWER_CHARACTERS_MAX:
        raise Problem(NOT_NOW)
    with desk.store.write() as session:
        one = _waiting(desk, session, officer, statement_id)
        row = _held(session, one)
        row.case_id, row.staff_id, row.changed_ms = "", officer.staff_id, desk.now()
        desk.store.people.seal(session, row, DeskDeclaration.answer, answer.strip())
        session.add(row)
        notices.tell(desk, session, persons.load(desk, session, officer, one.person_id), "declaration-declined")
        desk.record(session, officer, "declaration.declined", statement_id)


def of_person(desk: DeskContext, session: Session, person_id: str) -> list[JsonObject]:
    """Somebody's declarations as they follow them, newest first, in the form of `space.requests.to_json`."""
    own = _all().where(KioskStatement.person_id == person_id).order_by(KioskStatement.received_ms.desc())
    states = {State.WAITING: "open"}
    found: list[JsonObject] = []
    for statement, declaration, case in session.execute(own.limit(LISTED_MAX)).all():
        one = _declared(statement, declaration, case)
        answer = None if declaration is None else desk.store.people.open(session, declaration, DeskDeclaration.answer)
        found.append(
            {
                "id": one.id,
                "reference": one.reference,
                "kind": statement.kind,
                "state": states.get(one.state, one.state.value),
                "made_ms": one.received_ms,
                "changed_ms": one.received_ms if declaration is None else declaration.changed_ms,
                "text": "\n".join(_signed(desk, session, statement).statement.lines),
                "answer": answer or "",
            }
        )
    return found


def _all() -> Select[KioskStatement, DeskDeclaration, DeskCase]:
    """Recorded declarations with what the desk does about them, or None twice."""
    joined = select(KioskStatement, DeskDeclaration, DeskCase)
    joined = joined.outerjoin(DeskDeclaration, DeskDeclaration.statement_id == KioskStatement.id)
    joined = joined.outerjoin(DeskCase, DeskCase.id == DeskDeclaration.case_id)
    return joined.where(KioskStatement.kind.in_(KINDS), KioskStatement.state == RECORDED)


def _of(organisation: str) -> Select[KioskStatement, DeskDeclaration, DeskCase]:
    return _all().where(KioskStatement.organisation == organisation)


def _row(
    session: Session, organisation: str, statement_id: str
) -> tuple[KioskStatement, DeskDeclaration | None, DeskCase | None]:
    row = session.execute(_of(organisation).where(KioskStatement.id == statement_id)).one_or_none()
    if row is None:
        raise Problem(UNKNOWN_CASE)
    return row[0], row[1], row[2]


def _declared(statement: KioskStatement, declaration: DeskDeclaration | None, case: DeskCase | None) -> Declared:
    state = State.WAITING
    if declaration is not None and not declaration.case_id:
        state = State.DECLINED
    elif case is not None and case.state != CaseState.DROPPED:
        state = State.DONE if case.state == CaseState.DONE else State.TAKEN
    return Declared(statement.id, reference_of(statement.stream), statement.received_ms, state, case)


def _signed(desk: DeskContext, session: Session, statement: KioskStatement) -> Signed:
    sealed = desk.store.people.open(session, statement, KioskStatement.content)
    assert sealed is not None, "it was sealed when it was filed, and goes with its person"
    return unseal(sealed, KioskDesk(lambda: desk).box())


def _waiting(desk: DeskContext, session: Session, officer: Officer, statement_id: str) -> Opened:
    """A declaration that nobody deals with, held until the transaction ends."""
    query = select(KioskStatement.id).where(KioskStatement.id == statement_id).with_for_update()
    session.scalar(query)  # two at once: the second waits and sees what the first did
    one = opened(desk, session, officer, statement_id)
    if one.declared.state is not State.WAITING:
        raise Problem(NOT_NOW)
    return one


def _held(session: Session, one: Opened) -> DeskDeclaration:
    """The desk's row of a declaration: the one of a case that was dropped, else a new one."""
    row = session.scalar(select(DeskDeclaration).where(DeskDeclaration.statement_id == one.declared.id))
    return row or DeskDeclaration(person_id=one.person_id, statement_id=one.declared.id)


def _signing_key(desk: DeskContext, officer: Officer, one: Opened) -> tuple[BoundKey | None, bytes]:
    """The 9C key of the card that signed, if the card is this person's; and the registration's id."""
    with desk.store.read() as session:
        registration = persons.load(desk, session, officer, one.person_id).secrets.registration_id
        row = cards.find_by_guid(desk, session, officer.organisation, one.signed.guid) if one.signed.guid else None
        if row is None or row.person_id != one.person_id:
            return None, registration
        keys = cards.read(desk, session, row).keys
        return next((key for key in keys if key.slot == Slot.SIGN), None), registration
