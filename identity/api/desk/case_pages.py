# SPDX-License-Identifier: Apache-2.0
"""The pages of cases: the list, one case with what can be done now, signing it in place, its receipts and pictures."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from identity.api.desk import deciding, enrolling, images
from identity.api.desk.base import DeskContext, Reader, acts_of, desk_of, office_for, show
from identity.api.desk.case_view import names_of, view
from identity.api.desk.cases import load_case, receipt_of
from identity.api.desk.deciding import NOTE_CHARACTERS_MAX, Signing
from identity.api.desk.follow import follow, follow_all
from identity.api.desk.images import ImageKind
from identity.api.desk.looking_up import Reason, note_access, require_reason
from identity.api.desk.problems import UNKNOWN_CASE
from identity.api.desk.states import OPEN_STATES, CaseState
from identity.api.desk.tables import DeskCase, DeskStep
from identity.api.desk.words import CASE_KEYS, CHANGE_KEYS, CODE_KEYS, KIND_KEYS, STATE_KEYS, STEP_KEYS
from service.language import language_of
from service.pictures import FILE_BYTES_MAX, Remade
from service.problems import Problem
from service.sign_in.access import FRESH_MS, Require
from service.sign_in.act_pages import RECEIPT_TYPE
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

LISTED_MAX = 200
"""Cases that the list shows: what is open fits, and who needs an old one looks its person up."""
PICTURE_TYPE = "image/jpeg"

FreshReader = Annotated[Officer, Depends(Require(Permission.READ_RECORDS, fresh_ms=FRESH_MS))]
Clerk = Annotated[Officer, Depends(Require(Permission.ENROL, fresh_ms=FRESH_MS))]
Approver = Annotated[Officer, Depends(Require(Permission.APPROVE, fresh_ms=FRESH_MS))]
Adjudicator = Annotated[Officer, Depends(Require(Permission.ADJUDICATE, fresh_ms=FRESH_MS))]
Text = Annotated[str, Form(max_length=2_000)]


def case_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_reading(router)
    _add_steps(router)
    _add_duplicates(router)
    _add_pictures(router)
    return router


def signing_of(request: Request, officer: Officer) -> Signing:
    """Who signs, and where."""
    return Signing(desk_of(request), office_for(request), acts_of(request), officer)


def to_case(case_id: str) -> Response:
    """Back to a case's page."""
    return RedirectResponse(f"/cases/{case_id}", 303)


def case_page(request: Request, officer: Officer, case_id: str, **more: Any) -> Response:
    """A case for one officer; that they look is noted first."""
    desk = desk_of(request)
    follow(desk, case_id)
    with desk.store.write() as session:
        case = load_case(session, officer, case_id)
        note_access(desk, session, officer, case.person_id, Reason.CASE)
    shown = view(desk, office_for(request), acts_of(request), officer, case, language_of(request))
    sentences = shown.act.words[language_of(request)] if shown.act is not None else []
    context: dict[str, Any] = {
        "case": shown.row,
        "view": shown,
        "sentences": sentences,
        "joint_sentences": shown.joint.sentences[language_of(request)] if shown.joint is not None else [],
        "case_keys": CASE_KEYS,
        "kind_keys": KIND_KEYS,
        "step_keys": STEP_KEYS,
        "state_keys": STATE_KEYS,
        "change_keys": CHANGE_KEYS,
        "code_key": CODE_KEYS.get(case.code),
        "note_max": NOTE_CHARACTERS_MAX,
        "is_open": case.state in OPEN_STATES,
        "errors": {},
    }
    return show(request, officer, "desk/case.html", **(context | more))


def _add_reading(router: APIRouter) -> None:
    @router.get("/cases")
    def listed(request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        follow_all(desk)
        return _list(request, desk, officer, "desk/cases.html", OPEN_STATES, all_states=True)

    @router.get("/duplicates")
    def duplicates(request: Request, officer: Adjudicator) -> Response:
        return _list(request, desk_of(request), officer, "desk/cases.html", (CaseState.ADJUDICATION,))

    @router.get("/cases/{case_id}")
    def one(case_id: str, request: Request, officer: Reader) -> Response:
        return case_page(request, officer, case_id)

    @router.get("/cases/{case_id}/steps/{step_id}/receipt")
    def receipt(case_id: str, step_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            case = load_case(session, officer, case_id)
            require_reason(desk, session, officer, case.person_id)
            step = session.scalar(select(DeskStep).where((DeskStep.id == step_id) & (DeskStep.case_id == case_id)))
            found = None if step is None else receipt_of(desk, session, step)
        if found is None:
            raise Problem(UNKNOWN_CASE)
        headers = {"content-disposition": f'attachment; filename="{case.reference}-{step_id[:6]}.receipt"'}
        return Response(found, media_type=RECEIPT_TYPE, headers=headers)


def _list(
    request: Request,
    desk: DeskContext,
    officer: Officer,
    template: str,
    states: tuple[CaseState, ...],
    *,
    all_states: bool = False,
) -> Response:
    """Cases by reference, kind and state: nothing of a person, so that no reason is needed."""
    with desk.store.read() as session:
        mine = DeskCase.organisation == officer.organisation
        waiting = select(DeskCase).where(mine & DeskCase.state.in_(states)).order_by(DeskCase.changed_ms.desc())
        rows = list(session.scalars(waiting.limit(LISTED_MAX)))
        over = []
        if all_states:
            ended = mine & DeskCase.state.not_in(states) & (DeskCase.opened_by == officer.staff_id)
            over = list(session.scalars(select(DeskCase).where(ended).order_by(DeskCase.changed_ms.desc()).limit(20)))
        names = names_of(desk, session, {row.opened_by for row in [*rows, *over]})
    return show(
        request,
        officer,
        template,
        is_duplicates=not all_states,
        rows=rows,
        over=over,
        names=names,
        case_keys=CASE_KEYS,
        kind_keys=KIND_KEYS,
    )


def _add_steps(router: APIRouter) -> None:
    @router.post("/cases/{case_id}/propose")
    def propose(case_id: str, request: Request, officer: Clerk) -> Response:
        deciding.propose(signing_of(request, officer), case_id)
        return to_case(case_id)

    @router.post("/cases/{case_id}/approve")
    async def approve(case_id: str, request: Request, officer: Approver) -> Response:
        await deciding.approve(signing_of(request, officer), case_id)
        return to_case(case_id)

    @router.post("/cases/{case_id}/return")
    def give_back(case_id: str, request: Request, officer: Approver, note: Text = "") -> Response:
        deciding.give_back(signing_of(request, officer), case_id, note.strip())
        return to_case(case_id)

    @router.post("/cases/{case_id}/withdraw")
    def withdraw(case_id: str, request: Request, officer: FreshReader) -> Response:
        deciding.withdraw(signing_of(request, officer), case_id)
        return to_case(case_id)

    @router.post("/cases/{case_id}/drop")
    def drop(case_id: str, request: Request, officer: Clerk) -> Response:
        enrolling.drop(desk_of(request), officer, case_id)
        return to_case(case_id)

    @router.post("/cases/{case_id}/sign")
    def sign(case_id: str, request: Request, officer: FreshReader) -> Response:
        deciding.set_status(signing_of(request, officer), case_id)
        return to_case(case_id)


def _add_duplicates(router: APIRouter) -> None:
    @router.post("/duplicates/{duplicate_id}")
    def decide(duplicate_id: str, request: Request, officer: Adjudicator, verdict: Text = "") -> Response:
        if verdict not in {"same", "different"}:
            raise Problem(UNKNOWN_CASE)
        return to_case(enrolling.decide(desk_of(request), officer, duplicate_id, same=verdict == "same"))


def _add_pictures(router: APIRouter) -> None:
    @router.post("/pictures/{case_id}/{kind}")
    async def upload(
        case_id: str, kind: ImageKind, request: Request, officer: Clerk, picture: Annotated[UploadFile, File()]
    ) -> Response:
        raw = await picture.read(FILE_BYTES_MAX + 1)
        made = await run_in_threadpool(images.remake, raw, kind)
        await run_in_threadpool(_keep, desk_of(request), officer, case_id, kind, made)
        return to_case(case_id)

    @router.get("/pictures/{case_id}/{kind}")
    def picture(case_id: str, kind: ImageKind, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            case = load_case(session, officer, case_id)
            require_reason(desk, session, officer, case.person_id)
            found = images.load(desk, session, case.person_id, kind)
        if found is None:
            raise Problem(UNKNOWN_CASE)
        return Response(found, media_type=PICTURE_TYPE, headers={"cache-control": "no-store"})


def _keep(desk: DeskContext, officer: Officer, case_id: str, kind: ImageKind, made: Remade) -> None:
    with desk.store.write() as session:
        case = load_case(session, officer, case_id, hold=True)
        if case.state not in OPEN_STATES:
            raise Problem(UNKNOWN_CASE)
        note_access(desk, session, officer, case.person_id, Reason.CASE)
        row = images.keep(desk, session, case.person_id, kind, made)
        desk.record(session, officer, "picture.kept", row.id)
