# SPDX-License-Identifier: Apache-2.0
"""The form by which a clerk enrols somebody or changes their data."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response

from identity.api.desk import enrolling
from identity.api.desk.base import DeskContext, desk_of, show
from identity.api.desk.case_pages import to_case
from identity.api.desk.cases import content, load_case
from identity.api.desk.details import CHILD_YEARS, Method, Sex
from identity.api.desk.follow import follow
from identity.api.desk.forms import FIELD_CHARACTERS_MAX, FIELDS, Checked
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.states import CaseKind
from identity.api.desk.tables import DeskCase
from identity.api.desk.words import DOCUMENT_KEYS, KIND_KEYS, METHOD_ABOUT_KEYS, METHOD_KEYS, SEX_KEYS
from identity.documents import DocumentKind
from service.language import language_of
from service.sign_in.access import Require
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

Clerk = Annotated[Officer, Depends(Require(Permission.ENROL))]
FORM_PARTS_MAX = 64
"""Twice what the form has."""


def enrol_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/enrol")
    def blank(request: Request, officer: Clerk) -> Response:
        return _form(request, officer, None, dict.fromkeys(FIELDS, "") | {"document": DocumentKind.RESIDENT_CARD})

    @router.post("/enrol")
    async def begin(request: Request, officer: Clerk) -> Response:
        sent = await request.form(max_fields=FORM_PARTS_MAX)
        case_id = await run_in_threadpool(enrolling.begin, desk_of(request), officer, _fields(sent))
        return await _go_on(request, officer, case_id, sent)

    @router.get("/cases/{case_id}/edit")
    def edit(case_id: str, request: Request, officer: Clerk) -> Response:
        follow(desk_of(request), case_id)
        case, values = _open(desk_of(request), officer, case_id)
        return _form(request, officer, case, values)

    @router.post("/cases/{case_id}/edit")
    async def save(case_id: str, request: Request, officer: Clerk) -> Response:
        sent = await request.form(max_fields=FORM_PARTS_MAX)
        await run_in_threadpool(enrolling.save, desk_of(request), officer, case_id, _fields(sent))
        return await _go_on(request, officer, case_id, sent)

    return router


async def _go_on(request: Request, officer: Officer, case_id: str, sent: FormData) -> Response:
    """After what was typed is kept: to the case, or back to the form with what is wrong."""
    if sent.get("go") != "submit":
        return to_case(case_id)
    desk = desk_of(request)
    checked = await enrolling.submit(desk, officer, case_id, language_of(request))
    if checked.details is not None:
        return to_case(case_id)
    case, values = await run_in_threadpool(_open, desk, officer, case_id)
    return await run_in_threadpool(_form, request, officer, case, values, checked)


def _fields(sent: FormData) -> dict[str, str]:
    """The texts of a form; files have no place in it."""
    return {name: value for name, value in sent.items() if name in FIELDS and isinstance(value, str)}


def _open(desk: DeskContext, officer: Officer, case_id: str) -> tuple[DeskCase, Mapping[str, str]]:
    with desk.store.write() as session:
        case = load_case(session, officer, case_id)
        note_access(desk, session, officer, case.person_id, Reason.CASE)
        return case, content(desk, session, case)


def _form(
    request: Request,
    officer: Officer,
    case: DeskCase | None,
    values: Mapping[str, str],
    checked: Checked | None = None,
) -> Response:
    """The form as it was typed, with what was found wrong and right."""
    context: dict[str, Any] = {
        "case": case,
        "entered": {name: values.get(name, "") for name in FIELDS},
        "errors": {} if checked is None else checked.errors,
        "notes": {} if checked is None else checked.notes,
        "documents": [(kind.value, DOCUMENT_KEYS[kind]) for kind in DocumentKind],
        "methods": [(kind.value, METHOD_KEYS[kind], METHOD_ABOUT_KEYS[kind]) for kind in Method],
        "sexes": [(kind.value, SEX_KEYS[kind]) for kind in Sex],
        "kind": CaseKind.ENROL if case is None else CaseKind(case.kind),
        "kind_keys": KIND_KEYS,
        "field_max": FIELD_CHARACTERS_MAX,
        "child_years": CHILD_YEARS,
    }
    status = 422 if checked is not None else 200
    return show(request, officer, "desk/enrol.html", status=status, **context)
