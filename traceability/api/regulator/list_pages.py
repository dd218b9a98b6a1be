# SPDX-License-Identifier: Apache-2.0
"""The regulator's lists: discrepancies, refused attempts, alerts of the cold chain, shoppers' complaints."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from service.language import language_of, translate
from service.problems import Problem
from service.sign_in.kinds import NOT_ALLOWED
from service.sign_in.roles import Permission
from service.tables import EXPORT_ROWS_MAX, Column, Order, csv_response, listing, read_order
from traceability.api.regulator import cold, discrepancies, queries
from traceability.api.regulator.ground import PATH, Reader, food_office, names_here, show
from traceability.api.regulator.words import VIOLATION_KEYS
from traceability.api.shopper.complaints import ELSEWHERE, KINDS, Complaints
from traceability.api.shopper.districts import district_name
from traceability.api.trader.words import goods_words, refusal_of
from traceability.documents.names import code_of, decimal, stamp

DISCREPANCIES: Final = (
    Column("time", "food-office.time", sortable=True),
    Column("item", "food-office.goods"),
    Column("shipper", "food-office.shipper"),
    Column("receiver", "food-office.receiver"),
    Column("over", "food-office.over", numeric=True),
    Column("short", "food-office.short", numeric=True),
)
VIOLATIONS: Final = (
    Column("time", "food-office.time", sortable=True),
    Column("kind", "food-office.attempt"),
    Column("actor", "food-office.actor"),
    Column("goods", "food-office.goods"),
    Column("why", "food-office.why"),
    Column("code", "food-office.code"),
)
COMPLAINTS_MAX: Final = 500


def list_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_discrepancies(router)
    _add_violations(router)
    _add_cold(router)
    _add_complaints(router)
    return router


def _newest_first(request: Request, columns: Sequence[Column]) -> Order:
    """The order that the address asks for; none: by time, the newest first."""
    order = read_order(request, columns)
    return order if "sort" in request.query_params else replace(order, descending=True)


def _add_discrepancies(router: APIRouter) -> None:
    @router.get(PATH + "/discrepancies")
    async def differing(request: Request, officer: Reader, format: str = "") -> Response:  # noqa: A002 - as addresses have it
        office = food_office(request)
        is_whole = await discrepancies.gather(office)

        def page() -> Response:
            order = _newest_first(request, DISCREPANCIES)
            is_csv = format == "csv"
            limit = EXPORT_ROWS_MAX if is_csv else order.page_size
            rows, total = discrepancies.listed(office, None if is_csv else order, limit=limit)
            with office.context.reading() as connection:
                names = names_here(
                    request,
                    connection,
                    glns=[gln for one in rows for gln in (one.shipper, one.receiver)],
                    items=[one.item for one in rows],
                )
            if is_csv:
                cells = (
                    (
                        stamp(one.recorded_ms),
                        one.item,
                        one.shipper,
                        one.receiver,
                        decimal(one.over),
                        decimal(one.short),
                    )
                    for one in rows
                )
                return csv_response(request, "discrepancies", DISCREPANCIES, cells)
            table = listing(request, "discrepancies", DISCREPANCIES, order, shown=len(rows), total=total)
            return show(
                request,
                officer,
                "regulator/discrepancies.html",
                rows=rows,
                listing=table,
                names=names,
                is_whole=is_whole,
                code_of=code_of,
            )

        return await run_in_threadpool(page)


def _add_violations(router: APIRouter) -> None:
    @router.get(PATH + "/violations")
    def refused(request: Request, officer: Reader, kind: str = "", format: str = "") -> Response:  # noqa: A002 - likewise
        office, language = food_office(request), language_of(request)
        chosen = kind if kind in VIOLATION_KEYS else ""
        order = _newest_first(request, VIOLATIONS)
        is_csv = format == "csv"
        with office.context.reading() as connection:
            rows, total = queries.violations_of(
                connection,
                chosen,
                None if is_csv else order,
                limit=EXPORT_ROWS_MAX if is_csv else order.page_size,
            )
            names = names_here(
                request,
                connection,
                glns=[one.projection.actor for one in rows],
                items=[line.item for one in rows for line in (*one.projection.lines, *one.projection.outputs)],
            )
        goods = [
            goods_words(
                names, [(line.item, line.quantity) for line in (*one.projection.lines, *one.projection.outputs)]
            )
            for one in rows
        ]
        if is_csv:
            cells = (
                (
                    stamp(one.recorded_ms),
                    translate(language, VIOLATION_KEYS[one.violation]),
                    one.projection.actor,
                    what,
                    translate(language, refusal_of(one.code).what),
                    one.code,
                )
                for one, what in zip(rows, goods, strict=True)
            )
            return csv_response(request, "refused", VIOLATIONS, cells)
        table = listing(request, "violations", VIOLATIONS, order, shown=len(rows), total=total)
        return show(
            request,
            officer,
            "regulator/violations.html",
            rows=list(zip(rows, goods, strict=True)),
            listing=table,
            names=names,
            chosen=chosen,
            violation_keys=VIOLATION_KEYS,
            refusal_of=refusal_of,
        )


def _add_cold(router: APIRouter) -> None:
    @router.get(PATH + "/cold-chain")
    def alerts(request: Request, officer: Reader) -> Response:
        office = food_office(request)
        found = cold.alerts(office.context)
        with office.context.reading() as connection:
            names = names_here(
                request, connection, glns=[one.actor for one in found], items=[one.item for one in found]
            )
        return show(
            request,
            officer,
            "regulator/cold.html",
            alerts=found,
            names=names,
            code_of=code_of,
            looked=cold.EVENTS_LOOKED,
        )


def _add_complaints(router: APIRouter) -> None:
    @router.get(PATH + "/complaints")
    def complaints(request: Request, officer: Reader, item: str = "") -> Response:
        office = food_office(request)
        found = Complaints(office.context.store).listed(limit=COMPLAINTS_MAX, item=item[:100])
        with office.context.reading() as connection:
            names = names_here(request, connection, items=[one.item for one in found])
        return show(
            request,
            officer,
            "regulator/complaints.html",
            complaints=found,
            names=names,
            kinds=KINDS,
            district=lambda code: "" if code in {"", ELSEWHERE} else district_name(language_of(request), code),
            code_of=code_of,
            item=item[:100],
        )

    @router.post(PATH + "/complaints/{complaint_id}/seen")
    def seen(complaint_id: str, request: Request, officer: Reader) -> Response:
        if not officer.may(Permission.REGISTER_KEY):  # auditors read, and change nothing
            raise Problem(NOT_ALLOWED)
        context = food_office(request).context
        Complaints(context.store).mark_seen(complaint_id, context.now())
        return RedirectResponse(f"{PATH}/complaints", 303)
