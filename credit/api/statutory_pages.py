# SPDX-License-Identifier: Apache-2.0
"""The pages of statutory lists: supervisors enter and end, everybody reads which legal persons stand on one.

Whoever attested an event enters for it; the authority for any. Natural persons are on no public page.
"""

import json
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from credit.api import listing_acts, listings
from credit.api.answering import class_name
from credit.api.base import CreditContext, credit_of, date_of, load_subject
from credit.api.desk_pages import Short, Supervisor, day_of_form, show, signing_of, to_act
from credit.api.holder_pages import OUTSIDE_SITE, show_holder
from credit.api.listings import Document, Exit, Listing
from credit.api.measures import MEASURES, REASONS, measures_for
from credit.api.problems import UNKNOWN_REQUEST
from credit.api.reading import StoredAccesses
from credit.api.review_pages import follow
from credit.api.subjects import Kind, find_subject, masked_name
from credit.api.words import HOLD_KEYS
from credit.catalogue import AUTHORITY_ROLE
from credit.pb import credit_pb2 as pb
from service.language import language_of
from service.problems import Problem
from service.sign_in.sessions import Officer

PUBLIC_MS: Final = 10_000
"""How old the public list may be: an exit, or an objection, shows by then. An entry's own page is read anew."""

Number = Annotated[str, Form(max_length=listings.DOCUMENT_CHARACTERS_MAX)]
Day = Annotated[str, Form(max_length=10)]


def statutory_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_office(router)
    _add_ending(router)
    _add_public(router)
    return router


async def _scope(request: Request, officer: Officer) -> str:
    """Whose events and entries an officer sees: "" for the authority, which sees all."""
    is_authority = await credit_of(request).ledger.has_role(officer.organisation, AUTHORITY_ROLE)
    return "" if is_authority else officer.organisation


def _names(found: list[Listing], request: Request) -> dict[str, str]:
    return {one.row.id: class_name(one.catalogued, language_of(request)) for one in found}


def _add_office(router: APIRouter) -> None:
    @router.get("/statutory")
    async def listed(request: Request, officer: Supervisor) -> Response:
        context, scope = credit_of(request), await _scope(request, officer)
        await run_in_threadpool(follow, context)
        found = await run_in_threadpool(listings.office_listings, context, scope)
        catalogue = await run_in_threadpool(context.index.catalogue)
        lists = [
            (number, class_name(one, language_of(request)), one.legal_basis)
            for number, one in catalogue.items()
            if pb.EFFECT_BURDEN in one.effects and not one.retired
        ]
        return show(
            request, officer, "statutory.html", listings=found, names=_names(found, request), lists=lists,
            hold_keys=HOLD_KEYS,
        )  # fmt: skip

    @router.post("/statutory/find")
    async def find(request: Request, officer: Supervisor, number: Short) -> Response:
        context, scope = credit_of(request), await _scope(request, officer)
        found = await run_in_threadpool(_look_up, context, officer, number)
        grounds = await run_in_threadpool(listing_acts.grounds_of, context, found.subject_id, scope) if found else []
        if found is None or not grounds:  # the same answer, whether somebody has this number or nobody
            return show(request, officer, "statutory-enter.html", whose="", grounds=[])
        catalogue, language = await run_in_threadpool(context.index.catalogue), language_of(request)
        return show(
            request,
            officer,
            "statutory-enter.html",
            subject=context.handle_of(officer.organisation, found.subject_id),
            whose=found.name,
            grounds=[(one, class_name(catalogue.get(one.number), language)) for one in grounds],
            measures=measures_for(is_company=found.is_company),
            today=date_of(context.today).isoformat(),
        )

    @router.post("/statutory")
    async def enter(
        request: Request,
        officer: Supervisor,
        subject: Annotated[str, Form(max_length=64, pattern="^[0-9a-f]+$")],
        event: Annotated[str, Form(max_length=32)],
        document: Number,
        day: Day,
        measures: Annotated[list[str], Form()] = [],  # noqa: B006 - FastAPI's form of "none is chosen"
    ) -> Response:
        context, scope = credit_of(request), await _scope(request, officer)
        subject_id = context.subject_of(officer.organisation, subject)
        named = Document(document.strip(), day_of_form(day))
        signing = signing_of(request, officer)

        def prepare() -> str:
            return listing_acts.enter(signing, subject_id, event, named, measures[: len(MEASURES)], source=scope)

        return to_act(await run_in_threadpool(prepare))


@dataclass(frozen=True, slots=True)
class _Found:
    """Whom an officer means."""

    subject_id: str
    name: str
    is_company: bool


def _look_up(context: CreditContext, officer: Officer, number: str) -> _Found | None:
    """Whom an officer means, by number; that they looked is noted where the person reads it. None: nobody."""
    with context.store.write() as session:
        try:
            subject = find_subject(context, session, number)
        except Problem:
            return None
        StoredAccesses(context).note(session, subject.id, officer.organisation, "listing", "handle", {})
        context.record(session, officer.person_id, "credit.subject-found", subject.id)
        return _Found(subject.id, masked_name(context, session, subject), subject.kind == Kind.COMPANY)


def _add_ending(router: APIRouter) -> None:
    @router.get("/statutory/{listing_id}")
    async def one(listing_id: str, request: Request, officer: Supervisor) -> Response:
        context, scope = credit_of(request), await _scope(request, officer)
        await run_in_threadpool(follow, context)
        found = await run_in_threadpool(_read, context, officer, scope, listing_id)
        return show(
            request, officer, "statutory-one.html", one=found, what=class_name(found.catalogued, language_of(request)),
            hold_keys=HOLD_KEYS, measures=MEASURES, reasons=REASONS,
            today=date_of(context.today).isoformat(),
        )  # fmt: skip

    @router.post("/statutory/{listing_id}/end")
    def end(
        listing_id: str,
        request: Request,
        officer: Supervisor,
        document: Number,
        day: Day,
        reason: Annotated[str, Form(max_length=16)],
    ) -> Response:
        found = Exit(Document(document.strip(), day_of_form(day)), reason)
        return to_act(listing_acts.end(signing_of(request, officer), listing_id, found))


def _read(context: CreditContext, officer: Officer, scope: str, listing_id: str) -> Listing:
    """An entry that an officer may see; that they did is recorded."""
    found = listings.find_listing(context, listing_id)
    if scope and found.row.organisation != scope:
        raise Problem(UNKNOWN_REQUEST)
    with context.store.write() as session:
        subject = load_subject(session, found.row.subject_id)
        if not found.row.is_public:
            StoredAccesses(context).note(session, subject.id, officer.organisation, "listing", "handle", {})
        context.record(session, officer.person_id, "credit.listing-read", listing_id)
    return found


class _Kept:
    """The public list, read once in a while whoever asks: each entry is opened for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._read_ms = -PUBLIC_MS
        self._listings: list[Listing] = []

    def listings(self, context: CreditContext) -> list[Listing]:
        """Entries that hold, as they were at most some seconds ago."""
        with self._lock:
            if context.now() - self._read_ms >= PUBLIC_MS:
                self._listings, self._read_ms = listings.public_listings(context), context.now()
            return self._listings


def _add_public(router: APIRouter) -> None:
    kept = _Kept()

    @router.get("/lists")
    def public(request: Request) -> Response:
        found = kept.listings(credit_of(request))
        names = _names(found, request)
        return show_holder(request, "lists.html", site=OUTSIDE_SITE, listings=found, names=names)

    @router.get("/lists/{listing_id}")
    def public_one(listing_id: str, request: Request) -> Response:
        found = _public(credit_of(request), listing_id)
        return show_holder(
            request, "list-entry.html", site=OUTSIDE_SITE, one=found, measures=MEASURES,
            what=class_name(found.catalogued, language_of(request)),
        )  # fmt: skip

    @router.get("/lists/{listing_id}/decision.json")
    def decision(listing_id: str, request: Request) -> Response:
        found = _public(credit_of(request), listing_id)
        body = {
            "decision": found.content.decision,
            "salt": found.content.salt,
            "committed": found.committed.decode(),
            "commitment": listings.commitment(found.content, found.committed).hex(),
        }
        headers = {"content-disposition": 'attachment; filename="decision.json"'}
        return Response(json.dumps(body, indent=1), media_type="application/json", headers=headers)


def _public(context: CreditContext, listing_id: str) -> Listing:
    """An entry that everybody may read.

    Raises:
        Problem: There is none of this id, of a legal person, that holds today.
    """
    found = listings.find_listing(context, listing_id)
    if not found.row.is_public or not found.is_in_force:
        raise Problem(UNKNOWN_REQUEST)
    return found
