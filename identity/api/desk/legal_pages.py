# SPDX-License-Identifier: Apache-2.0
"""The pages of companies: drafted, proposed, confirmed by a second officer, suspended, dissolved."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from client.errors import TransportError
from identity.api.desk import legal
from identity.api.desk import legal_problems as kinds
from identity.api.desk.base import Approver, Clerk, DeskContext, Reader, desk_of, show
from identity.api.desk.cards_history import Signed, history, receipt_of
from identity.api.desk.cards_signing import to_sign
from identity.api.desk.legal import CompanyState, Opened, Particulars
from identity.api.desk.mandates import of_company, reference_of
from identity.pb import identity_pb2 as pb
from service.language import language_of, translate
from service.problems import Problem
from service.sign_in.act_pages import RECEIPT_TYPE
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

PATH = "/companies"
STATE_KEYS = {
    CompanyState.DRAFT: ("plain", "legal.draft"),
    CompanyState.PROPOSED: ("info", "legal.proposed"),
    CompanyState.ACTIVE: ("good", "legal.active"),
    CompanyState.SUSPENDED: ("warn", "legal.suspended"),
    CompanyState.DISSOLVED: ("plain", "legal.dissolved"),
}
EVENT_KEYS = {
    "draft": "legal.event-draft",
    "propose": "legal.event-propose",
    "confirm": "legal.event-confirm",
    "withdraw": "legal.event-withdraw",
    "suspend": "legal.event-suspend",
    "reinstate": "legal.event-reinstate",
    "dissolve": "legal.event-dissolve",
    "observed": "legal.event-observed",
}
_EMPTY = Particulars("", "", "", "", "")

Text = Annotated[str, Form(max_length=400)]


def legal_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_forms(router)
    _add_company(router)
    _add_acts(router)
    return router


def _add_forms(router: APIRouter) -> None:
    @router.get(PATH)
    def listed(request: Request, officer: Reader, wanted: str = "") -> Response:
        desk, code = desk_of(request), wanted.strip().upper()[:18]
        with desk.store.read() as session:
            if code and (found := legal.find(session, officer.organisation, code)) is not None:
                return RedirectResponse(f"{PATH}/{found}", 303)
            rows = legal.listed(session, officer.organisation)
        enrols = officer.may(Permission.ENROL)
        context: dict[str, Any] = {"rows": rows, "state_keys": STATE_KEYS, "wanted": code, "enrols": enrols}
        return show(request, officer, "desk/cards/companies.html", **context)

    @router.get(PATH + "/new")
    def new(request: Request, officer: Clerk, of: str = "") -> Response:
        entered = _EMPTY
        if of:
            desk = desk_of(request)
            with desk.store.read() as session:
                company = legal.open_company(desk, session, officer.organisation, of)
            entered = company.pending or company.present or _EMPTY
        return show(request, officer, "desk/cards/company-form.html", entered=entered, errors={})

    @router.post(PATH)
    def draft(
        request: Request,
        officer: Clerk,
        uscc: Text = "",
        name_zh: Text = "",
        name_en: Text = "",
        representative: Text = "",
        representative_number: Text = "",
    ) -> Response:
        fields = (uscc.upper(), name_zh, name_en, representative, representative_number)
        entered = Particulars(*(field.strip() for field in fields))
        wrong = legal.faults(entered)
        if wrong:
            errors = {field: translate(language_of(request), key) for field, key in wrong.items()}
            return show(request, officer, "desk/cards/company-form.html", status=422, entered=entered, errors=errors)
        return RedirectResponse(f"{PATH}/{legal.draft(desk_of(request), officer, entered)}", 303)


def _add_company(router: APIRouter) -> None:
    @router.get(PATH + "/{company_id}")
    async def one(company_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        answers = True
        try:
            company, record = await look(request, officer, company_id)
        except TransportError:
            company, record = await run_in_threadpool(_opened, desk, officer, company_id), None
            answers = False

        def shown() -> Response:
            with desk.store.write() as session:
                desk.record(session, officer, "company.looked-at", company_id)
                steps = history(session, legal.own(session, officer.organisation, company_id))
                held = of_company(desk, session, officer.organisation, company.uscc)
            return show(
                request,
                officer,
                "desk/cards/company.html",
                company=company,
                proposed=record is not None and record.HasField("proposal"),
                answers=answers,
                steps=steps,
                mandates=held,
                reference_of=reference_of,
                state_keys=STATE_KEYS,
                event_keys=EVENT_KEYS,
                enrols=officer.may(Permission.ENROL),
                approves=officer.may(Permission.APPROVE),
            )

        return await run_in_threadpool(shown)

    @router.get(PATH + "/{company_id}/receipts/{number}")
    def receipt(company_id: str, number: int, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            found = receipt_of(desk, session, legal.own(session, officer.organisation, company_id), number)
        if found is None:
            raise Problem(kinds.UNKNOWN)
        headers = {"content-disposition": f'attachment; filename="company-{company_id[:8]}-{number}.receipt"'}
        return Response(found, media_type=RECEIPT_TYPE, headers=headers)


async def look(request: Request, officer: Officer, company_id: str) -> tuple[Opened, pb.LegalPersonRecord | None]:
    """A company with what the ledger says of it now.

    Raises:
        Problem: There is none of this id at this organisation.
        TransportError: The ledger does not answer.
    """
    desk = desk_of(request)

    company = await run_in_threadpool(_opened, desk, officer, company_id)
    record = await legal.on_ledger(desk, company.uscc)
    if record is not None or company.state is not CompanyState.DRAFT:
        await run_in_threadpool(legal.observe, desk, officer.organisation, company_id, record)
        company = await run_in_threadpool(_opened, desk, officer, company_id)
    return company, record


def _opened(desk: DeskContext, officer: Officer, company_id: str) -> Opened:
    with desk.store.read() as session:
        return legal.open_company(desk, session, officer.organisation, company_id)


def _add_acts(router: APIRouter) -> None:
    @router.post(PATH + "/{company_id}/confirm")
    async def confirm(company_id: str, request: Request, officer: Approver) -> Response:
        company, record = await look(request, officer, company_id)
        return await _sign(request, officer, company_id, "confirm", legal.confirmation(company, record))

    _add_act(router, "propose", Clerk, legal.proposal)
    _add_act(router, "withdraw", Clerk, legal.withdrawal)
    _add_act(router, "suspend", Clerk, legal.suspension)
    _add_act(router, "reinstate", Approver, legal.reinstatement)
    _add_act(router, "dissolve", Approver, legal.dissolution)


def _add_act(router: APIRouter, step: str, who: Any, act: Callable[[Opened], Signed]) -> None:
    async def prepare(company_id: str, request: Request, officer: Officer) -> Response:
        company, _ = await look(request, officer, company_id)
        return await _sign(request, officer, company_id, step, act(company))

    prepare.__annotations__["officer"] = who
    router.post(f"{PATH}/{{company_id}}/{step}")(prepare)


async def _sign(request: Request, officer: Officer, company_id: str, step: str, signed: Signed) -> Response:
    desk = desk_of(request)

    def note(act_id: str) -> None:
        legal.note_act(desk, officer, company_id, step, act_id)

    return await to_sign(request, officer, signed, f"{PATH}/{company_id}", note)
