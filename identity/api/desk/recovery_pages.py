# SPDX-License-Identifier: Apache-2.0
"""The routes of a recovery: opened on a person's page, signed by two officers on the case's."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from identity.api.desk import cards, recovering
from identity.api.desk.base import DeskContext, desk_of
from identity.api.desk.cards_life import CardState
from identity.api.desk.case_pages import signing_of, to_case
from identity.api.desk.details import Method
from identity.api.desk.follow import follow, send_one
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import NO_NEW_KEYS, NOT_NOW
from identity.pb import identity_pb2 as pb
from service.problems import Problem
from service.redirects import local_path
from service.sign_in.access import FRESH_MS, Require
from service.sign_in.act_pages import ShownBody, SignatureBody
from service.sign_in.roles import Permission
from service.sign_in.sessions import Officer

Clerk = Annotated[Officer, Depends(Require(Permission.ENROL, fresh_ms=FRESH_MS))]
FreshReader = Annotated[Officer, Depends(Require(Permission.READ_RECORDS, fresh_ms=FRESH_MS))]
Text = Annotated[str, Form(max_length=64)]


def recovery_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.post("/persons/{person_id}/recover")
    def opened(person_id: str, request: Request, officer: Clerk, method: Text = "") -> Response:
        desk = desk_of(request)
        if method not in list(Method):
            raise Problem(NOT_NOW)
        binds = _new_keys(desk, officer, person_id)
        return to_case(recovering.open_recovery(desk, officer, person_id, Method(method), binds))

    @router.post("/cases/{case_id}/joint")
    def begin(case_id: str, request: Request, officer: Clerk, second: Text = "") -> Response:
        recovering.begin(signing_of(request, officer), case_id, second)
        return to_case(case_id)

    @router.post("/cases/{case_id}/joint/options")
    def options(case_id: str, body: ShownBody, request: Request, officer: FreshReader) -> dict[str, Any]:
        return recovering.ask(signing_of(request, officer), case_id, body.shown)

    @router.post("/cases/{case_id}/joint/verify")
    async def sign(case_id: str, body: SignatureBody, request: Request, officer: FreshReader) -> dict[str, str]:
        desk = desk_of(request)
        signing = signing_of(request, officer)
        act_id = await run_in_threadpool(recovering.sign, signing, case_id, body.credential)
        if act_id is not None:
            await send_one(desk, act_id)
            await run_in_threadpool(follow, desk, case_id)
        return {"next": local_path(body.next or None, f"/cases/{case_id}")}

    return router


def _new_keys(desk: DeskContext, officer: Officer, person_id: str) -> list[pb.NewKey]:
    """Keys of the cards that were made for a person and are not theirs yet.

    Raises:
        Problem: There are none: without new keys there is nothing to recover with.
    """
    with desk.store.read() as session:
        require_reason(desk, session, officer, person_id)
        made = [row for row in cards.of_person(session, person_id) if row.state == CardState.PERSONALISED]
        found = [cards.opened(desk, session, officer.organisation, row.id) for row in made]
    binds = [pb.NewKey(purpose=key.purpose, commitment=key.commitment) for card in found for key in card.keys]
    if not binds:
        raise Problem(NO_NEW_KEYS)
    return binds
