# SPDX-License-Identifier: Apache-2.0
"""The model monitor: a month's figures as page, PDF and CSV, each with what it means and what it does not prove.

For officers of the credit authority who read records: supervisors and auditors. No figure is of one person.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from credit.api import monitor_job
from credit.api.base import DAY_MS, CreditContext, credit_of, date_of
from credit.api.desk_pages import Reader, Supervisor, needs_role, show
from credit.api.monitor_figures import ATTRIBUTES, Figures, is_month, month_of
from credit.api.monitor_job import Monitor
from credit.api.monitor_print import ROW_COLUMNS, month_pdf, rows_of
from credit.api.problems import BASIS, NOT_NOW, UNKNOWN_MONTH
from credit.api.words import DRIFT_KEYS, GROUP_KEYS
from credit.catalogue import AUTHORITY_ROLE
from credit.monitor import ACT_FROM, FOUR_FIFTHS, GROUP_MIN, WATCH_FROM
from service.language import language_of
from service.problems import Problem
from service.tables import csv_response

MONTHS_SHOWN: Final = 24
BASIS_CHARACTERS_MAX: Final = 200


def monitor_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_months(router)
    _add_asking(router)
    return router


def monitor_of(request: Request) -> Monitor:
    """The job of the service that answers."""
    found = request.app.state.credit_monitor
    assert isinstance(found, Monitor)
    return found


def _add_months(router: APIRouter) -> None:
    @router.get("/monitor")
    async def newest(request: Request, officer: Reader) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        kept = await run_in_threadpool(monitor_job.months_kept, context, MONTHS_SHOWN)
        bases = await run_in_threadpool(monitor_job.bases_of, context)
        return show(
            request,
            officer,
            "monitor.html",
            months=kept,
            trend=[one for one in reversed(kept) if one.psi is not None],
            rates=rates_of(list(reversed(kept))),
            drift_keys=DRIFT_KEYS,
            group_keys=GROUP_KEYS,
            attributes=ATTRIBUTES,
            bases=bases,
            is_asked=monitor_of(request).is_asked,
            may_ask=_may_ask(context, kept),
            group_min=GROUP_MIN,
            basis_max=BASIS_CHARACTERS_MAX,
        )

    @router.get("/monitor/{month}")
    async def month(month: str, request: Request, officer: Reader) -> Response:
        figures, made_ms = await _kept(request, officer, month)
        return show(
            request,
            officer,
            "month.html",
            one=figures,
            made_ms=made_ms,
            as_of=date_of(figures.as_of_day),
            tenths=tenth_rows(figures),
            grades=grade_rows(figures),
            drift_keys=DRIFT_KEYS,
            group_keys=GROUP_KEYS,
            attributes=[one for one in ATTRIBUTES if any(line.attribute == one for line in figures.groups)],
            group_min=GROUP_MIN,
            watch_from=WATCH_FROM,
            act_from=ACT_FROM,
            fifths=FOUR_FIFTHS,
        )

    @router.get("/monitor/{month}/report.pdf")
    async def printed(month: str, request: Request, officer: Reader) -> Response:
        figures, made_ms = await _kept(request, officer, month)
        raw = await run_in_threadpool(month_pdf, figures, made_ms, language_of(request))
        headers = {
            "content-disposition": f'attachment; filename="credit-monitor-{month}.pdf"',
            "cache-control": "no-store",
        }
        return Response(raw, media_type="application/pdf", headers=headers)

    @router.get("/monitor/{month}/report.csv")
    async def listed(month: str, request: Request, officer: Reader) -> Response:
        figures, _ = await _kept(request, officer, month)
        return csv_response(request, f"credit-monitor-{month}", ROW_COLUMNS, rows_of(figures, language_of(request)))


async def _kept(request: Request, officer: Reader, month: str) -> tuple[Figures, int]:
    """A month's figures, for an officer of the authority.

    Raises:
        Problem: There are none, or the organisation is not the authority.
    """
    await needs_role(request, officer, AUTHORITY_ROLE)
    context = credit_of(request)
    found = await run_in_threadpool(monitor_job.month_kept, context, month) if is_month(month) else None
    if found is None:
        raise Problem(UNKNOWN_MONTH)
    return found


def _add_asking(router: APIRouter) -> None:
    @router.post("/monitor")
    async def make(request: Request, officer: Supervisor) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        context = credit_of(request)
        kept = await run_in_threadpool(monitor_job.months_kept, context, 1)
        if not _may_ask(context, kept):
            raise Problem(NOT_NOW)

        def note() -> None:
            with context.store.write() as session:
                month = month_of(date_of(context.today))
                context.record(session, officer.person_id, "credit.month-asked", monitor_job.record_of(month))

        await run_in_threadpool(note)
        monitor_of(request).ask()
        return RedirectResponse("/monitor", 303)

    @router.post("/monitor/groups")
    async def compare(
        request: Request,
        officer: Supervisor,
        attribute: Annotated[str, Form(max_length=16)],
        basis: Annotated[str, Form(max_length=BASIS_CHARACTERS_MAX)] = "",
    ) -> Response:
        await needs_role(request, officer, AUTHORITY_ROLE)
        if attribute not in ATTRIBUTES:
            raise Problem(BASIS)
        context, named = credit_of(request), " ".join(basis.split())

        def put() -> None:
            monitor_job.put_basis(context, officer.person_id, officer.organisation, attribute, named)

        await run_in_threadpool(put)
        return RedirectResponse("/monitor", 303)


def _may_ask(context: CreditContext, kept: Sequence[Figures]) -> bool:
    """Whether the current month's figures may be made: once a day, so that two hardly tell of who came between."""
    now = month_of(date_of(context.now() // DAY_MS))
    return not any(one.month == now and one.as_of_day == context.today for one in kept)


# ---------------------------------------------------------------- rows of charts: shares in percent


def percent(part: float, whole: float) -> float:
    """A share in percent with one digit; 0 of nothing."""
    return round(100 * part / whole, 1) if whole else 0.0


def tenth_rows(figures: Figures) -> list[tuple[str, ...] | tuple[str, float] | tuple[str, float, float]]:
    """Shares by tenth of points: then, where there is something to compare with, and now."""
    bounds = [-math.inf, *figures.edges, math.inf]
    rows: list[tuple[str, ...] | tuple[str, float] | tuple[str, float, float]] = []
    for i, count in enumerate(figures.actual):
        name = _range(bounds[i], bounds[i + 1])
        now = percent(count, sum(figures.actual))
        if figures.expected:
            rows.append((name, percent(figures.expected[i], sum(figures.expected)), now))
        else:
            rows.append((name, now))
    return rows


def _range(low: float, high: float) -> str:
    """Points of a tenth: "<520", "520-559", "≥700"."""
    if math.isinf(low) and math.isinf(high):
        return "-"
    if math.isinf(low):
        return f"<{high:.0f}"
    return f"\N{GREATER-THAN OR EQUAL TO}{low:.0f}" if math.isinf(high) else f"{low:.0f}-{high - 1:.0f}"


def grade_rows(figures: Figures) -> list[tuple[str, float] | tuple[str, float, float]]:
    """Shares by grade, likewise."""
    now, then = sum(figures.grades.values()), sum(figures.grades_then.values())
    return [
        (letter, percent(figures.grades_then[letter], then), percent(count, now))
        if then
        else (letter, percent(count, now))
        for letter, count in figures.grades.items()
    ]


def rates_of(months: Sequence[Figures]) -> list[tuple[str, float, float, float]]:
    """Rates by month, in percent: changed by review, objections that were right, those answered late; 0 of nothing."""
    return [
        (
            one.month,
            percent(one.acts.overruled, one.acts.reviewed),
            percent(one.acts.disputes_upheld, one.acts.disputes_decided),
            percent(one.acts.disputes_late, one.acts.disputes_decided),
        )
        for one in months
        if one.acts.reviewed or one.acts.disputes_decided
    ]
