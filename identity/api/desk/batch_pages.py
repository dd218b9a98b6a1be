# SPDX-License-Identifier: Apache-2.0
"""The pages of batches: a file checked line by line, cards made a few seconds at a time, a report to take away."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from identity.api.desk import batch
from identity.api.desk.base import Approver, Clerk, DeskContext, Reader, desk_of, show
from identity.api.desk.batch import ACT_CARDS_MAX, RowState
from identity.api.desk.batch_file import FILE_BYTES_MAX, ROWS_MAX, Fault
from identity.api.desk.card_making_pages import shop_of
from identity.api.desk.cards_binding import reference_of
from identity.api.desk.cards_history import Signed
from identity.api.desk.cards_signing import to_sign
from identity.api.desk.cards_workshop import EMULATED
from identity.cards.making import Journal, PersonalisedCard
from service.language import language_of, translate
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer
from service.tables import Column, csv_response
from service.wording import day

PATH = "/batches"
ROUND_SECONDS = 8.0
"""How long one press of the button makes cards: a page that takes longer looks dead."""

FAULT_KEYS = {
    Fault.COLUMNS: "batch.fault-columns",
    Fault.EMPTY: "batch.fault-empty",
    Fault.TOO_LONG: "batch.fault-too-long",
    Fault.TWICE: "batch.fault-twice",
    Fault.UNKNOWN: "batch.fault-unknown",
    Fault.HAS_CARD: "batch.fault-has-card",
    Fault.NO_BLANK: "batch.fault-no-blank",
    Fault.CARD: "batch.fault-card",
}
STATE_KEYS = {
    RowState.READY: "batch.state-ready",
    RowState.DONE: "batch.state-done",
    RowState.FAILED: "batch.state-failed",
}
_REPORT = (
    Column("line", "batch.column-line"),
    Column("state", "batch.state"),
    Column("reason", "batch.column-reason"),
    Column("serial", "batch.serial"),
    Column("card", "batch.card"),
)


def batch_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)
    _add_batches(router)
    _add_acts(router)
    return router


def _add_batches(router: APIRouter) -> None:
    @router.get(PATH)
    def listed(request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            rows = [(one, batch.progress(session, one.id)) for one in batch.listed(session, officer.organisation)]
        enrols = officer.may(Permission.ENROL)
        return show(request, officer, "desk/cards/batches.html", rows=rows, rows_max=ROWS_MAX, enrols=enrols)

    @router.post(PATH)
    async def take(request: Request, officer: Clerk, file: UploadFile) -> Response:
        desk, raw = desk_of(request), await file.read(FILE_BYTES_MAX + 1)
        batch_id = await run_in_threadpool(batch.take, desk, officer, raw)
        return RedirectResponse(f"{PATH}/{batch_id}", 303)

    @router.get(PATH + "/{batch_id}")
    def one(batch_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            found = batch.own(session, officer.organisation, batch_id)
            made = batch.progress(session, batch_id)
        when = day(language_of(request), datetime.fromtimestamp(found.created_ms / 1000, UTC))
        shop = request.app.state.shop
        return show(
            request,
            officer,
            "desk/cards/batch.html",
            batch=found,
            when=when,
            progress=made,
            fault_keys=FAULT_KEYS,
            act_max=ACT_CARDS_MAX,
            makes=shop is not None and EMULATED in shop.counter.names(),
            enrols=officer.may(Permission.ENROL),
            approves=officer.may(Permission.APPROVE),
        )

    @router.post(PATH + "/{batch_id}/run")
    def run(batch_id: str, request: Request, officer: Clerk) -> Response:
        desk, shop = desk_of(request), shop_of(request)

        def personalise(journal: Journal, serial: str) -> PersonalisedCard:
            with shop.counter.card(EMULATED, serial) as card:
                return shop.personalise(desk, card, journal)

        batch.run(desk, officer, batch_id, personalise, ROUND_SECONDS)
        return RedirectResponse(f"{PATH}/{batch_id}", 303)

    @router.get(PATH + "/{batch_id}/report")
    def report(batch_id: str, request: Request, officer: Reader) -> Response:
        desk, language = desk_of(request), language_of(request)
        with desk.store.read() as session:
            batch.own(session, officer.organisation, batch_id)
            lines = [
                (
                    row.line,
                    translate(language, STATE_KEYS[RowState(row.state)]),
                    translate(language, FAULT_KEYS[Fault(row.code)]) if row.code else "",
                    "" if card is None else card.serial or "",
                    "" if card is None else reference_of(card.id),
                )
                for row, card in batch.report(session, batch_id)
            ]
        return csv_response(request, f"batch-{batch_id[:8]}", _REPORT, lines)


def _add_acts(router: APIRouter) -> None:
    @router.post(PATH + "/{batch_id}/propose")
    async def propose(batch_id: str, request: Request, officer: Clerk) -> Response:
        signed = await batch.to_propose(desk_of(request), officer, batch_id)
        return await _sign(request, officer, batch_id, signed)

    @router.post(PATH + "/{batch_id}/confirm")
    async def confirm(batch_id: str, request: Request, officer: Approver) -> Response:
        signed = await batch.to_confirm(desk_of(request), officer, batch_id)
        return await _sign(request, officer, batch_id, signed)


async def _sign(request: Request, officer: Officer, batch_id: str, signed: Signed) -> Response:
    desk = desk_of(request)

    def note(act_id: str) -> None:
        _note(desk, officer, batch_id, act_id)

    return await to_sign(request, officer, signed, f"{PATH}/{batch_id}", note)


def _note(desk: DeskContext, officer: Officer, batch_id: str, act_id: str) -> None:
    del act_id
    with desk.store.write() as session:
        desk.record(session, officer, "batch.act-prepared", batch_id)
