# SPDX-License-Identifier: Apache-2.0
"""The pages of the credit authority: companies by grade with their supervision level, random draws, what is overdue.

Companies are public; people are on none of these lists. A list is an overview from the index: what is decided about a
company is decided on its report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Query, Request
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from credit.api import answering, appeals, draws, requests
from credit.api.base import SCORECARD, CreditContext, credit_of
from credit.api.desk_pages import Supervisor, needs_role, show, signing_of, to_act
from credit.api.draws import complete_draws, load_draw
from credit.api.holder_pages import OUTSIDE_SITE, show_holder
from credit.api.problems import DRAW_MANY, NO_SCORECARD
from credit.api.request_pages import ShownRequest, shown_request
from credit.api.requests import APPEAL, DISPUTE, ESCALATED, LIVING, REVIEW, read_request
from credit.api.standings import ROWS_MAX, scored_events
from credit.api.subjects import Kind, State, name_of
from credit.api.tables import CreditDraw, CreditRequest, CreditSubject
from credit.catalogue import AUTHORITY_ROLE
from credit.draw import INSPECTORS_MAX, WEIGHTS, Announcement, draw
from credit.score import score
from credit.scorecard import parse
from service.problems import Problem

COMPANIES_MAX: Final = 2_000
"""A list that is still computed within a second or two; more companies need a table that is kept."""
DrawsPage = Annotated[int, Query(ge=1, le=draws.PAGES_MAX)]
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


def companies(context: CreditContext) -> tuple[list[Company], bool]:
    """Companies with open logs, scored from the index, the least trusted first; and whether there are more.

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
        rows = session.scalars(select(CreditSubject).where(wanted).order_by(CreditSubject.id).limit(COMPANIES_MAX + 1))
        all_rows = rows.all()
        found_rows, more = all_rows[:COMPANIES_MAX], len(all_rows) > COMPANIES_MAX
        for at in range(0, len(found_rows), ROWS_MAX):
            some = found_rows[at : at + ROWS_MAX]
            scored = scored_events(context, session, some)
            for row in some:
                events = scored.get(row.id, [])
                result = score(events, card, context.today)
                number = people.open(session, row, CreditSubject.number) or ""
                name = name_of(context, session, row)
                listed.append(Company(name, number, result.points, result.grade, len(events), result.frozen))
    return sorted(listed, key=lambda one: (one.points, one.number)), more


def candidates_of(context: CreditContext) -> tuple[tuple[str, int], ...]:
    """All companies with their weights, as a draw takes them.

    Raises:
        Problem: There are more than are scored at once, or no scorecard is published.
    """
    found, more = companies(context)
    if more:
        raise Problem(DRAW_MANY, {"count": COMPANIES_MAX})
    return tuple(sorted((one.number, WEIGHTS[one.grade]) for one in found))


def regulator_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_lists(router)
    _add_public(router)
    _add_draws(router)
    return router


def _add_lists(router: APIRouter) -> None:
    @router.get("/companies")
    async def listed(request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        found, more = await run_in_threadpool(companies, context)
        await run_in_threadpool(requests.follow_requests, context)
        overdue = await run_in_threadpool(_overdue, context, request)
        counts = [(grade, sum(one.grade == grade for one in found)) for grade in LEVELS]
        shown: dict[str, Any] = {"companies": found, "most": COMPANIES_MAX if more else 0, "levels": LEVELS}
        return show(request, officer, "companies.html", **shown, counts=counts, overdue=overdue)

    @router.post("/escalated/{request_id}/withdraw")
    async def withdraw(
        request_id: str, request: Request, officer: Supervisor, answer: Annotated[str, Form(max_length=1_000)]
    ) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        signing = signing_of(request, officer)
        return to_act(await run_in_threadpool(answering.withdraw_event, signing, request_id, answer))

    @router.post("/escalated/{request_id}/dismiss")
    async def dismiss(
        request_id: str, request: Request, officer: Supervisor, answer: Annotated[str, Form(max_length=1_000)]
    ) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        await run_in_threadpool(appeals.dismiss, credit_of(request), officer.person_id, request_id, answer)
        return RedirectResponse("/companies", 303)


def _overdue(context: CreditContext, request: Request) -> list[ShownRequest]:
    """Disputes and reviews that nobody answered in time, and objections to what was upheld."""
    escalated = CreditRequest.kind.in_((DISPUTE, REVIEW)) & (CreditRequest.state == ESCALATED)
    wanted = escalated | ((CreditRequest.kind == APPEAL) & CreditRequest.state.in_(LIVING))
    with context.store.read() as session:
        rows = session.scalars(select(CreditRequest).where(wanted).order_by(CreditRequest.due_day).limit(200))
        late = [read_request(context, session, row) for row in rows]
    return [shown_request(context, request, one) for one in late]


def _draws(context: CreditContext, page: int) -> Sequence[CreditDraw]:
    """A page of all draws, the newest first, and one more if there are more."""
    with context.store.read() as session:
        query = select(CreditDraw).order_by(CreditDraw.number.desc()).offset((page - 1) * draws.LISTED_MAX)
        return session.scalars(query.limit(draws.LISTED_MAX + 1)).all()


def _add_public(router: APIRouter) -> None:
    summaries = draws.Summaries()

    @router.get("/lists/draws")
    def announced(request: Request, page: DrawsPage = 1) -> Response:
        found, more = draws.listed(credit_of(request), summaries, page)
        return show_holder(request, "public-draws.html", site=OUTSIDE_SITE, draws=found, page=page, more=more)


def _add_draws(router: APIRouter) -> None:
    @router.get("/draws")
    async def listed(request: Request, officer: Supervisor, page: DrawsPage = 1) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        await run_in_threadpool(complete_draws, context)
        rows = await run_in_threadpool(_draws, context, page)
        paged: dict[str, Any] = {"draws": rows[: draws.LISTED_MAX], "page": page, "more": len(rows) > draws.LISTED_MAX}
        return show(request, officer, "draws.html", inspectors_max=INSPECTORS_MAX, **paged)

    @router.post("/draws")
    async def announce(
        request: Request,
        officer: Supervisor,
        count: Annotated[int, Form()],
        inspectors: Annotated[str, Form(max_length=20_000)],
    ) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        names = sorted({name.strip() for name in inspectors.replace(",", "\n").splitlines() if name.strip()})
        candidates = await run_in_threadpool(candidates_of, context)
        draw_id = await draws.announce(
            context, officer.person_id, officer.organisation, candidates, tuple(names), count
        )
        return RedirectResponse(f"/draws/{draw_id}", 303)

    @router.get("/draws/{draw_id}")
    async def one(draw_id: str, request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        await run_in_threadpool(complete_draws, context)
        row = await run_in_threadpool(load_draw, context, draw_id)
        drawn = draw(row.announcement, row.seed) if row.seed else ()
        announced = Announcement.decode(row.announcement)
        return show(request, officer, "draw.html", row=row, announced=announced, drawn=drawn)

    @router.get("/draws/{draw_id}/announcement")
    async def published(draw_id: str, request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        row = await run_in_threadpool(load_draw, credit_of(request), draw_id)
        headers = {"content-disposition": f'attachment; filename="draw-{row.height}.json"'}
        return Response(row.announcement, media_type="application/json", headers=headers)

    @router.get("/draws/{draw_id}/proof")
    async def proof(draw_id: str, request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        row = await run_in_threadpool(load_draw, credit_of(request), draw_id)
        headers = {"content-disposition": f'attachment; filename="draw-{row.height}.receipt"'}
        return Response(row.receipt, media_type="application/octet-stream", headers=headers)
