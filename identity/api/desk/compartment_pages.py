# SPDX-License-Identifier: Apache-2.0
"""The page of a person's private compartment: handed in, handed back, removed; never opened here."""

from typing import Annotated

from fastapi import APIRouter, File, Request, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from identity.api.desk import compartments, persons
from identity.api.desk.base import Clerk, Reader, desk_of, show
from identity.api.desk.looking_up import require_reason
from identity.api.desk.problems import REASON_NEEDED
from identity.compartment import SEALED_BYTES_MAX
from service.problems import Problem
from service.redirects import Elsewhere
from service.sign_in.roles import Permission

PATH = "/compartments/"
MEDIA_TYPE = "application/jose+json"


def compartment_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get(PATH + "{person_id}")
    def one(person_id: str, request: Request, officer: Reader) -> Response:
        desk = desk_of(request)
        with desk.store.read() as session:
            try:
                require_reason(desk, session, officer, person_id)
            except Problem as problem:
                if problem.kind is not REASON_NEEDED:
                    raise
                raise Elsewhere(f"/look-up?person={person_id}") from None
            found = persons.load(desk, session, officer, person_id)
            kept = compartments.load(desk, session, person_id)
            before = compartments.before(desk, session, person_id)
        return show(
            request,
            officer,
            "desk/compartment.html",
            person_id=person_id,
            person_name=found.name,
            kept=kept,
            before=before,
            keeps=officer.may(Permission.ENROL),
        )

    @router.post(PATH + "{person_id}")
    async def keep(person_id: str, request: Request, officer: Clerk, sealed: Annotated[UploadFile, File()]) -> Response:
        raw = await sealed.read(SEALED_BYTES_MAX + 1)
        await run_in_threadpool(compartments.keep, desk_of(request), officer, person_id, raw)
        return RedirectResponse(f"{PATH}{person_id}", 303)

    @router.get(PATH + "{person_id}/sealed")
    def sealed(person_id: str, request: Request, officer: Clerk) -> Response:
        return _file(compartments.hand_back(desk_of(request), officer, person_id), person_id)

    @router.get(PATH + "{person_id}/before/{before_id}")
    def sealed_before(person_id: str, before_id: str, request: Request, officer: Clerk) -> Response:
        return _file(compartments.hand_back(desk_of(request), officer, person_id, before_id), person_id)

    @router.post(PATH + "{person_id}/remove")
    def remove(person_id: str, request: Request, officer: Clerk) -> Response:
        compartments.remove(desk_of(request), officer, person_id)
        return RedirectResponse(f"{PATH}{person_id}", 303)

    return router


def _file(content: bytes, person_id: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="compartment-{person_id[:8]}.jwe"'}
    return Response(content, media_type=MEDIA_TYPE, headers=headers)
