# SPDX-License-Identifier: Apache-2.0
"""A person's page: what counts, what is going on, who looked; and where changes of it begin."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from identity.api.desk import deciding, persons
from identity.api.desk.base import Clerk, DeskContext, Reader, desk_of, show
from identity.api.desk.case_pages import signing_of, to_case
from identity.api.desk.case_view import facts, names_of
from identity.api.desk.deciding import Signing
from identity.api.desk.details import Method
from identity.api.desk.erasing import ERASABLE, GROUNDS
from identity.api.desk.exporting import export
from identity.api.desk.follow import follow_all, send_one
from identity.api.desk.forms import is_past_day, today_at
from identity.api.desk.looking_up import require_reason
from identity.api.desk.notice_kinds import SUBJECT_KEYS
from identity.api.desk.notice_pages import STATE_KEYS as NOTICE_STATE_KEYS
from identity.api.desk.notice_pages import WAY_KEYS
from identity.api.desk.notices import told_by_desk
from identity.api.desk.problems import NO_SERVICE_KEY, NOT_NOW, REASON_NEEDED
from identity.api.desk.states import CaseKind, PersonState
from identity.api.desk.tables import DeskAccess, DeskCase, DeskPerson
from identity.api.desk.words import (
    CASE_KEYS,
    CHANGE_KEYS,
    GROUND_KEYS,
    KIND_KEYS,
    METHOD_ABOUT_KEYS,
    METHOD_KEYS,
    REASON_KEYS,
    STATE_KEYS,
)
from service.language import language_of
from service.problems import Problem, wants_html
from service.sign_in.access import FRESH_MS, Require
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from service.sign_in.words import ROLE_KEYS

LISTED_MAX = 50
"""Entries of each list; the export has all."""

FreshReader = Annotated[Officer, Depends(Require(Permission.READ_RECORDS, fresh_ms=FRESH_MS))]
Text = Annotated[str, Form(max_length=200)]

OFFERED = {
    CaseKind.SUSPEND: ("holder-request", "key-compromised", "under-investigation"),
    CaseKind.REINSTATE: ("holder-request", "investigation-closed"),
    CaseKind.REVOKE: ("holder-request", "issued-in-error"),
    CaseKind.DECEASED: ("no-longer-true",),
}
"""Reasons that an officer may choose for each change of status."""


def person_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/persons/{person_id}")
    def person(person_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        follow_all(desk)
        try:
            return show(request, officer, "desk/person.html", **_view(request, desk, officer, person_id))
        except Problem as problem:
            if problem.kind == REASON_NEEDED and wants_html(request):
                return RedirectResponse(f"/look-up?person={person_id}", 303)
            raise

    @router.post("/persons/{person_id}/change")
    def change(person_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        _check(desk, officer, person_id)
        return RedirectResponse(f"/cases/{deciding.open_change(desk, officer, person_id)}/edit", 303)

    @router.post("/persons/{person_id}/status/{kind}")
    def status(
        person_id: str,
        kind: CaseKind,
        request: Request,
        officer: FreshReader,
        reason: Text = "",
        method: Text = "",
        died: Text = "",
    ) -> Response:
        desk = desk_of(request)
        _check(desk, officer, person_id)
        if reason not in OFFERED.get(kind, ()) or not _is_allowed(officer, kind):
            raise Problem(NOT_NOW)
        seen = Method(method) if kind is CaseKind.REINSTATE and method in set(Method) else None
        if kind is CaseKind.REINSTATE and seen is None:
            raise Problem(NOT_NOW)
        day = _day_of_death(desk, died) if kind is CaseKind.DECEASED else ""
        case_id = deciding.open_status_case(desk, officer, person_id, kind, reason, method=seen, died=day)
        if kind is CaseKind.SUSPEND:  # nothing else is to be seen to first
            deciding.set_status(signing_of(request, officer), case_id)
        return to_case(case_id)

    @router.post("/persons/{person_id}/stop")
    async def stop(person_id: str, request: Request, officer: Reader, reason: Text = "") -> Response:
        desk = desk_of(request)
        case_id, act_id = await run_in_threadpool(_stop, signing_of(request, officer), person_id, reason)
        await send_one(desk, act_id)
        return to_case(case_id)

    @router.get("/persons/{person_id}/export")
    def exported(person_id: str, request: Request, officer: FreshReader) -> Response:
        desk = desk_of(request)
        with desk.store.write() as session:
            require_reason(desk, session, officer, person_id)
            desk.record(session, officer, "person.exported", person_id)
        content = json.dumps(export(desk, officer.organisation, person_id), ensure_ascii=False, indent=1)
        headers = {"content-disposition": f'attachment; filename="person-{person_id[:8]}.json"'}
        return Response(content, media_type="application/json", headers=headers)

    return router


def _stop(signing: Signing, person_id: str, reason: str) -> tuple[str, str]:
    """Suspend somebody at once; ids of the case and of the act that is to be sent."""
    desk, officer = signing.desk, signing.officer
    if reason not in OFFERED[CaseKind.SUSPEND] or not _is_allowed(officer, CaseKind.SUSPEND):
        raise Problem(NOT_NOW)
    if desk.service_key is None:
        raise Problem(NO_SERVICE_KEY)
    _check(desk, officer, person_id)
    case_id = deciding.open_status_case(desk, officer, person_id, CaseKind.SUSPEND, reason)
    return case_id, deciding.stop_now(signing, case_id)


def _check(desk: DeskContext, officer: Officer, person_id: str) -> None:
    with desk.store.read() as session:
        require_reason(desk, session, officer, person_id)


def _is_allowed(officer: Officer, kind: CaseKind) -> bool:
    """Who opens what; the signature has rules of its own on the ledger."""
    if kind is CaseKind.REINSTATE:
        return officer.may(Permission.ENROL)
    return officer.may(Permission.ENROL) or officer.may(Permission.APPROVE)


def _day_of_death(desk: DeskContext, text: str) -> str:
    """A day that was.

    Raises:
        Problem: It is none, or lies ahead.
    """
    if not is_past_day(text, today_at(desk.now())):
        raise Problem(NOT_NOW)
    return text


def _view(request: Request, desk: DeskContext, officer: Officer, person_id: str) -> dict[str, Any]:
    language = language_of(request)
    with desk.store.read() as session:
        require_reason(desk, session, officer, person_id)
        found = persons.load(desk, session, officer, person_id)
        of_person = DeskCase.person_id == person_id
        cases = session.scalars(select(DeskCase).where(of_person).order_by(DeskCase.opened_ms.desc())).all()
        seen = select(DeskAccess).where(DeskAccess.person_id == person_id).order_by(DeskAccess.number.desc())
        accesses = session.scalars(seen.limit(LISTED_MAX)).all()
        guardians = () if found.details is None else tuple(found.details.guardians)
        wards = session.scalars(select(DeskPerson.person_id).where(DeskPerson.person_id.in_(guardians))).all()
        names = names_of(desk, session, {entry.staff_id for entry in accesses})
        return {
            "person": found.row,
            "person_name": found.name,
            "facts_shown": [] if found.details is None else facts(found.details, language),
            "cases": cases,
            "accesses": accesses,
            "notices": told_by_desk(desk, session, person_id, LISTED_MAX),
            "guardians": wards,
            "names": names,
            "is_active": found.state is PersonState.ACTIVE,
            "is_suspended": found.state is PersonState.SUSPENDED,
            "is_erasable": found.state in ERASABLE,
            "can_change": officer.may(Permission.ENROL),
            "can_offer": officer.may(Permission.ENROL) and bool(getattr(request.app.state, "issuer", "")),
            "can_suspend": _is_allowed(officer, CaseKind.SUSPEND),
            "can_stop": desk.service_key is not None,
            "can_erase": officer.may(Permission.ERASE),
            "offered": {kind: [(name, CHANGE_KEYS[name]) for name in OFFERED[kind]] for kind in OFFERED},
            "methods": [(kind.value, METHOD_KEYS[kind], METHOD_ABOUT_KEYS[kind]) for kind in Method],
            "grounds": [(name, GROUND_KEYS[name]) for name in GROUNDS],
            "today": today_at(desk.now()).isoformat(),
            "case_keys": CASE_KEYS,
            "kind_keys": KIND_KEYS,
            "state_keys": STATE_KEYS,
            "reason_keys": REASON_KEYS,
            "notice_keys": SUBJECT_KEYS,
            "notice_states": NOTICE_STATE_KEYS,
            "notice_ways": WAY_KEYS,
            "role_words": ROLE_KEYS,
        }
