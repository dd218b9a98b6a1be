# SPDX-License-Identifier: Apache-2.0
"""The holder's page that hands a report to a reader."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from credit.api import showing
from credit.api.base import MINUTE_MS, credit_of
from credit.api.holder_pages import show_holder
from credit.api.holders import Here
from credit.api.problems import NOT_NOW
from credit.api.reader_pages import READ_PATH
from credit.api.reading import PURPOSES
from credit.api.views import lines_of
from service.language import language_of
from service.problems import Problem

SHOWN_PATH: Final = "/me/shown"
SHOWN_BODY_BYTES_MAX: Final = 4 * showing.SEALED_BYTES_MAX // 3 + 1_024
"""What a link opens, in base64."""
HOUR_MS: Final = 60 * MINUTE_MS

Organisation = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]


class ShownBody(BaseModel):
    """For whom and what for."""

    model_config = ConfigDict(extra="forbid", strict=True)
    audience: Organisation
    purpose: Annotated[str, StringConstraints(max_length=32)]


class SealedBody(BaseModel):
    """What a link opens, in base64."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    sealed: Annotated[str, StringConstraints(max_length=SHOWN_BODY_BYTES_MAX)]


def showing_router() -> APIRouter:
    """The holder's routes."""
    router = APIRouter(include_in_schema=False)

    @router.get("/me/show")
    async def show(request: Request, holder: Here, to: str = "", purpose: str = "") -> Response:
        context = credit_of(request)
        chosen: Mapping[str, Any] = {"report": None, "lines": [], "kept": 0}
        if to or purpose:
            await showing.check_reader(context, to, purpose)
            report = await showing.preview(context, holder.subject_id, purpose)
            kept = sum(entry.content is None for entry in report.verified.entries)
            chosen = {"report": report, "lines": lines_of(report, language_of(request)), "kept": kept}
        given = await run_in_threadpool(showing.given, context, holder.subject_id)
        return show_holder(
            request, "show.html", to=to, purpose=purpose, purposes=PURPOSES, given=given, hours_of=_hours, **chosen
        )

    @router.post(SHOWN_PATH)
    async def made(body: ShownBody, request: Request, holder: Here) -> Response:
        found = await showing.prepare(credit_of(request), holder.subject_id, body.audience, body.purpose)
        answer = {"id": found.id, "report": b64encode(found.raw).decode(), **found.word}
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    @router.post(SHOWN_PATH + "/{made_id}/link")
    def link(made_id: str, body: SealedBody, request: Request, holder: Here) -> Response:
        context = credit_of(request)
        try:
            content = b64decode(body.sealed, validate=True)
        except ValueError:
            raise Problem(NOT_NOW) from None
        until_ms = showing.keep_sealed(context, holder.subject_id, made_id, content)
        return JSONResponse({"link": context.origin + READ_PATH, "until_ms": until_ms})

    @router.post(SHOWN_PATH + "/{made_id}/end")
    def end(made_id: str, request: Request, holder: Here) -> Response:
        showing.take_back(credit_of(request), holder.subject_id, made_id)
        return RedirectResponse("/me/show", 303)

    return router


def _hours(milliseconds: int) -> int:
    return milliseconds // HOUR_MS
