# SPDX-License-Identifier: Apache-2.0
"""The pages of the credit authority: companies by grade with their supervision level, random draws, what is overdue.

Companies are public; people are on none of these lists. A list is an overview from the index: what is decided about a
company is decided on its report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from chain.errors import InvalidMessage
from credit.api import answering, requests
from credit.api.base import SCORECARD, CreditContext, credit_of
from credit.api.desk_pages import Supervisor, needs_role, show, signing_of, to_act
from credit.api.events import Event
from credit.api.problems import DRAW, NO_SCORECARD, UNKNOWN_REQUEST
from credit.api.requests import DISPUTE, ESCALATED, read_request
from credit.api.subjects import Kind, State, name_of
from credit.api.tables import CreditDraw, CreditEvent, CreditRequest, CreditSubject
from credit.catalogue import AUTHORITY_ROLE
from credit.draw import INSPECTORS_MAX, WEIGHTS, Announcement, draw
from credit.report import STATUS_NAMES, published_days_max
from credit.score import Event as ScoredEvent
from credit.score import score
from credit.scorecard import parse
from service.problems import Problem
from service.store.models import new_id

COMPANIES_MAX: Final = 2_000
"""A list that is still computed within a second or two; more companies need a table that is kept."""
DRAW_AHEAD: Final = 5
"""Blocks until the seed: some seconds, and more than whoever announces can foresee."""
DRAWS_SHOWN: Final = 50
LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {"A": "credit-page.level-a", "B": "credit-page.level-b", "C": "credit-page.level-c", "D": "credit-page.level-d"}
)


@dataclass(frozen=True, slots=True)
class Company:
    """A company on the list."""

    name: str
    number: str
    points: int
    grade: str
    events: int
    disputed: int


def companies(context: CreditContext) -> list[Company]:
    """Companies with open logs, scored from the index; the least trusted first.

    Raises:
        Problem: No scorecard is published.
    """
    found = context.index.scorecard(SCORECARD)
    if found is None:
        raise Problem(NO_SCORECARD)
    card = parse(found[1])
    people = context.store.people
    listed: list[Company] = []
    with context.store.read() as session:
        wanted = (CreditSubject.kind == Kind.COMPANY) & (CreditSubject.state == State.OPEN)
        rows = session.scalars(select(CreditSubject).where(wanted).order_by(CreditSubject.id).limit(COMPANIES_MAX))
        for row in rows:
            own = (CreditEvent.subject_id == row.id) & CreditEvent.position.is_not(None)
            events = [
                Event.decode(people.open(session, one, CreditEvent.content) or "")
                for one in session.scalars(select(CreditEvent).where(own).order_by(CreditEvent.position))
            ]
            slots = context.index.slots(event.slot for event in events)
            scored = [_scored(context, event, STATUS_NAMES[slots[event.slot].status]) for event in events]
            result = score(scored, card, context.today)
            number = people.open(session, row, CreditSubject.number) or ""
            name = name_of(context, session, row)
            listed.append(Company(name, number, result.points, result.grade, len(events), result.frozen))
    return sorted(listed, key=lambda one: (one.points, one.number))


def _scored(context: CreditContext, event: Event, status: str) -> ScoredEvent:
    catalogued = context.index.class_of(event.number, event.version)
    content = event.content
    days = 0 if catalogued is None else published_days_max(catalogued, content.severity)
    return ScoredEvent(event.number, content.severity, status, content.document_day, days)  # type: ignore[arg-type]  # one of the names


def regulator_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_lists(router)
    _add_draws(router)
    return router


def _add_lists(router: APIRouter) -> None:
    @router.get("/companies")
    async def listed(request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        found = await run_in_threadpool(companies, context)
        await run_in_threadpool(requests.follow_requests, context)
        overdue = await run_in_threadpool(_overdue, context)
        counts = [(grade, sum(one.grade == grade for one in found)) for grade in LEVELS]
        return show(request, officer, "companies.html", companies=found, levels=LEVELS, counts=counts, overdue=overdue)

    @router.post("/escalated/{request_id}/withdraw")
    async def withdraw(
        request_id: str, request: Request, officer: Supervisor, answer: Annotated[str, Form(max_length=1_000)]
    ) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        signing = signing_of(request, officer)
        return to_act(await run_in_threadpool(answering.withdraw_event, signing, request_id, answer))


def _overdue(context: CreditContext) -> list[requests.Asked]:
    """Disputes that nobody answered in time."""
    wanted = (CreditRequest.kind == DISPUTE) & (CreditRequest.state == ESCALATED)
    with context.store.read() as session:
        rows = session.scalars(select(CreditRequest).where(wanted).order_by(CreditRequest.due_day).limit(200))
        return [read_request(context, session, row) for row in rows]


def _add_draws(router: APIRouter) -> None:
    @router.get("/draws")
    async def listed(request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        await run_in_threadpool(complete_draws, context)
        with context.store.read() as session:
            query = select(CreditDraw).order_by(CreditDraw.made_ms.desc()).limit(DRAWS_SHOWN)
            rows = session.scalars(query).all()
        return show(request, officer, "draws.html", draws=rows, inspectors_max=INSPECTORS_MAX)

    @router.post("/draws")
    async def announce(
        request: Request,
        officer: Supervisor,
        count: Annotated[int, Form()],
        inspectors: Annotated[str, Form(max_length=20_000)],
    ) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        height = (await context.ledger.newest()).height + DRAW_AHEAD
        names = sorted({name.strip() for name in inspectors.replace(",", "\n").splitlines() if name.strip()})
        draw_id = await run_in_threadpool(
            announce_draw, context, officer.person_id, officer.organisation, tuple(names), count, height
        )
        return RedirectResponse(f"/draws/{draw_id}", 303)

    @router.get("/draws/{draw_id}")
    async def one(draw_id: str, request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        await run_in_threadpool(complete_draws, context)
        row = _load(context, draw_id)
        drawn = draw(row.announcement, row.seed) if row.seed else ()
        announced = Announcement.decode(row.announcement)
        return show(request, officer, "draw.html", row=row, announced=announced, drawn=drawn)

    @router.get("/draws/{draw_id}/announcement")
    async def published(draw_id: str, request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        row = _load(credit_of(request), draw_id)
        headers = {"content-disposition": f'attachment; filename="draw-{row.height}.json"'}
        return Response(row.announcement, media_type="application/json", headers=headers)


def _load(context: CreditContext, draw_id: str) -> CreditDraw:
    with context.store.read() as session:
        row = session.get(CreditDraw, draw_id)
    if row is None:
        raise Problem(UNKNOWN_REQUEST)
    return row


def announce_draw(
    context: CreditContext, actor: str, organisation: str, inspectors: tuple[str, ...], count: int, height: int
) -> str:
    """Keep an announcement; its seed is a block that is not there yet.

    Returns:
        The draw's id.

    Raises:
        Problem: No companies, no inspectors, or more to draw than there are.
    """
    candidates = tuple(sorted((one.number, WEIGHTS[one.grade]) for one in companies(context)))
    try:
        raw = Announcement(candidates, inspectors, count, height).encode()
    except InvalidMessage as error:
        raise Problem(DRAW, {"reason": error.reason}) from None
    row = CreditDraw(
        id=new_id(), organisation=organisation, made_ms=context.now(), height=height, announcement=raw, seed=b""
    )
    with context.store.write() as session:
        session.add(row)
        context.record(session, actor, "credit.draw-announced", row.id)
        return row.id


def complete_draws(context: CreditContext) -> int:
    """Write down the seeds that have come; how many there were."""
    with context.store.read() as session:
        query = select(CreditDraw.id, CreditDraw.height).where(CreditDraw.seed == b"")
        waiting = [(draw_id, context.index.block_id(height)) for draw_id, height in session.execute(query.limit(100))]
    done = 0
    for draw_id, seed in waiting:
        if seed is not None:
            with context.store.write() as session:
                row = session.get(CreditDraw, draw_id, with_for_update=True)
                if row is not None and not row.seed:
                    row.seed = seed
                    done += 1
    return done
