# SPDX-License-Identifier: Apache-2.0
"""The pages of the stock: what is there, deliveries, counts by two people, spoilt cards and their end."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from identity.api.desk import stock
from identity.api.desk.base import DeskContext, Reader, desk_of, show
from identity.api.desk.stock import BlankState, CountState
from service.sign_in.access import Require
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

PATH = "/stock"
STATE_KEYS = {
    BlankState.AWAITED: "stock.awaited",
    BlankState.IN_STOCK: "stock.in-stock",
    BlankState.ASSIGNED: "stock.assigned",
    BlankState.ISSUED: "stock.issued",
    BlankState.FAILED: "stock.failed",
    BlankState.MISSING: "stock.missing",
    BlankState.DESTROYED: "stock.destroyed",
}
COUNT_KEYS = {
    CountState.OPEN: ("warn", "stock.count-open"),
    CountState.AGREED: ("good", "stock.count-agreed"),
    CountState.DIFFERS: ("plain", "stock.count-differs"),
    CountState.SHORT: ("warn", "stock.count-short"),
}
FIGURE_MAX = stock.DELIVERY_CARDS_MAX

Keeper = Annotated[Officer, Depends(Require(Permission.MANAGE_STOCK))]
Text = Annotated[str, Form(max_length=400)]
Long = Annotated[str, Form(max_length=200_000)]
Figure = Annotated[int, Form(ge=0, le=FIGURE_MAX)]


def stock_router() -> APIRouter:
    """The routes. Whoever reads records may count as one of two; the rest is the supervisor's."""
    router = APIRouter(include_in_schema=False)

    @router.get(PATH)
    def overview(request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            figures = stock.figures(session)
            counted = stock.counts(session)
            spoilt = stock.listed(session, BlankState.FAILED)
        return show(
            request,
            officer,
            "desk/cards/stock.html",
            figures=[(key, figures.of(state)) for state, key in STATE_KEYS.items()],
            counts=counted,
            spoilt=spoilt,
            count_keys=COUNT_KEYS,
            keeps=officer.may(Permission.MANAGE_STOCK),
            figure_max=FIGURE_MAX,
        )

    @router.post(PATH + "/deliveries")
    def receive(request: Request, officer: Keeper, reference: Text, first: Text, count: Figure) -> Response:
        desk = desk_of(request)
        return _done(
            desk,
            lambda s: stock.receive(desk.store, s, officer.person_id, reference, first.strip(), count, desk.now()),
        )

    @router.post(PATH + "/counts")
    def begin(request: Request, officer: Keeper) -> Response:
        desk = desk_of(request)
        return _done(desk, lambda s: stock.open_count(desk.store, s, officer.person_id, desk.now()))

    @router.post(PATH + "/counts/{count_id}")
    def figure(count_id: str, request: Request, officer: Reader, figure: Figure) -> Response:
        desk = desk_of(request)
        return _done(desk, lambda s: stock.enter_figure(desk.store, s, officer.person_id, count_id, figure, desk.now()))

    @router.post(PATH + "/counts/{count_id}/missing")
    def missing(count_id: str, request: Request, officer: Keeper, serials: Long) -> Response:
        desk, named = desk_of(request), serials.split()
        return _done(desk, lambda s: stock.name_missing(desk.store, s, officer.person_id, count_id, named, desk.now()))

    @router.post(PATH + "/spoilt")
    def spoilt(request: Request, officer: Keeper, serial: Text) -> Response:
        desk = desk_of(request)
        return _done(desk, lambda s: stock.fail(desk.store, s, officer.person_id, serial.strip(), desk.now()))

    @router.post(PATH + "/destroying")
    def ask(request: Request, officer: Keeper, serial: Text) -> Response:
        desk = desk_of(request)
        return _done(desk, lambda s: stock.ask_destroying(desk.store, s, officer.person_id, serial))

    @router.post(PATH + "/destroyed")
    def destroyed(request: Request, officer: Reader, serial: Text) -> Response:
        desk = desk_of(request)
        return _done(desk, lambda s: stock.destroy(desk.store, s, officer.person_id, serial, desk.now()))

    return router


def _done(desk: DeskContext, what: Callable[[Session], object]) -> Response:
    """Carry out one change and show the stock again."""
    with desk.store.write() as session:
        what(session)
    return RedirectResponse(PATH, 303)
