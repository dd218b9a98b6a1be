# SPDX-License-Identifier: Apache-2.0
"""The pages of people and companies: their score and why, their events, what would be if, objections, repairs, pledges.

Each page is made from a report that this service has just verified; the browser computes the score anew from the same
events and says whether it agrees.
"""

from base64 import b64encode
from contextlib import suppress
from datetime import date
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from client.errors import TransportError
from credit.api import accesses, appeals, consents, holders, requests
from credit.api.answering import class_name
from credit.api.base import CreditContext, credit_of, date_of, load_subject
from credit.api.holder_print import report_pdf
from credit.api.holders import Here, Holder
from credit.api.problems import DATES, UNKNOWN_EVENT
from credit.api.proof_pages import genesis_address
from credit.api.reading import PAGES_MAX, PURPOSES, StoredAccesses
from credit.api.reports import make_report
from credit.api.subjects import name_of
from credit.api.telling import CONTACT_CHARACTERS_MAX, channels_of, set_channels
from credit.api.views import Line, lines_of, score_view, steps_of
from credit.api.words import (
    CONDITION_KEYS,
    GRADE_LOOKS,
    PURPOSE_KEYS,
    REQUEST_KEYS,
    REQUEST_STATE_KEYS,
    SEVERITY_KEYS,
    STATUS_KEYS,
    WHAT_KEYS,
    day_text,
)
from credit.pb import credit_pb2 as pb
from service.language import language_of
from service.pages import Place, Site, render
from service.problems import Problem
from service.sign_in.attempts import Attempts
from service.sign_in.pages import moment

HOLDER_SITE: Final = Site(
    "credit-page.title",
    home="/me",
    places=(
        Place("credit-page.place-score", "/me"),
        Place("credit-list.place-decisions", "/me/decisions"),
        Place("credit-page.place-pledge", "/me/pledge"),
        Place("credit-show.place", "/me/show"),
        Place("credit-page.place-readers", "/me/readers"),
    ),
)
OUTSIDE_SITE: Final = Site("credit-page.title", home="/me/sign-in")
REPORT_TYPE: Final = "application/octet-stream"

Text = Annotated[str, Form(max_length=requests.WORDS_CHARACTERS_MAX)]
Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]+$")]


class KeyBody(BaseModel):
    """What a holder's key signed."""

    model_config = ConfigDict(extra="forbid", strict=True)
    public_key: Annotated[str, StringConstraints(pattern=r"^0[23][0-9a-f]{64}$")]
    nonce: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]


class JoinBody(KeyBody):
    """The same with the link's token."""

    token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]


def holder_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_sign_in(router)
    _add_score(router)
    _add_events(router)
    _add_asking(router)
    _add_readers(router)
    return router


def show_holder(request: Request, template: str, *, site: Site = HOLDER_SITE, **context: Any) -> Response:
    """A page for people and companies."""
    named: dict[str, Any] = {
        "status_keys": STATUS_KEYS,
        "severity_keys": SEVERITY_KEYS,
        "request_keys": REQUEST_KEYS,
        "request_state_keys": REQUEST_STATE_KEYS,
        "purpose_keys": PURPOSE_KEYS,
        "what_keys": WHAT_KEYS,
        "condition_keys": CONDITION_KEYS,
        "grade_looks": GRADE_LOOKS,
        "moment_of": moment,
        "day_text": partial(day_text, language_of(request)),
        "words_max": requests.WORDS_CHARACTERS_MAX,
        "network": credit_of(request).ledger.genesis.network.hex(),
        "genesis": genesis_address(request),
    }
    response = render(request, f"credit/{template}", site=site, **(named | context))
    response.headers["cache-control"] = "no-store"
    return response


def _add_sign_in(router: APIRouter) -> None:
    counted = [Depends(Attempts())]  # each that succeeds is a row of the audit, for good

    @router.get(holders.SIGN_IN_PATH)
    def sign_in_page(request: Request) -> Response:
        return show_holder(request, "sign-in.html", site=OUTSIDE_SITE, origin=credit_of(request).origin, joins=False)

    @router.get("/me/join")
    def join_page(request: Request) -> Response:
        return show_holder(request, "sign-in.html", site=OUTSIDE_SITE, origin=credit_of(request).origin, joins=True)

    @router.post("/me/nonce")
    def nonce(request: Request) -> dict[str, str]:
        return {"nonce": holders.issue_nonce(credit_of(request))}

    @router.post("/me/sign-in", dependencies=counted)
    def sign_in(body: KeyBody, request: Request) -> Response:
        context = credit_of(request)
        key, signature = bytes.fromhex(body.public_key), bytes.fromhex(body.signature)
        return _in(context, holders.sign_in(context, key, body.nonce, signature))

    @router.post("/me/join", dependencies=counted)
    def join(body: JoinBody, request: Request) -> Response:
        context = credit_of(request)
        key, signature = bytes.fromhex(body.public_key), bytes.fromhex(body.signature)
        return _in(context, holders.join(context, body.token, key, body.nonce, signature))

    @router.post("/me/sign-out")
    def sign_out(request: Request, holder: Here) -> Response:
        context = credit_of(request)
        holders.sign_out(context, holder)
        response = RedirectResponse(holders.SIGN_IN_PATH, 303)
        secure = context.origin.startswith("https:")
        response.delete_cookie(holders.cookie_name(context), path="/", secure=secure, httponly=True)
        return response


def _in(context: CreditContext, token: str) -> Response:
    response = JSONResponse({"next": "/me"})
    holders.set_visit(response, context, token)
    return response


def _add_score(router: APIRouter) -> None:
    @router.get("/me")
    async def score(request: Request, holder: Here) -> Response:
        context, language = credit_of(request), language_of(request)
        report = await make_report(context, holder.subject_id)
        name, asked = await run_in_threadpool(_own, context, holder)
        return show_holder(
            request,
            "me.html",
            whose=name,
            score=await run_in_threadpool(score_view, context, report, language),
            lines=lines_of(report, language),
            requests=asked,
            checkpoint=report.verified.checkpoint,
        )

    @router.get("/me/report.pdf")
    async def printed(request: Request, holder: Here) -> Response:
        context, language = credit_of(request), language_of(request)
        report = await make_report(context, holder.subject_id)
        name, _ = await run_in_threadpool(_own, context, holder)
        raw = await run_in_threadpool(report_pdf, context, report, name, language)
        headers = {"content-disposition": 'attachment; filename="credit-report.pdf"', "cache-control": "no-store"}
        return Response(raw, media_type="application/pdf", headers=headers)

    @router.get("/me/report")
    async def raw(request: Request, holder: Here) -> Response:
        report = await make_report(credit_of(request), holder.subject_id)
        headers = {"content-disposition": 'attachment; filename="credit.report"', "cache-control": "no-store"}
        return Response(report.raw, media_type=REPORT_TYPE, headers=headers)


def _own(context: CreditContext, holder: Holder) -> tuple[str, list[requests.Asked]]:
    requests.follow_requests(context)
    with context.store.read() as session:
        name = name_of(context, session, load_subject(session, holder.subject_id))
    return name, requests.requests_of(context, holder.subject_id)


def _add_events(router: APIRouter) -> None:
    @router.get("/me/events/{event_id}")
    async def event(event_id: str, request: Request, holder: Here) -> Response:
        return await _event_page(request, holder, event_id)

    @router.post("/me/events/{event_id}/dispute")
    async def dispute(event_id: str, request: Request, holder: Here, words: Text) -> Response:
        await requests.dispute(credit_of(request), holder.subject_id, event_id, words)
        return RedirectResponse(f"/me/events/{event_id}", 303)

    @router.post("/me/events/{event_id}/appeal")
    def appeal(event_id: str, request: Request, holder: Here, words: Text) -> Response:
        appeals.ask_appeal(credit_of(request), holder.subject_id, event_id, words)
        return RedirectResponse(f"/me/events/{event_id}", 303)

    @router.post("/me/events/{event_id}/repair")
    def repair(
        event_id: str,
        request: Request,
        holder: Here,
        words: Text,
        fulfilled: Annotated[str, Form(max_length=10)],
        pledges: Annotated[str, Form(max_length=3)] = "",
    ) -> Response:
        context = credit_of(request)
        requests.ask_repair(context, holder.subject_id, event_id, _date(fulfilled), words, pledges=pledges == "yes")
        return RedirectResponse(f"/me/events/{event_id}", 303)


async def _event_page(request: Request, holder: Holder, event_id: str) -> Response:
    context, language = credit_of(request), language_of(request)
    report = await make_report(context, holder.subject_id)
    lines = {line.id: line for line in lines_of(report, language)}
    if event_id not in lines:
        raise Problem(UNKNOWN_EVENT)
    entry = report.verified.entries[report.event_ids.index(event_id)]
    line: Line = lines[event_id]
    _, asked = await run_in_threadpool(_own, context, holder)
    standing = None
    if line.is_negative and entry.content is not None:
        standing = requests.repair_standing(context, entry.content, date_of(context.today), date_of(context.today))
    own = [one for one in asked if one.row.event_id == event_id]
    waits = any(one.row.state in (requests.SENDING, *requests.LIVING) for one in own)
    is_final = line.status in ("repaired", "expired", "withdrawn")
    return show_holder(
        request,
        "event.html",
        line=line,
        steps=steps_of(await run_in_threadpool(context.index.steps, entry.slot)),
        slot=entry.slot.hex(),
        requests=own,
        repair=standing,
        may_dispute=not is_final and line.status != "disputed" and not entry.record.upheld,
        may_appeal=not is_final and await run_in_threadpool(_may_appeal, context, entry.slot, event_id),
        may_repair=standing is not None and not is_final and line.status != "disputed" and not waits,
        today=date_of(context.today).isoformat(),
    )


def _may_appeal(context: CreditContext, slot: bytes, event_id: str) -> bool:
    found = context.index.slots([slot]).get(slot)
    with context.store.read() as session:
        return found is not None and appeals.may_appeal(session, found, event_id)


def _add_asking(router: APIRouter) -> None:
    @router.get("/me/pledge")
    def pledge_page(request: Request, holder: Here) -> Response:
        context, language = credit_of(request), language_of(request)
        catalogue = context.index.catalogue()
        pledges = {n: one for n, one in catalogue.items() if one.kind == pb.KIND_PLEDGE and not one.retired}
        options = [
            (f"{number}:{organisation}", f"{class_name(pledges[number], language)} · {organisation}")
            for organisation, classes in context.index.sources().items()
            for number in classes
            if number in pledges
        ]
        own = [one for one in _own(context, holder)[1] if one.row.kind == requests.PLEDGE]
        return show_holder(
            request, "pledge.html", options=options, requests=own, today=date_of(context.today).isoformat()
        )

    @router.post("/me/pledge")
    def pledge(
        request: Request,
        holder: Here,
        what: Annotated[str, Form(max_length=80)],
        due: Annotated[str, Form(max_length=10)],
        words: Text,
    ) -> Response:
        number, _, organisation = what.partition(":")
        asked = int(number) if number.isascii() and number.isdigit() and len(number) <= 5 else 0
        requests.ask_pledge(credit_of(request), holder.subject_id, asked, organisation, _date(due), words)
        return RedirectResponse("/me/pledge", 303)


def _add_readers(router: APIRouter) -> None:
    @router.get("/me/readers")
    async def readers(request: Request, holder: Here, page: Annotated[int, Query(ge=1, le=PAGES_MAX)] = 1) -> Response:
        context = credit_of(request)
        with suppress(TransportError):  # without the ledger the page shows what was known last
            await consents.refresh(context, holder.subject_id)
        return await run_in_threadpool(shown, request, context, holder, page)

    def shown(request: Request, context: CreditContext, holder: Holder, page: int) -> Response:
        now_ms = context.now()
        given = [
            (one, context.handle_of(one.organisation, holder.subject_id), not one.ended_ms and one.until_ms > now_ms)
            for one in consents.listed(context, holder.subject_id)
        ]
        looks, more = StoredAccesses(context).of(holder.subject_id, page)
        paged: dict[str, Any] = {"accesses": looks, "page": page, "more": more}
        told = ", ".join(channels_of(context, holder.subject_id))
        return show_holder(request, "readers.html", consents=given, purposes=list(PURPOSES), told=told, **paged)

    @router.post("/me/contact")
    def contact(
        request: Request, holder: Here, channels: Annotated[str, Form(max_length=CONTACT_CHARACTERS_MAX)] = ""
    ) -> Response:
        set_channels(credit_of(request), holder.person_id, holder.subject_id, channels.split(","))
        return RedirectResponse("/me/readers", 303)

    @router.get("/me/accesses.json")
    async def proven(request: Request, holder: Here) -> Response:
        """The person's lists of accesses with their proofs, for their own device to verify and keep."""
        made = await accesses.reports(credit_of(request), holder.subject_id)
        lists = [{"first_slot": one.first_slot.hex(), "report": b64encode(one.report).decode()} for one in made]
        return JSONResponse({"lists": lists}, headers={"Cache-Control": "no-store"})

    @router.post("/me/consents")
    async def consent(
        request: Request,
        holder: Here,
        organisation: Annotated[str, Form(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")],
        purpose: Annotated[str, Form(max_length=32)],
        days: Annotated[int, Form()],
    ) -> Response:
        await consents.give(credit_of(request), holder.subject_id, organisation, purpose, days)
        return RedirectResponse("/me/readers", 303)

    @router.post("/me/consents/{consent_id}/end")
    async def end(consent_id: str, request: Request, holder: Here) -> Response:
        await consents.end(credit_of(request), holder.subject_id, consent_id)
        return RedirectResponse("/me/readers", 303)


def _date(text: str) -> date:
    """A date as forms send it.

    Raises:
        Problem: It is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Problem(DATES) from None
