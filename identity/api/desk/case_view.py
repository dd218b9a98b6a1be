# SPDX-License-Identifier: Apache-2.0
"""A case as its page shows it: what is asked for, what stands in the way, what this officer can do now, its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from identity.api.desk import images, persons
from identity.api.desk.base import DeskContext
from identity.api.desk.cases import MAKING, content, history
from identity.api.desk.details import Details, Method, Sex
from identity.api.desk.enrolling import DuplicateState
from identity.api.desk.recovering import Shown, colleagues, shown
from identity.api.desk.states import CaseKind, CaseState, PersonState
from identity.api.desk.tables import DeskCase, DeskDuplicate, DeskPerson, DeskStep
from identity.api.desk.words import DOCUMENT_KEYS, METHOD_KEYS, SEX_KEYS
from service.language import Language, translate
from service.problems import Problem
from service.sign_in.acts import Acts, Prepared
from service.sign_in.office import Office
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from service.sign_in.tables import StaffMember
from service.wording import CHINA, day

PLACES_OF_STATES = {
    CaseState.DRAFT: 0,
    CaseState.ADJUDICATION: 1,
    CaseState.READY: 1,
    CaseState.RETURNED: 1,
    CaseState.PROPOSED: 2,
    CaseState.DONE: 3,
    CaseState.DROPPED: 0,
}
"""Where in the procedure of two officers a case stands: enter, check and propose, approve, done."""
TWO_OFFICERS = (CaseKind.ENROL, CaseKind.CHANGE)


@dataclass(frozen=True, slots=True)
class StepShown:
    """One line of a case's history."""

    id: str
    at_ms: int
    step: str
    officer: str
    has_receipt: bool


@dataclass(frozen=True, slots=True)
class CaseView:
    """All that a case's page names.

    Attributes:
        facts: Name and value of each thing that is asked for, in the reader's language.
        act: The act that this officer is to sign now; None: none of theirs.
        act_of_other: Somebody else is signing.
        joint: The act that two officers sign, if this officer is one of them.
        colleagues: With whom this officer may sign one: id and name.
        can: What this officer may do now.
        reason: Why a status changes; "" otherwise.
    """

    row: DeskCase
    note: str
    facts: Sequence[tuple[str, str]]
    pictures: frozenset[str]
    duplicates: Sequence[Mapping[str, Any]]
    steps: Sequence[StepShown]
    act: Prepared | None
    act_of_other: bool
    can: frozenset[str]
    joint: Shown | None
    colleagues: Sequence[tuple[str, str]]
    reason: str
    place: int


def view(
    desk: DeskContext, office: Office, acts: Acts, officer: Officer, case: DeskCase, language: Language
) -> CaseView:
    """A case for one officer, who has been noted as looking at it."""
    act = _act(office, acts, officer, case)
    joint = shown(desk, officer, case.id) if case.kind == CaseKind.RECOVER else None
    with desk.store.read() as session:
        values = content(desk, session, case)
        found = persons.load(desk, session, officer, case.person_id)
        details = Details.decode(values["details"]) if "details" in values else found.details
        steps = history(session, case.id)
        names = names_of(desk, session, {step.staff_id for step in steps})
        return CaseView(
            row=case,
            note=desk.store.people.open(session, case, DeskCase.note) or "",
            facts=_typed(values, language) if details is None else facts(details, language),
            pictures=frozenset(images.kinds_of(session, case.person_id)),
            duplicates=_duplicates(session, case),
            steps=[_shown(step, names) for step in steps],
            act=act,
            act_of_other=bool(case.act_id) and act is None,
            can=frozenset(_can(officer, case, steps)),
            joint=joint,
            colleagues=colleagues(desk, session, officer) if case.kind == CaseKind.RECOVER else (),
            reason=values.get("reason", ""),
            place=PLACES_OF_STATES[CaseState(case.state)],
        )


def facts(details: Details, language: Language) -> list[tuple[str, str]]:
    """A person's details by name, those that are empty left out."""
    named = [
        (translate(language, "desk.name"), details.name),
        (translate(language, "desk.latin-name"), details.latin_name),
        (translate(language, "desk.document"), translate(language, DOCUMENT_KEYS[details.document])),
        (translate(language, "desk.country"), details.country),
        (translate(language, "desk.number"), details.number),
        (translate(language, "desk.document-until"), _day(details.document_until, language)),
        (translate(language, "desk.sex"), translate(language, SEX_KEYS[Sex(details.sex)])),
        (translate(language, "desk.born"), _day(details.born, language)),
        (translate(language, "desk.address"), details.address),
        (translate(language, "desk.phone"), details.phone),
        (translate(language, "desk.mail"), details.mail),
        (translate(language, "desk.method"), translate(language, METHOD_KEYS[Method(details.method)])),
        (translate(language, "desk.guardians"), str(len(details.guardians) or "")),
        (translate(language, "desk.died"), _day(details.deceased_on, language)),
    ]
    return [(label, value) for label, value in named if value]


def names_of(desk: DeskContext, session: Session, staff: set[str]) -> dict[str, str]:
    """Names of officers by id."""
    members = session.scalars(select(StaffMember).where(StaffMember.id.in_(staff))).all()
    return {one.id: desk.store.people.open(session, one, StaffMember.name) or "" for one in members}


def _typed(values: Mapping[str, str], language: Language) -> list[tuple[str, str]]:
    """What was typed into a draft that was not checked yet."""
    named = [
        (translate(language, "desk.name"), values.get("name", "")),
        (translate(language, "desk.number"), values.get("number", "")),
        (translate(language, "desk.born"), values.get("born", "")),
        (translate(language, "desk.address"), values.get("address", "")),
        (translate(language, "desk.phone"), values.get("phone", "")),
        (translate(language, "desk.mail"), values.get("mail", "")),
    ]
    return [(label, value) for label, value in named if value]


def _can(officer: Officer, case: DeskCase, steps: Sequence[DeskStep]) -> set[str]:
    """What an officer may do with a case now; the routes and the ledger have the last word."""
    state, kind = CaseState(case.state), CaseKind(case.kind)
    made = any(step.staff_id == officer.staff_id and step.step in MAKING for step in steps)
    enrols, approves = officer.may(Permission.ENROL), officer.may(Permission.APPROVE)
    can: set[str] = set()
    if kind in TWO_OFFICERS:
        if enrols and state in {CaseState.DRAFT, CaseState.READY, CaseState.PROPOSED, CaseState.RETURNED}:
            can.add("edit")
        if enrols and state in {CaseState.READY, CaseState.RETURNED}:
            can.add("propose")
        if approves and state is CaseState.PROPOSED:
            can |= {"own"} if made else {"approve", "return"}
        if (enrols or approves) and state in {CaseState.PROPOSED, CaseState.RETURNED}:
            can.add("withdraw")
    elif kind is CaseKind.RECOVER:
        can |= {"pair"} if state is CaseState.READY and enrols else set()
    elif state is CaseState.READY:
        needs_approver = kind in {CaseKind.REVOKE, CaseKind.DECEASED}
        may_sign = approves if needs_approver else enrols if kind is CaseKind.REINSTATE else enrols or approves
        can |= {"sign"} if may_sign else set()
    if enrols and state in {CaseState.DRAFT, CaseState.READY}:
        can.add("drop")
    if officer.may(Permission.ADJUDICATE) and state is CaseState.ADJUDICATION:
        can.add("adjudicate")
    return can


def _act(office: Office, acts: Acts, officer: Officer, case: DeskCase) -> Prepared | None:
    if not case.act_id:
        return None
    try:
        return acts.find(office, officer, case.act_id)
    except Problem:  # somebody else's
        return None


def _duplicates(session: Session, case: DeskCase) -> list[Mapping[str, Any]]:
    rows = session.scalars(select(DeskDuplicate).where(DeskDuplicate.case_id == case.id)).all()
    others = {
        other.person_id: other
        for other in session.scalars(select(DeskPerson).where(DeskPerson.person_id.in_([row.other_id for row in rows])))
    }
    return [
        {
            "id": row.id,
            "person_id": row.other_id,
            "state": row.state,
            "is_open": row.state == DuplicateState.OPEN,
            "person_state": PersonState(others[row.other_id].state) if row.other_id in others else PersonState.DROPPED,
        }
        for row in rows
    ]


def _shown(step: DeskStep, names: Mapping[str, str]) -> StepShown:
    return StepShown(step.id, step.at_ms, step.step, names.get(step.staff_id, ""), step.receipt is not None)


def _day(text: str, language: Language) -> str:
    return day(language, datetime.combine(date.fromisoformat(text), time(), CHINA)) if text else ""
