# SPDX-License-Identifier: Apache-2.0
"""Requests to erase: taken with a reason in sight, confirmed by a second officer, cancelled while they wait."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from sqlalchemy import select
from starlette.responses import RedirectResponse, Response

from identity.api.desk import erasing
from identity.api.desk.base import DAY_MS, Eraser, desk_of, show
from identity.api.desk.case_view import names_of
from identity.api.desk.erasing import GROUNDS
from identity.api.desk.problems import NOT_NOW
from identity.api.desk.states import ErasureState
from identity.api.desk.tables import DeskErasure
from identity.api.desk.words import ERASURE_KEYS, GROUND_KEYS
from service.problems import Problem

LISTED_MAX = 100
"""Requests that the page lists, newest first."""

Text = Annotated[str, Form(max_length=64)]


def erasure_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/erasures")
    def listed(request: Request, officer: Eraser) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            mine = select(DeskErasure).where(DeskErasure.organisation == officer.organisation)
            rows = session.scalars(mine.order_by(DeskErasure.requested_ms.desc()).limit(LISTED_MAX)).all()
            staff = {row.requested_by for row in rows} | {row.confirmed_by for row in rows}
            names = names_of(desk, session, staff)
        return show(
            request,
            officer,
            "desk/erasures.html",
            rows=[(row, erasing.account_of(row)) for row in rows],
            names=names,
            erasure_keys=ERASURE_KEYS,
            ground_keys=GROUND_KEYS,
            open_states=(ErasureState.REQUESTED, ErasureState.WAITING),
            wait_days=desk.retention.erasure_days,
            backup_days=desk.retention.backup_days,
            day_ms=DAY_MS,
        )

    @router.post("/persons/{person_id}/erase")
    def ask(person_id: str, request: Request, officer: Eraser, ground: Text = "") -> Response:
        if ground not in GROUNDS:
            raise Problem(NOT_NOW)
        erasing.request(desk_of(request), officer, person_id, ground)
        return RedirectResponse("/erasures", 303)

    @router.post("/erasures/{erasure_id}/confirm")
    def confirm(erasure_id: str, request: Request, officer: Eraser) -> Response:
        erasing.confirm(desk_of(request), officer, erasure_id)
        return RedirectResponse("/erasures", 303)

    @router.post("/erasures/{erasure_id}/cancel")
    def cancel(erasure_id: str, request: Request, officer: Eraser) -> Response:
        erasing.cancel(desk_of(request), officer, erasure_id)
        return RedirectResponse("/erasures", 303)

    return router
