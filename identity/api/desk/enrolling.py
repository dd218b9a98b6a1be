# SPDX-License-Identifier: Apache-2.0
"""Enrolment and changes: a draft that can be wrong, checks before it is proposed, possible duplicates, corrections.

Drafts keep what was typed as it was typed. Only `submit` makes `details` of it, asks the uniqueness service, and looks
for people who may be the same: the same number ends there, the same name and birth date go to a supervisor.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from identity.api.desk import persons
from identity.api.desk.base import DeskContext
from identity.api.desk.cases import content, drop_act, load_case, move, open_case, write
from identity.api.desk.details import Details
from identity.api.desk.follow import follow
from identity.api.desk.forms import Checked, check, tidy, today_at
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.problems import KNOWN_ELSEWHERE, NOT_NOW, UNDER_WAY
from identity.api.desk.states import CaseKind, CaseState, PersonState, Step
from identity.api.desk.tables import DeskCase, DeskDuplicate, DeskPerson
from identity.api.desk.uniqueness import SEAT, is_known
from service.language import Language, translate
from service.problems import Problem
from service.sign_in.sessions import Officer
from service.store.models import AuditHead


class DuplicateState(StrEnum):
    """What a supervisor found of a possible duplicate."""

    OPEN = "open"
    DIFFERENT = "different"
    SAME = "same"


def begin(desk: DeskContext, officer: Officer, form: Mapping[str, str]) -> str:
    """Begin an enrolment with what was typed.

    Returns:
        The case's id.
    """
    with desk.store.write() as session:
        row = persons.create(desk, session, officer)
        case = open_case(desk, session, officer, row.person_id, CaseKind.ENROL)
        note_access(desk, session, officer, row.person_id, Reason.CASE)
        write(desk, session, case, tidy(form))
        return case.id


def save(desk: DeskContext, officer: Officer, case_id: str, form: Mapping[str, str]) -> None:
    """Keep what was typed, right or wrong; what was proposed before has to be corrected on the ledger then.

    Raises:
        Problem: The case is over, or an act that was signed is under way.
    """
    follow(desk, case_id)
    with desk.store.write() as session:
        case = load_case(session, officer, case_id, hold=True)
        drop_act(session, case)
        note_access(desk, session, officer, case.person_id, Reason.CASE)
        move(desk, session, officer, case, Step.SAVE)
        write(desk, session, case, content(desk, session, case) | tidy(form))


async def submit(desk: DeskContext, officer: Officer, case_id: str, language: Language) -> Checked:
    """Check a draft; where it is right, make it ready to be signed, or hold it for a supervisor.

    Returns:
        What is wrong, field by field; nothing if the case went on.

    Raises:
        Problem: Somebody is registered or being registered under this number, here or elsewhere, the uniqueness service
            does not answer, or the case is not to be submitted now.
    """
    checked = await run_in_threadpool(_check, desk, officer, case_id, language)
    if checked.details is None:
        return checked
    if await is_known(desk, officer, case_id, checked.details):
        raise Problem(KNOWN_ELSEWHERE)
    await run_in_threadpool(_put_forward, desk, officer, case_id, checked.details)
    return checked


def decide(desk: DeskContext, officer: Officer, duplicate_id: str, *, same: bool) -> str:
    """A supervisor says whether a possible duplicate is one.

    Args:
        desk: Which desk.
        officer: The supervisor.
        duplicate_id: Which.
        same: It is the same person, so that the case ends.

    Returns:
        The case's id.

    Raises:
        Problem: There is none, or it was decided.
    """
    with desk.store.write() as session:
        row = session.scalar(select(DeskDuplicate).where(DeskDuplicate.id == duplicate_id).with_for_update())
        if row is None or row.state != DuplicateState.OPEN:
            raise Problem(NOT_NOW)
        case = load_case(session, officer, row.case_id, hold=True)
        row.state = DuplicateState.SAME if same else DuplicateState.DIFFERENT
        row.decided_by, row.decided_ms = officer.staff_id, desk.now()
        session.flush()
        if same:
            person = persons.load(desk, session, officer, case.person_id, hold=True).row
            move(desk, session, officer, case, Step.DROP)
            person.state = PersonState.DROPPED
        elif not _open_duplicates(session, case.id):
            move(desk, session, officer, case, Step.CLEAR)
        desk.record(session, officer, f"duplicate.{row.state}", row.id)
        return case.id


def drop(desk: DeskContext, officer: Officer, case_id: str) -> None:
    """Give up what was never proposed on the ledger.

    Raises:
        Problem: It was, or the case is over.
    """
    follow(desk, case_id)
    with desk.store.write() as session:
        case = load_case(session, officer, case_id, hold=True)
        drop_act(session, case)
        person = persons.load(desk, session, officer, case.person_id, hold=True).row
        move(desk, session, officer, case, Step.DROP)
        if case.kind == CaseKind.ENROL:
            person.state = PersonState.DROPPED


def _check(desk: DeskContext, officer: Officer, case_id: str, language: Language) -> Checked:
    """The draft's fields, and that its guardians are registered adults."""
    with desk.store.write() as session:
        case = load_case(session, officer, case_id)
        if case.state not in {CaseState.DRAFT, CaseState.RETURNED}:
            raise Problem(NOT_NOW)
        today = today_at(desk.now())
        values = content(desk, session, case)
        checked = check(values, today, language)
        errors, guardians = dict(checked.errors), []
        for place, number in enumerate(checked.guardian_numbers, 1):
            guardian = _adult(desk, session, officer, number)
            if guardian is None:
                errors[f"guardian_{place}"] = translate(language, "desk.guardian-unknown")
            else:
                guardians.append(guardian)
        was = values.get("details")
        if SEAT in values and was and Details.decode(was).number != values["number"]:
            errors["number"] = translate(language, "desk.number-seated")
        if errors or checked.details is None:
            return Checked(None, errors, checked.notes, checked.guardian_numbers)
        details = replace(checked.details, guardians=tuple(guardians))
        return Checked(details, {}, checked.notes, checked.guardian_numbers)


def _adult(desk: DeskContext, session: Session, officer: Officer, number: str) -> str | None:
    """A registered adult by number; looking for them is a look at them."""
    rows = desk.store.people.find(session, DeskPerson.number, number)
    wanted = (
        DeskPerson.id.in_(rows)
        & (DeskPerson.organisation == officer.organisation)
        & (DeskPerson.state == PersonState.ACTIVE)
    )
    for row in session.scalars(select(DeskPerson).where(wanted)):
        found = persons.read(desk, session, row)
        if found.details is not None and not found.details.is_minor(today_at(desk.now())):
            note_access(desk, session, officer, row.person_id, Reason.CASE)
            return row.person_id
    return None


def _put_forward(desk: DeskContext, officer: Officer, case_id: str, details: Details) -> None:
    """Make a draft that was found right ready to be signed, unless somebody may be the same person."""
    with desk.store.write() as session:
        case = load_case(session, officer, case_id, hold=True)
        found = persons.load(desk, session, officer, case.person_id, hold=True)
        _check_number(desk, session, case, details)
        if case.kind == CaseKind.ENROL:
            persons.name(desk, session, found.row, details)  # from here on another counter sees the number
        alike = _hold_alike(desk, session, case, details)
        write(desk, session, case, content(desk, session, case) | {"details": details.encode()})
        if case.state == CaseState.DRAFT:
            move(desk, session, officer, case, Step.HOLD if alike else Step.SUBMIT)


def _check_number(desk: DeskContext, session: Session, case: DeskCase, details: Details) -> None:
    session.scalar(select(AuditHead.id).with_for_update())  # two counters at once: the second waits and sees the first
    if persons.others_with_number(desk, session, case.person_id, details):
        raise Problem(UNDER_WAY)


def _hold_alike(desk: DeskContext, session: Session, case: DeskCase, details: Details) -> bool:
    """Whether somebody else may be the same person; each such pair is put before a supervisor once."""
    known = set(session.scalars(select(DeskDuplicate.other_id).where(DeskDuplicate.case_id == case.id)))
    for other in persons.others_alike(desk, session, case.person_id, details):
        if other.person_id not in known:
            session.add(
                DeskDuplicate(
                    person_id=case.person_id,
                    case_id=case.id,
                    other_id=other.person_id,
                    likeness="name-and-birth",
                    state=DuplicateState.OPEN,
                    decided_by="",
                    decided_ms=0,
                )
            )
    session.flush()
    return _open_duplicates(session, case.id)


def _open_duplicates(session: Session, case_id: str) -> bool:
    wanted = (DeskDuplicate.case_id == case_id) & (DeskDuplicate.state == DuplicateState.OPEN)
    return session.scalar(select(DeskDuplicate.id).where(wanted).limit(1)) is not None
