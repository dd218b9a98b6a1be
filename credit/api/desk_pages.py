# SPDX-License-Identifier: Apache-2.0
"""The pages of officers: open logs, attest events, import files, answer what people ask, check pledges.

Officers of each organisation see what is theirs. Whoever looks somebody up by number has the look noted where the
person reads it.
"""

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from credit.api import answering, clients, relinking, requests, subjects, telling
from credit.api.answering import Signing, class_name
from credit.api.base import CreditContext, credit_of, date_of, day_of
from credit.api.drawing import PREPARED, REFERENCE_CHARACTERS_MAX, Wanted
from credit.api.holders import make_link
from credit.api.importing import COLUMNS, FILE_BYTES_MAX, FORM_FAULT, ROWS_MAX, import_events
from credit.api.problems import CLASS, DATES, KINDS, ROLE
from credit.api.reading import StoredAccesses
from credit.api.settling import settle
from credit.api.subjects import Kind, add_subject, look_up, masked_name, send_open
from credit.api.tables import CreditBatch
from credit.api.words import (
    BATCH_KEYS,
    GRADE_LOOKS,
    PURPOSE_KEYS,
    REQUEST_KEYS,
    REQUEST_STATE_KEYS,
    SEVERITY_KEYS,
    STATUS_KEYS,
    day_text,
)
from credit.pb import credit_pb2 as pb
from credit.slots import SEVERITIES, Content
from identity.issuing import REGISTRAR_ROLE
from service.language import language_of, translate
from service.pages import Place, Site
from service.problems import RATE, Problem
from service.sign_in.access import FRESH_MS, Require, office_of
from service.sign_in.acts import Acts
from service.sign_in.pages import RequireOrStart, moment
from service.sign_in.pages import show as show_page
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

_PLACES: Final = (
    Place("credit-page.place-home", "/", permission=Permission.READ_RECORDS),
    Place("credit-page.place-attest", "/attest", permission=Permission.ENROL),
    Place("credit-page.place-import", "/import", permission=Permission.ENROL),
    Place("credit-page.place-requests", "/requests", permission=Permission.READ_RECORDS),
    Place("credit-page.place-pledges", "/pledges", permission=Permission.READ_RECORDS),
    Place("credit-page.place-logs", "/logs", permission=Permission.READ_RECORDS),
    Place("credit-page.place-companies", "/companies", permission=Permission.ADJUDICATE),
    Place("credit-page.place-draws", "/draws", permission=Permission.ADJUDICATE),
    Place("credit-list.place-office", "/statutory", permission=Permission.ADJUDICATE),
    Place("credit-monitor.place", "/monitor", permission=Permission.ADJUDICATE),
    Place("credit-page.place-clients", "/clients", permission=Permission.ADJUDICATE),
)
CREDIT_SITE: Final = Site("credit-page.title", home="/", places=_PLACES, layout="workplace")
"""Its places are shown by role."""

Reader = Annotated[Officer, Depends(Require(Permission.READ_RECORDS))]
AtHome = Annotated[Officer, Depends(RequireOrStart(Permission.READ_RECORDS, CREDIT_SITE))]
Clerk = Annotated[Officer, Depends(Require(Permission.ENROL, fresh_ms=FRESH_MS))]
Approver = Annotated[Officer, Depends(Require(Permission.APPROVE, fresh_ms=FRESH_MS))]
Supervisor = Annotated[Officer, Depends(Require(Permission.ADJUDICATE, fresh_ms=FRESH_MS))]
Text = Annotated[str, Form(max_length=requests.WORDS_CHARACTERS_MAX)]
Short = Annotated[str, Form(max_length=subjects.NAME_CHARACTERS_MAX)]
Day = Annotated[str, Form(max_length=10)]


def show(request: Request, officer: Officer, name: str, *, status: int = 200, **context: Any) -> Response:
    """A page for an officer, with the navigation that their role has."""
    named = {
        "status_keys": STATUS_KEYS,
        "severity_keys": SEVERITY_KEYS,
        "request_keys": REQUEST_KEYS,
        "request_state_keys": REQUEST_STATE_KEYS,
        "purpose_keys": PURPOSE_KEYS,
        "batch_keys": BATCH_KEYS,
        "grade_looks": GRADE_LOOKS,
        "moment_of": moment,
        "day_text": partial(day_text, language_of(request)),
        "words_max": requests.WORDS_CHARACTERS_MAX,
        "Permission": Permission,
    }
    response = show_page(request, CREDIT_SITE, officer, f"credit/{name}", **(named | context))
    response.status_code = status
    return response


def signing_of(request: Request, officer: Officer) -> Signing:
    """Who signs, and where."""
    acts = request.app.state.acts
    assert isinstance(acts, Acts)
    return Signing(credit_of(request), office_of(request), acts, officer)


async def needs_role(request: Request, officer: Officer, role: str) -> None:
    """Let an officer through whose organisation has a role on the ledger.

    Raises:
        Problem: It has not.
    """
    if not await credit_of(request).ledger.has_role(officer.organisation, role):
        raise Problem(ROLE)


def to_act(act_id: str) -> Response:
    """To the page on which the officer reads and signs."""
    return RedirectResponse(f"/acts/{act_id}", 303)


def desk_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_home(router)
    _add_logs(router)
    _add_attesting(router)
    _add_clients(router)
    return router


def _add_home(router: APIRouter) -> None:
    @router.get("/")
    def home(request: Request, officer: AtHome) -> Response:
        context = credit_of(request)
        settle(context)
        requests.follow_requests(context)
        waiting = requests.waiting_for(context, officer.organisation, requests.KINDS)
        query = select(CreditBatch).where(CreditBatch.source == officer.organisation)
        with context.store.read() as session:
            batches = session.scalars(query.order_by(CreditBatch.created_ms.desc()).limit(20)).all()
        today = date_of(context.today)
        return show(
            request,
            officer,
            "home.html",
            waiting=len(waiting),
            overdue=sum(one.row.due_day > 0 and one.due < today for one in waiting),
            unsigned=sum(one.state == PREPARED and bool(one.act_id) for one in batches),
            batches=batches,
            classes=[
                (number, class_name(one, language_of(request)), one.legal_basis)
                for number, one in context.index.catalogue().items()
                if number in context.index.rights(officer.organisation)
            ],
        )


def _add_logs(router: APIRouter) -> None:
    @router.get("/logs")
    async def logs(request: Request, officer: Reader) -> Response:
        await needs_role(request, officer, REGISTRAR_ROLE)
        return show(request, officer, "logs.html", link="", number="")

    @router.post("/logs")
    async def open_log(
        request: Request,
        officer: Clerk,
        kind: Annotated[Kind, Form()],
        number: Annotated[str, Form(min_length=4, max_length=subjects.NUMBER_CHARACTERS_MAX)],
        name: Short,
    ) -> Response:
        await needs_role(request, officer, REGISTRAR_ROLE)
        context = credit_of(request)
        subject_id = await run_in_threadpool(add_subject, context, officer.person_id, kind, number, name)
        code = await send_open(context, subject_id)
        if code:
            return show(request, officer, "logs.html", link="", number=number, code=code, status=409)
        return await _link_page(request, officer, subject_id, number)

    @router.post("/logs/link")
    async def link(
        request: Request,
        officer: Approver,  # whoever opens logs does not also exchange their holders' keys
        number: Annotated[str, Form(min_length=4, max_length=subjects.NUMBER_CHARACTERS_MAX)],
    ) -> Response:
        await needs_role(request, officer, REGISTRAR_ROLE)
        await run_in_threadpool(relinking.ask_link, credit_of(request), officer, number)
        # whoever has that link is that person here: no officer hands one out alone
        return show(request, officer, "logs.html", link="", number=number, waits=True)

    @router.post("/logs/link/{request_id}")
    async def confirm(request_id: str, request: Request, officer: Approver) -> Response:
        await needs_role(request, officer, REGISTRAR_ROLE)
        subject_id = await run_in_threadpool(relinking.confirm_link, credit_of(request), officer, request_id)
        return await _link_page(request, officer, subject_id, "")

    async def _link_page(request: Request, officer: Officer, subject_id: str, number: str) -> Response:
        context = credit_of(request)
        token = await run_in_threadpool(make_link, context, officer.person_id, officer.organisation, subject_id)
        link = f"{context.origin}/me/join#{token}"
        return show(request, officer, "logs.html", link=link, number=number)


@dataclass(frozen=True, slots=True)
class _ClassOption:
    number: int
    words: str
    is_pledge: bool


def _options(context: CreditContext, request: Request, officer: Officer) -> list[_ClassOption]:
    rights, language = context.index.rights(officer.organisation), language_of(request)
    return [
        _ClassOption(number, f"{number} · {class_name(one, language)}", one.kind == pb.KIND_PLEDGE)
        for number, one in context.index.catalogue().items()
        if number in rights and not one.retired
    ]


def _add_attesting(router: APIRouter) -> None:
    @router.get("/attest")
    def page(request: Request, officer: Clerk) -> Response:
        context = credit_of(request)
        return show(
            request,
            officer,
            "attest.html",
            options=_options(context, request, officer),
            severities=SEVERITIES,
            today=date_of(context.today).isoformat(),
        )

    @router.post("/attest")
    def attest(
        request: Request,
        officer: Clerk,
        number: Short,
        event_class: Annotated[int, Form()],
        severity: Annotated[str, Form(max_length=16)],
        occurred: Day,
        document: Day,
        reference: Annotated[str, Form(max_length=REFERENCE_CHARACTERS_MAX, pattern=r"^[A-Za-z0-9._/-]+$")],
        due: Day = "",
    ) -> Response:
        context = credit_of(request)
        if severity not in SEVERITIES:
            raise Problem(CLASS)
        content = Content(severity, day_of_form(occurred), day_of_form(document), day_of_form(due) if due else 0)
        subject_id, name = _look_up(context, officer, number)
        wanted = Wanted(subject_id, event_class, content, reference)
        return to_act(answering.attest(signing_of(request, officer), [wanted], [name]))

    @router.get("/import")
    def import_page(request: Request, officer: Clerk) -> Response:
        return show(request, officer, "import.html", done=None, reasons={}, columns=COLUMNS, rows_max=ROWS_MAX)

    @router.post("/import")
    async def import_file(request: Request, officer: Clerk, file: UploadFile) -> Response:
        raw = await file.read(FILE_BYTES_MAX + 1)
        done = await run_in_threadpool(import_events, signing_of(request, officer), raw)
        language = language_of(request)
        reasons = {kind.code: kind.title(language) for kind in (*KINDS, RATE)}
        reasons[FORM_FAULT] = translate(language, "credit-page.csv-line")
        return show(request, officer, "import.html", done=done, reasons=reasons, columns=COLUMNS, rows_max=ROWS_MAX)


def _look_up(context: CreditContext, officer: Officer, number: str) -> tuple[str, str]:
    """Whom an officer means, by number; that they looked is noted."""
    with context.store.write() as session:
        subject = look_up(context, session, officer.organisation, number)
        StoredAccesses(context).note_handle(session, subject.id, officer.organisation)
        context.record(session, officer.person_id, "credit.subject-found", subject.id)
        return subject.id, masked_name(context, session, subject)


def _add_clients(router: APIRouter) -> None:
    @router.get("/clients")
    def listed(request: Request, officer: Supervisor) -> Response:
        return _clients_page(request, officer)

    @router.post("/clients")
    def add(request: Request, officer: Supervisor) -> Response:
        context = credit_of(request)
        key = clients.add_client(context, officer.person_id, officer.organisation)
        return _clients_page(request, officer, key)

    @router.post("/clients/contact")
    def contact(
        request: Request,
        officer: Supervisor,
        channels: Annotated[str, Form(max_length=telling.CONTACT_CHARACTERS_MAX)] = "",
    ) -> Response:
        context = credit_of(request)
        telling.set_channels(context, officer.person_id, officer.organisation, channels.split(","))
        return RedirectResponse("/clients", 303)

    @router.post("/clients/{client_id}/end")
    def end(client_id: str, request: Request, officer: Supervisor) -> Response:
        clients.end_client(credit_of(request), officer.person_id, officer.organisation, client_id)
        return RedirectResponse("/clients", 303)


def _clients_page(request: Request, officer: Officer, key: str = "") -> Response:
    context = credit_of(request)
    found = clients.clients_of(context, officer.organisation)
    told = ", ".join(telling.channels_of(context, officer.organisation))
    return show(request, officer, "clients.html", clients=found, key=key, told=told)


def day_of_form(text: str) -> int:
    """A date as forms send it, in days since 1970-01-01.

    Raises:
        Problem: It is none.
    """
    try:
        return day_of(date.fromisoformat(text))
    except ValueError:
        raise Problem(DATES) from None
