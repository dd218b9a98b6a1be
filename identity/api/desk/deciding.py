# SPDX-License-Identifier: Apache-2.0
"""Steps that officers sign: propose, approve, withdraw, suspend, reinstate, revoke.

Each reads the case, makes operations and words from what stands there, and has the officer sign them. Nothing here
changes a person: that happens when the ledger has taken the act (`follow`).
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from chain.transaction import build
from chain.types import SALT_BYTES, Millis
from identity.api.desk import persons, registering
from identity.api.desk.base import HOUR_MS, DeskContext
from identity.api.desk.cases import NEXT_SECRETS, check_not_own, content, load_case, move, open_case, prepare, write
from identity.api.desk.details import METHODS, Details, Method
from identity.api.desk.follow import follow
from identity.api.desk.forms import form_of
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.persons import Found
from identity.api.desk.problems import NO_SERVICE_KEY, NOT_NOW, SLOW_DOWN
from identity.api.desk.states import CaseKind, CaseState, PersonState, Step
from identity.api.desk.tables import DeskCase
from identity.api.desk.uniqueness import take_seat
from identity.pb import identity_pb2 as pb
from service.problems import Problem
from service.sign_in.acts import EXPIRY_MS, Acts, State
from service.sign_in.office import Office
from service.sign_in.sessions import Officer
from service.sign_in.tables import PreparedAct

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

NOTE_CHARACTERS_MAX = 500
"""Why a case was returned: some sentences."""

HOUR_STOPS_MAX = 30
"""Suspensions that one officer opens in an hour: a busy line, and too few to stop a town."""

REASONS = {
    "holder-request": pb.REASON_HOLDER_REQUEST,
    "key-compromised": pb.REASON_KEY_COMPROMISED,
    "issued-in-error": pb.REASON_ISSUED_IN_ERROR,
    "under-investigation": pb.REASON_UNDER_INVESTIGATION,
    "investigation-closed": pb.REASON_INVESTIGATION_CLOSED,
    "no-longer-true": pb.REASON_NO_LONGER_TRUE,
}
"""Why a status changes, as forms name it."""
FROM_STATES = {
    CaseKind.SUSPEND: (PersonState.ACTIVE,),
    CaseKind.REINSTATE: (PersonState.SUSPENDED,),
    CaseKind.REVOKE: (PersonState.ACTIVE, PersonState.SUSPENDED),
    CaseKind.DECEASED: (PersonState.ACTIVE, PersonState.SUSPENDED),
}


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs, and where.

    Attributes:
        desk: Which desk.
        office: Its sign-in.
        acts: Where its officers sign.
        officer: Who.
    """

    desk: DeskContext
    office: Office
    acts: Acts
    officer: Officer


def _read(signing: Signing, session: Session, case_id: str, *, hold: bool = False) -> tuple[DeskCase, Found, Details]:
    """A case with its person and what is asked for."""
    case = load_case(session, signing.officer, case_id, hold=hold)
    found = persons.load(signing.desk, session, signing.officer, case.person_id)
    values = content(signing.desk, session, case)
    if "details" not in values:
        raise Problem(NOT_NOW)
    return case, found, Details.decode(values["details"])


def propose(signing: Signing, case_id: str) -> str:
    """Have a clerk sign the proposal of an enrolment or a change that was checked; a corrected one replaces the first.

    Returns:
        The act's id.

    Raises:
        Problem: The case is not ready, or an act that was signed is under way.
    """
    desk = signing.desk
    follow(desk, case_id)
    with desk.store.write() as session:
        case, found, details = _read(signing, session, case_id, hold=True)
        if case.state not in {CaseState.READY, CaseState.RETURNED, CaseState.PROPOSED}:
            raise Problem(NOT_NOW)
        anew, is_enrolment = case.state != CaseState.READY, case.kind == CaseKind.ENROL
        before = found.secrets
        secrets = before.next_registration() if anew and is_enrolment else before.next_proposal()
        # kept before they go anywhere; those that the ledger knows now stay the person's until it has taken these
        write(desk, session, case, content(desk, session, case) | {NEXT_SECRETS: secrets.encode()})
    if not is_enrolment:
        operations, words = registering.change(details, secrets, case.reference, anew=anew)
    elif anew:
        operations, words = registering.enrolment_anew(details, before, secrets, case.reference)
    else:
        operations, words = registering.enrolment(details, secrets, case.reference)
    return prepare(desk, signing.office, signing.acts, signing.officer, case, Step.PROPOSE, operations, words)


async def approve(signing: Signing, case_id: str) -> str:
    """Have another officer sign the confirmation of exactly what they were shown.

    Returns:
        The act's id.

    Raises:
        Problem: The officer made the case, the ledger shows something else, or the uniqueness service does not answer.
        Refused: The person is registered elsewhere.
        TransportError: The ledger does not answer.
    """
    desk = signing.desk
    case, found, details = await run_in_threadpool(_to_approve, signing, case_id)
    operations, words = await registering.confirmation(desk, details, found.secrets, case.reference)
    if case.kind == CaseKind.ENROL:
        await take_seat(desk, signing.officer, case_id, details, found.secrets)
    prepared = partial(prepare, desk, signing.office, signing.acts, signing.officer, case, Step.CONFIRM)
    return await run_in_threadpool(prepared, operations, words)


def _to_approve(signing: Signing, case_id: str) -> tuple[DeskCase, Found, Details]:
    follow(signing.desk, case_id)
    with signing.desk.store.read() as session:
        case, found, details = _read(signing, session, case_id)
        if case.state != CaseState.PROPOSED:
            raise Problem(NOT_NOW)
        check_not_own(session, signing.officer, case)
        return case, found, details


def give_back(signing: Signing, case_id: str, note: str) -> None:
    """An approver returns a case for correction, saying what is wrong.

    Raises:
        Problem: It is not proposed, or the officer made it.
    """
    desk = signing.desk
    follow(desk, case_id)
    with desk.store.write() as session:
        case = load_case(session, signing.officer, case_id, hold=True)
        check_not_own(session, signing.officer, case)
        move(desk, session, signing.officer, case, Step.RETURN)
        desk.store.people.seal(session, case, DeskCase.note, note[:NOTE_CHARACTERS_MAX])


def withdraw(signing: Signing, case_id: str) -> str:
    """Have an officer sign that what is proposed on the ledger is dropped.

    Returns:
        The act's id.
    """
    desk = signing.desk
    follow(desk, case_id)
    with desk.store.read() as session:
        case = load_case(session, signing.officer, case_id)
        found = persons.load(desk, session, signing.officer, case.person_id)
    operations, words = registering.withdrawal(found.secrets, case.reference)
    return prepare(desk, signing.office, signing.acts, signing.officer, case, Step.WITHDRAW, operations, words)


def open_status_case(
    desk: DeskContext,
    officer: Officer,
    person_id: str,
    kind: CaseKind,
    reason: str,
    *,
    method: Method | None = None,
    died: str = "",
) -> str:
    """Open a case that changes a person's status by one officer's act.

    Args:
        desk: Which desk.
        officer: Who opens it.
        person_id: Whose status.
        kind: Suspend, reinstate, revoke, or death.
        reason: One of `REASONS`.
        method: How the person was proofed, to reinstate.
        died: Day of death, ISO; else "".

    Returns:
        The case's id.

    Raises:
        Problem: The person's state does not allow it, or another case of this kind is open.
    """
    with desk.store.write() as session:
        found = persons.load(desk, session, officer, person_id, hold=True)
        if found.state not in FROM_STATES[kind] or found.details is None:
            raise Problem(NOT_NOW)
        if kind is CaseKind.SUSPEND:
            check_stops(desk, session, officer)
        case = open_case(desk, session, officer, person_id, kind)
        note_access(desk, session, officer, person_id, Reason.CASE)
        values = {"reason": reason, "method": method or ""}
        if kind is CaseKind.DECEASED:
            values["details"] = replace(found.details, deceased_on=died).encode()
        write(desk, session, case, values)
        move(desk, session, officer, case, Step.SUBMIT)
        return case.id


def set_status(signing: Signing, case_id: str) -> str:
    """Have an officer sign a change of status.

    Returns:
        The act's id.

    Raises:
        Problem: The case is not ready.
    """
    desk = signing.desk
    follow(desk, case_id)
    with desk.store.read() as session:
        case = load_case(session, signing.officer, case_id)
        found = persons.load(desk, session, signing.officer, case.person_id)
        values = content(desk, session, case)
    kind = CaseKind(case.kind)
    if case.state != CaseState.READY or kind not in FROM_STATES:
        raise Problem(NOT_NOW)
    method = METHODS[Method(values["method"])] if values["method"] else pb.PROOFING_METHOD_UNSPECIFIED
    operations, words = registering.status_change(
        kind, found.secrets, REASONS[values["reason"]], method, case.reference
    )
    return prepare(desk, signing.office, signing.acts, signing.officer, case, Step.ACT, operations, words)


def stop_now(signing: Signing, case_id: str) -> str:
    """Suspend at once by the service's own key, as on a telephone call: easy to stop, hard to undo.

    Returns:
        The act's id; it is signed and waits to be sent.

    Raises:
        Problem: The service has no key, the officer stops too many, or the case is no suspension that is ready.
    """
    desk, officer = signing.desk, signing.officer
    if desk.service_key is None:
        raise Problem(NO_SERVICE_KEY)
    with desk.store.read() as session:
        case = load_case(session, officer, case_id)
        found = persons.load(desk, session, officer, case.person_id)
        reason = REASONS[content(desk, session, case)["reason"]]
    if case.kind != CaseKind.SUSPEND or case.state != CaseState.READY:
        raise Problem(NOT_NOW)
    unspecified = pb.PROOFING_METHOD_UNSPECIFIED
    operations, words = registering.status_change(CaseKind.SUSPEND, found.secrets, reason, unspecified, case.reference)
    expires, salt = Millis(desk.now() + EXPIRY_MS), secrets.token_bytes(SALT_BYTES)
    transaction = build(operations, [desk.service_key], expires, salt, desk.ledger.network)
    act_id = prepare(desk, signing.office, signing.acts, officer, case, Step.ACT, operations, words)
    # a crash here leaves an act that the officer may sign instead
    with desk.store.write() as session:
        row = session.get(PreparedAct, act_id)
        assert row is not None, "it was just made"
        row.state, row.transaction = State.SIGNED, transaction.raw
        desk.record(session, officer, "case.stopped", case_id)
    return act_id


def check_stops(desk: DeskContext, session: Session, officer: Officer) -> None:
    """Check that an officer has not stopped too many people of late.

    Raises:
        Problem: They have.
    """
    recent = (
        (DeskCase.kind == CaseKind.SUSPEND)
        & (DeskCase.opened_by == officer.staff_id)
        & (DeskCase.opened_ms > desk.now() - HOUR_MS)
    )
    if (session.scalar(select(func.count()).select_from(DeskCase).where(recent)) or 0) >= HOUR_STOPS_MAX:
        raise Problem(SLOW_DOWN, {"seconds": HOUR_MS // 1000}, headers={"Retry-After": str(HOUR_MS // 1000)})


def open_change(desk: DeskContext, officer: Officer, person_id: str) -> str:
    """Begin a change of a registered person's data, filled with what counts now.

    Returns:
        The case's id.

    Raises:
        Problem: The person is not active, or another change is open.
    """
    with desk.store.write() as session:
        return begin_change(desk, session, officer, person_id).id


def begin_change(
    desk: DeskContext, session: Session, officer: Officer, person_id: str, wanted: Mapping[str, str] = NOTHING
) -> DeskCase:
    """The same within a transaction that writes, with what is wanted already in the form. Raises as `open_change`."""
    found = persons.load(desk, session, officer, person_id, hold=True)
    if found.state is not PersonState.ACTIVE or found.details is None:
        raise Problem(NOT_NOW)
    case = open_case(desk, session, officer, person_id, CaseKind.CHANGE)
    note_access(desk, session, officer, person_id, Reason.CORRECTION)
    write(desk, session, case, form_of(found.details) | dict(wanted))
    return case
