# SPDX-License-Identifier: Apache-2.0
"""The desk's pages for what people declared at kiosks: what waits, one opened with a reason that is noted, its outcome.

The list says nothing of anybody. Opening one is a look at its person for the reason "correction", which stands in that
person's list of accesses.
"""

from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from chain.errors import LedgerError
from client.errors import TransportError
from identity.api.desk import declared
from identity.api.desk.base import Clerk, Reader, desk_of, show
from identity.api.desk.declared import ANSWER_CHARACTERS_MAX, Check, Judged, Opened, State
from identity.api.desk.follow import follow_all
from identity.api.desk.looking_up import Reason, note_access
from identity.api.desk.problems import NOT_NOW
from service.problems import Problem
from service.sign_in.sessions import Officer

STATE_KEYS: Final = {
    State.WAITING: ("warn", "declared.state-waiting"),
    State.TAKEN: ("info", "declared.state-taken"),
    State.DONE: ("good", "declared.state-done"),
    State.DECLINED: ("plain", "declared.state-declined"),
}
"""Sign and word of each state."""
CHECK_KEYS: Final = {
    Check.HOLDS: ("good", "declared.is-good", "declared.signature-holds"),
    Check.ENDED: ("warn", "declared.is-unsure", "declared.signature-ended"),
    Check.PHONE: ("warn", "declared.is-unsure", "declared.signature-phone"),
    Check.WRONG: ("bad", "declared.is-wrong", "declared.signature-wrong"),
}
"""Sign, word and sentence of each outcome."""

Text = Annotated[str, Form(max_length=2 * ANSWER_CHARACTERS_MAX)]


def declared_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/declarations")
    def listed(request: Request, officer: Reader) -> Response:
        follow_all(desk_of(request))  # a case that was confirmed meanwhile is done
        with desk_of(request).store.read() as session:
            rows = declared.listed(session, officer.organisation)
        return show(request, officer, "desk/declarations.html", rows=rows, state_keys=STATE_KEYS)

    @router.post("/declarations/{statement_id}/open")
    def begun(statement_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        with desk.store.write() as session:
            person_id = declared.person_of(session, officer, statement_id)
            note_access(desk, session, officer, person_id, Reason.CORRECTION)
        return RedirectResponse(f"/declarations/{statement_id}", 303)

    @router.get("/declarations/{statement_id}")
    async def one(statement_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        found = await run_in_threadpool(_opened, request, officer, statement_id)
        judged: Judged | None = None
        with suppress(TransportError, LedgerError):  # then the page says that nothing is known now
            judged = await declared.judge(desk, officer, found)
        return await run_in_threadpool(
            lambda: show(
                request,
                officer,
                "desk/declaration.html",
                found=found,
                judged=judged,
                state_keys=STATE_KEYS,
                check_keys=CHECK_KEYS,
                text_max=ANSWER_CHARACTERS_MAX,
            )
        )

    @router.post("/declarations/{statement_id}/take")
    async def taken(statement_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        judged = await declared.judge(desk, officer, await run_in_threadpool(_opened, request, officer, statement_id))
        if judged.signature is Check.WRONG or not judged.recorded_ms:
            raise Problem(NOT_NOW)
        case_id = await run_in_threadpool(declared.take, desk, officer, statement_id)
        return RedirectResponse(f"/cases/{case_id}/edit", 303)

    @router.post("/declarations/{statement_id}/decline")
    def declined(statement_id: str, request: Request, officer: Clerk, answer: Text = "") -> Response:
        declared.decline(desk_of(request), officer, statement_id, answer.replace("\r\n", "\n"))
        return RedirectResponse("/declarations", 303)

    return router


def _opened(request: Request, officer: Officer, statement_id: str) -> Opened:
    desk = desk_of(request)
    follow_all(desk)
    with desk.store.read() as session:
        return declared.opened(desk, session, officer, statement_id)
