# SPDX-License-Identifier: Apache-2.0
"""The pages on which officers answer what people ask: objections, repairs, pledges, benefits; and check pledges."""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from sqlalchemy import select
from starlette.responses import RedirectResponse, Response

from credit.api import answering, requests
from credit.api.answering import class_name
from credit.api.base import CreditContext, credit_of, date_of
from credit.api.desk_pages import Approver, Clerk, Day, Reader, Text, day_of_form, show, signing_of, to_act
from credit.api.drawing import Wanted
from credit.api.events import Event
from credit.api.problems import CLASS
from credit.api.settling import settle
from credit.api.subjects import masked_name, name_of
from credit.api.tables import CreditEvent, CreditSubject
from credit.pb import credit_pb2 as pb
from credit.report import STATUS_NAMES
from credit.slots import SEVERITIES, Content
from service.language import language_of
from service.problems import Problem

LISTED_MAX: Final = 200
"""Pledges on one page: newest first."""


def request_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_requests(router)
    _add_pledges(router)
    return router


@dataclass(frozen=True, slots=True)
class ShownRequest:
    """A request with what it is about; dates are as forms send them."""

    asked: requests.Asked
    name: str
    what: str
    status: str
    severity: str
    occurred: str
    document: str
    is_negative: bool


def shown_request(context: CreditContext, request: Request, asked: requests.Asked) -> ShownRequest:
    """A request as an officer reads it.

    Args:
        context: Which service.
        request: The page that is asked for: says the language.
        asked: What somebody asked for.
    """
    language, row = language_of(request), asked.row
    with context.store.read() as session:
        subject = session.get(CreditSubject, row.subject_id)
        name = "" if subject is None else name_of(context, session, subject)
        event = requests.event_of(context, session, row.subject_id, row.event_id)[1] if row.event_id else None
    if event is None:
        number = asked.words.get("class")
        catalogued = context.index.catalogue().get(number) if isinstance(number, int) else None
        return ShownRequest(asked, name, class_name(catalogued, language), "", "none", "", "", is_negative=False)
    slot = context.index.slots([event.slot])[event.slot]
    catalogued = context.index.class_of(event.number, event.version)
    content = event.content
    return ShownRequest(
        asked,
        name,
        class_name(catalogued, language),
        STATUS_NAMES[slot.status],
        content.severity,
        date_of(content.occurred_day).isoformat(),
        date_of(content.document_day).isoformat(),
        is_negative=content.severity != "none",
    )


def _add_requests(router: APIRouter) -> None:
    @router.get("/requests")
    def listed(request: Request, officer: Reader) -> Response:
        context = credit_of(request)
        settle(context)
        requests.follow_requests(context)
        waiting = requests.waiting_for(context, officer.organisation, requests.KINDS)
        return show(request, officer, "requests.html", waiting=waiting, today=date_of(context.today))

    @router.get("/requests/{request_id}")
    def one(request_id: str, request: Request, officer: Reader) -> Response:
        context = credit_of(request)
        settle(context)
        requests.follow_requests(context, request_id)
        with context.store.write() as session:
            row = requests.load_request(session, officer.organisation, request_id)
            if row.kind == requests.REVIEW:
                return RedirectResponse(f"/requests/{row.id}/review", 303)
            asked = requests.read_request(context, session, row)
            context.record(session, officer.person_id, "credit.request-read", row.id)
        return show(
            request, officer, "request.html", shown=shown_request(context, request, asked), severities=SEVERITIES[1:]
        )

    @router.post("/requests/{request_id}/answer")
    def answer(
        request_id: str,
        request: Request,
        officer: Approver,
        verdict: Annotated[str, Form(max_length=16)],
        answer: Text,
        severity: Annotated[str, Form(max_length=16)] = "",
        occurred: Day = "",
        document: Day = "",
    ) -> Response:
        signing = signing_of(request, officer)
        content = None
        if verdict == "correct":
            if severity not in SEVERITIES:
                raise Problem(CLASS)
            content = Content(severity, day_of_form(occurred), day_of_form(document))
        return to_act(answering.answer_dispute(signing, request_id, verdict, content, answer))

    @router.post("/requests/{request_id}/repair")
    def repair(request_id: str, request: Request, officer: Approver, answer: Text) -> Response:
        return to_act(answering.answer_repair(signing_of(request, officer), request_id, answer))

    @router.post("/requests/{request_id}/decline")
    def decline(request_id: str, request: Request, officer: Approver, answer: Text) -> Response:
        requests.decline(credit_of(request), officer.person_id, officer.organisation, request_id, answer)
        return RedirectResponse("/requests", 303)

    @router.post("/requests/{request_id}/record")
    def record(request_id: str, request: Request, officer: Clerk) -> Response:
        context = credit_of(request)
        with context.store.read() as session:
            row = requests.load_request(session, officer.organisation, request_id)
            words = requests.read_request(context, session, row).words
            subject = session.get_one(CreditSubject, row.subject_id)
            name = masked_name(context, session, subject)
        if row.kind != requests.PLEDGE or row.state not in requests.LIVING:
            raise Problem(CLASS)
        content = Content("none", context.today, context.today, day_of_form(words["due"]))
        wanted = Wanted(row.subject_id, int(words["class"]), content, f"pledge/{row.id}")
        return to_act(answering.attest(signing_of(request, officer), [wanted], [name], request_id))

    @router.post("/requests/{request_id}/decide")
    def decide(
        request_id: str,
        request: Request,
        officer: Approver,
        verdict: Annotated[str, Form(max_length=16)],
        why: Text = "",
    ) -> Response:
        signing = signing_of(request, officer)
        return to_act(answering.decide_benefit(signing, request_id, grant=verdict == "grant", why=why))


def _add_pledges(router: APIRouter) -> None:
    @router.get("/pledges")
    def pledges(request: Request, officer: Reader) -> Response:
        context, language = credit_of(request), language_of(request)
        settle(context)
        catalogue = context.index.catalogue()
        wanted = (CreditEvent.source == officer.organisation) & CreditEvent.position.is_not(None)
        found = []
        with context.store.read() as session:
            for row in session.scalars(select(CreditEvent).where(wanted).order_by(CreditEvent.created_ms.desc())):
                event = Event.decode(context.store.people.open(session, row, CreditEvent.content) or "")
                if event.number in catalogue and catalogue[event.number].kind == pb.KIND_PLEDGE:
                    subject = session.get_one(CreditSubject, row.subject_id)
                    found.append((row.id, name_of(context, session, subject), event))
                if len(found) >= LISTED_MAX:
                    break
        slots = context.index.slots(event.slot for _, _, event in found)
        shown = [
            {
                "id": row_id,
                "name": name,
                "what": class_name(catalogue[event.number], language),
                "due": date_of(event.content.due_day).isoformat(),
                "status": STATUS_NAMES[slots[event.slot].status],
            }
            for row_id, name, event in found
        ]
        return show(request, officer, "pledges.html", pledges=shown)

    @router.post("/pledges/{event_id}")
    def checked(
        event_id: str, request: Request, officer: Approver, verdict: Annotated[str, Form(max_length=8)]
    ) -> Response:
        return to_act(answering.check_pledge(signing_of(request, officer), event_id, kept=verdict == "kept"))
