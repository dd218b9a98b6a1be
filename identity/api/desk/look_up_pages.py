# SPDX-License-Identifier: Apache-2.0
"""The pages on which an officer looks somebody up, and on which an auditor reads who did."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from sqlalchemy import select
from starlette.responses import RedirectResponse, Response

from identity.api.desk.base import Auditor, DeskContext, Reader, desk_of, show
from identity.api.desk.looking_up import CHOSEN, SHOWN_MAX, Reason, look_up, note_access
from identity.api.desk.tables import DeskLookUp, DeskPerson
from identity.api.desk.words import REASON_ABOUT_KEYS, REASON_KEYS, STATE_KEYS, shown_number
from service.envelope import request_id_of
from service.language import language_of, translate
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from service.sign_in.tables import StaffMember

WANTED_CHARACTERS_MAX = 100
"""Longer than any name or number."""
LISTED_MAX = 200
"""Look-ups that an auditor's page lists; the audit chain has all."""

Text = Annotated[str, Form(max_length=400)]


def look_up_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/look-up")
    def ask(request: Request, officer: Reader, person: str = "") -> Response:
        return _form(request, officer, person=person)

    @router.post("/look-up")
    def find(request: Request, officer: Reader, wanted: Text = "", reason: Text = "", person: Text = "") -> Response:
        desk, language = desk_of(request), language_of(request)
        wanted, errors = wanted.strip(), {}
        if not person and not 2 <= len(wanted) <= WANTED_CHARACTERS_MAX:
            errors["wanted"] = translate(language, "desk.wanted-wrong", count=WANTED_CHARACTERS_MAX)
        if reason not in CHOSEN:
            errors["reason"] = translate(language, "desk.reason-wrong")
        if errors:
            return _form(request, officer, errors=errors, wanted=wanted, reason=reason, person=person)
        if person:  # the reason had run out, or was missing
            with desk.store.write() as session:
                note_access(desk, session, officer, _own(desk, officer, person), Reason(reason))
            return RedirectResponse(f"/persons/{person}", 303)
        found = look_up(desk, officer, Reason(reason), wanted, request_id_of(request.scope))
        shown = _rows(desk, list(found))
        return _form(request, officer, reason=reason, found=shown, searched=True)

    @router.get("/look-ups")
    def listed(request: Request, officer: Auditor) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            mine = select(StaffMember.id).where(StaffMember.organisation == officer.organisation)
            query = select(DeskLookUp).where(DeskLookUp.staff_id.in_(mine))
            rows = session.scalars(query.order_by(DeskLookUp.at_ms.desc()).limit(LISTED_MAX)).all()
            names = _names(desk, {row.staff_id for row in rows})
        return show(request, officer, "desk/look-ups.html", rows=rows, names=names, reasons=REASON_KEYS)

    return router


def _own(desk: DeskContext, officer: Officer, person_id: str) -> str:
    """A person's id if the organisation has them; else one that leads nowhere."""
    with desk.store.read() as session:
        wanted = (DeskPerson.person_id == person_id) & (DeskPerson.organisation == officer.organisation)
        return session.scalar(select(DeskPerson.person_id).where(wanted)) or "-"


def _rows(desk: DeskContext, persons: list[str]) -> list[dict[str, Any]]:
    """What a list shows of persons: no more than tells them apart."""
    with desk.store.read() as session:
        rows = session.scalars(select(DeskPerson).where(DeskPerson.person_id.in_(persons))).all()
        people = desk.store.people
        return [
            {
                "person_id": row.person_id,
                "name": people.open(session, row, DeskPerson.name) or "",
                "number": shown_number(people.open(session, row, DeskPerson.number) or ""),
                "state": row.state,
                "changed_ms": row.changed_ms,
            }
            for row in rows
        ]


def _names(desk: DeskContext, staff: set[str]) -> dict[str, str]:
    """Names of officers by id."""
    with desk.store.read() as session:
        members = session.scalars(select(StaffMember).where(StaffMember.id.in_(staff))).all()
        return {one.id: desk.store.people.open(session, one, StaffMember.name) or "" for one in members}


def _form(request: Request, officer: Officer, **more: Any) -> Response:
    """The search with what was found; nothing personal is in an address."""
    options = [(reason.value, REASON_KEYS[reason], REASON_ABOUT_KEYS[reason]) for reason in CHOSEN]
    context: dict[str, Any] = {
        "errors": {},
        "wanted": "",
        "reason": "",
        "person": "",
        "found": [],
        "searched": False,
        "options": options,
        "state_keys": STATE_KEYS,
        "shown_max": SHOWN_MAX,
        "wanted_max": WANTED_CHARACTERS_MAX,
        "enrols": officer.may(Permission.ENROL),
    }
    status = 422 if more.get("errors") else 200
    return show(request, officer, "desk/look-up.html", status=status, **(context | more))
