# SPDX-License-Identifier: Apache-2.0
"""Recall drills: asked for, shown with the notices' answers, taken along as CSV, PDF and the FSMA spreadsheet."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from service.language import Language, language_of, translate
from service.problems import Problem
from service.sign_in.sessions import Officer
from traceability.api.documents.recall_pdf import elapsed, recall_pdf, seconds
from traceability.api.documents.words import WHERE_KEYS, recall_table
from traceability.api.regulator import drills
from traceability.api.regulator.ground import PATH, Reader, Supervisor, food_office, show
from traceability.api.regulator.problems import TOO_LARGE
from traceability.api.regulator.recall_pages import items_in
from traceability.api.trace_search import IndexedEvents
from traceability.api.trader.ground import names_of
from traceability.documents.fsma import fsma_sheet
from traceability.documents.names import Names, code_of
from traceability.documents.recall_report import RecallReport, Where
from traceability.documents.sheet import Sheet, TooManyRows, csv_bytes
from traceability.graph import trace_back, trace_forward
from traceability.items import is_product

DRILLS: Final = f"{PATH}/drills"
ITEMS_MAX: Final = 20
"""Goods that one drill begins with; what they became is found."""
PARTS_SHOWN: Final = 500
"""Rows on the page; the files have all."""


def drill_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_drills(router)
    _add_files(router)
    return router


def _add_drills(router: APIRouter) -> None:
    def page(request: Request, officer: Officer, entered: dict[str, str], errors: dict[str, str]) -> Response:
        rows = drills.listed(food_office(request).context)
        return show(
            request,
            officer,
            "regulator/drills.html",
            status=422 if errors else 200,
            rows=rows,
            entered=entered,
            errors=errors,
            seconds=seconds,
            items_max=ITEMS_MAX,
        )

    @router.get(DRILLS)
    def listed(request: Request, officer: Reader, item: str = "") -> Response:
        return page(request, officer, {"items": item, "kind": "drill"}, {})

    @router.post(DRILLS)
    async def carry_out(request: Request, officer: Supervisor) -> Response:
        form = await request.form(max_files=0)
        language = language_of(request)
        text, kind = form.get("items", ""), form.get("kind", "")
        items, wrong = items_in(text if isinstance(text, str) else "")
        wrong += [item for item in items if is_product(item)]
        errors: dict[str, str] = {}
        if wrong:
            errors["items"] = translate(language, "food-office.wrong-items", items=", ".join(wrong[:3])[:200])
        elif not 1 <= len(items) <= ITEMS_MAX:
            errors["items"] = translate(language, "food-office.wrong-count", most=ITEMS_MAX)
        if kind not in {"drill", "real"}:
            errors["kind"] = translate(language, "food-office.wrong-kind")
        if errors:
            entered = {"items": str(text)[:4_000], "kind": str(kind)[:8]}
            return await run_in_threadpool(page, request, officer, entered, errors)
        context = food_office(request).context
        drill_id = await run_in_threadpool(lambda: drills.carry_out(context, officer, items, is_drill=kind == "drill"))
        return RedirectResponse(f"{DRILLS}/{drill_id}", 303)

    @router.get(DRILLS + "/{drill_id}")
    def drill(drill_id: str, request: Request, officer: Reader) -> Response:
        report, is_drill = drills.load(food_office(request).context, drill_id)
        names = _names(request, report, language_of(request))
        held = [part for part in report.parts if part.holder]
        totals = {where: report.total(where) for where in Where}
        return show(
            request,
            officer,
            "regulator/drill.html",
            drill_id=drill_id,
            report=report,
            is_drill=is_drill,
            names=names,
            held=held[:PARTS_SHOWN],
            more=max(0, len(held) - PARTS_SHOWN),
            holders=len({part.holder for part in held}),
            totals=totals,
            lots=report.lots[:PARTS_SHOWN],
            where_keys=WHERE_KEYS,
            code_of=code_of,
            elapsed=elapsed(report, language_of(request)),
            took=seconds(report.took_ms),
        )


def _add_files(router: APIRouter) -> None:
    @router.get(DRILLS + "/{drill_id}/drill.csv")
    def drill_csv(drill_id: str, request: Request, officer: Reader) -> Response:
        del officer
        report, _ = drills.load(food_office(request).context, drill_id)
        language = language_of(request)
        return _csv(recall_table(report, _names(request, report, language), language), f"recall-{report.number}")

    @router.get(DRILLS + "/{drill_id}/drill.pdf")
    def drill_pdf(drill_id: str, request: Request, officer: Reader) -> Response:
        del officer
        report, is_drill = drills.load(food_office(request).context, drill_id)
        language = language_of(request)
        content = recall_pdf(report, _names(request, report, language), language, is_drill=is_drill)
        headers = {
            "content-disposition": f'attachment; filename="recall-{report.number}.pdf"',
            "cache-control": "private, no-store",
        }
        return Response(content, media_type="application/pdf", headers=headers)

    @router.get(DRILLS + "/{drill_id}/fsma.csv")
    def fsma(drill_id: str, request: Request, officer: Reader) -> Response:
        del officer
        context = food_office(request).context
        report, _ = drills.load(context, drill_id)
        return _csv(_fsma(request, report.items), f"fsma-{report.number}")


def _fsma(request: Request, items: Sequence[str]) -> Sheet:
    """Every critical tracking event of goods, of what they were made of and of what became of them."""
    with food_office(request).context.reading() as connection:
        store = IndexedEvents(connection)
        found = {one.number: one for one in trace_forward(store, items).events}
        for item in items:
            found |= {one.number: one for one in trace_back(store, item).events}
        events = list(found.values())
        names = names_of(
            connection,
            "en",
            glns=[gln for one in events for gln in (one.actor, one.counterparty)],
            places=[one.place for one in events],
            items=[item for one in events for item in one.items],
        )
    return fsma_sheet(events, names)


def _csv(sheet: Sheet, name: str) -> Response:
    """A sheet as a file.

    Raises:
        Problem: It has too many rows.
    """
    try:
        content = csv_bytes(sheet)
    except TooManyRows:
        raise Problem(TOO_LARGE) from None
    headers = {"content-disposition": f'attachment; filename="{name}.csv"', "cache-control": "private, no-store"}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


def _names(request: Request, report: RecallReport, language: Language) -> Names:
    """Names of all that a report mentions."""
    glns = {gln for part in report.parts for gln in (part.holder, part.towards)}
    glns |= {notice.participant for notice in report.notices}
    with food_office(request).context.reading() as connection:
        return names_of(connection, language, glns=glns, places=report.places, items=[*report.lots, *report.items])
