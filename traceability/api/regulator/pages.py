# SPDX-License-Identifier: Apache-2.0
"""The regulator's dashboard, search, and pages of one item or participant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from service.language import language_of, translate
from service.problems import Problem
from traceability.acts import act_of
from traceability.api.regulator import discrepancies, queries
from traceability.api.regulator.ground import PATH, FoodOffice, Reader, food_office, names_here, show
from traceability.api.regulator.problems import UNKNOWN
from traceability.api.regulator.words import ACT_KEYS, KIND_KEYS, REASON_KEYS, VIOLATION_KEYS
from traceability.api.shopper.complaints import Complaints
from traceability.api.trace_search import IndexedEvents
from traceability.api.trader.standing import read_state
from traceability.api.trader.trade_index import RECORDED
from traceability.documents.names import Names, code_of
from traceability.goods import load_lot, load_object, lot_key, object_key
from traceability.graph import trace_back
from traceability.items import Kind, is_gln, is_product, kind_of
from traceability.pb import traceability_pb2 as pb
from traceability.recalls import load_recall, recall_key
from traceability.trace_store import TraceEvent

ITEM_PATH: Final = f"{PATH}/item"
EVENTS_SHOWN: Final = 200
COMPLAINTS_COUNTED: Final = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    """An item as its page shows it.

    Attributes:
        lot: Its totals on the ledger, if it is a lot.
        thing: Its record, if it is an object.
        recall: In force, by the ledger.
        events: That name it, the newest first.
        sources: Lots that it was made of.
    """

    item: str
    lot: pb.LotRecord | None
    thing: pb.ObjectRecord | None
    recall: pb.RecallRecord | None
    history: Sequence[queries.Recalled]
    events: Sequence[TraceEvent]
    sources: Sequence[str]
    names: Names


def dashboard_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_dashboard(router)
    _add_search(router)
    _add_item(router)
    return router


def _add_dashboard(router: APIRouter) -> None:
    @router.get(PATH)
    async def dashboard(request: Request, officer: Reader) -> Response:
        office, language = food_office(request), language_of(request)
        is_whole = await discrepancies.gather(office)

        def read() -> tuple[queries.Days, dict[str, int], int, int, int]:
            with office.context.reading() as connection:
                days = queries.days_of(connection, office.context.now())
                totals = dict(queries.totals_of(connection))
                recalls = queries.recall_count(connection)
            _, differing = discrepancies.listed(office, None, limit=1)
            unseen = sum(not one.seen_ms for one in Complaints(office.context.store).listed(limit=COMPLAINTS_COUNTED))
            return days, totals, recalls, differing, unseen

        days, totals, recalls, differing, unseen = await run_in_threadpool(read)
        labels = [f"{_EPOCH + timedelta(days=day):%m-%d}" for day in days.days]
        refused = [(what, translate(language, key)) for what, key in VIOLATION_KEYS.items()]
        return show(
            request,
            officer,
            "regulator/dashboard.html",
            recorded=totals.get(RECORDED, 0),
            violations=sum(totals.get(what, 0) for what, _ in refused),
            recalls=recalls,
            discrepancies=differing,
            is_whole=is_whole,
            complaints=unseen,
            daily=[[label, count] for label, count in zip(labels, days.counts[RECORDED], strict=True)],
            refused_head=[translate(language, "food-office.day"), *(name for _, name in refused)],
            refused_daily=[
                [label, *(days.counts[what][index] for what, _ in refused)] for index, label in enumerate(labels)
            ],
        )


def _add_search(router: APIRouter) -> None:
    @router.get(PATH + "/search")
    def search(request: Request, officer: Reader, q: str = "") -> Response:
        with food_office(request).context.reading() as connection:
            found = queries.search(connection, q)
            names = names_here(request, connection, glns=found.parties, items=found.items)
        if len(found.items) == 1 and not found.parties:
            return RedirectResponse(f"{ITEM_PATH}?item={found.items[0]}", 303)
        asked = q[: queries.QUERY_CHARACTERS_MAX]
        return show(request, officer, "regulator/search.html", asked=asked, found=found, names=names, code_of=code_of)

    @router.get(PATH + "/participant")
    def participant(request: Request, officer: Reader, gln: str = "") -> Response:
        if not is_gln(gln):
            raise Problem(UNKNOWN)
        with food_office(request).context.reading() as connection:
            events = queries.events_of(connection, gln, limit=EVENTS_SHOWN)
            others = [other for _, one in events for other in (one.actor, one.counterparty)]
            items = [line.item for _, one in events for line in (*one.lines, *one.outputs)]
            names = names_here(request, connection, glns=[gln, *others], items=items)
        rows = [(at, act_of(one), one) for at, one in events]
        return show(request, officer, "regulator/participant.html", gln=gln, rows=rows, names=names, act_keys=ACT_KEYS)


def _add_item(router: APIRouter) -> None:
    @router.get(ITEM_PATH)
    async def item(request: Request, officer: Reader, item: str = "") -> Response:
        if kind_of(item) is None and not is_product(item):
            raise Problem(UNKNOWN)
        found = await _look(request, food_office(request), item)
        return show(
            request,
            officer,
            "regulator/item.html",
            found=found,
            names=found.names,
            is_product=is_product(item),
            act_keys=ACT_KEYS,
            kind_keys=KIND_KEYS,
            reason_keys=REASON_KEYS,
            code_of=code_of,
        )


async def _look(request: Request, office: FoodOffice, item: str) -> Item:
    """Everything about an item.

    Raises:
        Problem: The ledger knows no such item.
        TransportError: The ledger does not answer.
    """
    is_lot = kind_of(item) is Kind.LOT
    keys = [recall_key(item)]
    if not is_product(item):
        keys.append(lot_key(item) if is_lot else object_key(item))
    state = await read_state(office.reads, keys)
    lot = load_lot(state.get, item) if is_lot else None
    thing = None if is_lot or is_product(item) else load_object(state.get, item)

    def read() -> Item:
        with office.context.reading() as connection:
            events: Sequence[TraceEvent] = ()
            sources: Sequence[str] = ()
            if not is_product(item):
                store = IndexedEvents(connection)
                events = list(store.touching([item]).get(item, ()))[::-1][:EVENTS_SHOWN]
                sources = [one for one in trace_back(store, item).goods if one != item]
            history = queries.recall_history(connection, item)
            names = names_here(
                request,
                connection,
                glns=[gln for one in events for gln in (one.actor, one.counterparty, one.carrier)]
                + [one.actor for one in history],
                places=[one.place for one in events],
                items=[item, *sources],
            )
        return Item(item, lot, thing, load_recall(state.get, item), history, events, sources, names)

    found = await run_in_threadpool(read)
    if found.lot is None and found.thing is None and not is_product(item):
        raise Problem(UNKNOWN)
    return found
