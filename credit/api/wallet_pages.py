# SPDX-License-Identifier: Apache-2.0
"""The holder's page that puts a grade into their wallet: which one, then a code and the digits that go with it.

The digits stand beside the code: whoever sees this page is signed in as its holder already. Neither is kept; the store
has digests of both.
"""

from typing import Annotated, Final

import segno
from fastapi import APIRouter, Form, Request
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from credit.api.base import MINUTE_MS, credit_of
from credit.api.holder_pages import show_holder
from credit.api.holders import Here
from credit.api.reports import make_report
from credit.api.wallet_grades import offer_grade, showable
from identity.api.issuer.offers import OFFER_MS
from service.envelope import request_id_of

WALLET_PATH: Final = "/me/show/wallet"
SCALE: Final = 5
"""Pixels to a module: some 300 px, which a phone reads from a screen at arm's length."""


def wallet_page_router() -> APIRouter:
    """The routes."""
    router = APIRouter(include_in_schema=False)

    @router.get(WALLET_PATH)
    async def choose(request: Request, holder: Here) -> Response:
        context = credit_of(request)
        report = await make_report(context, holder.subject_id)
        grades = await run_in_threadpool(showable, context, holder.subject_id, report)
        return show_holder(request, "wallet.html", grades=grades, offer=None)

    @router.post(WALLET_PATH)
    async def offer(request: Request, holder: Here, grade: Annotated[str, Form(max_length=1)]) -> Response:
        context = credit_of(request)
        report = await make_report(context, holder.subject_id)
        asked = request_id_of(request.scope)
        made = await run_in_threadpool(offer_grade, context, holder.subject_id, report, grade, asked)
        drawn = segno.make(made.uri, error="m", micro=False).svg_inline(scale=SCALE, border=4, light="#fff")
        return show_holder(
            request,
            "wallet.html",
            grades=(),
            offer=made,
            grade=grade,
            code=Markup(drawn),  # noqa: S704 - an image that was just drawn, of an address that we made
            minutes=OFFER_MS // MINUTE_MS,
        )

    return router
