# SPDX-License-Identifier: Apache-2.0
"""The desk's pages for requests to correct or to erase: what waits, one opened with a reason that is noted, its answer.

The list says nothing of anybody. Opening one is a look at its person for the reason "correction", which stands in that
person's list of accesses.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from identity.api.desk.base import Clerk, Reader, desk_of, show
from identity.api.desk.looking_up import Reason, note_access
from identity.api.space import requests
from identity.api.space.requests import ANSWERS, TEXT_CHARACTERS_MAX, Kind, State

KIND_KEYS: Final = {Kind.CORRECT: "request.kind-correct", Kind.ERASE: "request.kind-erase"}
STATE_KEYS: Final = {
    State.OPEN: ("warn", "request.state-open"),
    State.TAKEN: ("info", "request.state-taken"),
    State.DONE: ("good", "request.state-done"),
    State.DECLINED: ("plain", "request.state-declined"),
    State.WITHDRAWN: ("plain", "request.state-withdrawn"),
}
"""Sign and word of each state."""

Text = Annotated[str, Form(max_length=2 * TEXT_CHARACTERS_MAX)]


def requests_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/requests")
    def listed(request: Request, officer: Reader) -> Response:
        with desk_of(request).store.read() as session:
            rows = requests.listed(session, officer.organisation)
        return show(request, officer, "space/requests.html", rows=rows, kind_keys=KIND_KEYS, state_keys=STATE_KEYS)

    @router.post("/requests/{request_id}/open")
    def begun(request_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        with desk.store.write() as session:
            row = requests.found(session, officer, request_id)
            note_access(desk, session, officer, row.person_id, Reason.CORRECTION)
        return RedirectResponse(f"/requests/{request_id}", 303)

    @router.get("/requests/{request_id}")
    def one(request_id: str, request: Request, officer: Clerk) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            row, told = requests.opened(desk, session, officer, request_id)
        return show(
            request,
            officer,
            "space/request.html",
            row=row,
            told=told,
            kind_keys=KIND_KEYS,
            state_keys=STATE_KEYS,
            answers=[(state.value, STATE_KEYS[state][1]) for state in ANSWERS],
            text_max=TEXT_CHARACTERS_MAX,
        )

    @router.post("/requests/{request_id}/take")
    def taken(request_id: str, request: Request, officer: Clerk) -> Response:
        requests.take(desk_of(request), officer, request_id)
        return RedirectResponse(f"/requests/{request_id}", 303)

    @router.post("/requests/{request_id}/answer")
    def answered(request_id: str, request: Request, officer: Clerk, state: Text = "", answer: Text = "") -> Response:
        requests.answer(desk_of(request), officer, request_id, state, answer.replace("\r\n", "\n"))
        return RedirectResponse("/requests", 303)

    return router
